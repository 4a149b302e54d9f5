import type { Clip, Project } from '../../../src-main/core/contract/project.ts';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import {
  cellCount,
  firstFrameOf,
  framesPerCell,
  isRangeLength,
  lastFrameOf,
  maxFrames,
  nearestRangeLength,
} from '../../../src-main/core/timeline/cells.ts';
import { clipsInSight } from '../../../src-main/core/timeline/tracks.ts';
import type { PresetWish } from './preset-commands.ts';

/** What a task lacks on the timeline. */
export type Missing = 'picture' | 'secondPicture' | 'clip' | 'secondClip' | 'room';

/** Where a task wants its range, and what has to move for it. */
export interface Placement {
  readonly start: number;
  readonly frames: number;
  readonly commands: Command[];
  readonly missing: Missing | null;
}

/** Frames of the first and of the second clip that a transition keeps (spec §3.3): 3 cells each. */
const transitionCells = 3;
/** Cells of the clip that an extension goes on from (spec §3.3): 13 frames. */
const extendCells = 4;

/**
 * The place a preset wants.
 * @param length frames of the range where the clips do not say otherwise, 4n+1
 */
export function placeFor(wish: PresetWish, length: number): Placement {
  switch (wish.preset) {
    case 'image-to-video':
      return atPicture(wish, length);
    case 'start-end':
      return betweenPictures(wish, length);
    case 'keyframes':
      return overPictures(wish, length);
    case 'extend':
      return afterClip(wish, length);
    case 'transition':
      return betweenClips(wish, length);
    case 'complete':
    case 'restyle':
      return overClip(wish, length);
    case 'text-to-video':
      return { start: freeStart(wish, length), frames: length, commands: [], missing: null };
  }
}

function nothing(wish: PresetWish, frames: number, missing: Missing): Placement {
  return { start: wish.range?.start ?? wish.playhead, frames, commands: [], missing };
}

/** The range starts at the picture, of which only the first frame conditions anything. */
function atPicture(wish: PresetWish, frames: number): Placement {
  const clip = nearest(wish, pictures(wish.project)) ?? nearest(wish, clipsInSight(wish.project));
  if (clip === undefined) return nothing(wish, frames, 'picture');
  const commands = isPicture(wish.project, clip) ? cut(wish.project, clip, clip.start, 1) : [];
  return { start: clip.start, frames, commands, missing: null };
}

/** From the first of two to the second, which fills the last cell. */
function betweenPictures(wish: PresetWish, length: number): Placement {
  const { project } = wish;
  const pair = pairOf(wish, pictures(project)) ?? pairOf(wish, clipsInSight(project));
  if (pair === null) {
    const one = nearest(wish, clipsInSight(project));
    const missing = one === undefined ? 'picture' : 'secondPicture';
    return { ...nothing(wish, length, missing), start: one?.start ?? wish.playhead };
  }
  const [first, second] = pair;
  // Of a video its last frame is the beginning.
  const begin = isPicture(project, first) ? first.start : endOf(first) - 1;
  const asLaid = nearestRangeLength(second.start + framesPerCell - begin);
  const frames = asLaid >= 9 && asLaid <= length ? asLaid : length;
  const lastCell = begin + firstFrameOf(cellCount(frames) - 1);
  return {
    start: begin,
    frames,
    commands: [
      ...(isPicture(project, first) ? cut(project, first, first.start, 1) : []),
      ...shift(project, second, lastCell - second.start),
      ...(isPicture(project, second) ? resized(second, framesPerCell, lastCell) : []),
    ],
    missing: null,
  };
}

