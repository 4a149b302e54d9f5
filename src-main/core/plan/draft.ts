import type { Sampler } from '../contract/project.ts';
import type { RecommendedSampler } from '../presets/defaults.ts';

/** Sizes are multiples of this many pixels: the autoencoder's stride of 8 times the patch of two latents. */
export const sizeMultiple = 16;

/** Fewer than these steps are not halved: distilled models need each of them. */
const fewestSteps = 4;

/** A side is not made smaller than this, in pixels; where the picture itself is smaller it keeps its side. */
const smallestSide = 48;

/** What a draft is made of. */
export interface DraftInput {
  /** Of the project, in pixels. */
  readonly width: number;
  readonly height: number;
  readonly sampler: Sampler;
  /** What the model recommends: its steps are where a draft begins from, if the range has more. */
  readonly recommended?: RecommendedSampler;
  /** Both sides are multiples of it; default {@link sizeMultiple}. */
  readonly multiple?: number;
}

/** A quick look at a range: the same marks, prompt and seed at half the size and with fewer steps. */
export interface Draft {
  readonly width: number;
  readonly height: number;
  readonly sampler: Sampler;
}

/**
 * The draft of a range: half of each side, rounded to what the model can do, and half of the steps (those of the
 * model where the range has more), but not below four. About an eighth of the time, and a motion that is only alike:
 * other sizes have other noise.
 */
export function draftOf(input: DraftInput): Draft {
  const { width, height, sampler, recommended = {}, multiple = sizeMultiple } = input;
  const steps = Math.min(sampler.steps, recommended.steps ?? sampler.steps);
  return {
    width: half(width, multiple),
    height: half(height, multiple),
    sampler: {
      ...sampler,
      steps: steps <= fewestSteps ? steps : Math.max(fewestSteps, Math.ceil(steps / 2)),
    },
  };
}

/** Whether a draft would be any quicker than the range itself. */
export function hasDraft(input: DraftInput): boolean {
  const draft = draftOf(input);
  return (
    draft.width < input.width || draft.height < input.height || draft.sampler.steps < input.sampler.steps
  );
}

function half(side: number, multiple: number): number {
  const least = Math.min(side, Math.ceil(smallestSide / multiple) * multiple);
  return Math.min(side, Math.max(least, Math.round(side / 2 / multiple) * multiple));
}
