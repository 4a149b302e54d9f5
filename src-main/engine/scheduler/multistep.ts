import type { Plan } from '../../core/contract/job.ts';
import type { Tensor } from '../networks.ts';
import { hasCells, rowOf, sameShape } from './latents.ts';
import type { Scheduler } from './scheduler.ts';

/** λ(σ) = ln(1−σ) − ln σ, half the logarithm of the signal-to-noise ratio of flow matching. −∞ at 1, ∞ at 0. */
export function logSnr(sigma: number): number {
  return Math.log(1 - sigma) - Math.log(sigma);
}

/**
 * The order of the step from σₖ: at most 2, 1 where too little is remembered and in the last step
 * (lower_order_final).
 */
export function orderOf(k: number, steps: number): 1 | 2 {
  return k === 0 || k === steps - 1 ? 1 : 2;
}

/** The clean latents that velocity v means at noise level σ: x₀ = x − σ·v. */
export function predictClean(latents: Tensor, velocity: Tensor, sigma: number): Float32Array {
  return latents.data.map((x, i) => x - sigma * velocity.data[i]!);
}

/**
 * What the two multistep solvers share: the plan's grid, doing the steps in order, and saving what they remember.
 * `advance` computes the latents after step k and the new memory from the memory before it.
 */
export function createMultistep(
  { steps, cells, timesteps }: Plan,
  advance: (
    k: number,
    latents: Tensor,
    velocity: Tensor,
    memory: readonly Float32Array[],
  ) => { latents: Float32Array; memory: Float32Array[] },
  /** How many arrays are remembered before step k. */
  memorySize: (k: number) => number,
): Scheduler {
  let next = 0;
  let memory: readonly Float32Array[] = [];
  return {
    steps,
    start(noise) {
      hasCells(noise, cells.length);
      next = 0;
      memory = [];
      return { data: Float32Array.from(noise.data), shape: noise.shape };
    },
    timesteps: (k) => Float32Array.from(rowOf(timesteps, k)),
    step(k, latents, velocity) {
      if (k !== next || k >= steps) throw new RangeError(`Step ${k} was asked for, step ${next} is next.`);
      hasCells(latents, cells.length);
      sameShape(latents, { velocity });
      for (const array of memory) {
        if (array.length !== latents.data.length) throw new RangeError('The state is of another size.');
      }
      const result = advance(k, latents, velocity, memory);
      memory = result.memory;
      next = k + 1;
      return { data: result.latents, shape: latents.shape };
    },
    save: () => memory.map((array) => Float32Array.from(array)),
    restore(k, state) {
      if (!Number.isInteger(k) || k < 0 || k > steps || state.length !== memorySize(k)) {
        throw new RangeError(`A state of ${state.length} arrays does not belong before step ${k}.`);
      }
      next = k;
      memory = state.map((array) => Float32Array.from(array));
    },
  };
}