/** All pictures as they lie where they fit into the length, else spread evenly over it. */
function overPictures(wish: PresetWish, length: number): Placement {
  const { project, clipIds = [] } = wish;
  const all = pictures(project).sort(byStart);
  const chosen = all.filter(({ id }) => clipIds.includes(id));
  const meant = chosen.length > 1 ? chosen : all;
  const first = meant[0];
  if (first === undefined) return nothing(wish, length, 'picture');
  if (meant.length === 1) {
    const { start, frames, commands } = atPicture(wish, length);
    return { start, frames, commands, missing: 'secondPicture' };
  }
  const cells = cellCount(length);
  if (meant.length > cells) return { ...nothing(wish, length, 'room'), start: first.start };
  const span = nearestRangeLength(meant.at(-1)!.start + framesPerCell - first.start);
  const fits = span <= length;
  const frames = fits ? span : length;
  // Each picture is moved as it stood when the ones before it were moved already: alone, not with what follows.
  const commands = meant.flatMap((clip, index): Command[] => {
    const cell = fits
      ? Math.ceil((clip.start - first.start) / framesPerCell)
      : Math.round((index * (cells - 1)) / (meant.length - 1));
    const start = first.start + firstFrameOf(cell);
    const wanted = cell === 0 ? 1 : framesPerCell;
    return [...moveAlone(clip, start - clip.start), ...resized(clip, wanted, start)];
  });
  return { start: first.start, frames, commands, missing: null };
}

/** The last frames of a clip and what shall come after them. */
function afterClip(wish: PresetWish, frames: number): Placement {
  const clip =
    nearest(
      wish,
      clipsInSight(wish.project).filter((each) => !isPicture(wish.project, each)),
    ) ?? nearest(wish, clipsInSight(wish.project));
  if (clip === undefined) return nothing(wish, frames, 'clip');
  const cells = Math.min(
    extendCells,
    Math.max(1, Math.floor(cellCount(frames) / 2)),
    wholeCells(clip.frames),
  );
  return { start: endOf(clip) - framesOfFirst(cells), frames, commands: [], missing: null };
}

/** The last frames of one clip and the first of the next, with the way between them. */
function betweenClips(wish: PresetWish, length: number): Placement {
  const { project } = wish;
  const pair = pairOf(wish, clipsInSight(project));
  if (pair === null) {
    const one = nearest(wish, clipsInSight(project));
    return {
      ...nothing(wish, length, one === undefined ? 'clip' : 'secondClip'),
      start: one === undefined ? wish.playhead : Math.max(0, endOf(one) - 9),
    };
  }
  const [first, second] = pair;
  const kept = (frames: number): number =>
    Math.min(transitionCells, Math.max(1, Math.floor((cellCount(frames) - 1) / 2)));
  const gap = second.start - endOf(first);
  const asLaid = nearestRangeLength(framesOfFirst(transitionCells) + gap + transitionCells * framesPerCell);
  const frames = gap >= framesPerCell && asLaid <= length ? asLaid : length;
  const before = framesOfFirst(kept(frames));
  const after = kept(frames) * framesPerCell;
  const commands: Command[] = [];
  let firstEnd = endOf(first);
  if (first.frames < before && isPicture(project, first)) {
    firstEnd = first.start + before;
    commands.push({ type: 'trimClip', clipId: first.id, edge: 'end', to: firstEnd });
  }
  const start = Math.max(0, firstEnd - before);
  const secondStart = start + frames - after;
  commands.push(...shift(project, second, secondStart - second.start));
  if (second.frames < after && isPicture(project, second)) {
    commands.push({ type: 'trimClip', clipId: second.id, edge: 'end', to: secondStart + after });
  }
  return { start, frames, commands, missing: null };
}

/** As much of a clip as a range may hold. */
function overClip(wish: PresetWish, length: number): Placement {
  const { project } = wish;
  const videos = clipsInSight(project).filter((each) => !isPicture(project, each));
  const clip = nearest(wish, videos) ?? nearest(wish, clipsInSight(project));
  if (clip === undefined) return nothing(wish, length, 'clip');
  const whole = framesOfFirst(wholeCells(clip.frames));
  const frames = Math.min(length, whole, maxFrames);
  if (frames < 5) return { ...nothing(wish, length, 'clip'), start: clip.start };
  return { start: clip.start, frames, commands: [], missing: null };
}

