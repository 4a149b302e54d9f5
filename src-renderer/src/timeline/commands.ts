import { t } from '../i18n/index.svelte.ts';
import type { UiCommand } from '../state/keys.svelte.ts';
import type { TimelineActs } from './acts.ts';
import type { TimelineState } from './state.svelte.ts';

/** What the timeline can do by key and from the palette. */
export function timelineCommands(timeline: TimelineState, acts: TimelineActs): UiCommand[] {
  const hasProject = (): boolean => timeline.session.project !== null;
  const hasClips = (): boolean => timeline.selected.size > 0;
  const hasSelection = (): boolean => hasClips() || timeline.session.selection.cells !== null;
  const hasRange = (): boolean => timeline.current !== null;
  const hasClipsOrRange = (): boolean => hasClips() || hasRange();
  const group = 'timeline';
  /** Of the current range or take, as its menu has it: in the palette, without keys. */
  const forRange = (
    id: 'fitRange' | 'duplicateRange' | 'clearMarks' | 'removeRange',
    run: (rangeId: string) => void,
  ): Omit<UiCommand, 'group'> => ({
    id: `timeline.${id}`,
    label: () => t(`timeline.${id}`),
    when: hasRange,
    run: () => {
      if (timeline.current !== null) run(timeline.current.id);
    },
  });
  const commands: (Omit<UiCommand, 'group'> & { readonly group?: 'edit' | 'view' })[] = [
    {
      id: 'timeline.fixed',
      label: () => mark('fixed'),
      keys: ['1'],
      when: hasRange,
      run: () => acts.paint('fixed'),
    },
    {
      id: 'timeline.noisy',
      label: () => mark('noisy'),
      keys: ['2'],
      when: hasRange,
      run: () => acts.paint('noisy'),
    },
    {
      id: 'timeline.interpolated',
      label: () => mark('interpolated'),
      keys: ['3'],
      when: hasRange,
      run: () => acts.paint('interpolated'),
    },
    {
      id: 'timeline.nextCell',
      label: () => t('timeline.nextCell'),
      keys: ['.'],
      when: hasRange,
      repeat: true,
      run: () => acts.stepCell(1, false),
    },
    {
      id: 'timeline.previousCell',
      label: () => t('timeline.previousCell'),
      keys: [','],
      when: hasRange,
      repeat: true,
      run: () => acts.stepCell(-1, false),
    },
    {
      id: 'timeline.growNext',
      label: () => t('timeline.growNext'),
      keys: ['>'],
      when: hasRange,
      repeat: true,
      run: () => acts.stepCell(1, true),
    },
    {
      id: 'timeline.growPrevious',
      label: () => t('timeline.growPrevious'),
      keys: ['<'],
      when: hasRange,
      repeat: true,
      run: () => acts.stepCell(-1, true),
    },
    {
      id: 'timeline.raiseM',
      label: () => t('timeline.raiseM'),
      keys: [']'],
      when: hasRange,
      repeat: true,
      run: () => acts.nudgeM(0.05),
    },
    {
      id: 'timeline.lowerM',
      label: () => t('timeline.lowerM'),
      keys: ['['],
      when: hasRange,
      repeat: true,
      run: () => acts.nudgeM(-0.05),
    },
    { id: 'timeline.autoM', label: () => t('timeline.autoM'), when: hasRange, run: () => acts.autoM() },
    {
      id: 'timeline.newRange',
      label: () => t('timeline.newRange'),
      keys: ['R'],
      when: hasProject,
      run: () => acts.newRange(),
    },
    {
      id: 'timeline.split',
      label: () => t('timeline.split'),
      keys: ['S'],
      when: hasProject,
      run: () => acts.split(),
    },
    {
      id: 'timeline.trimStart',
      label: () => t('timeline.trimStart'),
      keys: ['Q'],
      when: hasProject,
      run: () => acts.trim('start'),
    },
    {
      id: 'timeline.trimEnd',
      label: () => t('timeline.trimEnd'),
      keys: ['W'],
      when: hasProject,
      run: () => acts.trim('end'),
    },
    {
      id: 'timeline.slipBack',
      label: () => t('timeline.slipBack'),
      keys: ['Alt+Shift+ArrowLeft'],
      when: hasClips,
      repeat: true,
      run: () => acts.slip(-1),
    },
    {
      id: 'timeline.slipOn',
      label: () => t('timeline.slipOn'),
      keys: ['Alt+Shift+ArrowRight'],
      when: hasClips,
      repeat: true,
      run: () => acts.slip(1),
    },
    {
      id: 'timeline.delete',
      label: () => t('timeline.delete'),
      keys: ['Delete', 'Backspace'],
      when: hasSelection,
      run: () => acts.remove(),
    },
    {
      id: 'timeline.ripple',
      label: () => t('timeline.ripple'),
      keys: ['Shift+Delete', 'Shift+Backspace'],
      when: hasClips,
      run: () => acts.rippleRemove(),
    },
    {
      id: 'timeline.duplicate',
      label: () => t('timeline.duplicate'),
      keys: ['Mod+D'],
      when: hasClips,
      run: () => acts.duplicate(),
    },
    {
      id: 'timeline.selectAll',
      label: () => t('timeline.selectAll'),
      keys: ['Mod+A'],
      when: hasProject,
      run: () => acts.selectAll(),
    },
    {
      id: 'timeline.deselect',
      label: () => t('timeline.deselect'),
      keys: ['Escape'],
      when: () => hasSelection() || timeline.brush !== null,
      run: () => {
        timeline.brush = null;
        timeline.select({ clipIds: [], cells: null });
      },
    },
    {
      id: 'timeline.nudgeLeft',
      label: () => t('timeline.nudgeLeft'),
      keys: ['Alt+ArrowLeft'],
      when: hasClipsOrRange,
      repeat: true,
      run: () => acts.nudge(-1),
    },
    {
      id: 'timeline.nudgeRight',
      label: () => t('timeline.nudgeRight'),
      keys: ['Alt+ArrowRight'],
      when: hasClipsOrRange,
      repeat: true,
      run: () => acts.nudge(1),
    },
    {
      id: 'timeline.nudgeUp',
      label: () => t('timeline.nudgeUp'),
      keys: ['Alt+ArrowUp'],
      when: hasClips,
      run: () => acts.nudge(0, 1),
    },
    {
      id: 'timeline.nudgeDown',
      label: () => t('timeline.nudgeDown'),
      keys: ['Alt+ArrowDown'],
      when: hasClips,
      run: () => acts.nudge(0, -1),
    },
    forRange('fitRange', (id) => timeline.showRange(id)),
    forRange('duplicateRange', (id) => acts.duplicateRange(id)),
    forRange('clearMarks', (id) => acts.clearMarks(id)),
    forRange('removeRange', (id) => acts.removeRange(id)),
    {
      id: 'timeline.promote',
      label: () => t('timeline.promoteTake'),
      when: () => timeline.session.takeId !== null,
      run: () => {
        const { takeId } = timeline.session;
        if (takeId !== null) void acts.promote(takeId);
      },
    },
    {
      id: 'timeline.snap',
      label: () => t('timeline.snap'),
      keys: ['N'],
      when: hasProject,
      run: () => timeline.store({ snapping: !timeline.stored.snapping }),
    },
    {
      id: 'timeline.marker',
      label: () => t('timeline.marker'),
      keys: ['M'],
      when: hasProject,
      run: () => acts.toggleMarker(),
    },
    {
      id: 'timeline.plan',
      label: () => t(timeline.stored.planFolded ? 'timeline.planOpen' : 'timeline.planFold'),
      keys: ['P'],
      when: hasRange,
      run: () => timeline.foldPlan(!timeline.stored.planFolded),
    },
    {
      id: 'timeline.zoomIn',
      label: () => t('timeline.zoomIn'),
      keys: ['Plus', '='],
      when: hasProject,
      repeat: true,
      run: () => timeline.zoomBy(1.35),
    },
    {
      id: 'timeline.zoomOut',
      label: () => t('timeline.zoomOut'),
      keys: ['-'],
      when: hasProject,
      repeat: true,
      run: () => timeline.zoomBy(1 / 1.35),
    },
    {
      id: 'timeline.fit',
      label: () => t('timeline.fit'),
      keys: ['Shift+Z'],
      when: hasProject,
      run: () => timeline.showAll(),
    },
  ];
  return commands.map((command) => ({ group, ...command }));
}

function mark(kind: 'fixed' | 'noisy' | 'interpolated'): string {
  return t('timeline.paintAs', { kind: t(`timeline.${kind}`) });
}
