import type { Take } from '../core/contract/job.ts';
import type { Mark, Project, Range } from '../core/contract/project.ts';
import { newProject, newRange } from '../core/presets/defaults.ts';
import { firstFrameOf, lastFrameOf } from '../core/timeline/cells.ts';
import { toAsset } from '../media/asset.ts';

/**
 * A project that restores a take's settings: its prompt, sampler and marks. The sources of its conditioned cells are
 * the take's own frames, since the original media are not inside the file.
 * @param path the rendered file
 */
export async function projectOfTake(take: Take, path: string, name: string, id: string): Promise<Project> {
  const base = newProject({
    id,
    name,
    now: new Date().toISOString(),
    width: take.width,
    height: take.height,
    fps: take.fps,
  });
  const marks = take.plan.cells.flatMap(({ kind, m }, cell): Mark[] => {
    if (kind === 'noisy') return [];
    const frames = Array.from(
      { length: lastFrameOf(cell) - firstFrameOf(cell) + 1 },
      (_, i) => firstFrameOf(cell) + i,
    );
    // An interpolated cell held at m = 0 is a fixed one under another name.
    return frames.map((frame) =>
      kind === 'fixed' || m === 0 ? { frame, kind: 'fixed' } : { frame, kind: 'interpolated', m },
    );
  });
  const range: Range = {
    ...newRange({ id: 'range-1', frames: take.plan.frames }),
    prompt: take.prompt,
    negativePrompt: take.negativePrompt,
    sampler: take.sampler,
    marks,
    model: take.model.id,
  };
  const isConditioned = marks.length > 0;
  const asset = isConditioned ? await toAsset(path, 'asset-1') : null;
  return {
    ...base,
    assets: asset === null ? [] : [asset],
    clips:
      asset === null
        ? []
        : [
            {
              id: 'clip-1',
              assetId: asset.id,
              track: 0,
              start: 0,
              frames: take.plan.frames,
              sourceStart: 0,
              fit: 'crop',
            },
          ],
    ranges: [range],
  };
}
