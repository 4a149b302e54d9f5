import { join } from 'node:path';
import { createScheduler } from '../../../src-main/engine/scheduler/scheduler.ts';
import { compare, type Comparison } from '../compare.ts';
import type { GoldenCase } from '../kinds.ts';
import { readTensors } from '../tensors.ts';
import { goldenPlan } from '../plan.ts';

/** Pusa's vector step and the scalar step of text → video with given model outputs. */
export function run(caseDir: string, { config, tolerance }: GoldenCase): Promise<Comparison[]> {
  const tensors = readTensors(join(caseDir, 'tensors.safetensors'));
  const steps = config['steps'] as number;
  const shift = config['shift'] as number;
  const conditioned = (config['cond'] ?? {}) as Record<string, number>;
  const shape = tensors.get('noise').shape.slice(1);
  const plan = goldenPlan(shape[1]!, conditioned, { steps, shift });
  const scheduler = createScheduler(plan, 'euler');

  const noise = { data: tensors.f32('noise'), shape };
  const clean = tensors.has('clean_cond') ? { data: tensors.f32('clean_cond'), shape } : null;
  let latents = scheduler.start(noise, clean);
  const results = [compare('sigmas', plan.sigmas.slice(0, steps), tensors.f32('sigmas'), tolerance)];
  if (tensors.has('after_cond_noise')) {
    results.push(compare('after_cond_noise', latents.data, tensors.f32('after_cond_noise'), tolerance));
  }
  if (tensors.has('timesteps')) {
    const fed = Array.from({ length: steps }, (_, k) => [...scheduler.timesteps(k)]).flat();
    results.push(compare('timesteps', fed, tensors.f32('timesteps'), { atol: 0, rtol: 0 }));
  }
  const outputs = tensors.f32('model_outputs');
  const expected = tensors.f32('latents_after_step');
  const size = noise.data.length;
  for (let k = 0; k < steps; k++) {
    latents = scheduler.step(k, latents, { data: outputs.subarray(k * size, (k + 1) * size), shape });
    const wanted = expected.subarray(k * size, (k + 1) * size);
    results.push(compare(`latents_after_step[${k}]`, latents.data, wanted, tolerance));
  }
  return Promise.resolve(results);
}
