import type { Interpolation, Mark, MarkKind } from '../contract/project.ts';
import { PusaError } from '../errors.ts';
import { cellCount, cellOfFrame, firstFrameOf, lastFrameOf } from './cells.ts';

/** What the marks of a range say about one cell. */
export interface CellMark {
  readonly kind: MarkKind;
  /**
   * Noise multiplier: 0 fixed, 1 noisy. An interpolated cell set by hand has 0 < m < 1; an automatic one may reach
   * 1, where it is the same as noisy, and 0 (with `peak` 0), where it is held like a fixed one.
   */
  readonly m: number;
  /** True when m was not set by hand. */
  readonly automatic: boolean;
}

/**
 * m of automatic cells that have no conditioned neighbour to rise from: the value published for frames held with
 * freedom (spec §3.3, completion).
 */
export const aloneM = 0.3;

const rank: Record<MarkKind, number> = { noisy: 0, interpolated: 1, fixed: 2 };

/**
 * One mark per cell. Of several marks in a cell the strongest wins, fixed over interpolated over noisy; of several
 * interpolated ones the smallest m set by hand, and automatic only if none is. A cell without a mark is noisy.
 *
 * Automatic m, for a run of such cells at positions 1 … n with its neighbours at 0 and n+1: between two conditioned
 * cells a hill, from each neighbour's m at its position to `peak` in the middle; with one conditioned neighbour (the
 * other noisy, or the end of the range) a ramp from its m to 1 at the far neighbour's position; with none
 * {@link aloneM}. The curve shapes the way: `linear`, `ease` (smoothstep), `hold` (at `peak` at once, throughout).
 * @param frames length of the range, 4n+1
 * @returns n+1 cells
 * @throws RANGE_LENGTH, MARK_INVALID
 */
export function cellMarks(
  frames: number,
  marks: readonly Mark[],
  interpolation: Interpolation,
): readonly CellMark[] {
  const cells = strongestMarks(frames, marks);
  checkInterpolation(interpolation);
  const result: CellMark[] = cells.map(({ kind, m }) =>
    kind === 'interpolated'
      ? { kind, m: m ?? aloneM, automatic: m === undefined }
      : { kind, m: kind === 'fixed' ? 0 : 1, automatic: false },
  );
  for (let from = 0; from < result.length; from++) {
    if (!result[from]!.automatic) continue;
    let to = from;
    while (result[to + 1]?.automatic === true) to++;
    const ms = automaticMs(
      to - from + 1,
      conditionedM(result[from - 1]),
      conditionedM(result[to + 1]),
      interpolation,
    );
    for (const [i, m] of ms.entries()) result[from + i] = { kind: 'interpolated', m, automatic: true };
    from = to;
  }
  return result;
}

/** What paints a cell: a kind, and for interpolated cells an m, left out for automatic. */
export type Paint =
  { readonly kind: 'fixed' | 'noisy' } | { readonly kind: 'interpolated'; readonly m?: number | undefined };

/**
 * Paints the cells from `first` to `last`, in either order and inclusive: every frame of them carries the mark.
 * Noisy is the default, so painting it clears.
 * @returns new marks, by frame
 * @throws RANGE_LENGTH, MARK_INVALID
 */
export function paintCells(
  frames: number,
  marks: readonly Mark[],
  first: number,
  last: number,
  paint: Paint,
): Mark[] {
  const [from, to] = cellSpan(frames, first, last);
  const kept = clearCells(frames, marks, from, to);
  if (paint.kind === 'noisy') return kept;
  for (let frame = firstFrameOf(from); frame <= lastFrameOf(to); frame++) kept.push(markOf(frame, paint));
  checkMarks(frames, kept);
  return sorted(kept);
}

/**
 * Sets m of the interpolated cells from `first` to `last`; `undefined` makes them automatic. Fixed and noisy cells
 * among them stay.
 * @throws RANGE_LENGTH, MARK_INVALID
 */
export function setM(
  frames: number,
  marks: readonly Mark[],
  first: number,
  last: number,
  m: number | undefined,
): Mark[] {
  const [from, to] = cellSpan(frames, first, last);
  const cells = strongestMarks(frames, marks);
  const result = sorted(marks).map((mark) => {
    const cell = cellOfFrame(mark.frame);
    const meant = cell >= from && cell <= to && cells[cell]!.kind === 'interpolated';
    return meant && mark.kind === 'interpolated' ? markOf(mark.frame, { kind: 'interpolated', m }) : mark;
  });
  checkMarks(frames, result);
  return result;
}

/**
 * Removes the marks of the cells from `first` to `last`, which makes them noisy.
 * @throws RANGE_LENGTH, MARK_INVALID
 */
