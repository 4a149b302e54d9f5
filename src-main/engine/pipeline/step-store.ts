import { z } from 'zod';
import type { JobFolder } from './job-folder.ts';
import type { SavedStep, StepStore } from './stages/denoise.ts';
import type { Watch } from './watch.ts';

const metaSchema = z.strictObject({ steps: z.int().min(1), states: z.int().min(0).max(16) });

/** How many steps stay on the disk: should the newest be damaged, the one before it costs only a step. */
const kept = 2;

/**
 * Steps in a job's folder, `step-<k>.bin` after k steps.
 * @param shape [C, F, H, W]; a record of other sizes is not used
 */
export function stepStore(folder: JobFolder, shape: readonly number[], watch: Watch): StepStore {
  return {
    async load() {
      for (const k of await folder.savedSteps()) {
        const step = await readStep(folder, k, shape, watch);
        if (step !== null) return step;
      }
      return null;
    },

    async save({ steps, latents, prediction, state }) {
      const tensors = {
        latents,
        prediction,
        ...Object.fromEntries(state.map((data, i) => [`state-${i}`, { data, shape: [data.length] }])),
      };
      await folder.writeRecord(`step-${steps}`, { tensors, meta: { steps, states: state.length } });
      for (const k of await folder.savedSteps()) {
        if (k <= steps - kept || k > steps) await folder.removeStep(k);
      }
    },
  };
}

async function readStep(
  folder: JobFolder,
  k: number,
  shape: readonly number[],
  watch: Watch,
): Promise<SavedStep | null> {
  const saved = await folder.readRecord(`step-${k}`);
  if (saved.state !== 'whole') {
    if (saved.state === 'damaged') watch.log(`step-${k}.bin is made again: ${saved.reason}.`);
    return null;
  }
  const meta = metaSchema.safeParse(saved.content.meta);
  const { tensors } = saved.content;
  const { latents, prediction } = tensors;
  if (!meta.success || meta.data.steps !== k || k > folder.job.plan.steps) return null;
  if (latents?.shape.join() !== shape.join() || prediction?.shape.join() !== shape.join()) return null;
  const state = Array.from({ length: meta.data.states }, (_, i) => tensors[`state-${i}`]?.data);
  if (!state.every((array) => array !== undefined)) return null;
  return { steps: k, latents, prediction, state };
}
