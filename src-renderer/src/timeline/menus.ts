import { fits } from '../../../src-main/core/contract/project.ts';
import { t } from '../i18n/index.svelte.ts';
import { noBounds } from '../state/bounds.ts';
import { ui } from '../state/ui.svelte.ts';
import type { MenuItem } from '../ui/types.ts';
import type { TimelineActs } from './acts.ts';
import { gapAt } from './edits.ts';
import type { Hit } from './hit.ts';
import type { TimelineState } from './state.svelte.ts';

/** What can be done with what lies under the pointer. */
export function menuOf(hit: Hit, timeline: TimelineState, acts: TimelineActs): MenuItem[] {
  switch (hit.on) {
    case 'clip':
      return clipMenu(timeline, acts);
    case 'cell':
      return cellMenu(hit, timeline, acts);
    case 'range':
    case 'plan':
      return rangeMenu(hit.rangeId, timeline, acts);
    case 'take':
      return takeMenu(hit.takeId, timeline, acts);
    case 'marker':
      return [
        { label: t('timeline.removeMarker'), danger: true, run: () => acts.removeMarker(hit.markerId) },
        ...markerMenu(hit.frame, timeline, acts),
      ];
    default:
      return emptyMenu(hit, timeline, acts);
  }
}

function copyText(acts: TimelineActs): void {
  const text = acts.copy();
  // Refused by some shells: then it can still be pasted in this window.
  if (text !== null) void navigator.clipboard.writeText(text).catch(() => undefined);
}

function clipMenu(timeline: TimelineState, acts: TimelineActs): MenuItem[] {
  const { session, selected } = timeline;
  const clips = session.project?.clips.filter(({ id }) => selected.has(id)) ?? [];
  const fit = clips[0]?.fit;
  const [first, second] = [...clips].sort((a, b) => a.start - b.start);
  return [
    { label: t('timeline.split'), key: 'S', run: () => acts.split() },
    { label: t('timeline.duplicate'), key: 'Mod+D', run: () => acts.duplicate() },
    { label: t('timeline.copy'), key: 'Mod+C', run: () => copyText(acts) },
    {
      label: t('timeline.cut'),
      key: 'Mod+X',
      run: () => {
        copyText(acts);
        acts.remove();
      },
    },
    'line',
    ...(clips.length === 2 && first !== undefined && second !== undefined
      ? [{ label: t('timeline.transition'), run: () => acts.transition(first.id, second.id) }]
      : []),
    { label: t('timeline.rangeOver'), key: 'R', run: () => acts.newRange() },
    {
      label: t('timeline.fitMode'),
      items: fits.map((each) => ({
        label: t(`timeline.fit.${each}`),
        checked: each === fit,
        run: () => acts.setFit(each),
      })),
    },
    'line',
    { label: t('timeline.delete'), key: 'Delete', danger: true, run: () => acts.remove() },
    { label: t('timeline.ripple'), key: 'Shift+Delete', danger: true, run: () => acts.rippleRemove() },
  ];
}

function cellMenu(
  hit: Extract<Hit, { on: 'cell' }>,
  timeline: TimelineState,
  acts: TimelineActs,
): MenuItem[] {
  const paints = (['fixed', 'noisy', 'interpolated'] as const).map((kind, i) => ({
    label: t(`timeline.${kind}`),
    key: String(i + 1),
    checked: timeline.currentWork?.cells[hit.cell]?.kind === kind,
    run: () => acts.paint(kind),
  }));
  return [
    ...paints,
    { label: t('timeline.autoM'), run: () => acts.autoM() },
    'line',
    { label: t('timeline.copy'), key: 'Mod+C', run: () => copyText(acts) },
    { label: t('timeline.paste'), key: 'Mod+V', disabled: !acts.canPaste, run: () => void acts.paste(null) },
    'line',
    ...rangeMenu(hit.rangeId, timeline, acts),
  ];
}

function rangeMenu(rangeId: string, timeline: TimelineState, acts: TimelineActs): MenuItem[] {
  return [
    {
      label: t('timeline.fitRange'),
      run: () => timeline.showRange(rangeId),
    },
    { label: t('timeline.duplicateRange'), run: () => acts.duplicateRange(rangeId) },
    { label: t('timeline.clearMarks'), run: () => acts.clearMarks(rangeId) },
    { label: t('timeline.removeRange'), danger: true, run: () => acts.removeRange(rangeId) },
  ];
}

function takeMenu(takeId: string, timeline: TimelineState, acts: TimelineActs): MenuItem[] {
  const take = timeline.takes.find(({ id }) => id === takeId);
  return [
    { label: t('timeline.showTake'), run: () => acts.showTake(takeId) },
    { label: t('timeline.promote'), run: () => void acts.promote(takeId) },
    { label: t('timeline.exportTake'), run: () => ui.showExport({ what: 'take', takeId }) },
    {
      label: t('timeline.rating'),
      items: [5, 4, 3, 2, 1, 0].map((rating) => ({
        label: rating === 0 ? t('timeline.notRated') : '★'.repeat(rating),
        checked: take?.rating === rating,
        run: () => void acts.rate(takeId, rating),
      })),
    },
    'line',
    { label: t('timeline.deleteTake'), danger: true, run: () => void acts.deleteTake(takeId) },
  ];
}

function emptyMenu(hit: Hit, timeline: TimelineState, acts: TimelineActs): MenuItem[] {
  const { scene } = timeline;
  const gap = hit.on === 'track' && scene !== null ? gapAt(scene, hit.track, hit.frame) : null;
  return [
    ...(gap === null
      ? []
      : [
          {
            label: t('timeline.transitionHere'),
            run: () => acts.transition(gap.before.id, gap.after.id),
          },
        ]),
    { label: t('timeline.rangeHere'), key: 'R', run: () => acts.newRange(hit.frame) },
    { label: t('timeline.paste'), key: 'Mod+V', disabled: !acts.canPaste, run: () => void acts.paste(null) },
    { label: t('timeline.selectAll'), key: 'Mod+A', run: () => acts.selectAll() },
    'line',
    ...markerMenu(hit.frame, timeline, acts),
    'line',
    { label: t('timeline.fit'), key: 'Shift+Z', run: () => timeline.showAll() },
  ];
}

function markerMenu(frame: number, timeline: TimelineState, acts: TimelineActs): MenuItem[] {
  const { markers } = timeline;
  const { in: from, out } = timeline.session.bounds;
  return [
    { label: t('timeline.markerHere', { frame }), key: 'M', run: () => acts.addMarker(frame) },
    {
      label: t('timeline.clearMarkers'),
      disabled: markers.length === 0,
      run: () => acts.clearMarkers(),
    },
    { label: t('timeline.setIn'), key: 'I', run: () => timeline.setBound('in', frame) },
    { label: t('timeline.setOut'), key: 'O', run: () => timeline.setBound('out', frame) },
    {
      label: t('timeline.clearBounds'),
      disabled: from === null && out === null,
      run: () => (timeline.session.bounds = noBounds),
    },
  ];
}
