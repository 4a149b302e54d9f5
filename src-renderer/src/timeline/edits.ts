import type { Model } from '../../../src-main/core/contract/api/models.ts';
import type { Asset, Clip, Project, Range } from '../../../src-main/core/contract/project.ts';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import { defaultFrames, newRange, type RecommendedSampler } from '../../../src-main/core/presets/defaults.ts';
import { maxFrames, nearestRangeLength } from '../../../src-main/core/timeline/cells.ts';
import { clipsInSight, lastTrack } from '../../../src-main/core/timeline/tracks.ts';
import type { Scene } from './scene.ts';

/** Frames a transition keeps of the first clip and of the second, as its preset marks them. */
const transitionKeeps = { first: 9, second: 12 } as const;
const longestFrame = 10_000_000;

/** Clips that a cut at a frame goes through: of the selection if it has some there, else all on open tracks. */
export function clipsToSplit(
  scene: Scene,
  at: number,
  selected: readonly string[],
  closed: ReadonlySet<number>,
): Clip[] {
  const under = scene.tracks.flatMap((track, index) =>
    closed.has(index) ? [] : track.query(at, at + 1).filter(({ start }) => start < at),
  );
  const meant = under.filter(({ id }) => selected.includes(id));
  return meant.length > 0 ? meant : under;
}

/**
 * Where something is put that is to go to the playhead: behind what is seen there where the playhead stands on its last
 * frame, as after jumping to its end; at the playhead everywhere else.
 */
export function insertionFrame(project: Pick<Project, 'clips' | 'tracks'>, playhead: number): number {
  const under = clipsInSight(project).filter(
    ({ start, frames }) => start <= playhead && playhead < start + frames,
  );
  const seen = under.sort((a, b) => b.track - a.track || b.start - a.start)[0];
  const end = seen === undefined ? 0 : seen.start + seen.frames;
  return end === playhead + 1 ? end : playhead;
}

/** The first frame from one on where a track has room for so many frames: nothing that is there is covered. */
export function freeFrame(clips: readonly Clip[], track: number, from: number, frames: number): number {
  const there = clips.filter((clip) => clip.track === track).sort((a, b) => a.start - b.start);
  let free = from;
  for (const { start, frames: length } of there) {
    if (start < free + frames && start + length > free) free = start + length;
  }
  return free;
}

/** Moves an end of clips to a frame inside them; `end` is the frame after the last. */
export function trimTo(clips: readonly Clip[], edge: 'start' | 'end', to: number): Command[] {
  return clips.map(({ id }) => ({ type: 'trimClip', clipId: id, edge, to }));
}

export function splitAt(clips: readonly Clip[], at: number, newId: () => string): Command[] {
  return clips.map(({ id }) => ({ type: 'splitClip', clipId: id, at, newId: newId() }));
}

/** Removes clips and closes what they leave: later clips of the same tracks move forward. */
export function rippleDelete(project: Project, clipIds: readonly string[]): Command[] {
  if (clipIds.length === 0) return [];
  const ids = new Set(clipIds);
  const gone = project.clips.filter(({ id }) => ids.has(id)).sort((a, b) => a.start - b.start);
  const byDistance = new Map<number, string[]>();
  for (const clip of project.clips) {
    if (ids.has(clip.id)) continue;
    let distance = 0;
    let reached = 0;
    for (const hole of gone) {
      if (hole.track !== clip.track || hole.start >= clip.start) continue;
      const end = Math.min(hole.start + hole.frames, clip.start);
      const from = Math.max(hole.start, reached);
      if (end > from) distance += end - from;
      reached = Math.max(reached, end);
    }
    if (distance > 0) byDistance.set(distance, [...(byDistance.get(distance) ?? []), clip.id]);
  }
  return [
    { type: 'removeClips', clipIds: [...clipIds] },
    ...[...byDistance].map(([distance, moved]): Command => ({
      type: 'moveClips',
      clipIds: moved,
      byFrames: -distance,
      byTracks: 0,
    })),
  ];
}

