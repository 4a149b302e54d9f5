import type { Clip, Mark, Range } from '../contract/project.ts';
import { PusaError } from '../errors.ts';
import type { RangePlan } from '../plan/range.ts';
import { firstFrameOf, lastFrameOf } from '../timeline/cells.ts';

/**
 * How loosely the shared cells are held (spec §3.3): the last three more and more, so that no seam shows, and all
 * before them strictly.
 */
const ramp = [0, 0.3, 0.4, 0.5] as const;

/** A cell held more loosely than this is painted over rather than gone on from. */
const loosest = 0.5;

/** Frames under a number of cells that begin a range: 1, 5, 9 … */
export function sharedFrames(cells: number): number {
  return lastFrameOf(cells - 1) + 1;
}

/** Marks of the cells that a range shares with what comes before it. */
export function extensionMarks(overlap: number): Mark[] {
  return Array.from({ length: overlap }, (_, cell): Mark[] => {
    const m = ramp[overlap <= ramp.length ? cell : Math.max(0, cell - (overlap - ramp.length))]!;
    const first = firstFrameOf(cell);
    return Array.from({ length: lastFrameOf(cell) - first + 1 }, (_, i) =>
      m === 0 ? { frame: first + i, kind: 'fixed' } : { frame: first + i, kind: 'interpolated', m },
    );
  }).flat();
}

/** What is asked of an extension. */
export interface Extension {
  readonly rangeId: string;
  /** Last frame of the project that both share. */
  readonly lastShared: number;
  /** Length of the new range, 4n+1, the shared frames included. */
  readonly frames: number;
  /** Cells shared. */
  readonly overlap: number;
}

/**
 * A range that goes on from a clip: its first cells are the clip's last ones up to a frame, everything after them is
 * generated. Chains of such ranges make videos longer than a model's own length.
 * @param base settings that are taken over
 * @throws PusaError EDIT_INVALID when the clip has fewer frames up to there, or nothing would be left to generate
 */
export function extendRange(
  clip: Pick<Clip, 'start'>,
  base: Pick<
    Range,
    'prompt' | 'negativePrompt' | 'interpolation' | 'sampler' | 'model' | 'keepOriginalPixels'
  >,
  { rangeId, lastShared, frames, overlap }: Extension,
): Range {
  const shared = sharedFrames(overlap);
  const start = lastShared - shared + 1;
  if (start < clip.start) {
    const there = lastShared - clip.start + 1;
    throw new PusaError(
      'EDIT_INVALID',
      `The take has ${there} frames up to there; ${overlap} shared cells need ${shared}.`,
      'Share fewer cells, or go on from a later frame.',
    );
  }
  if (frames <= shared) {
    throw new PusaError(
      'EDIT_INVALID',
      `A range of ${frames} frames that shares ${shared} leaves nothing to generate.`,
      'Make it longer, or share fewer cells.',
    );
  }
  return {
    ...base,
    id: rangeId,
    start,
    frames,
    preset: 'extend',
    marks: extensionMarks(overlap),
    // Only Euler knows a timestep per cell; the same noise again would tend to repeat the same motion.
    sampler: { ...base.sampler, solver: 'euler', seed: (base.sampler.seed + 1) % 2 ** 32 },
  };
}

/**
 * How many frames at the beginning of a range go on from a clip that is shown before it: those of the cells, from
 * the first on, that are held at m ≤ 0.5 to the clip's own frames. 0 where the range does not go on from one.
 * @param planned of the same range
 */
export function overlapOf(
  range: Pick<Range, 'start'>,
  clip: Pick<Clip, 'id' | 'start'>,
  { cells, coverage, sources }: Pick<RangePlan, 'cells' | 'coverage' | 'sources'>,
): number {
  const pass = sources.passes[0];
  const isFromStart = pass?.firstCell === 0 && pass.dropCells === 0 && pass.frames[0]?.clipId === clip.id;
  if (!isFromStart || clip.start >= range.start) return 0;
  let held = 0;
  while (held < pass.cells && sources.sourced[held] === true && cells[held]!.m <= loosest) held++;
  // Held to its end, nothing of the range is new.
  if (held === 0 || held === cells.length) return 0;
  const hidden = coverage.findIndex((seen) => seen?.clipId !== clip.id);
  return Math.min(sharedFrames(held), pass.frames.length, hidden === -1 ? coverage.length : hidden);
}
