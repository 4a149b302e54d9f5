import type { Asset, Project, Range } from '../contract/project.ts';
import { clipsInSight } from './tracks.ts';

/** What is looked at of a project. */
type Shown = Pick<Project, 'id' | 'clips' | 'tracks'> & {
  readonly assets: readonly Pick<Asset, 'id' | 'hash'>[];
};

/** A take as far as it matters here: what it was made for, and which file it is. */
export interface MadeTake {
  readonly projectId: string;
  readonly rangeId: string;
  readonly fileHash: string;
}

/**
 * The project as a range looks at it for its sources: clips that show the range's own takes lie below all others.
 * Otherwise a take that is put on the timeline would hide the pictures it was made from, and generating again would
 * start from the result. Where nothing else lies, an own take is a source like any other.
 * @param takes of any project whose files this one may show
 */
export function seenByRange<P extends Shown>(
  project: P,
  range: Pick<Range, 'id'>,
  takes: readonly MadeTake[],
): P {
  const made = new Set(
    takes
      .filter(({ projectId, rangeId }) => projectId === project.id && rangeId === range.id)
      .map(({ fileHash }) => fileHash),
  );
  const assets = new Set(project.assets.filter(({ hash }) => made.has(hash)).map(({ id }) => id));
  if (assets.size === 0) return project;
  // The tracks are others from here on, so that what is hidden has to go before.
  const clips = clipsInSight(project).map((clip) => ({
    ...clip,
    track: assets.has(clip.assetId) ? 0 : clip.track + 1,
  }));
  const seen = { ...project, clips };
  delete seen.tracks;
  return seen;
}