/** Copies of clips, moved. */
export function duplicateClips(
  project: Project,
  clipIds: readonly string[],
  byFrames: number,
  byTracks: number,
  newId: () => string,
): { readonly commands: Command[]; readonly clipIds: string[] } {
  const ids = new Set(clipIds);
  const copies = project.clips
    .filter(({ id }) => ids.has(id))
    .map((clip) => ({ ...clip, id: newId(), start: clip.start + byFrames, track: clip.track + byTracks }));
  return {
    commands: copies.map((clip) => ({ type: 'addClip', clip })),
    clipIds: copies.map(({ id }) => id),
  };
}

/** The frames from the first to the last of some clips; null without any. */
export function extentOf(
  project: Project,
  clipIds: readonly string[],
): { readonly from: number; readonly to: number } | null {
  const ids = new Set(clipIds);
  let from = Number.POSITIVE_INFINITY;
  let to = 0;
  for (const clip of project.clips) {
    if (!ids.has(clip.id)) continue;
    from = Math.min(from, clip.start);
    to = Math.max(to, clip.start + clip.frames);
  }
  return to > 0 ? { from, to } : null;
}

/** How far some clips can move without leaving the timeline. */
export function boundMove(
  clips: readonly Clip[],
  byFrames: number,
  byTracks: number,
): { readonly byFrames: number; readonly byTracks: number } {
  let leastFrames = -longestFrame;
  let leastTracks = -lastTrack;
  let mostTracks = lastTrack;
  for (const { start, track } of clips) {
    leastFrames = Math.max(leastFrames, 0 - start);
    leastTracks = Math.max(leastTracks, 0 - track);
    mostTracks = Math.min(mostTracks, lastTrack - track);
  }
  return {
    byFrames: Math.max(leastFrames, byFrames),
    byTracks: Math.min(mostTracks, Math.max(leastTracks, byTracks)),
  };
}

/** What a trim may reach: the source's beginning and end, and one frame at least. `end` is exclusive. */
export function trimBounds(
  clip: Clip,
  asset: Asset | undefined,
  fps: number,
): { readonly start: readonly [number, number]; readonly end: readonly [number, number] } {
  const end = clip.start + clip.frames;
  if (asset === undefined || asset.kind === 'image') {
    return { start: [0, end - 1], end: [clip.start + 1, longestFrame] };
  }
  const earlier = Math.floor(clip.sourceStart * fps + 1e-6);
  const all = Math.round((asset.duration - clip.sourceStart) * fps);
  return {
    start: [Math.max(0, clip.start - earlier), end - 1],
    // A clip that is longer than its source already keeps its length.
    end: [clip.start + 1, Math.max(end, clip.start + all)],
  };
}

/** The clip's source begun some frames later (or earlier), inside the source; null for a picture. */
export function slipTo(clip: Clip, asset: Asset | undefined, byFrames: number, fps: number): number | null {
  if (asset === undefined || asset.kind === 'image') return null;
  const most = Math.max(0, asset.duration - clip.frames / fps);
  return Math.min(Math.max(most, clip.sourceStart), Math.max(0, clip.sourceStart + byFrames / fps));
}

/** Frames a clip of an asset has when it is dropped: all of a video, a second of a picture. */
export function clipFrames(asset: Pick<Asset, 'kind' | 'duration'>, fps: number): number {
  const seconds = asset.kind === 'image' ? 1 : asset.duration;
  return Math.max(1, Math.round(seconds * fps));
}

/** Where assets land that are dropped. `frames` is set where a cell was dropped on: a picture fills just that. */
export interface DropPlace {
  readonly start: number;
  readonly track: number;
  readonly frames?: number;
}

/** Assets put on a track one after the other; those the project lacks are added to it. */
export function dropAssets(
  project: Project,
  assets: readonly Asset[],
  place: DropPlace,
  newId: () => string,
): { readonly commands: Command[]; readonly clipIds: string[] } {
  const there = new Set(project.assets.map(({ id }) => id));
  const added = new Map(assets.filter(({ id }) => !there.has(id)).map((asset) => [asset.id, asset]));
  const commands: Command[] = added.size > 0 ? [{ type: 'addAssets', assets: [...added.values()] }] : [];
  const clipIds: string[] = [];
  let start = place.start;
  for (const asset of assets) {
    const id = newId();
    const frames =
      asset.kind === 'image' && place.frames !== undefined ? place.frames : clipFrames(asset, project.fps);
    const clip: Clip = {
      id,
      assetId: asset.id,
      track: place.track,
      start,
      frames,
      sourceStart: 0,
      fit: 'crop',
    };
    commands.push({ type: 'addClip', clip });
    clipIds.push(id);
    start += frames;
  }
  return { commands, clipIds };
}

