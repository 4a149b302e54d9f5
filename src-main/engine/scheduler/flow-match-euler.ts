import type { Plan } from '../../core/contract/job.ts';
import { hasCells, rowOf, sameShape } from './latents.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * Euler on a flow-matching grid, the same step for all cells (spec §3.1, text → video): x ← x + v·(σₖ₊₁ − σₖ). Takes
 * plans without conditioned cells; their timesteps are fractional.
 */
export function createFlowMatchEuler(plan: Plan): Scheduler {
  const cells = plan.cells.length;
  return {
    steps: plan.steps,
    start(noise) {
      hasCells(noise, cells);
      return { data: Float32Array.from(noise.data), shape: noise.shape };
    },
    timesteps: (k) => Float32Array.from(rowOf(plan.timesteps, k)),
    step(k, latents, velocity) {
      hasCells(latents, cells);
      sameShape(latents, { velocity });
      rowOf(plan.timesteps, k);
      const change = plan.sigmas[k + 1]! - plan.sigmas[k]!;
      return { data: latents.data.map((x, i) => x + velocity.data[i]! * change), shape: latents.shape };
    },
    save: () => [],
    restore: noState,
  };
}

/** Euler steps remember nothing: any step can be the next. */
export function noState(_k: number, state: readonly Float32Array[]): void {
  if (state.length > 0) throw new RangeError(`An Euler step has no state, but ${state.length} arrays came.`);
}
