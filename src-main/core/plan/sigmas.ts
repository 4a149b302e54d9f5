import type { Sampler } from '../contract/project.ts';

const fround = Math.fround;

/** Sigmas (one more than steps, the last 0) and what the model is fed, 0 … 1000, all float32. */
export interface Grid {
  readonly sigmas: Float32Array;
  readonly timesteps: Float32Array;
}

/**
 * The flow-matching grid (spec §3.1): u_k = r·(1 − k/N), σ_k = s·u_k / (1 + (s−1)·u_k), σ_N = 0, t_k = 1000·σ_k.
 * Every operation is rounded to float32, and u is built from both ends, as `torch.linspace` does it: so t agrees with
 * the reference bit for bit, also where truncation hangs on the last bit.
 * @param steps N ≥ 1
 * @param shift s > 0
 * @param strength r, 0 … 1: where on the way from noise to picture the grid begins
 */
export function flowMatchGrid(steps: number, shift: number, strength = 1): Grid {
  const sigmas = new Float32Array(steps + 1);
  const start = fround(strength);
  const stride = fround(-start / steps);
  for (let k = 0; k < steps; k++) {
    // One rounding after multiply and add: a fused operation in the reference.
    const u = k < (steps + 1) >> 1 ? fround(start + stride * k) : fround(-stride * (steps - k));
    // Rounding can lift σ_0 one bit above 1 for odd shifts.
    sigmas[k] = Math.min(1, fround(fround(shift) * u) / fround(1 + fround(fround(shift - 1) * u)));
  }
  return { sigmas, timesteps: sigmas.subarray(0, steps).map((sigma) => 1000 * sigma) };
}

/**
 * The grid a sampler runs on when no cell is conditioned. Euler is {@link flowMatchGrid}; Wan's own solvers compute
 * theirs in float64 and feed integer timesteps, UniPC starting from u = 0.999 (spec §3.4).
 */
export function samplerGrid({ solver, steps, shift }: Pick<Sampler, 'solver' | 'steps' | 'shift'>): Grid {
  if (solver === 'euler') return flowMatchGrid(steps, shift);
  const start = solver === 'unipc' ? fround(0.999) : 1;
  const sigmas = new Float32Array(steps + 1);
  const timesteps = new Float32Array(steps);
  for (let k = 0; k < steps; k++) {
    const u = start * (1 - k / steps);
    const sigma = (shift * u) / (1 + (shift - 1) * u);
    sigmas[k] = sigma;
    timesteps[k] = Math.trunc(1000 * sigma);
  }
  return { sigmas, timesteps };
}
