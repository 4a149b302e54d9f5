import type { Asset, Clip, Project, Range } from '../contract/project.ts';
import { PusaError } from '../errors.ts';
import { requireRangeLength } from './cells.ts';
import { clipsInSight } from './tracks.ts';

/** What is seen at one frame of a range. */
export interface CoveredFrame {
  readonly clipId: string;
  readonly track: number;
  /** Frame inside the clip, from 0, at the project's rate. */
  readonly clipFrame: number;
  /** Place in the source in seconds; null for a still picture, which has no time. */
  readonly time: number | null;
}

/** What the covering needs of a project. */
export type ClipsOf = Pick<Project, 'fps' | 'assets' | 'clips' | 'tracks'>;

/** The stretch to look at, on the project's frames. */
export type Stretch = Pick<Range, 'start' | 'frames'>;

/** Frames of the timeline, one after the other, that show the same clip. */
export interface VisibleRun {
  readonly clip: Clip;
  readonly asset: Asset;
  /** First of them, on the project's frames. */
  readonly start: number;
  readonly frames: number;
}

/**
 * What is seen of the clips in a stretch of the timeline, in order; where nothing lies is left out. Track 0 is the
 * lowest; hidden tracks are not there. Where clips of one track overlap, the one that starts later is seen; of two that
 * start together, the later in the project's list. Costs n log n for n clips, however long they are.
 * @param stretch any number of frames
 * @throws PROJECT_INVALID for clips without an asset or with impossible numbers
 */
export function visibleRuns(project: ClipsOf, stretch: Stretch): readonly VisibleRun[] {
  requireNumber(project.fps >= 1 && project.fps <= 240, 'The project', 'has no usable frame rate');
  const end = stretch.start + stretch.frames;
  const clips = clipsInSight(project).filter((clip) => {
    requireClip(clip);
    return clip.start < end && clip.start + clip.frames > stretch.start;
  });
  const firstOf = (clip: Clip): number => Math.max(stretch.start, clip.start);
  const endOf = (clip: Clip): number => Math.min(end, clip.start + clip.frames);
  // What is seen only changes where a clip begins or ends: between two such edges lies one slot.
  const edges = [...new Set(clips.flatMap((clip) => [firstOf(clip), endOf(clip)]))].sort((a, b) => a - b);
  const slotAt = new Map(edges.map((edge, slot) => [edge, slot]));

  const assets = new Map(project.assets.map((asset) => [asset.id, asset]));
  const order = clips
    .map((clip, index) => ({ clip, index }))
    .sort((a, b) => b.clip.track - a.clip.track || b.clip.start - a.clip.start || b.index - a.index);
  // From the top down each clip fills what is still free; `next` leads to the next free slot, so that every slot is
  // filled once however many clips overlap.
  const seen = new Array<Clip | undefined>(edges.length);
  const next = Array.from({ length: edges.length + 1 }, (_, i) => i);
  const free = (from: number): number => {
    let at = from;
    while (next[at]! !== at) {
      next[at] = next[next[at]!]!;
      at = next[at]!;
    }
    return at;
  };
  for (const { clip } of order) {
    requireAsset(assets, clip);
    const last = slotAt.get(endOf(clip))!;
    for (let slot = free(slotAt.get(firstOf(clip))!); slot < last; slot = free(slot)) {
      seen[slot] = clip;
      next[slot] = slot + 1;
    }
  }
  const runs: VisibleRun[] = [];
  for (const [slot, clip] of seen.entries()) {
    if (clip === undefined) continue;
    const start = edges[slot]!;
    const frames = edges[slot + 1]! - start;
    const before = runs.at(-1);
    if (before?.clip === clip && before.start + before.frames === start) {
      runs[runs.length - 1] = { ...before, frames: before.frames + frames };
    } else runs.push({ clip, asset: requireAsset(assets, clip), start, frames });
  }
  return runs;
}

/**
 * The topmost clip at every frame of a range, as {@link visibleRuns} has it.
 * @returns one entry per frame of the range, null where nothing lies
 * @throws RANGE_LENGTH, PROJECT_INVALID for clips without an asset or with impossible numbers
 */
export function coverRange(project: ClipsOf, range: Stretch): readonly (CoveredFrame | null)[] {
  const frames = requireRangeLength(range.frames);
  requireNumber(Number.isInteger(range.start) && range.start >= 0, 'The range', 'starts at no frame');
  const covered = new Array<CoveredFrame | null>(frames).fill(null);
  for (const { clip, asset, start, frames: length } of visibleRuns(project, range)) {
    for (let frame = start; frame < start + length; frame++) {
      const clipFrame = frame - clip.start;
      covered[frame - range.start] = {
        clipId: clip.id,
        track: clip.track,
        clipFrame,
        time: asset.kind === 'image' ? null : sourceTime(clip, clipFrame, project.fps),
      };
    }
  }
  return covered;
}

/**
 * Place in the source in seconds of a clip's frame. Frames before the clip's first (negative) are the source's own
 * earlier ones, down to its beginning.
 */
export function sourceTime(clip: Pick<Clip, 'sourceStart'>, clipFrame: number, fps: number): number {
  return Math.max(0, clip.sourceStart + clipFrame / fps);
}

function requireAsset(assets: ReadonlyMap<string, Asset>, clip: Clip): Asset {
  const asset = assets.get(clip.assetId);
  if (asset !== undefined) return asset;
  throw new PusaError(
    'PROJECT_INVALID',
    `The clip ${clip.id} shows an asset that is not in the project.`,
    'Remove the clip and add its file again.',
  );
}

function requireClip({ id, start, frames, track, sourceStart }: Clip): void {
  const clip = `The clip ${id}`;
  requireNumber(Number.isSafeInteger(start) && start >= 0, clip, 'starts at no frame');
  requireNumber(Number.isSafeInteger(frames) && frames >= 1, clip, 'has no length');
  requireNumber(Number.isInteger(track) && track >= 0, clip, 'lies on no track');
  requireNumber(Number.isFinite(sourceStart) && sourceStart >= 0, clip, 'starts nowhere in its source');
}

function requireNumber(holds: boolean, what: string, fault: string): void {
  if (!holds) {
    throw new PusaError(
      'PROJECT_INVALID',
      `${what} ${fault}.`,
      'Undo the last change, or open a saved project.',
    );
  }
}
