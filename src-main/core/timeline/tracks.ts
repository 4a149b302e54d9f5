import type { Clip, Project } from '../contract/project.ts';

/** Tracks are counted from 0, the lowest. */
export const lastTrack = 63;

type TracksOf = Pick<Project, 'tracks'>;

/** Tracks that are locked: their clips stay as they are. */
export function lockedTracks({ tracks = [] }: TracksOf): ReadonlySet<number> {
  return new Set(tracks.filter(({ locked }) => locked).map(({ track }) => track));
}

/** Tracks that are hidden: neither generation nor player nor export sees or hears their clips. */
export function hiddenTracks({ tracks = [] }: TracksOf): ReadonlySet<number> {
  return new Set(tracks.filter(({ hidden }) => hidden).map(({ track }) => track));
}

/** Clips on tracks that are not hidden, in the project's order. */
export function clipsInSight(project: TracksOf & Pick<Project, 'clips'>): Clip[] {
  const hidden = hiddenTracks(project);
  return hidden.size === 0 ? project.clips : project.clips.filter(({ track }) => !hidden.has(track));
}

/** The frame after the last that shows a clip; 0 where none does. */
export function timelineEnd(project: TracksOf & Pick<Project, 'clips'>): number {
  return clipsInSight(project).reduce((end, { start, frames }) => Math.max(end, start + frames), 0);
}

/** The nearest track from one up that is neither locked nor hidden; the last one where all are. */
export function openTrack(from: number, { tracks = [] }: TracksOf): number {
  const closed = new Set(tracks.map(({ track }) => track));
  let track = from;
  while (closed.has(track) && track < lastTrack) track++;
  return track;
}
