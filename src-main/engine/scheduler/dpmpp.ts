import type { Plan } from '../../core/contract/job.ts';
import { createMultistep, logSnr, orderOf, predictClean } from './multistep.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * DPM-Solver++ for flow matching: order 2, midpoint, lower order in the last step (spec §3.4). It remembers the
 * clean prediction of the step before.
 */
export function createDpmPlusPlus(plan: Plan): Scheduler {
  const { sigmas, steps } = plan;
  return createMultistep(
    plan,
    (k, latents, velocity, [previous]) => {
      const from = sigmas[k]!;
      const to = sigmas[k + 1]!;
      const clean = predictClean(latents, velocity, from);
      const h = logSnr(to) - logSnr(from);
      const keep = to / from;
      const gain = -(1 - to) * Math.expm1(-h);
      if (orderOf(k, steps) === 1) {
        return { latents: latents.data.map((x, i) => keep * x + gain * clean[i]!), memory: [clean] };
      }
      // Half of 1/r with r = h before / h; 0 where the step before came from pure noise (h before = ∞).
      const slope = (0.5 * h) / (logSnr(from) - logSnr(sigmas[k - 1]!));
      return {
        latents: latents.data.map(
          (x, i) => keep * x + gain * (clean[i]! + slope * (clean[i]! - previous![i]!)),
        ),
        memory: [clean],
      };
    },
    (k) => Math.min(k, 1),
  );
}
