import type { Sampler } from '../../../src-main/core/contract/project.ts';
import type { TakeSummary } from '../../../src-main/core/contract/records.ts';

/** Takes that are compared: those of one range, the latest first, at most as many as play at once. */
export function comparable(takes: readonly TakeSummary[], rangeId: string | null, most = 16): TakeSummary[] {
  return takes
    .filter((take) => take.rangeId === rangeId)
    .sort((a, b) => b.createdAt.localeCompare(a.createdAt))
    .slice(0, most);
}

/**
 * Columns of the grid in which the videos are largest.
 * @param shape width / height of a video
 * @param caption height below each video, in pixels
 */
export function gridColumns(
  count: number,
  width: number,
  height: number,
  shape: number,
  caption = 56,
): number {
  let best = 1;
  let largest = 0;
  for (let columns = 1; columns <= Math.max(1, count); columns++) {
    const rows = Math.ceil(count / columns);
    const across = Math.min(width / columns, Math.max(0, height / rows - caption) * shape);
    if (across > largest + 0.5) {
      largest = across;
      best = columns;
    }
  }
  return best;
}

/** Videos that have drifted from the one that leads by more than this are set anew. */
export const driftSeconds = 0.08;

/** What a video has to do to follow the one that leads. */
export interface Follower {
  readonly currentTime: number;
  readonly duration: number;
  readonly paused: boolean;
}

/** The time a video should be set to; null where it may go on. Shorter ones wait at their end. */
export function correction(leader: Follower, follower: Follower): number | null {
  const end = Number.isFinite(follower.duration) ? follower.duration : 0;
  const target = Math.min(leader.currentTime, end);
  return Math.abs(follower.currentTime - target) > driftSeconds ? target : null;
}

/** The settings in which takes differ; the seed where they differ in none, since it names a take. */
export function varying(samplers: readonly Sampler[]): (keyof Sampler)[] {
  const names = ['seed', 'steps', 'cfg', 'shift', 'loraStrength', 'solver'] as const;
  const differ = names.filter((name) => samplers.some((sampler) => sampler[name] !== samplers[0]?.[name]));
  return differ.length === 0 ? ['seed'] : differ;
}

/** The star a key gives: 0 … 5; null for other keys. */
export function ratingOfKey(key: string): number | null {
  return /^[0-5]$/u.test(key) ? Number(key) : null;
}