export function clearCells(frames: number, marks: readonly Mark[], first: number, last: number): Mark[] {
  const [from, to] = cellSpan(frames, first, last);
  checkMarks(frames, marks);
  return sorted(
    marks.filter(({ frame }) => {
      const cell = cellOfFrame(frame);
      return cell < from || cell > to;
    }),
  );
}

/** The marks that still lie inside a range after it was made shorter. */
export function trimMarks(frames: number, marks: readonly Mark[]): Mark[] {
  const end = lastFrameOf(cellCount(frames) - 1);
  return sorted(marks.filter(({ frame }) => frame <= end));
}

interface StrongestMark {
  kind: MarkKind;
  m: number | undefined;
}

function strongestMarks(frames: number, marks: readonly Mark[]): StrongestMark[] {
  const cells = Array.from({ length: cellCount(frames) }, (): StrongestMark => ({
    kind: 'noisy',
    m: undefined,
  }));
  checkMarks(frames, marks);
  for (const mark of marks) {
    const cell = cells[cellOfFrame(mark.frame)]!;
    const m = mark.kind === 'interpolated' ? mark.m : undefined;
    if (rank[mark.kind] > rank[cell.kind]) {
      cell.kind = mark.kind;
      cell.m = m;
    } else if (mark.kind === cell.kind && m !== undefined) {
      cell.m = Math.min(cell.m ?? m, m);
    }
  }
  return cells;
}

/** m of a neighbour a run can rise from; null for a noisy cell and past the end of the range. */
function conditionedM(cell: CellMark | undefined): number | null {
  return cell === undefined || cell.kind === 'noisy' ? null : cell.m;
}

function automaticMs(
  count: number,
  left: number | null,
  right: number | null,
  { curve, peak }: Interpolation,
): number[] {
  return Array.from({ length: count }, (_, i) => {
    const fromLeft = i + 1;
    const fromRight = count - i;
    if (left === null && right === null) return aloneM;
    if (curve === 'hold') return peak;
    const shape = curve === 'ease' ? smoothstep : (x: number) => x;
    if (left === null) return mix(right!, 1, shape(fromRight / (count + 1)));
    if (right === null) return mix(left, 1, shape(fromLeft / (count + 1)));
    const near = shape((2 * Math.min(fromLeft, fromRight)) / (count + 1));
    return mix(fromLeft <= fromRight ? left : right, peak, near);
  });
}

function smoothstep(x: number): number {
  return x * x * (3 - 2 * x);
}

function mix(from: number, to: number, share: number): number {
  return Math.min(1, Math.max(0, from + (to - from) * share));
}

function markOf(frame: number, paint: Paint): Mark {
  if (paint.kind !== 'interpolated') return { frame, kind: paint.kind };
  return paint.m === undefined
    ? { frame, kind: 'interpolated' }
    : { frame, kind: 'interpolated', m: paint.m };
}

function sorted(marks: readonly Mark[]): Mark[] {
  return [...marks].sort((a, b) => a.frame - b.frame);
}

function cellSpan(frames: number, first: number, last: number): [number, number] {
  const count = cellCount(frames);
  for (const cell of [first, last]) {
    if (!Number.isInteger(cell) || cell < 0 || cell >= count) {
      throw new PusaError(
        'MARK_INVALID',
        `There is no cell ${cell}: the range has the cells 0 to ${count - 1}.`,
        'Choose cells inside the range.',
      );
    }
  }
  return first <= last ? [first, last] : [last, first];
}

function checkMarks(frames: number, marks: readonly Mark[]): void {
  for (const { frame, ...mark } of marks) {
    if (!Number.isInteger(frame) || frame < 0 || frame >= frames) {
      throw new PusaError(
        'MARK_INVALID',
        `A mark stands on frame ${frame}, outside the range with frames 0 to ${frames - 1}.`,
        'Remove the mark or make the range longer.',
      );
    }
    if (!Object.hasOwn(rank, mark.kind)) {
      throw new PusaError(
        'MARK_INVALID',
        `The mark on frame ${frame} is of an unknown kind.`,
        'Mark the frame as fixed, noisy or interpolated.',
      );
    }
    if (mark.kind !== 'interpolated' || mark.m === undefined) continue;
    // Written so that NaN fails too.
    if (!(mark.m > 0 && mark.m < 1)) {
      throw new PusaError(
        'MARK_INVALID',
        `The interpolated frame ${frame} has the noise multiplier ${mark.m}; it must lie above 0 and below 1.`,
        'Use fixed for 0, noisy for 1, or leave m out for automatic.',
      );
    }
  }
}

function checkInterpolation({ curve, peak }: Interpolation): void {
  const known: readonly string[] = ['hold', 'linear', 'ease'];
  if (known.includes(curve) && peak >= 0 && peak <= 1) return;
  throw new PusaError(
    'MARK_INVALID',
    `The interpolation (curve ${curve}, peak ${peak}) is not valid.`,
    'Choose hold, linear or ease, and a peak from 0 to 1.',
  );
}
