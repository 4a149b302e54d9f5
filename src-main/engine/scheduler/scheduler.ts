import type { Plan } from '../../core/contract/job.ts';
import type { Sampler } from '../../core/contract/project.ts';
import { PusaError } from '../../core/errors.ts';
import type { Tensor } from '../networks.ts';
import { createDpmPlusPlus } from './dpmpp.ts';
import { createFlowMatchEuler } from './flow-match-euler.ts';
import { createPusaEuler } from './pusa-euler.ts';
import { createUniPc } from './unipc.ts';

/**
 * A sampler at work on latents [C, F, H, W]. Steps are done in order, k = 0 … steps−1. What a solver remembers
 * between steps is its state: saved after a step and restored elsewhere, the rest of the run is the same byte by
 * byte.
 */
export interface Scheduler {
  readonly steps: number;
  /**
   * The latents before step 0.
   * @param noise [C, F, H, W]
   * @param clean [C, F, H, W] with the latents of the conditioned cells; null when there are none
   */
  start(noise: Tensor, clean: Tensor | null): Tensor;
  /** What the model is fed at step k: one timestep (0 … 1000) per cell, [F]. */
  timesteps(k: number): Float32Array;
  /** Latents after step k from those before it and the model's velocity, all [C, F, H, W]. The inputs are kept. */
  step(k: number, latents: Tensor, velocity: Tensor): Tensor;
  /** The state after the last step, empty for solvers that remember nothing. */
  save(): Float32Array[];
  /** Goes on before step k with the state that was saved after step k−1. */
  restore(k: number, state: readonly Float32Array[]): void;
}

/**
 * The scheduler of a plan. Pusa's vector step takes any plan; the others know one timestep for all cells, so they only
 * take plans without conditioned cells (text → video).
 * @throws SAMPLER_INVALID when the solver cannot run the plan
 */
export function createScheduler(plan: Plan, solver: Sampler['solver']): Scheduler {
  const conditioned = plan.cells.some((cell) => cell.kind !== 'noisy');
  if (solver === 'euler') return conditioned ? createPusaEuler(plan) : createFlowMatchEuler(plan);
  if (conditioned) {
    throw new PusaError(
      'SAMPLER_INVALID',
      `The solver ${solver} gives all frames one timestep, so it cannot keep fixed or interpolated ones.`,
      'Choose the solver euler, or clear the marks.',
    );
  }
  return solver === 'unipc' ? createUniPc(plan) : createDpmPlusPlus(plan);
}
