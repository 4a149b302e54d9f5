import CopyPlus from '@lucide/svelte/icons/copy-plus';
import Download from '@lucide/svelte/icons/download';
import FilePlus2 from '@lucide/svelte/icons/file-plus-2';
import FolderOpen from '@lucide/svelte/icons/folder-open';
import Import from '@lucide/svelte/icons/import';
import Info from '@lucide/svelte/icons/info';
import Keyboard from '@lucide/svelte/icons/keyboard';
import Lightbulb from '@lucide/svelte/icons/lightbulb';
import PanelBottom from '@lucide/svelte/icons/panel-bottom';
import PanelLeft from '@lucide/svelte/icons/panel-left';
import PanelRight from '@lucide/svelte/icons/panel-right';
import Save from '@lucide/svelte/icons/save';
import Settings from '@lucide/svelte/icons/settings';
import type { MenuCommand } from '../../../src-main/core/contract/bridge.ts';
import { t } from '../i18n/index.svelte.ts';
import { modelsUi } from '../models/models-ui.svelte.ts';
import { generate } from '../queue/actions.ts';
import { bridge } from '../state/connection.ts';
import { chooseMedia } from '../state/import-files.ts';
import { keys, type UiCommand } from '../state/keys.svelte.ts';
import { layout, type Panel } from '../state/layout.svelte.ts';
import { chooseProjectFile, duplicateProject, newProject, saveProject } from '../state/project-files.ts';
import type { Session } from '../state/session.svelte.ts';
import { ui } from '../state/ui.svelte.ts';
import type { Icon, MenuItem } from '../ui/types.ts';

/** What the frame of the window can do. Keys that a browser keeps for its tabs and windows are left to it. */
export function appCommands(session: Session): UiCommand[] {
  const hasProject = (): boolean => session.project !== null;
  const command = (
    id: string,
    label: UiCommand['label'],
    keysOf: readonly string[],
    run: () => unknown,
    more: Partial<UiCommand> = {},
  ): UiCommand => ({
    id,
    group: id.slice(0, id.indexOf('.')) as UiCommand['group'],
    label,
    keys: keysOf,
    run: () => void run(),
    ...more,
  });
  return [
    command(
      'file.new',
      () => t('app.newProject'),
      [bridge() === undefined ? 'Mod+Alt+N' : 'Mod+N'],
      () => newProject(session),
    ),
    command(
      'file.open',
      () => t('app.open'),
      ['Mod+O'],
      () => chooseProjectFile(session),
    ),
    command(
      'file.save',
      () => t('app.save'),
      ['Mod+S'],
      () => saveProject(session),
      { when: hasProject },
    ),
    command('file.saveAs', saveAsLabel, ['Mod+Shift+S'], () => (ui.dialog = 'save'), { when: hasProject }),
    command(
      'file.export',
      () => t('app.export'),
      ['Mod+E'],
      () => ui.showExport({ what: 'timeline' }),
      {
        when: hasProject,
      },
    ),
    command(
      'file.duplicate',
      () => t('app.duplicate'),
      [],
      () => session.project && duplicateProject(session, session.project),
      { when: hasProject },
    ),
    command(
      'file.settings',
      () => t('app.settings'),
      ['Mod+,'],
      () => ui.showSettings(),
    ),
    command(
      'edit.undo',
      () => t('app.undo'),
      ['Mod+Z'],
      () => session.undo(),
      {
        when: () => session.steps.undo !== null,
        repeat: true,
      },
    ),
    command(
      'edit.redo',
      () => t('app.redo'),
      ['Mod+Shift+Z', 'Mod+Y'],
      () => session.redo(),
      {
        when: () => session.steps.redo !== null,
        repeat: true,
      },
    ),
    command(
      'generate.run',
      () => t('app.generate'),
      ['Mod+Enter'],
      () => generate(session),
      {
        when: hasProject,
      },
    ),
    command(
      'library.import',
      () => t('app.import'),
      ['Mod+I'],
      () => {
        ui.showLibrary('media');
        return chooseMedia(session);
      },
    ),
    command(
      'library.addModel',
      () => t('models.add'),
      [],
      () => modelsUi.add(),
    ),
    command(
      'library.search',
      () => t('app.searchLibrary'),
      ['Mod+F'],
      () => {
        // Models are few enough to be seen.
        ui.showLibrary(ui.libraryTab === 'models' ? 'media' : ui.libraryTab);
        ui.searchWanted = true;
      },
    ),
    command(
      'view.library',
      () => t('app.toggleLibrary'),
      ['Alt+1'],
      () => layout.toggle('library'),
    ),
    command(
      'view.timeline',
      () => t('app.toggleTimeline'),
      ['Alt+2'],
      () => layout.toggle('timeline'),
    ),
    command(
      'view.inspector',
      () => t('app.toggleInspector'),
      ['Alt+3'],
      () => layout.toggle('inspector'),
    ),
    command(
      'view.palette',
      () => t('app.palette'),
      ['Mod+K'],
      () => (ui.dialog = 'palette'),
      { hidden: true },
    ),
    command(
      'view.shortcuts',
      () => t('app.shortcuts'),
      ['?'],
      () => (ui.dialog = 'shortcuts'),
    ),
    command(
      'view.firstSteps',
      () => t('app.firstSteps'),
      [],
      () => (ui.knowsFirstSteps = false),
    ),
    command(
      'view.about',
      () => t('app.about'),
      [],
      () => (ui.dialog = 'about'),
    ),
  ];
}

const saveAsLabel = (): string => (bridge() === undefined ? t('app.download') : t('app.saveAs'));

/** The menu at the top left. */
export function mainMenu(): MenuItem[] {
  const item = (id: string, icon?: Icon): MenuItem => ({
    label: keys.find(id)?.label() ?? id,
    icon,
    key: keys.shortcut(id),
    disabled: !keys.enabled(id),
    run: () => keys.run(id),
  });
  const panel = (id: Panel, icon: Icon): MenuItem => ({
    label: t(`app.${id}`),
    icon,
    key: keys.shortcut(`view.${id}`),
    checked: layout.shown[id].open,
    run: () => layout.toggle(id),
  });
  return [
    item('file.new', FilePlus2),
    item('file.open', FolderOpen),
    item('file.duplicate', CopyPlus),
    'line',
    item('file.save', Save),
    item('file.saveAs'),
    item('file.export', Download),
    'line',
    item('library.import', Import),
    'line',
    panel('library', PanelLeft),
    panel('timeline', PanelBottom),
    panel('inspector', PanelRight),
    'line',
    item('file.settings', Settings),
    item('view.shortcuts', Keyboard),
    item('view.firstSteps', Lightbulb),
    item('view.about', Info),
  ];
}

const ofMenu: Readonly<Record<MenuCommand, string>> = {
  'new-project': 'file.new',
  'open-file': 'file.open',
  import: 'library.import',
  save: 'file.save',
  'save-as': 'file.saveAs',
  export: 'file.export',
  undo: 'edit.undo',
  redo: 'edit.redo',
  settings: 'file.settings',
  palette: 'view.palette',
};

/** A command of the desktop's own menu bar. While a text is typed, undo and redo are the text's. */
export function runMenuCommand(command: MenuCommand): void {
  const { activeElement } = document;
  const isText = activeElement instanceof HTMLInputElement || activeElement instanceof HTMLTextAreaElement;
  // The field's own undo has no other way in from outside.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  if (isText && (command === 'undo' || command === 'redo')) document.execCommand(command);
  else keys.run(ofMenu[command]);
}
