import { join } from 'node:path';
import type { Tensor } from '../../../src-main/engine/networks.ts';
import { createScheduler } from '../../../src-main/engine/scheduler/scheduler.ts';
import { compare, type Comparison } from '../compare.ts';
import type { GoldenCase } from '../kinds.ts';
import { readTensors } from '../tensors.ts';
import { goldenPlan } from '../plan.ts';

/** The grids and the given rollouts of Wan's own solvers. */
export function run(caseDir: string, { config, tolerance }: GoldenCase): Promise<Comparison[]> {
  const tensors = readTensors(join(caseDir, 'tensors.safetensors'));
  const rollout = config['rollout'] as { steps: number; shift: number };
  const results: Comparison[] = [];
  for (const name of tensors.names) {
    const grid = /^(unipc|dpmpp)_(?:n(\d+)_s([\d.]+)|rollout)\.sigmas$/.exec(name);
    if (grid === null) continue;
    const plan = goldenPlan(
      1,
      {},
      {
        solver: grid[1] === 'unipc' ? 'unipc' : 'dpm++',
        steps: Number(grid[2] ?? rollout.steps),
        shift: Number(grid[3] ?? rollout.shift),
      },
    );
    const timesteps = name.replace('.sigmas', '.timesteps');
    results.push(compare(name, plan.sigmas, tensors.f32(name), tolerance));
    results.push(compare(timesteps, plan.timesteps.flat(), tensors.f32(timesteps), tolerance));
  }

  const shape = tensors.get('unipc_rollout.x0').shape.slice(1);
  const velocities = tensors.f32('unipc_rollout.model_outputs');
  for (const [name, solver] of [
    ['unipc_rollout', 'unipc'],
    ['dpmpp_rollout', 'dpm++'],
  ] as const) {
    const scheduler = createScheduler(goldenPlan(shape[1]!, {}, { ...rollout, solver }), solver);
    const expected = tensors.f32(`${name}.latents`);
    const size = expected.length / (rollout.steps + 1);
    let latents: Tensor = scheduler.start({ data: tensors.f32('unipc_rollout.x0'), shape }, null);
    for (let k = 0; k <= rollout.steps; k++) {
      const wanted = expected.subarray(k * size, (k + 1) * size);
      results.push(compare(`${name}.latents[${k}]`, latents.data, wanted, tolerance));
      if (k === rollout.steps) break;
      latents = scheduler.step(k, latents, { data: velocities.subarray(k * size, (k + 1) * size), shape });
    }
  }
  return Promise.resolve(results);
}
