import type { Plan } from '../../core/contract/job.ts';
import type { Tensor } from '../networks.ts';
import { noState } from './flow-match-euler.ts';
import { forEachRow, hasCells, rowOf, sameShape } from './latents.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * Pusa's Euler step with one timestep per cell (spec §3.2), by loop index: x[f] ← x[f] + v[f]·Δσ[k][f]. All of what
 * marks mean is in the plan already; a cell whose Δσ is 0 does not move, whatever the model says there.
 */
export function createPusaEuler(plan: Plan): Scheduler {
  return {
    steps: plan.steps,
    start: (noise, clean) => startLatents(plan, noise, clean),
    timesteps: (k) => Float32Array.from(rowOf(plan.timesteps, k)),
    step(k, latents, velocity) {
      const sigmaSteps = rowOf(plan.sigmaSteps, k);
      hasCells(latents, sigmaSteps.length);
      sameShape(latents, { velocity });
      const data = Float32Array.from(latents.data);
      forEachRow(latents.shape, (cell, from, to) => {
        const change = sigmaSteps[cell]!;
        if (change === 0) return;
        for (let i = from; i < to; i++) data[i]! += velocity.data[i]! * change;
      });
      return { data, shape: latents.shape };
    },
    save: () => [],
    restore: noState,
  };
}

/**
 * The one-time noising of the conditioned cells (spec §3.2): x[f] = (1 − σ₀·m)·z[f] + σ₀·m·n[f], with the same noise
 * n that starts the noisy cells. A fixed cell (m = 0) is its clean latent.
 */
function startLatents(plan: Plan, noise: Tensor, clean: Tensor | null): Tensor {
  hasCells(noise, plan.cells.length);
  if (clean !== null) sameShape(noise, { clean });
  const first = plan.sigmas[0]!;
  const data = Float32Array.from(noise.data);
  forEachRow(noise.shape, (cell, from, to) => {
    const { kind, m } = plan.cells[cell]!;
    if (kind === 'noisy') return;
    if (clean === null) throw new RangeError(`Cell ${cell} is ${kind} and has no clean latent.`);
    const share = first * m;
    for (let i = from; i < to; i++) data[i] = (1 - share) * clean.data[i]! + share * noise.data[i]!;
  });
  return { data, shape: noise.shape };
}
