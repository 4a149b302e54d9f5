import { presetIds, type PresetId } from '../../../src-main/core/contract/project.ts';
import { t } from '../i18n/index.svelte.ts';
import type { UiCommand } from '../state/keys.svelte.ts';
import type { Session } from '../state/session.svelte.ts';
import { modelOf } from './generate.ts';
import { presetCommands } from './preset-commands.ts';

/** Applies a task to the timeline as one step to undo, shows its range, and says kindly what it lacks. */
export async function choosePreset(session: Session, preset: PresetId): Promise<void> {
  const { project, range, playhead, selection } = session;
  if (project === null) return;
  try {
    const { commands, rangeId, missing } = presetCommands({
      project,
      range,
      preset,
      playhead,
      clipIds: selection.clipIds,
      model: modelOf(range, session.models),
      newRangeId: crypto.randomUUID(),
    });
    const name = t(`inspector.preset.${preset}`);
    const done = session.edit(t('inspector.edit.preset', { name }), commands);
    if (session.project?.ranges.some(({ id }) => id === rangeId) === true) {
      session.showRange(rangeId);
      showStart(session);
      session.selection = { ...session.selection, cells: null };
    }
    if ((await done) && missing !== null) session.tell('info', name, t(`inspector.missing.${missing}`));
  } catch (thrown) {
    session.fail(thrown);
  }
}

/** Brings the playhead to the range that is shown, where it is not in it. */
function showStart(session: Session): void {
  const { range, playhead } = session;
  if (range === null) return;
  if (playhead < range.start || playhead >= range.start + range.frames) session.playhead = range.start;
}

/** Every task as a command of the window: in its palette, without a key of its own. */
export function presetCommandsOf(session: Session): UiCommand[] {
  return presetIds.map((preset) => ({
    id: `generate.preset.${preset}`,
    group: 'generate',
    label: () => t('inspector.edit.preset', { name: t(`inspector.preset.${preset}`) }),
    run: () => void choosePreset(session, preset),
    when: () => session.project !== null,
  }));
}
