import type { Command } from '../../../src-main/core/edit/commands.ts';
import type { Mark, Range } from '../../../src-main/core/contract/project.ts';
import {
  cellCount,
  cellOfFrame,
  firstFrameOf,
  framesPerCell,
  lastFrameOf,
  maxFrames,
  nearestRangeLength,
} from '../../../src-main/core/timeline/cells.ts';
import type { CellMark } from '../../../src-main/core/timeline/marks.ts';

/** A drawn m this near to an end means the end: fixed, noisy. */
const endShare = 0.03;

/** m by cell, as it was drawn. */
export type DrawnCurve = ReadonlyMap<number, number>;

/**
 * Lays a stroke into a curve: every cell between the two ends gets the m on the straight line between them.
 * @returns a new curve
 */
export function strokeTo(
  curve: DrawnCurve,
  from: { readonly cell: number; readonly m: number },
  to: { readonly cell: number; readonly m: number },
): Map<number, number> {
  const next = new Map(curve);
  const away = Math.abs(to.cell - from.cell);
  for (let i = 0; i <= away; i++) {
    const share = away === 0 ? 1 : i / away;
    next.set(from.cell + Math.sign(to.cell - from.cell) * i, from.m + (to.m - from.m) * share);
  }
  return next;
}

/**
 * The marks of a range with a drawn curve laid over them. At the bottom a cell becomes fixed where something lies
 * under it, at the top noisy, between interpolated with the m drawn.
 * @param isCovered whether a clip or picture lies under a cell
 */
export function marksOfCurve(
  range: Pick<Range, 'frames' | 'marks'>,
  curve: DrawnCurve,
  isCovered: (cell: number) => boolean,
): Mark[] {
  const marks = range.marks.filter(({ frame }) => !curve.has(cellOfFrame(frame)));
  const count = cellCount(range.frames);
  for (const [cell, drawn] of curve) {
    if (cell < 0 || cell >= count || drawn >= 1 - endShare) continue;
    const isFixed = drawn <= endShare && isCovered(cell);
    const m = Math.round(Math.max(endShare, drawn) * 100) / 100;
    for (let frame = firstFrameOf(cell); frame <= lastFrameOf(cell); frame++) {
      marks.push(isFixed ? { frame, kind: 'fixed' } : { frame, kind: 'interpolated', m });
    }
  }
  return marks.sort((a, b) => a.frame - b.frame);
}

/** What dragging a cell's handle to an m does: fixed and noisy at the ends, m between. */
export function handleCommand(
  rangeId: string,
  first: number,
  last: number,
  m: number,
  isCovered: boolean,
): Command {
  const cells = { rangeId, first, last };
  if (m <= endShare && isCovered) return { type: 'paintCells', ...cells, kind: 'fixed', m: null };
  if (m >= 1 - endShare) return { type: 'paintCells', ...cells, kind: 'noisy', m: null };
  return { type: 'setM', ...cells, m: Math.max(0.01, m) };
}

/**
 * Moves the beginning of a range while its end and what is marked stay where they are on the timeline. The beginning
 * moves by whole cells, so that every mark keeps its cell's frames.
 * @param wanted the frame to begin at
 */
export function resizeStart(range: Range, wanted: number): Command[] {
  const end = range.start + range.frames;
  const longest = Math.min(maxFrames, 1 + Math.floor((end - 1) / framesPerCell) * framesPerCell);
  const frames = Math.min(longest, nearestRangeLength(end - wanted));
  const by = end - frames - range.start;
  if (by === 0) return [];
  const marks = range.marks
    .map((mark) => ({ ...mark, frame: mark.frame - by }))
    .filter(({ frame }) => frame >= 0 && frame < frames);
  return [
    { type: 'setMarks', rangeId: range.id, marks: [] },
    { type: 'moveRange', rangeId: range.id, start: range.start + by },
    { type: 'resizeRange', rangeId: range.id, frames },
    { type: 'setMarks', rangeId: range.id, marks },
  ];
}

/** How far a cell is covered by clips. */
export function coverageOf(coverage: readonly unknown[], cell: number): 'all' | 'some' | 'none' {
  let covered = 0;
  const first = firstFrameOf(cell);
  const last = lastFrameOf(cell);
  for (let frame = first; frame <= last; frame++) if (coverage[frame] !== null) covered++;
  if (covered === 0) return 'none';
  return covered === last - first + 1 ? 'all' : 'some';
}

/** Cells that follow each other and look alike, for drawing from afar. `last` is inclusive. */
export function runsOfKind(
  cells: readonly CellMark[],
  first: number,
  last: number,
): { readonly kind: CellMark['kind']; readonly first: number; readonly last: number }[] {
  const runs: { kind: CellMark['kind']; first: number; last: number }[] = [];
  for (let cell = first; cell <= last; cell++) {
    const { kind } = cells[cell]!;
    const open = runs.at(-1);
    if (open?.kind === kind) open.last = cell;
    else runs.push({ kind, first: cell, last: cell });
  }
  return runs;
}
