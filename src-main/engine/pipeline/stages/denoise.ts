import type { Plan } from '../../../core/contract/job.ts';
import type { Sampler } from '../../../core/contract/project.ts';
import { PusaError } from '../../../core/errors.ts';
import type { Denoiser, Tensor } from '../../networks.ts';
import { createScheduler } from '../../scheduler/scheduler.ts';
import { allFinite, guide, predictClean } from '../latents.ts';
import type { Watch } from '../watch.ts';
import type { Context } from './text.ts';

export interface DenoiseInput {
  readonly plan: Plan;
  readonly sampler: Sampler;
  readonly context: Context;
  /** [C, F, H, W], initial noise from the seed. */
  readonly noise: Tensor;
  /** [C, F, H, W], clean latents of the conditioned cells; null when there are none. */
  readonly condition: Tensor | null;
}

/** Everything needed to go on after a step, byte by byte. */
export interface SavedStep {
  /** Steps done, 1 … N. */
  readonly steps: number;
  /** [C, F, H, W] after them. */
  readonly latents: Tensor;
  /** The clean latents the last step pointed to: what is shown, and kept when the person stops here. */
  readonly prediction: Tensor;
  /** What the solver remembers. */
  readonly state: readonly Float32Array[];
}

/** Where steps are saved; see `step-store.ts` for the one in a job's folder. */
export interface StepStore {
  /** The furthest step that is whole, or null. */
  load(): Promise<SavedStep | null>;
  save(step: SavedStep): Promise<void>;
}

export interface DenoiseOutput {
  /** [C, F, H, W] to decode. */
  readonly latents: Tensor;
  readonly steps: number;
  /** True when the person stopped early: `latents` is then the last step's prediction. */
  readonly partial: boolean;
}

/** Ends a step between two segments because the person wants what there is. */
class StopAndKeep extends Error {}

/**
 * Denoising stage: noise → latents, saved after every step and resumed from the last saved one. With CFG 1 the
 * negative pass is left out. "Stop and keep" ends at the next segment; before the first step is done it waits for it.
 * @throws PusaError CANCELLED, MODEL_CANNOT, SAMPLER_INVALID, and what the denoiser throws
 */
export async function denoise(
  input: DenoiseInput,
  denoiser: Denoiser,
  store: StepStore,
  watch: Watch,
): Promise<DenoiseOutput> {
  const { plan, sampler } = input;
  const scheduler = createScheduler(plan, sampler.solver);
  let last = await store.load();
  if (last !== null) scheduler.restore(last.steps, last.state);
  watch.begin('denoise', last?.steps ?? 0);
  let latents = last?.latents ?? scheduler.start(input.noise, input.condition);

  for (let k = last?.steps ?? 0; k < plan.steps; k++) {
    let velocity: Tensor;
    try {
      await denoiser.beginStep?.(Math.fround(1000 * plan.sigmas[k]!));
      velocity = await guidedVelocity(input, denoiser, latents, scheduler.timesteps(k), (part) => {
        // A step that is computed is saved before it counts as done, and before a wish to stop is heard.
        if (part >= 1) return;
        watch.advance(k + part);
        if (last !== null && watch.wish() === 'keep') throw new StopAndKeep();
      });
    } catch (thrown) {
      if (last !== null && thrown instanceof StopAndKeep) break;
      throw thrown;
    }
    const prediction = predictClean(plan, k, latents, velocity);
    latents = scheduler.step(k, latents, velocity);
    if (!allFinite(latents)) {
      throw new PusaError(
        'MODEL_CANNOT',
        `The model gave numbers that are not finite in step ${k + 1} of ${plan.steps}.`,
        'Lower the LoRA strength or the CFG, choose another device, or import the model again.',
      );
    }
    last = { steps: k + 1, latents, prediction, state: scheduler.save() };
    await store.save(last);
    watch.advance(k + 1);
    watch.preview(prediction);
    if (watch.wish() === 'keep') break;
  }
  // A plan has at least one step.
  const { steps, prediction } = last!;
  const partial = steps < plan.steps;
  return { latents: partial ? prediction : latents, steps, partial };
}

/** @param onPart between segments, with the part of the step that is done (0 … 1) */
async function guidedVelocity(
  { sampler, context }: DenoiseInput,
  denoiser: Denoiser,
  latents: Tensor,
  timesteps: Float32Array,
  onPart: (part: number) => void,
): Promise<Tensor> {
  const { positive, negative } = context;
  const passes = negative === null ? 1 : 2;
  const pass = (text: Tensor, index: number): Promise<Tensor> =>
    denoiser.velocity(latents, timesteps, text, sampler.loraStrength, (done, total) => {
      onPart((index + done / total) / passes);
    });
  const velocity = await pass(positive, 0);
  return negative === null ? velocity : guide(velocity, await pass(negative, 1), sampler.cfg);
}
