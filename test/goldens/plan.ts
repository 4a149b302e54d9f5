import { buildPlan } from '../../src-main/core/plan/plan.ts';
import type { Plan } from '../../src-main/core/contract/job.ts';
import type { Sampler } from '../../src-main/core/contract/project.ts';

/** Settings of a golden's sampler that its loop depends on; the rest has no influence on a plan. */
export interface GoldenSampler {
  readonly steps: number;
  readonly shift: number;
  readonly solver?: Sampler['solver'];
}

/**
 * The plan of a golden's loop, made as the application makes it.
 * @param cells how many latent frames
 * @param conditioned noise multiplier by latent index, as the goldens write it
 */
export function goldenPlan(
  cells: number,
  conditioned: Readonly<Record<string, number>>,
  { steps, shift, solver = 'euler' }: GoldenSampler,
): Plan {
  const marks = Array.from({ length: cells }, (_, cell) => {
    const m = conditioned[cell] ?? 1;
    return { kind: m === 0 ? 'fixed' : m === 1 ? 'noisy' : 'interpolated', m } as const;
  });
  return buildPlan({
    frames: 4 * (cells - 1) + 1,
    cells: marks,
    sourced: marks.map(({ m }) => m < 1),
    sampler: { solver, steps, shift, cfg: 1, seed: 0, loraStrength: 1 },
  });
}
