import { app, Menu, shell, type MenuItemConstructorOptions } from 'electron';
import type { MenuCommand } from '../core/contract/bridge.ts';
import type { Texts } from './texts.ts';

export interface MenuHost {
  /** Tells the window. */
  command(command: MenuCommand): void;
  readonly logFile: string;
}

/**
 * Sets the application menu. Keys of commands are the window's own, where they can depend on what has the focus; the
 * menu shows them.
 */
export function setMenu(texts: Texts, host: MenuHost): void {
  const mac = process.platform === 'darwin';
  const item = (label: string, command: MenuCommand, accelerator?: string): MenuItemConstructorOptions => ({
    id: command,
    label,
    click: () => host.command(command),
    registerAccelerator: false,
    ...(accelerator === undefined ? {} : { accelerator }),
  });
  const line: MenuItemConstructorOptions = { type: 'separator' };
  // Only macOS fills it; Windows shows them at the taskbar.
  const recent: MenuItemConstructorOptions = {
    label: texts.openRecent,
    role: 'recentDocuments',
    submenu: [{ label: texts.clearRecent, role: 'clearRecentDocuments' }],
  };
  const template: MenuItemConstructorOptions[] = [
    ...(mac ? [{ role: 'appMenu' } as const] : []),
    {
      label: texts.file,
      submenu: [
        item(texts.newProject, 'new-project', 'CmdOrCtrl+N'),
        item(texts.open, 'open-file', 'CmdOrCtrl+O'),
        ...(mac ? [recent] : []),
        line,
        item(texts.import, 'import', 'CmdOrCtrl+I'),
        line,
        item(texts.save, 'save', 'CmdOrCtrl+S'),
        item(texts.saveAs, 'save-as', 'CmdOrCtrl+Shift+S'),
        item(texts.export, 'export', 'CmdOrCtrl+E'),
        line,
        item(texts.settings, 'settings', 'CmdOrCtrl+,'),
        ...(mac ? [] : [line, { label: texts.quit, role: 'quit' } as const]),
      ],
    },
    {
      label: texts.edit,
      submenu: [
        item(texts.undo, 'undo', 'CmdOrCtrl+Z'),
        item(texts.redo, 'redo', mac ? 'Cmd+Shift+Z' : 'Ctrl+Y'),
        line,
        { label: texts.cut, role: 'cut' },
        { label: texts.copy, role: 'copy' },
        { label: texts.paste, role: 'paste' },
        { label: texts.selectAll, role: 'selectAll' },
      ],
    },
    {
      label: texts.view,
      submenu: [
        item(texts.palette, 'palette', 'CmdOrCtrl+K'),
        line,
        { label: texts.actualSize, role: 'resetZoom' },
        { label: texts.zoomIn, role: 'zoomIn' },
        { label: texts.zoomOut, role: 'zoomOut' },
        line,
        { label: texts.fullScreen, role: 'togglefullscreen' },
        ...(app.isPackaged ? [] : [line, { role: 'reload' } as const, { role: 'toggleDevTools' } as const]),
      ],
    },
    {
      label: texts.window,
      role: 'window',
      submenu: [
        { label: texts.minimise, role: 'minimize' },
        { label: texts.close, role: 'close' },
      ],
    },
    {
      label: texts.help,
      role: 'help',
      submenu: [{ label: texts.showLog, click: () => shell.showItemInFolder(host.logFile) }],
    },
  ];
  Menu.setApplicationMenu(Menu.buildFromTemplate(template));
}
