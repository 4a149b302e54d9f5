import { join } from 'node:path';
import { trainingGrid, trainingLoss, trainingSample } from '../fafm.ts';
import { compare, type Comparison } from '../compare.ts';
import type { GoldenCase } from '../kinds.ts';
import { readTensors } from '../tensors.ts';

/** The arithmetic of one training step (spec §8): σ of drawn ids, noisy latents, target, weights, loss. */
export function run(caseDir: string, { config, tolerance }: GoldenCase): Promise<Comparison[]> {
  const tensors = readTensors(join(caseDir, 'tensors.safetensors'));
  const grid = trainingGrid(config['shift'] as number);
  const ids = [...tensors.i32('timestep_id')];
  const sigmas = Float32Array.from(ids, (id) => grid.sigmas[id]!);
  const weights = Float32Array.from(ids, (id) => grid.weights[id]!);

  const [samples, channels, cells, height, width] = tensors.get('latents').shape as [
    number,
    number,
    number,
    number,
    number,
  ];
  const size = channels * cells * height * width;
  const noisy: number[] = [];
  const target: number[] = [];
  const losses: number[] = [];
  const unweighted: number[] = [];
  for (let b = 0; b < samples; b++) {
    const of = (name: string): Float32Array => tensors.f32(name).subarray(b * size, (b + 1) * size);
    const perCell = (values: Float32Array): Float32Array => values.subarray(b * cells, (b + 1) * cells);
    const sample = trainingSample(of('latents'), of('noise'), perCell(sigmas), [
      channels,
      cells,
      height,
      width,
    ]);
    noisy.push(...sample.noisy);
    target.push(...sample.target);
    losses.push(trainingLoss(of('prediction'), sample.target, perCell(weights)));
    unweighted.push(trainingLoss(of('prediction'), sample.target, new Float32Array(cells).fill(1)));
  }
  const check = (name: string, actual: ArrayLike<number>): Comparison =>
    compare(name, actual, tensors.f32(name), tolerance);
  return Promise.resolve([
    check('sigma', sigmas),
    check(
      'timestep',
      Float32Array.from(ids, (id) => grid.timesteps[id]!),
    ),
    check('weight_per_frame', weights),
    check('noisy_latents', noisy),
    check('target', target),
    check('loss_per_sample', losses),
    check('mse_all', [unweighted.reduce((a, b) => a + b, 0) / samples]),
  ]);
}
