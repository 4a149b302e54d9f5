import type { Input } from '../../core/contract/api.ts';
import { assetSchema, type Asset, type Clip, type Project, type Range } from '../../core/contract/project.ts';
import type { AssetRecord, TakeRecord } from '../../core/contract/records.ts';
import { applyCommands } from '../../core/edit/apply.ts';
import type { Command } from '../../core/edit/commands.ts';
import { PusaError } from '../../core/errors.ts';
import { rangeOfTake } from '../../core/plan/replan.ts';
import { lastTrack, openTrack } from '../../core/timeline/tracks.ts';
import { newRange } from '../../core/presets/defaults.ts';
import { extendRange } from '../../core/presets/extend.ts';

/** The clip on the timeline that shows a take; null where there is none. */
export function clipOfTake(project: Project, take: TakeRecord): Clip | null {
  const assets = new Set(project.assets.filter(({ hash }) => hash === take.fileHash).map(({ id }) => id));
  const clips = project.clips.filter(({ assetId }) => assets.has(assetId));
  return clips.find(({ id }) => id === take.promotedClipId) ?? clips[0] ?? null;
}

/**
 * Puts a take over its range.
 * @param track null: above whatever lies there, on one that is neither locked nor hidden
 * @throws PusaError EDIT_INVALID when it is there already, its range is gone, or the id is taken; TRACK_LOCKED
 */
export function promoteTake(
  project: Project,
  take: TakeRecord,
  record: AssetRecord,
  { clipId, track }: { readonly clipId: string; readonly track: number | null },
): Project {
  const range = project.ranges.find(({ id }) => id === take.rangeId);
  if (range === undefined) {
    throw new PusaError(
      'EDIT_INVALID',
      'The range of this take is not on the timeline any more.',
      'Recreate it from the take, or undo its removal.',
    );
  }
  const shown = clipOfTake(project, take);
  if (shown !== null && shown.id === take.promotedClipId) {
    throw new PusaError(
      'EDIT_INVALID',
      'This take is on the timeline already.',
      'Look for its clip over its range.',
    );
  }
  const known = project.assets.find(({ hash }) => hash === take.fileHash);
  const asset = known ?? plainAsset(record);
  const frames = Math.max(1, Math.round((take.plan.frames / take.fps) * project.fps));
  const clip: Clip = {
    id: clipId,
    assetId: asset.id,
    track: track ?? trackAbove(project, range.start, frames),
    start: range.start,
    frames,
    sourceStart: 0,
    fit: 'crop',
  };
  const commands: Command[] = [
    ...(known === undefined ? [{ type: 'addAssets' as const, assets: [asset] }] : []),
    { type: 'addClip', clip },
  ];
  return applyCommands(project, commands);
}

/**
 * Adds a range that goes on from one of a take's frames.
 * @param project in which the take is on the timeline
 * @throws PusaError EDIT_INVALID when the clip does not show that frame, or has too few before it
 */
export function extendTake(
  project: Project,
  take: TakeRecord,
  { fromFrame, frames, overlap, rangeId }: Omit<Input<'takes.extend'>, 'takeId' | 'clipId'>,
): Project {
  const clip = clipOfTake(project, take);
  const seconds = fromFrame / take.fps - (clip?.sourceStart ?? 0);
  const clipFrame = Math.round(seconds * project.fps);
  if (clip === null || fromFrame >= take.plan.frames || clipFrame < 0 || clipFrame >= clip.frames) {
    throw new PusaError(
      'EDIT_INVALID',
      `Frame ${fromFrame} of the take is not on the timeline.`,
      'Go on from a frame that its clip shows.',
    );
  }
  const made = project.ranges.find(({ id }) => id === take.rangeId);
  const base = rangeOfTake(made ?? newRange({ id: rangeId }), take);
  const lastShared = clip.start + clipFrame;
  const range = extendRange(clip, base, { rangeId, lastShared, frames, overlap });
  return applyCommands(project, [{ type: 'addRange', range }]);
}

/**
 * Puts a take's settings back into its range, or into a new one where the take's clip lies, else at the beginning.
 * @throws PusaError EDIT_INVALID when the new range's id is taken
 */
export function recreateTake(project: Project, take: TakeRecord, rangeId: string): Project {
  const made = project.ranges.find(({ id }) => id === take.rangeId);
  if (made !== undefined) {
    const range: Range = rangeOfTake(made, take);
    return { ...project, ranges: project.ranges.map((one) => (one === made ? range : one)) };
  }
  const start = clipOfTake(project, take)?.start ?? 0;
  const range = rangeOfTake(newRange({ id: rangeId, start }), take);
  return applyCommands(project, [{ type: 'addRange', range }]);
}

function trackAbove(project: Project, start: number, frames: number): number {
  const under = project.clips.filter(
    (clip) => clip.start < start + frames && clip.start + clip.frames > start,
  );
  const above = Math.max(-1, ...under.map(({ track }) => track)) + 1;
  return openTrack(Math.min(lastTrack, above), project);
}

/** What a project keeps of an asset of the library. */
function plainAsset(record: AssetRecord): Asset {
  const fields = Object.keys(assetSchema.shape) as (keyof Asset)[];
  return Object.fromEntries(fields.map((field) => [field, record[field]])) as unknown as Asset;
}
