import {
  projectSchema,
  rangeSchema,
  type Interpolation,
  type Project,
  type Range,
  type Sampler,
} from '../contract/project.ts';
import { PusaError } from '../errors.ts';
import { requireRangeLength } from '../timeline/cells.ts';
import { negativePromptEnglish } from './prompts.ts';

/** Sampler values as Pusa's demo and paper use them (spec §3.3, §10). */
export const defaultSampler: Sampler = {
  solver: 'euler',
  steps: 10,
  cfg: 3,
  shift: 5,
  seed: 0,
  loraStrength: 1.4,
};

/** Automatic m rises in a straight line and reaches 1 in the middle of a gap. */
export const defaultInterpolation: Interpolation = { curve: 'linear', peak: 1 };

/** Length of a range the released model was trained on (spec §8), in frames. */
export const defaultFrames = 81;

/** What a model says it works best with; it overrides the defaults. The seed stays the person's. */
export type RecommendedSampler = { readonly [K in Exclude<keyof Sampler, 'seed'>]?: Sampler[K] | undefined };

/** The sampler with what a model recommends put in. */
export function withRecommended(sampler: Sampler, recommended: RecommendedSampler = {}): Sampler {
  return {
    ...sampler,
    solver: recommended.solver ?? sampler.solver,
    steps: recommended.steps ?? sampler.steps,
    cfg: recommended.cfg ?? sampler.cfg,
    shift: recommended.shift ?? sampler.shift,
    loraStrength: recommended.loraStrength ?? sampler.loraStrength,
  };
}

/** What a new range may be told; the rest is default. */
export interface NewRange {
  readonly id: string;
  /** First frame on the timeline. */
  readonly start?: number;
  /** 4n+1. */
  readonly frames?: number;
  readonly recommended?: RecommendedSampler;
}

/**
 * A range without marks or prompt: pure text → video until somebody paints.
 * @throws RANGE_LENGTH, PROJECT_INVALID
 */
export function newRange({ id, start = 0, frames = defaultFrames, recommended }: NewRange): Range {
  const parsed = rangeSchema.safeParse({
    id,
    start,
    frames: requireRangeLength(frames),
    preset: null,
    prompt: '',
    negativePrompt: negativePromptEnglish,
    marks: [],
    interpolation: defaultInterpolation,
    sampler: withRecommended(defaultSampler, recommended),
    model: null,
    keepOriginalPixels: true,
  } satisfies Range);
  if (parsed.success) return parsed.data;
  throw invalid('range', parsed.error.issues[0]?.path);
}

/** What a new project is told; size and rate default to those of Wan2.1 at 480p. */
export interface NewProject {
  readonly id: string;
  readonly name: string;
  /** ISO 8601 in UTC, as `Date.toISOString` gives it. */
  readonly now: string;
  /** Pixels, multiples of 16. */
  readonly width?: number;
  readonly height?: number;
  /** Frames per second. */
  readonly fps?: number;
}

/**
 * A project with nothing on its timeline.
 * @throws SIZE_INVALID, PROJECT_INVALID
 */
export function newProject({ id, name, now, width = 832, height = 480, fps = 16 }: NewProject): Project {
  const parsed = projectSchema.safeParse({
    version: 1,
    id,
    name,
    width,
    height,
    fps,
    assets: [],
    clips: [],
    ranges: [],
    createdAt: now,
    modifiedAt: now,
  } satisfies Project);
  if (parsed.success) return parsed.data;
  const path = parsed.error.issues[0]?.path;
  if (path?.[0] === 'width' || path?.[0] === 'height') {
    throw new PusaError(
      'SIZE_INVALID',
      `A picture of ${width}×${height} pixels cannot be generated.`,
      'Use multiples of 16 from 16 to 4096.',
    );
  }
  throw invalid('project', path);
}

function invalid(what: string, path: readonly PropertyKey[] | undefined): PusaError {
  return new PusaError(
    'PROJECT_INVALID',
    `A new ${what} cannot have this ${path?.map(String).join('.') ?? 'value'}.`,
    'Choose another value.',
  );
}
