import { visibleRuns, type ClipsOf, type Stretch, type VisibleRun } from './coverage.ts';

/**
 * What is heard of the clips in a stretch of the timeline, in order: the sound of whatever is seen, where and while it
 * is. A take has no sound of its own; where one is seen, the clip that lies under it goes on sounding, so that putting
 * a result onto the timeline does not silence the clip it was made from.
 * @param takes whose files the project may show, known by hash
 * @throws what {@link visibleRuns} does
 */
export function heardRuns(
  project: ClipsOf,
  takes: readonly { readonly fileHash: string }[],
  stretch: Stretch,
): readonly VisibleRun[] {
  const made = new Set(takes.map(({ fileHash }) => fileHash));
  const silent = new Set(project.assets.filter(({ hash }) => made.has(hash)).map(({ id }) => id));
  if (silent.size === 0) return visibleRuns(project, stretch);
  return visibleRuns(
    { ...project, clips: project.clips.filter(({ assetId }) => !silent.has(assetId)) },
    stretch,
  );
}
