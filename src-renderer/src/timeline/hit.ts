import { cellOfFrame, firstFrameOf, lastFrameOf } from '../../../src-main/core/timeline/cells.ts';
import type { CellMark } from '../../../src-main/core/timeline/marks.ts';
import type { Range } from '../../../src-main/core/contract/project.ts';
import { inset, rowAt, rulerHeight, type Layout, type Row } from './layout.ts';
import type { Scene } from './scene.ts';
import { frameToX, xToFrame, type View } from './view.ts';

/** What lies under the pointer. `frame` is the project's. */
export type Hit =
  | { readonly on: 'ruler'; readonly frame: number }
  | { readonly on: 'marker'; readonly frame: number; readonly markerId: string }
  | { readonly on: 'bound'; readonly frame: number; readonly bound: 'in' | 'out' }
  | {
      readonly on: 'clip';
      readonly frame: number;
      readonly clipId: string;
      readonly part: 'body' | 'start' | 'end';
      readonly track: number;
    }
  | { readonly on: 'track'; readonly frame: number; readonly track: number }
  | {
      readonly on: 'range';
      readonly frame: number;
      readonly rangeId: string;
      readonly part: 'body' | 'start' | 'end';
    }
  | { readonly on: 'lane'; readonly frame: number; readonly lane: number }
  | {
      readonly on: 'cell';
      readonly frame: number;
      readonly rangeId: string;
      readonly cell: number;
      readonly part: 'body' | 'handle';
    }
  | {
      readonly on: 'plan';
      readonly frame: number;
      readonly rangeId: string;
      readonly cell: number;
      readonly step: number;
    }
  | {
      readonly on: 'take';
      readonly frame: number;
      readonly takeId: string;
      readonly part: 'body' | 'promote' | 'delete';
    }
  | { readonly on: 'nothing'; readonly frame: number };

export interface HitInput {
  readonly scene: Scene;
  readonly layout: Layout;
  readonly view: View;
  /** Pixels the rows are scrolled by. */
  readonly scrollY: number;
  readonly current: Range | null;
  /** Steps of the plan that is shown. */
  readonly steps: number;
  readonly planFolded: boolean;
  readonly markers: readonly { readonly id: string; readonly frame: number }[];
  readonly bounds: { readonly in: number | null; readonly out: number | null };
  readonly hidden: ReadonlySet<number>;
  readonly cellsOf: (range: Range) => readonly CellMark[];
}

/** Pixels on either side of an edge that take hold of it. */
const grip = 7;
/** Handles of m are taken hold of within this distance, and shown on cells at least so wide. */
const handleReach = 9;
export const handleCell = 22;
/** The two buttons at the end of a take. */
export const takeButton = 26;

/** What lies at a place of the canvas; x and y in CSS pixels from its top left corner. */
export function hitTest(input: HitInput, x: number, y: number): Hit {
  const { scene, layout, view, scrollY } = input;
  const at = xToFrame(view, x);
  const frame = Math.max(0, Math.floor(at));
  if (y < rulerHeight) return hitRuler(input, x, y, frame);
  const row = rowAt(layout, y - rulerHeight + scrollY);
  if (row === undefined) return { on: 'nothing', frame };
  switch (row.kind) {
    case 'track':
      return hitTrack(input, row.track, x, frame);
    case 'range': {
      const range = rangeOn(scene, row.lane, view, x, grip);
      if (range === undefined) return { on: 'lane', frame, lane: row.lane };
      const part = edgeUnder(view, range.start, range.start + range.frames, x);
      return { on: 'range', frame, rangeId: range.id, part };
    }
    case 'cells': {
      const range = rangeOn(scene, row.lane, view, x, 0);
      if (range === undefined) return { on: 'lane', frame, lane: row.lane };
      return hitCell(input, range, row, frame, x, y - rulerHeight + scrollY);
    }
    case 'plan': {
      const { current, steps } = input;
      const inside = current === null ? -1 : frame - current.start;
      if (current === null || input.planFolded || inside < 0 || inside >= current.frames) {
        return { on: 'nothing', frame };
      }
      const share = (y - rulerHeight + scrollY - row.y - inset) / (row.height - 2 * inset);
      const step = Math.min(steps - 1, Math.max(0, Math.floor(share * steps)));
      return { on: 'plan', frame, rangeId: current.id, cell: cellOfFrame(inside), step };
    }
    case 'take': {
      const { current } = input;
      if (current === null) return { on: 'nothing', frame };
      const left = frameToX(view, current.start);
      const right = frameToX(view, current.start + current.frames);
      if (x < left || x > right) return { on: 'nothing', frame };
      const end = takeEnd(left, right, view.width);
      if (end - Math.max(0, left) > 4 * takeButton) {
        if (x >= end - takeButton) return { on: 'take', frame, takeId: row.takeId, part: 'delete' };
        if (x >= end - 2 * takeButton) return { on: 'take', frame, takeId: row.takeId, part: 'promote' };
      }
      return { on: 'take', frame, takeId: row.takeId, part: 'body' };
    }
  }
}