/** What a new range takes from the model that will run it. */
export interface RangeDefaults {
  readonly id: string;
  readonly seed: number;
  /** Frames the model works best with. */
  readonly frames?: number | undefined;
  readonly recommended?: RecommendedSampler | undefined;
  readonly negativePrompt?: string | undefined;
}

/** @param model that a new range will run on; null: not known */
export function rangeDefaults(
  model: Pick<Model, 'native' | 'recommended'> | null,
  id: string,
): RangeDefaults {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  if (model === null) return { id, seed };
  const { negativePrompt, ...recommended } = model.recommended;
  return { id, seed, frames: model.native.frames, recommended, negativePrompt };
}

function makeRange(start: number, frames: number, defaults: RangeDefaults): Range {
  const { id, seed, recommended, negativePrompt } = defaults;
  const range = newRange({
    id,
    start: Math.max(0, start),
    frames: nearestRangeLength(frames),
    ...(recommended === undefined ? {} : { recommended }),
  });
  return {
    ...range,
    sampler: { ...range.sampler, seed },
    negativePrompt: negativePrompt ?? range.negativePrompt,
  };
}

/** A range at a frame, of the model's length. */
export function rangeAt(start: number, defaults: RangeDefaults): Command[] {
  return [{ type: 'addRange', range: makeRange(start, defaults.frames ?? defaultFrames, defaults) }];
}

/** A range over a stretch; `to` is exclusive. Its length is the nearest there is. */
export function rangeOver(from: number, to: number, defaults: RangeDefaults): Command[] {
  return [{ type: 'addRange', range: makeRange(from, to - from, defaults) }];
}

/**
 * A transition from one clip to a later one of any track: the range takes the last frames of the first and the first
 * ones of the second. Clips with too little between them are moved apart, so that the range has the model's length.
 */
export function transitionBetween(
  project: Project,
  firstId: string,
  secondId: string,
  defaults: RangeDefaults,
): Command[] {
  const pair = project.clips.filter(({ id }) => id === firstId || id === secondId);
  const [first, second] = pair.sort((a, b) => a.start - b.start);
  if (first === undefined || second === undefined) return [];
  const keepFirst = Math.min(transitionKeeps.first, first.frames);
  const keepSecond = Math.min(transitionKeeps.second, second.frames);
  const end = first.start + first.frames;
  const gap = second.start - end;
  const kept = keepFirst + keepSecond;
  const wanted = defaults.frames ?? defaultFrames;
  const least = 4;
  const commands: Command[] = [];
  let total = nearestRangeLength(kept + gap);
  if (gap < least) {
    total = nearestRangeLength(Math.max(kept + least, wanted));
    const by = total - kept - gap;
    const moved = project.clips.filter(
      ({ id, track, start }) => id !== first.id && track === second.track && start >= second.start,
    );
    commands.push({ type: 'moveClips', clipIds: moved.map(({ id }) => id), byFrames: by, byTracks: 0 });
  }
  const range = makeRange(end - keepFirst, Math.min(maxFrames, total), defaults);
  const { solver, steps, cfg, shift, loraStrength } = range.sampler;
  const recommended = { solver, steps, cfg, shift, loraStrength };
  commands.push(
    { type: 'addRange', range },
    { type: 'setPreset', rangeId: range.id, preset: 'transition', recommended },
  );
  return commands;
}

/** The two clips on either side of a frame of a track with nothing between them; null where there are none. */
export function gapAt(
  scene: Scene,
  track: number,
  frame: number,
): { readonly before: Clip; readonly after: Clip } | null {
  const clips = scene.tracks[track]?.clips ?? [];
  if (scene.tracks[track]?.at(frame) !== undefined) return null;
  const after = clips.find(({ start }) => start > frame);
  const before = clips.findLast(({ start, frames }) => start + frames <= frame);
  return before === undefined || after === undefined ? null : { before, after };
}
