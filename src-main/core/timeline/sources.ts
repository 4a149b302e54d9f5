import type { Range } from '../contract/project.ts';
import { cellOfFrame, firstFrameOf, framesPerCell, lastFrameOf } from './cells.ts';
import { coverRange, sourceTime, type ClipsOf, type CoveredFrame } from './coverage.ts';
import type { CellMark } from './marks.ts';

/** One frame to decode: a clip and the place in its source in seconds, or null for a still picture. */
export interface SourceFrame {
  readonly clipId: string;
  readonly time: number | null;
}

/**
 * Frames to encode in one pass of the VAE: 1 + 4·(dropCells + cells − 1) of them. The first `dropCells` latents are
 * thrown away and the rest land in the cells from `firstCell` on; where such a cell has no source of its own in the
 * plan, its latent is ignored. The cells of passes never overlap.
 */
export interface SourcePass {
  readonly firstCell: number;
  readonly cells: number;
  readonly dropCells: number;
  readonly frames: readonly SourceFrame[];
}

/** A range frame that is shown as it is: frame `at` of the pass with index `source`. */
export interface Original {
  readonly frame: number;
  readonly source: number;
  readonly at: number;
}

/** Everything a range takes from its clips. */
export interface SourcePlan {
  readonly passes: readonly SourcePass[];
  readonly originals: readonly Original[];
  /** Per cell: whether it is conditioned (m < 1) and has a source of its own. Other cells are not encoded. */
  readonly sourced: readonly boolean[];
}

/** Frames before a clip that starts inside a range, so that the causal VAE has its context: 1 + 4j, 9 latents. */
export const runInFrames = 33;
const runInCells = (runInFrames - 1) / framesPerCell + 1;

/** Contiguous frames of a range that show one clip. */
interface Run {
  readonly clipId: string;
  readonly track: number;
  readonly first: number;
  last: number;
}

/**
 * The encode passes of a range in order of cells: one per run of a video, one per cell of a still picture.
 *
 * A run present from the range's first frame is encoded whole from there, as the reference does (spec §3.2, V2V). One
 * that starts later gets a run-in of {@link runInFrames} of its source's earlier frames, its first frame repeated
 * where the source has none. In a cell that the clip covers partly, its nearest frame is repeated; frames of it that
 * are hidden under another clip count as covered.
 * Where several runs lie under a cell, the frames that carry the cell's mark choose; among those left the topmost
 * track, then the run with most frames in the cell, then the earlier.
 * @param cells from `cellMarks` for the same range
 * @param coverage from `coverRange` for the same range
 * @throws RANGE_LENGTH, PROJECT_INVALID
 */
export function planSources(
  project: ClipsOf,
  range: Pick<Range, 'start' | 'frames' | 'marks' | 'keepOriginalPixels'>,
  cells: readonly CellMark[],
  coverage: readonly (CoveredFrame | null)[] = coverRange(project, range),
): SourcePlan {
  const runs = runsOf(coverage);
  const runAt = new Array<Run | undefined>(coverage.length);
  for (const run of runs) for (let f = run.first; f <= run.last; f++) runAt[f] = run;

  const markedFrames = cells.map((): number[] => []);
  for (const mark of range.marks) {
    const cell = cellOfFrame(mark.frame);
    if (mark.kind === cells[cell]?.kind) markedFrames[cell]!.push(mark.frame);
  }
  const cellsOfRun = new Map<Run, number[]>(runs.map((run) => [run, []]));
  const runOfCell = cells.map((mark, cell) => {
    if (mark.m >= 1) return null;
    const run = chooseRun(markedFrames[cell]!, runAt) ?? chooseRun(framesOf(cell), runAt);
    if (run !== null) cellsOfRun.get(run)!.push(cell);
    return run;
  });

  const clips = new Map(project.clips.map((clip) => [clip.id, clip]));
  const drafts = runs.flatMap((run) => {
    const own = cellsOfRun.get(run)!;
    if (own.length === 0) return [];
    if (coverage[run.first]!.time === null) return own.map((cell) => stillPass(run, cell));
    const clip = clips.get(run.clipId)!;
    const clipFrameAt = (frame: number): number =>
      Math.min(Math.max(range.start + frame - clip.start, 0), clip.frames - 1);
    return [videoPass(run, own, clipFrameAt, (frame) => sourceTime(clip, frame, project.fps))];
  });
  drafts.sort((a, b) => a.pass.firstCell - b.pass.firstCell);

  const originals: Original[] = [];
  if (range.keepOriginalPixels) {
    for (const [source, { pass, run, placeOf }] of drafts.entries()) {
      const last = lastFrameOf(pass.firstCell + pass.cells - 1);
      for (let frame = firstFrameOf(pass.firstCell); frame <= last; frame++) {
        // A fixed cell of a pass is always the pass's own: no other run reaches between its ends.
        if (cells[cellOfFrame(frame)]!.kind !== 'fixed' || coverage[frame]?.clipId !== run.clipId) continue;
        originals.push({ frame, source, at: placeOf(frame) });
      }
    }
  }
  return {
    passes: drafts.map(({ pass }) => pass),
    originals,
    sourced: runOfCell.map((run) => run !== null),
  };
}

