import type { MarkKind, Range } from '../../../src-main/core/contract/project.ts';
import { cellCount, firstFrameOf, lastFrameOf } from '../../../src-main/core/timeline/cells.ts';
import { cellMarks, type CellMark } from '../../../src-main/core/timeline/marks.ts';

/** What the selected cells have in common. */
export interface CellsSummary {
  readonly first: number;
  readonly last: number;
  /** Frames of the range, from 0. */
  readonly from: number;
  readonly to: number;
  /** Null where they differ. */
  readonly kind: MarkKind | null;
  /** Of the interpolated ones; null where they differ or there are none. */
  readonly m: number | null;
  /** Whether every interpolated one is automatic. */
  readonly automatic: boolean;
  readonly interpolated: number;
}

/** Null where the selection lies outside the range or its marks cannot be read. */
export function summarizeCells(
  range: Pick<Range, 'frames' | 'marks' | 'interpolation'>,
  selected: { readonly first: number; readonly last: number } | null,
): CellsSummary | null {
  if (selected === null) return null;
  const first = Math.max(0, Math.min(selected.first, selected.last));
  const last = Math.min(cellCount(range.frames) - 1, Math.max(selected.first, selected.last));
  if (first > last) return null;
  let cells: readonly CellMark[];
  try {
    cells = cellMarks(range.frames, range.marks, range.interpolation).slice(first, last + 1);
  } catch {
    return null;
  }
  const interpolated = cells.filter(({ kind }) => kind === 'interpolated');
  const same = <T>(values: readonly T[]): T | null =>
    values.length > 0 && values.every((value) => value === values[0]) ? values[0]! : null;
  return {
    first,
    last,
    from: firstFrameOf(first),
    to: lastFrameOf(last),
    kind: same(cells.map(({ kind }) => kind)),
    m: same(interpolated.map(({ m }) => m)),
    automatic: interpolated.length > 0 && interpolated.every(({ automatic }) => automatic),
    interpolated: interpolated.length,
  };
}
