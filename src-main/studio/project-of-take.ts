import type { Take } from '../core/contract/job.ts';
import type { Project, Range } from '../core/contract/project.ts';
import { marksOfPlan } from '../core/plan/replan.ts';
import { newProject, newRange } from '../core/presets/defaults.ts';
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
  const marks = marksOfPlan(take.plan);
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
