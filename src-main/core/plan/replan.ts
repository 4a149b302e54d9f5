import type { Job, Plan, Take } from '../contract/job.ts';
import type { Mark, Range, Sampler } from '../contract/project.ts';
import { firstFrameOf, lastFrameOf } from '../timeline/cells.ts';
import { buildPlan } from './plan.ts';

/** What can be changed in a frozen job without its project. */
export interface JobChange {
  readonly prompt?: string | undefined;
  readonly negativePrompt?: string | undefined;
  readonly sampler?: { readonly [K in keyof Sampler]?: Sampler[K] | undefined } | undefined;
}

/**
 * A frozen job with another prompt or sampler. The plan is made anew from the cells it has: they keep their marks,
 * noise multipliers and sources, so nothing outside the job is needed.
 * @throws PusaError SAMPLER_INVALID
 */
export function replanJob<J extends Pick<Job, 'prompt' | 'negativePrompt' | 'sampler' | 'plan'>>(
  job: J,
  change: JobChange,
): J {
  const given = Object.entries(change.sampler ?? {}).filter(([, value]) => value !== undefined);
  const sampler: Sampler = { ...job.sampler, ...(Object.fromEntries(given) as Partial<Sampler>) };
  const { frames, cells } = job.plan;
  return {
    ...job,
    prompt: change.prompt ?? job.prompt,
    negativePrompt: change.negativePrompt ?? job.negativePrompt,
    sampler,
    plan: buildPlan({ frames, cells, sourced: cells.map(({ source }) => source.from === 'clip'), sampler }),
  };
}

/** Marks that give a plan's cells again, one on every frame of a conditioned cell. */
export function marksOfPlan({ cells }: Pick<Plan, 'cells'>): Mark[] {
  return cells.flatMap(({ kind, m }, cell): Mark[] => {
    if (kind === 'noisy') return [];
    const first = firstFrameOf(cell);
    return Array.from({ length: lastFrameOf(cell) - first + 1 }, (_, i): Mark => {
      // An interpolated cell held at m = 0 is a fixed one under another name.
      const isFixed = kind === 'fixed' || m === 0;
      return isFixed ? { frame: first + i, kind: 'fixed' } : { frame: first + i, kind: 'interpolated', m };
    });
  });
}

/** A range with everything that made a take: its marks, prompts, sampler, length and model. */
export function rangeOfTake(
  range: Range,
  {
    plan,
    prompt,
    negativePrompt,
    sampler,
    model,
  }: Pick<Take, 'plan' | 'prompt' | 'negativePrompt' | 'sampler' | 'model'>,
): Range {
  return {
    ...range,
    frames: plan.frames,
    preset: null,
    prompt,
    negativePrompt,
    sampler,
    marks: marksOfPlan(plan),
    model: model.id,
  };
}