interface Draft {
  readonly pass: SourcePass;
  readonly run: Run;
  /** Where a frame of the range stands among the frames of the pass. */
  readonly placeOf: (frame: number) => number;
}

function runsOf(coverage: readonly (CoveredFrame | null)[]): Run[] {
  const runs: Run[] = [];
  for (const [frame, seen] of coverage.entries()) {
    if (seen === null) continue;
    const open = runs.at(-1);
    if (open?.clipId === seen.clipId && open.last === frame - 1) open.last = frame;
    else runs.push({ clipId: seen.clipId, track: seen.track, first: frame, last: frame });
  }
  return runs;
}

/** The run that owns a cell, by the frames of it that count; null when nothing lies under them. */
function chooseRun(frames: readonly number[], runAt: readonly (Run | undefined)[]): Run | null {
  const counts = new Map<Run, number>();
  for (const frame of new Set(frames)) {
    const run = runAt[frame];
    if (run !== undefined) counts.set(run, (counts.get(run) ?? 0) + 1);
  }
  const ranked = [...counts].sort(
    ([a, countA], [b, countB]) => b.track - a.track || countB - countA || a.first - b.first,
  );
  return ranked[0]?.[0] ?? null;
}

function framesOf(cell: number): number[] {
  const first = firstFrameOf(cell);
  return Array.from({ length: lastFrameOf(cell) - first + 1 }, (_, i) => first + i);
}

/** A still is a one-frame video for every cell that needs it (spec §3.2, multi-frame). */
function stillPass(run: Run, cell: number): Draft {
  return {
    pass: { firstCell: cell, cells: 1, dropCells: 0, frames: [{ clipId: run.clipId, time: null }] },
    run,
    placeOf: () => 0,
  };
}

/** The pass from the first to the last cell of a run that is needed; those between are wholly under the run. */
function videoPass(
  run: Run,
  own: readonly number[],
  clipFrameAt: (frame: number) => number,
  timeOf: (clipFrame: number) => number,
): Draft {
  const firstCell = own[0]!;
  const lastCell = own.at(-1)!;
  const fromStart = run.first === 0;
  const begin = fromStart ? 0 : firstFrameOf(firstCell);

  const clipFrames: number[] = [];
  if (!fromStart) {
    for (let back = runInFrames; back >= 1; back--) clipFrames.push(clipFrameAt(begin) - back);
  }
  for (let frame = begin; frame <= lastFrameOf(lastCell); frame++) clipFrames.push(clipFrameAt(frame));
  return {
    pass: {
      firstCell,
      cells: lastCell - firstCell + 1,
      dropCells: fromStart ? firstCell : runInCells,
      frames: clipFrames.map((frame) => ({ clipId: run.clipId, time: timeOf(frame) })),
    },
    run,
    placeOf: (frame) => frame - begin + (fromStart ? 0 : runInFrames),
  };
}