/** Right end of what is seen of a take: its buttons stay in sight. */
export function takeEnd(left: number, right: number, width: number): number {
  return Math.max(left, Math.min(right, width)) - 4;
}

/** Height of an m handle in its cell, from the cell's top. */
export function handleY(m: number, height: number): number {
  const room = height - 2 * inset;
  return inset + 6 + (1 - m) * (room - 12);
}

/** m for a height in a cell, the other way around; kept off the ends, which are fixed and noisy. */
export function handleM(y: number, height: number): number {
  const room = height - 2 * inset;
  const m = 1 - (y - inset - 6) / (room - 12);
  return Math.round(Math.min(1, Math.max(0, m)) * 100) / 100;
}

function hitRuler(input: HitInput, x: number, y: number, frame: number): Hit {
  const { view, markers, bounds } = input;
  const near = (at: number | null): at is number => at !== null && Math.abs(frameToX(view, at) - x) <= grip;
  const marker = y >= rulerHeight / 2 ? markers.findLast((each) => near(each.frame)) : undefined;
  if (marker !== undefined) return { on: 'marker', frame, markerId: marker.id };
  if (y < rulerHeight / 2) {
    if (near(bounds.in)) return { on: 'bound', frame, bound: 'in' };
    if (near(bounds.out === null ? null : bounds.out + 1)) return { on: 'bound', frame, bound: 'out' };
  }
  return { on: 'ruler', frame };
}

function hitTrack({ scene, view, hidden }: HitInput, track: number, x: number, frame: number): Hit {
  if (hidden.has(track)) return { on: 'track', frame, track };
  const reach = Math.ceil(grip / view.scale);
  const clips = scene.tracks[track]?.query(frame - reach, frame + reach + 1) ?? [];
  // The later one lies above.
  for (const clip of clips.toReversed()) {
    const left = frameToX(view, clip.start);
    const right = frameToX(view, clip.start + clip.frames);
    if (x < left - 2 || x > right + 2) continue;
    return {
      on: 'clip',
      frame,
      clipId: clip.id,
      part: edgeUnder(view, clip.start, clip.start + clip.frames, x),
      track,
    };
  }
  return { on: 'track', frame, track };
}

/** Narrow things are only moved: a third of them on either side takes hold of an edge. */
function edgeUnder(view: View, from: number, to: number, x: number): 'body' | 'start' | 'end' {
  const left = frameToX(view, from);
  const right = frameToX(view, to);
  const reach = Math.min(grip, (right - left) / 3);
  if (right - left < 9) return 'body';
  if (x <= left + reach) return 'start';
  return x >= right - reach ? 'end' : 'body';
}

function rangeOn(scene: Scene, lane: number, view: View, x: number, slack: number): Range | undefined {
  return scene.ordered.findLast(
    (range) =>
      scene.lanes.get(range.id) === lane &&
      x >= frameToX(view, range.start) - Math.min(2, slack) &&
      x < frameToX(view, range.start + range.frames) + Math.min(2, slack),
  );
}

function hitCell(
  { view, cellsOf }: HitInput,
  range: Range,
  row: Row,
  frame: number,
  x: number,
  y: number,
): Hit {
  const inside = Math.min(range.frames - 1, Math.max(0, frame - range.start));
  const cell = cellOfFrame(inside);
  const mark = cellsOf(range)[cell];
  const left = frameToX(view, range.start + firstFrameOf(cell));
  const right = frameToX(view, range.start + lastFrameOf(cell) + 1);
  const isHandle =
    mark?.kind === 'interpolated' &&
    right - left >= handleCell &&
    Math.hypot(x - (left + right) / 2, y - row.y - handleY(mark.m, row.height)) <= handleReach;
  return { on: 'cell', frame, rangeId: range.id, cell, part: isHandle ? 'handle' : 'body' };
}
