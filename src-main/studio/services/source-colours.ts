import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import type { Project } from '../../core/contract/project.ts';
import type { MeanColour } from '../../core/timeline/preflight.ts';
import type { SourcePass } from '../../core/timeline/sources.ts';
import type { StudioContext } from '../context.ts';

/** Longest side of the pictures that are measured. */
const side = 64;
/** Clips looked at: with more of them, how the first ones differ says enough. */
const mostClips = 8;

/**
 * Mean colour of what a range takes from each clip, by clip, where it takes from several; from small pictures that
 * are kept. What cannot be read is left out: it is told when the range is frozen.
 */
export async function coloursOf(
  { media, thumbnails }: Pick<StudioContext, 'media' | 'thumbnails'>,
  project: Pick<Project, 'assets' | 'clips'>,
  passes: readonly SourcePass[],
): Promise<ReadonlyMap<string, MeanColour>> {
  const first = new Map<string, number | null>();
  for (const { frames } of passes) {
    for (const { clipId, time } of frames) if (!first.has(clipId)) first.set(clipId, time);
  }
  const colours = new Map<string, MeanColour>();
  if (first.size < 2) return colours;
  for (const [clipId, time] of [...first].slice(0, mostClips)) {
    const clip = project.clips.find(({ id }) => id === clipId);
    const asset = project.assets.find(({ id }) => id === clip?.assetId);
    if (asset === undefined) continue;
    try {
      const path = await media.path(asset.hash);
      const sequence = asset.kind === 'sequence' ? { sequenceFps: asset.fps } : {};
      // In whole tenths, so that moving an edge by a frame draws no new picture.
      const at = time === null ? {} : { at: Math.floor(time * 10) / 10 };
      const picture = await thumbnails.thumbnail({ hash: asset.hash, path, ...sequence }, { side, ...at });
      const { channels } = await sharp(await readFile(picture.path)).stats();
      const [red, green, blue] = channels.map(({ mean }) => mean);
      colours.set(clipId, [red!, green ?? red!, blue ?? red!]);
    } catch {
      continue;
    }
  }
  return colours;
}
