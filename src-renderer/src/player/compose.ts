import type { Asset, Fit, Project, Range } from '../../../src-main/core/contract/project.ts';
import type { JobRecord, ShownTake, TakeSummary } from '../../../src-main/core/contract/records.ts';
import {
  cellCount,
  cellOfFrame,
  firstFrameOf,
  framesPerCell,
} from '../../../src-main/core/timeline/cells.ts';
import {
  sourceTime,
  visibleRuns,
  type ClipsOf,
  type VisibleRun,
} from '../../../src-main/core/timeline/coverage.ts';
import { heardRuns } from '../../../src-main/core/timeline/heard.ts';
import type { Medium } from '../media/protocol.ts';
import { joined, type SoundPart } from './heard.ts';
import { decodeSize, type Size } from './rect.ts';

/** What is to be seen at a frame; no pixels and no browser here. Frames are the project's. */

/** A picture of a medium in the project's frame. */
export interface Layer {
  readonly medium: Medium;
  /** Seconds after the medium's first frame. */
  readonly time: number;
  readonly fit: Fit;
  /** Size at which it is decoded. */
  readonly size: Size;
}

/** Wherever something lies. */
const everywhere = { start: 0, frames: Number.MAX_SAFE_INTEGER };

/** Where something is kept: `/media/asset/<id>` and so on, below the page's own address. */
export type Addresses = (path: string) => string;

/** What stands at the frames of a project, looked up once for as long as its clips stay. */
export class Composer {
  readonly #project: ClipsOf & Size;
  readonly #address: Addresses;
  /** In order, without overlaps. */
  readonly #runs: readonly VisibleRun[];

  /**
   * @param address makes an absolute address of one of the studio's paths
   * @throws PROJECT_INVALID as `visibleRuns`
   */
  constructor(project: ClipsOf & Size, address: Addresses) {
    this.#project = project;
    this.#address = address;
    this.#runs = visibleRuns(project, everywhere);
  }

  /** The topmost clip's picture at a frame; null where nothing lies. */
  source(frame: number): Layer | null {
    const run = runAt(this.#runs, frame);
    if (run === null) return null;
    const { clip, asset } = run;
    const { fps } = this.#project;
    return {
      medium: assetMedium(asset, this.#address),
      time: asset.kind === 'image' ? 0 : sourceTime(clip, frame - clip.start, fps),
      fit: clip.fit,
      size: decodeSize(asset, this.#project, clip.fit),
    };
  }

  /**
   * Everything with a sound of its own, where and while it is heard, as an export has it.
   * @param takes that are silent
   */
  sounds(takes: readonly Pick<ShownTake, 'fileHash'>[]): readonly SoundPart[] {
    const { fps } = this.#project;
    return joined(
      heardRuns(this.#project, takes, everywhere)
        .filter(({ asset }) => asset.kind === 'video')
        .map(({ clip, asset, start, frames }) => ({
          medium: assetMedium(asset, this.#address),
          from: sourceTime(clip, start - clip.start, fps),
          start,
          frames,
        })),
      fps,
    );
  }

  /** A take's picture at a frame of the project, by the place of its range; null outside. */
  result(take: TakeSummary, range: Pick<Range, 'start' | 'frames'>, frame: number): Layer | null {
    const at = frame - range.start;
    if (at < 0 || at >= range.frames) return null;
    return {
      medium: takeMedium(take, this.#address),
      time: at / take.fps,
      fit: 'contain',
      size: decodeSize(take, this.#project, 'contain'),
    };
  }
}

function runAt(runs: readonly VisibleRun[], frame: number): VisibleRun | null {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (runs[middle]!.start <= frame) low = middle + 1;
    else high = middle;
  }
  const run = runs[low - 1];
  return run !== undefined && frame < run.start + run.frames ? run : null;
}

function assetMedium({ id, hash, kind, name }: Asset, address: Addresses): Medium {
  return {
    id: `asset:${id}:${hash}`,
    kind,
    name,
    url: address(`/media/asset/${id}?v=${hash}`),
    drawn: { url: address(`/media/asset/${id}/thumbnail?v=${hash}`), by: 'seconds', fps: null },
  };
}

function takeMedium({ id, fps, prompt }: TakeSummary, address: Addresses): Medium {
  return {
    id: `take:${id}`,
    kind: 'video',
    name: prompt === '' ? id : prompt.slice(0, 60),
    url: address(`/media/take/${id}`),
    drawn: { url: address(`/media/take/${id}/thumbnail`), by: 'frames', fps },
  };
}

/** First frame behind everything: clips and ranges. */
export function endOf(project: Pick<Project, 'clips' | 'ranges'>): number {
  let end = 0;
  for (const { start, frames } of project.clips) end = Math.max(end, start + frames);
  for (const { start, frames } of project.ranges) end = Math.max(end, start + frames);
  return end;
}

/** The take shown for a range: the one chosen, else the latest. `takes` are the latest first. */
export function takeOf(
  takes: readonly TakeSummary[],
  range: Pick<Range, 'id'> | null,
  takeId: string | null,
): TakeSummary | null {
  if (range === null) return null;
  const own = takes.filter(({ rangeId }) => rangeId === range.id);
  return own.find(({ id }) => id === takeId) ?? own[0] ?? null;
}

/** The range the result is shown of: the current one if it lies there, else the first that does. */
export function rangeAt(
  project: Pick<Project, 'ranges'>,
  current: Range | null,
  frame: number,
): Range | null {
  const holds = ({ start, frames }: Range): boolean => frame >= start && frame < start + frames;
  if (current !== null && holds(current)) return current;
  return project.ranges.find(holds) ?? null;
}

/** The running job of a range; null while it has none. */
export function runningJob(jobs: readonly JobRecord[], range: Pick<Range, 'id'> | null): JobRecord | null {
  if (range === null) return null;
  return jobs.find(({ state, rangeId }) => state === 'running' && rangeId === range.id) ?? null;
}

/** The cell of a range a frame lies in, counted from 0; null outside. */
export function cellAt(range: Pick<Range, 'start' | 'frames'> | null, frame: number): number | null {
  if (range === null || frame < range.start || frame >= range.start + range.frames) return null;
  return cellOfFrame(frame - range.start);
}

/**
 * Frame one cell further: the next one's first frame, or back to the first of this or the one before. Outside the
 * range as far as a cell is long.
 */
export function stepCell(range: Pick<Range, 'start' | 'frames'> | null, frame: number, by: 1 | -1): number {
  const cell = cellAt(range, frame);
  if (range === null || cell === null) return frame + by * framesPerCell;
  const first = range.start + firstFrameOf(cell);
  if (by < 0)
    return frame > first ? first : cell > 0 ? range.start + firstFrameOf(cell - 1) : frame - framesPerCell;
  return cell + 1 < cellCount(range.frames)
    ? range.start + firstFrameOf(cell + 1)
    : range.start + range.frames;
}

/** Places to jump to, ascending: markers, and where clips and ranges begin and end. */
export function edges(project: Pick<Project, 'clips' | 'ranges' | 'markers'>): number[] {
  const all = new Set<number>([0, ...(project.markers ?? []).map(({ frame }) => frame)]);
  for (const { start, frames } of [...project.clips, ...project.ranges]) {
    all.add(start);
    all.add(start + frames - 1);
  }
  return [...all].sort((a, b) => a - b);
}
