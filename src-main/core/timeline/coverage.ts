import type { Clip, Project, Range } from '../contract/project.ts';
import { PusaError } from '../errors.ts';
import { requireRangeLength } from './cells.ts';

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
export type ClipsOf = Pick<Project, 'fps' | 'assets' | 'clips'>;

/** The stretch to look at, on the project's frames. */
export type Stretch = Pick<Range, 'start' | 'frames'>;

/**
 * The topmost clip at every frame of a range (track 0 is the lowest). Where clips of one track overlap, the one that
 * starts later is seen; of two that start together, the later in the project's list.
 * @returns one entry per frame of the range, null where nothing lies
 * @throws RANGE_LENGTH, PROJECT_INVALID for clips without an asset or with impossible numbers
 */
export function coverRange(project: ClipsOf, range: Stretch): readonly (CoveredFrame | null)[] {
  const frames = requireRangeLength(range.frames);
  requireNumber(Number.isInteger(range.start) && range.start >= 0, 'The range', 'starts at no frame');
  requireNumber(project.fps >= 1 && project.fps <= 240, 'The project', 'has no usable frame rate');

  const assets = new Map(project.assets.map((asset) => [asset.id, asset]));
  const end = range.start + frames;
  const order = project.clips
    .filter((clip) => {
      requireClip(clip);
      return clip.start < end && clip.start + clip.frames > range.start;
    })
    .map((clip, index) => ({ clip, index }))
    .sort((a, b) => b.clip.track - a.clip.track || b.clip.start - a.clip.start || b.index - a.index);

  const covered = new Array<CoveredFrame | null>(frames).fill(null);
  // From the top down each clip fills what is still free; `next` leads to the next free frame, so that every frame
  // is filled once however many clips overlap.
  const next = Array.from({ length: frames + 1 }, (_, i) => i);
  const free = (from: number): number => {
    let at = from;
    while (next[at]! !== at) {
      next[at] = next[next[at]!]!;
      at = next[at]!;
    }
    return at;
  };
  for (const { clip } of order) {
    const asset = assets.get(clip.assetId);
    if (asset === undefined) {
      throw new PusaError(
        'PROJECT_INVALID',
        `The clip ${clip.id} shows an asset that is not in the project.`,
        'Remove the clip and add its file again.',
      );
    }
    const last = Math.min(frames, clip.start + clip.frames - range.start);
    for (let at = free(Math.max(0, clip.start - range.start)); at < last; at = free(at)) {
      const clipFrame = range.start + at - clip.start;
      covered[at] = {
        clipId: clip.id,
        track: clip.track,
        clipFrame,
        time: asset.kind === 'image' ? null : sourceTime(clip, clipFrame, project.fps),
      };
      next[at] = at + 1;
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
