import { basename } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import { clip, type Checkpoint } from './checkpoint.ts';
import { bakedSchema, type Baked } from './manifest.ts';

/** Upper bounds of the numbers a checkpoint's metadata may state. */
const limits: Readonly<Record<string, number>> = {
  'pusa.num_heads': 1024,
  'pusa.text_len': 4096,
  'pusa.native_width': 4096,
  'pusa.native_height': 4096,
  'pusa.native_fps': 240,
  'pusa.native_frames': 4001,
  'pusa.recommended_steps': 200,
  'pusa.recommended_cfg': 30,
  'pusa.recommended_shift': 50,
  'pusa.recommended_lora_strength': 4,
};
const mayBeZero = new Set(['pusa.recommended_cfg', 'pusa.recommended_lora_strength']);
const whole = new Set([
  'num_heads',
  'text_len',
  'native_width',
  'native_height',
  'native_frames',
  'recommended_steps',
]);

/**
 * A number from `__metadata__`, null where the file does not state it.
 * @throws PusaError CHECKPOINT_INVALID
 */
export function metadataNumber(checkpoint: Checkpoint, key: string): number | null {
  const text = checkpoint.metadata[key];
  if (text === undefined) return null;
  const value = /^\d{1,6}(\.\d{1,6})?$/.test(text) ? Number(text) : NaN;
  const isWhole = Number.isInteger(value) || !whole.has(key.replace(/^pusa\./, ''));
  if (!(value >= 0 && value <= (limits[key] ?? 0)) || !isWhole || (value === 0 && !mayBeZero.has(key))) {
    throw new PusaError(
      'CHECKPOINT_INVALID',
      `"${basename(checkpoint.path)}" states the impossible ${key} "${clip(text)}".`,
      'Ask its author for a corrected file.',
    );
  }
  return value;
}

/** A line of text from `__metadata__`, null where the file does not state it. */
function metadataText(checkpoint: Checkpoint, key: string): string | null {
  const text = checkpoint.metadata[key]?.replaceAll(/\p{C}+/gu, ' ').trim();
  return text === undefined || text === '' ? null : text.slice(0, 200);
}

/** Key of what stands in a baked file: how it was made, as JSON. The file alone must not be taken for a pristine one. */
export const bakedKey = 'pusa.baked';

/**
 * How a diffusion model's file was baked, from its metadata; null for one that was not. The errors of its layers are
 * not in the file.
 * @throws PusaError CHECKPOINT_INVALID
 */
export function bakedOf({ path, metadata }: Pick<Checkpoint, 'path' | 'metadata'>): Baked | null {
  const text = metadata[bakedKey];
  if (text === undefined) return null;
  try {
    return bakedSchema.parse({ ...(JSON.parse(text) as object), layers: [] });
  } catch (cause) {
    throw new PusaError(
      'CHECKPOINT_INVALID',
      `"${basename(path)}" does not say in a way that can be understood how it was made.`,
      'Bake it again from the model it was made from.',
      { cause },
    );
  }
}

/** What a model says about itself beyond its tensors; Wan2.1's and Pusa's published values where it is silent. */
export interface ModelCard {
  readonly name: string | null;
  readonly licence: string | null;
  readonly recommended: { readonly steps: number; readonly cfg: number; readonly shift: number };
  readonly native: {
    readonly width: number;
    readonly height: number;
    readonly fps: number;
    readonly frames: number;
  };
}

/** What a file that states nothing is taken for: Pusa's settings (spec §3.3, §3.4), Wan's own for TI2V 5B (spec §6). */
const published = {
  textToVideo: { steps: 30, cfg: 3, shift: 5, width: 832, height: 480, fps: 16, frames: 81 },
  ti2v5b: { steps: 50, cfg: 5, shift: 5, width: 1280, height: 704, fps: 24, frames: 121 },
} as const;

/** Reads the card from the metadata of the diffusion model. @param kind says which defaults count */
export function modelCard(checkpoint: Checkpoint, kind: keyof typeof published = 'textToVideo'): ModelCard {
  const otherwise = published[kind];
  const number = (key: string, value: number): number => metadataNumber(checkpoint, key) ?? value;
  return {
    name: metadataText(checkpoint, 'pusa.name'),
    licence: metadataText(checkpoint, 'pusa.licence'),
    recommended: {
      steps: number('pusa.recommended_steps', otherwise.steps),
      cfg: number('pusa.recommended_cfg', otherwise.cfg),
      shift: number('pusa.recommended_shift', otherwise.shift),
    },
    native: {
      width: number('pusa.native_width', otherwise.width),
      height: number('pusa.native_height', otherwise.height),
      fps: number('pusa.native_fps', otherwise.fps),
      frames: number('pusa.native_frames', otherwise.frames),
    },
  };
}
