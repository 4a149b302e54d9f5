import type { Asset, Clip, Project, Range } from '../../../src-main/core/contract/project.ts';
import { toPusaError, type PusaError } from '../../../src-main/core/errors.ts';
import { planRange, type RangePlan } from '../../../src-main/core/plan/range.ts';
import { coverRange, type CoveredFrame } from '../../../src-main/core/timeline/coverage.ts';
import { cellMarks, type CellMark } from '../../../src-main/core/timeline/marks.ts';
import { seenByRange, type MadeTake } from '../../../src-main/core/timeline/own-takes.ts';

/** A range with what core makes of it. `plan` is null where `error` says why it cannot run. */
export interface WorkedRange {
  readonly range: Range;
  readonly cells: readonly CellMark[];
  readonly coverage: readonly (CoveredFrame | null)[];
  readonly plan: RangePlan | null;
  readonly error: PusaError | null;
  /** Stretches that nothing lies under, as frames of the project. */
  readonly bare: readonly Stretch[];
}

/** Frames from one up to another, exclusive. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

/** Clips of one track by start, to find those in a stretch without looking at all. */
export class TrackIndex {
  readonly clips: readonly Clip[];
  /** The furthest end among the clips up to each. */
  readonly #reach: readonly number[];

  constructor(clips: readonly Clip[]) {
    // A stable sort: of two that start together the later in the list stays later, as it is seen.
    this.clips = [...clips].sort((a, b) => a.start - b.start);
    let most = 0;
    this.#reach = this.clips.map((clip) => (most = Math.max(most, clip.start + clip.frames)));
  }

  /** Clips that share a frame with `from` … `to` (exclusive), by start. */
  query(from: number, to: number): Clip[] {
    const result: Clip[] = [];
    let low = 0;
    let high = this.clips.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#reach[middle]! > from) high = middle;
      else low = middle + 1;
    }
    for (let i = low; i < this.clips.length; i++) {
      const clip = this.clips[i]!;
      if (clip.start >= to) break;
      if (clip.start + clip.frames > from) result.push(clip);
    }
    return result;
  }

  /** The clip that is seen at a frame: the last of those that lie there. */
  at(frame: number): Clip | undefined {
    return this.query(frame, frame + 1).at(-1);
  }
}

/** A project made ready to be drawn and pointed at. Made anew only for the parts that changed. */
export interface Scene {
  readonly project: Project;
  readonly assets: ReadonlyMap<string, Asset>;
  /** By track, from 0, the lowest; at least one. */
  readonly tracks: readonly TrackIndex[];
  readonly ranges: ReadonlyMap<string, Range>;
  /** Lane by range id: ranges that overlap lie below each other. */
  readonly lanes: ReadonlyMap<string, number>;
  readonly laneCount: number;
  /** Ranges by start. */
  readonly ordered: readonly Range[];
  /** Every place something begins or ends, ascending, each once. */
  readonly edges: readonly number[];
  /** Frames up to the end of the last clip or range. */
  readonly length: number;
}

const emptyTrack = new TrackIndex([]);

export function buildScene(project: Project, before: Scene | null = null): Scene {
  if (before?.project === project) return before;
  const sameClips = before?.project.clips === project.clips;
  const sameRanges = before?.project.ranges === project.ranges;
  const sameAssets = before?.project.assets === project.assets;
  const tracks = sameClips ? before.tracks : indexTracks(project.clips);
  const ranges = sameRanges ? before.ranges : new Map(project.ranges.map((range) => [range.id, range]));
  const ordered = sameRanges ? before.ordered : [...project.ranges].sort((a, b) => a.start - b.start);
  const { lanes, laneCount } = sameRanges ? before : assignLanes(ordered);
  const edges = sameClips && sameRanges ? before.edges : collectEdges(project);
  return {
    project,
    assets: sameAssets ? before.assets : new Map(project.assets.map((asset) => [asset.id, asset])),
    tracks,
    ranges,
    lanes,
    laneCount,
    ordered,
    edges,
    length: edges.at(-1) ?? 0,
  };
}

function indexTracks(clips: readonly Clip[]): TrackIndex[] {
  const byTrack: Clip[][] = [];
  for (const clip of clips) (byTrack[clip.track] ??= []).push(clip);
  return Array.from({ length: Math.max(1, byTrack.length) }, (_, track) => {
    const own = byTrack[track];
    return own === undefined ? emptyTrack : new TrackIndex(own);
  });
}

/** The first lane that is free at each range's start. @param ordered by start */
export function assignLanes(ordered: readonly Range[]): {
  readonly lanes: ReadonlyMap<string, number>;
  readonly laneCount: number;
} {
  const ends: number[] = [];
  const lanes = new Map<string, number>();
  for (const range of ordered) {
    const free = ends.findIndex((end) => end <= range.start);
    const lane = free === -1 ? ends.length : free;
    ends[lane] = range.start + range.frames;
    lanes.set(range.id, lane);
  }
  return { lanes, laneCount: ends.length };
}

function collectEdges({ clips, ranges }: Project): number[] {
  const edges = new Set<number>();
  for (const { start, frames } of clips) edges.add(start).add(start + frames);
  for (const { start, frames } of ranges) edges.add(start).add(start + frames);
  return [...edges].sort((a, b) => a - b);
}

/** The place in an ascending list where a value is or would be. */
export function lowerBound(values: readonly number[], wanted: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

interface Remembered {
  readonly clips: readonly Clip[];
  readonly tracks: Project['tracks'];
  readonly assets: readonly Asset[];
  readonly fps: number;
  readonly takes: readonly MadeTake[];
  readonly worked: WorkedRange;
}

/** Works out ranges by core, once for each state of a range, the clips and the takes. */
export class RangeWorks {
  readonly #known = new WeakMap<Range, Remembered>();

  of(project: Project, range: Range, takes: readonly MadeTake[]): WorkedRange {
    const { clips, tracks, assets, fps } = project;
    const known = this.#known.get(range);
    const isKnown =
      known?.clips === clips &&
      known.tracks === tracks &&
      known.assets === assets &&
      known.fps === fps &&
      known.takes === takes;
    if (isKnown) return known.worked;
    const worked = workOut(project, range, takes);
    this.#known.set(range, { clips, tracks, assets, fps, takes, worked });
    return worked;
  }
}

/**
 * What core makes of a range. Marks that cannot run are still shown, with the reason.
 * @param takes of the project: those of the range itself lie below what it was made from
 */
export function workOut(project: Project, range: Range, takes: readonly MadeTake[]): WorkedRange {
  const seen = seenByRange(project, range, takes);
  try {
    const plan = planRange(seen, range);
    const { cells, coverage } = plan;
    return { range, cells, coverage, plan, error: null, bare: bareStretches(range, coverage) };
  } catch (thrown) {
    const cells = cellMarks(range.frames, range.marks, range.interpolation);
    const coverage = coverRange(seen, range);
    const error = toPusaError(thrown);
    return { range, cells, coverage, plan: null, error, bare: bareStretches(range, coverage) };
  }
}

function bareStretches(range: Range, coverage: readonly unknown[]): Stretch[] {
  const result: Stretch[] = [];
  for (let frame = 0; frame < coverage.length; frame++) {
    if (coverage[frame] !== null) continue;
    const from = frame;
    while (frame + 1 < coverage.length && coverage[frame + 1] === null) frame++;
    result.push({ from: range.start + from, to: range.start + frame + 1 });
  }
  return result;
}
