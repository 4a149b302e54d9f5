import { flowMatchGrid } from '../../src-main/core/plan/sigmas.ts';

/** What frame-aware flow matching trains on (spec §8): a grid of 1000 points with a weight for each. */
export interface TrainingGrid {
  /** σ of id 0 … 999. */
  readonly sigmas: Float32Array;
  /** t = 1000·σ, not truncated. */
  readonly timesteps: Float32Array;
  /** w(t) ∝ exp(−2·((t − 500)/1000)²) − min, mean 1. */
  readonly weights: Float32Array;
}

const points = 1000;

/** The grid every cell draws its own id from, independently of the others (spec §8). */
export function trainingGrid(shift = 5): TrainingGrid {
  const { sigmas, timesteps } = flowMatchGrid(points, shift);
  const bell = Float64Array.from(timesteps, (t) => Math.exp(-2 * ((t - points / 2) / points) ** 2));
  const low = bell.reduce((a, b) => Math.min(a, b));
  const total = bell.reduce((sum, y) => sum + (y - low), 0);
  return {
    sigmas: sigmas.subarray(0, points),
    timesteps,
    weights: Float32Array.from(bell, (y) => ((y - low) * points) / total),
  };
}

/**
 * One training sample (spec §8): x_σ = (1 − σ_f)·x₀ + σ_f·ε per cell f, and the target velocity ε − x₀.
 * @param clean x₀, [C, F, H, W] row-major
 * @param noise ε, the same shape
 * @param sigmas one per cell, [F]
 * @param shape [C, F, H, W]
 */
export function trainingSample(
  clean: Float32Array,
  noise: Float32Array,
  sigmas: Float32Array,
  [, cells, height, width]: readonly [number, number, number, number],
): { noisy: Float32Array; target: Float32Array } {
  const area = height * width;
  return {
    noisy: clean.map((x, i) => {
      const sigma = sigmas[Math.floor(i / area) % cells]!;
      return (1 - sigma) * x + sigma * noise[i]!;
    }),
    target: noise.map((n, i) => n - clean[i]!),
  };
}

/**
 * The loss (spec §8): the mean squared error over everything, times the mean of the cells' weights. The weights do not
 * weight the cells' own errors; that is how the released model was trained.
 */
export function trainingLoss(prediction: Float32Array, target: Float32Array, weights: Float32Array): number {
  const squared = prediction.reduce((sum, p, i) => sum + (p - target[i]!) ** 2, 0);
  return (squared / prediction.length) * (weights.reduce((a, b) => a + b, 0) / weights.length);
}
