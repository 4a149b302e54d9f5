import { t } from '../i18n/index.svelte.ts';
import type { ContentFrame } from './draw/content.ts';
import type { OverlayFrame } from './draw/overlay.ts';
import type { Pictures } from './draw/pictures.ts';
import type { Item } from './items.ts';
import { rulerHeight, trackRow } from './layout.ts';
import type { TimelineState } from './state.svelte.ts';
import { frameToX } from './view.ts';
import { drawnWords } from './words.ts';

/** What the content canvas shows now; null where there is no project. */
export function contentFrame(
  timeline: TimelineState,
  pictures: Pictures,
  takeLabel: (takeId: string) => string,
): ContentFrame | null {
  const { scene, view, hover, session } = timeline;
  if (scene === null) return null;
  return {
    view,
    scrollY: timeline.scrollY,
    height: timeline.height,
    scene,
    layout: timeline.layout,
    current: timeline.current,
    selected: timeline.selected,
    cells: session.selection.cells,
    locked: timeline.locked,
    hidden: timeline.hidden,
    promoted: timeline.promoted,
    takes: new Map(timeline.takes.map((take) => [take.id, take])),
    takeId: session.takeId,
    overTake: hover?.on === 'take' ? { takeId: hover.takeId, part: hover.part } : null,
    step: timeline.step,
    markers: timeline.markers,
    bounds: timeline.bounds,
    pictures,
    words: drawnWords(),
    worked: (range) => timeline.worked(range),
    takeLabel: ({ id }) => takeLabel(id),
  };
}

/** What lies over the content now: the playhead, and what follows the pointer and the keys. */
export function overlayFrame(timeline: TimelineState, focus: Item | null): OverlayFrame {
  const { scene, view, hover, drop, layout, outcome, scrollY } = timeline;
  const range = hover?.on === 'cell' ? scene?.ranges.get(hover.rangeId) : undefined;
  const lane = range === undefined ? undefined : scene?.lanes.get(range.id);
  const cellsRow = layout.rows.find((row) => row.kind === 'cells' && row.lane === lane);
  const dropTrack = outcome?.promote?.track ?? drop?.track;
  const dropRow = dropTrack === undefined ? undefined : (trackRow(layout, dropTrack) ?? layout.rows[0]);
  const promoted = outcome?.promote !== undefined ? timeline.current : null;
  const ghost = promoted === null ? drop : { ...promoted, name: t('timeline.promote') };
  const band = outcome?.band;
  const place = (row: { readonly y: number; readonly height: number }): { top: number; height: number } => ({
    top: row.y + rulerHeight - scrollY,
    height: row.height,
  });
  return {
    view,
    height: timeline.height,
    playhead: timeline.session.playhead,
    line: outcome?.line ?? null,
    band:
      band === undefined
        ? null
        : {
            x0: frameToX(view, band.from),
            x1: frameToX(view, band.to),
            y0: band.top + rulerHeight - scrollY,
            y1: band.bottom + rulerHeight - scrollY,
          },
    cell:
      hover?.on === 'cell' && range !== undefined && cellsRow !== undefined
        ? { range, cell: hover.cell, ...place(cellsRow) }
        : null,
    drop: ghost && dropRow ? { ...ghost, ...place(dropRow) } : null,
    focus,
  };
}
