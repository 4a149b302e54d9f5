import type { Model } from '../../../src-main/core/contract/api/models.ts';
import type { Interpolation, Range, Sampler } from '../../../src-main/core/contract/project.ts';
import { cellMarks } from '../../../src-main/core/timeline/marks.ts';
import {
  defaultInterpolation,
  defaultSampler,
  withRecommended,
} from '../../../src-main/core/presets/defaults.ts';
import { negativePromptChinese, negativePromptEnglish } from '../../../src-main/core/presets/prompts.ts';
import { recommendedOf } from './preset-commands.ts';

/** The published values a range starts with: Pusa's, with what the model recommends put in. */
export interface Published {
  readonly sampler: Sampler;
  readonly interpolation: Interpolation;
  readonly negativePrompt: string;
  readonly frames: number;
}

export function publishedDefaults(model: Model | null): Published {
  return {
    sampler: withRecommended(defaultSampler, recommendedOf(model)),
    interpolation: defaultInterpolation,
    negativePrompt: model?.recommended.negativePrompt ?? negativePromptEnglish,
    frames: model?.native.frames ?? 81,
  };
}

/** Ready negative prompts: the model's own, Pusa's in English, Wan's in Chinese. */
export function negativePrompts(model: Model | null): {
  readonly model: string | null;
  readonly en: string;
  readonly zh: string;
} {
  return {
    model: model?.recommended.negativePrompt ?? null,
    en: negativePromptEnglish,
    zh: negativePromptChinese,
  };
}

/** Whether a range keeps anything: then only Euler, which gives each cell its own timestep, can run it. */
export function keepsCells(range: Pick<Range, 'frames' | 'marks' | 'interpolation'>): boolean {
  try {
    return cellMarks(range.frames, range.marks, range.interpolation).some(({ m }) => m < 1);
  } catch {
    return false;
  }
}

/** How the LoRA's strength is set: for each generation, fixed when it was baked in, or there is none. */
export type LoraControl =
  | { readonly kind: 'live'; readonly name: string; readonly published: number }
  | { readonly kind: 'baked'; readonly name: string; readonly strength: number }
  | { readonly kind: 'none' };

export function loraControl(model: Model | null): LoraControl {
  if (model === null) return { kind: 'none' };
  const live = model.loras.find((lora) => lora.live);
  if (live !== undefined) {
    const published = model.recommended.loraStrength ?? live.defaultStrength;
    return { kind: 'live', name: live.name, published };
  }
  const baked = model.loras[0];
  return baked === undefined
    ? { kind: 'none' }
    : { kind: 'baked', name: baked.name, strength: baked.defaultStrength };
}