/** Where nothing is in the way: at the playhead, or after everything when a range lies there. */
function freeStart({ project, playhead }: PresetWish, frames: number): number {
  const taken = project.ranges.some(
    (range) => range.start < playhead + frames && range.start + range.frames > playhead,
  );
  if (!taken) return playhead;
  return project.ranges.reduce((end, range) => Math.max(end, range.start + range.frames), playhead);
}

/** The clip a person means: a selected one, else the one under the playhead, else the nearest. */
function nearest({ clipIds = [], playhead }: PresetWish, clips: readonly Clip[]): Clip | undefined {
  const away = (clip: Clip): number =>
    playhead < clip.start ? clip.start - playhead : Math.max(0, playhead - endOf(clip) + 1);
  const chosen = clips.filter(({ id }) => clipIds.includes(id));
  return (chosen.length > 0 ? chosen : [...clips]).sort((a, b) => away(a) - away(b) || byStart(a, b))[0];
}

/** Two clips, one after the other: the selected ones, else those whose border is nearest to the playhead. */
function pairOf({ clipIds = [], playhead }: PresetWish, clips: readonly Clip[]): [Clip, Clip] | null {
  const chosen = clips.filter(({ id }) => clipIds.includes(id));
  const sorted = [...(chosen.length > 1 ? chosen : clips)].sort(byStart);
  const away = (first: Clip, second: Clip): number => Math.abs(playhead - (endOf(first) + second.start) / 2);
  const pairs = sorted.slice(1).flatMap((second, index): [Clip, Clip][] => {
    const first = sorted[index]!;
    return second.start > first.start ? [[first, second]] : [];
  });
  return pairs.sort((a, b) => away(...a) - away(...b))[0] ?? null;
}

/** Moves a clip and all that begins after it, other ranges with them, so that nothing is run over. */
function shift(project: Project, clip: Clip, by: number): Command[] {
  if (by === 0) return [];
  const later = project.clips.filter(({ start }) => start >= clip.start).map(({ id }) => id);
  const ranges = project.ranges.filter(({ start }) => start >= clip.start);
  return [
    { type: 'moveClips', clipIds: later, byFrames: by, byTracks: 0 },
    ...ranges.map(({ id, start }): Command => ({ type: 'moveRange', rangeId: id, start: start + by })),
  ];
}

function moveAlone(clip: Clip, by: number): Command[] {
  return by === 0 ? [] : [{ type: 'moveClips', clipIds: [clip.id], byFrames: by, byTracks: 0 }];
}

/** A picture's clip with another length, once it stands at `start`. */
function resized(clip: Clip, frames: number, start: number): Command[] {
  if (clip.frames === frames) return [];
  return [{ type: 'trimClip', clipId: clip.id, edge: 'end', to: start + frames }];
}

/** Cuts a picture's clip to what conditions, unless another range looks at the rest. */
function cut(project: Project, clip: Clip, start: number, frames: number): Command[] {
  const rest = start + frames;
  if (clip.frames <= frames) return [];
  const shared = project.ranges.some(
    (range) => range.start > clip.start && range.start < endOf(clip) && range.start + range.frames > rest,
  );
  return shared ? [] : resized(clip, frames, start);
}

/** Frames of a range's first cells. */
function framesOfFirst(cells: number): number {
  return lastFrameOf(cells - 1) + 1;
}

/** Cells that many frames fill from the first on. */
function wholeCells(frames: number): number {
  const fill = Math.min(frames, maxFrames);
  const length = isRangeLength(fill) ? fill : Math.max(1, fill - ((fill - 1) % framesPerCell));
  return cellCount(length);
}

function pictures(project: Project): Clip[] {
  return clipsInSight(project).filter((clip) => isPicture(project, clip));
}

function isPicture(project: Project, clip: Clip): boolean {
  return project.assets.find(({ id }) => id === clip.assetId)?.kind === 'image';
}

function byStart(a: Clip, b: Clip): number {
  return a.start - b.start || a.track - b.track;
}

function endOf({ start, frames }: Pick<Clip, 'start' | 'frames'>): number {
  return start + frames;
}
