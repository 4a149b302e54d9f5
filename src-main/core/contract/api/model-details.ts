import { z } from 'zod';
import { pathSchema } from './common.ts';
import { bakePrecisions } from './model-work.ts';

const bytes = z.int().min(0);
const fileName = z.string().min(1).max(4096);

export const modelParts = ['dit', 'lowNoise', 'vae', 'textEncoder', 'tokenizer', 'lora'] as const;

/** A part of a model: a network, a LoRA, the tokenizer. */
export const modelPartSchema = z.strictObject({
  part: z.enum(modelParts),
  /** Of its file, or of the index of its shards; a LoRA's own. */
  name: fileName,
  /** Where it lies. */
  path: pathSchema,
  /** How many files it is. */
  files: z.int().min(1).max(1001),
  bytes,
  /** It lies in the package's own folder. */
  own: z.boolean(),
  /** Numbers in all its tensors; 0 of a tokenizer. */
  parameters: z.number().min(0),
  /** Number format → bytes of the tensors stored so. */
  formats: z.record(z.string().max(20), bytes),
  /** The blocks' matrices of a diffusion model, which a bake makes smaller: their numbers and bytes; else 0. */
  matrices: z.strictObject({ numbers: z.number().min(0), bytes }),
});
export type ModelPart = z.infer<typeof modelPartSchema>;

/** What a model consists of. */
export const modelDetailsSchema = z.strictObject({
  /** The package's own. */
  folder: pathSchema,
  family: z.string().max(40),
  parts: z.array(modelPartSchema).min(1).max(64),
  /** How it was made of another model; null for one that was not. */
  baked: z
    .strictObject({
      precision: z.enum(bakePrecisions),
      /** Numbers under one scale; null where there are no blocks. */
      blockSize: z.int().min(1).nullable(),
      search: z.boolean(),
      source: z.string().max(200),
      merged: z
        .array(z.strictObject({ name: z.string().min(1).max(255), strength: z.number().min(0).max(4) }))
        .max(32),
      /** Relative error of each matrix against the source's. */
      layers: z
        .array(z.strictObject({ name: z.string().min(1).max(500), error: z.number().min(0) }))
        .max(20_000),
    })
    .nullable(),
});
export type ModelDetails = z.infer<typeof modelDetailsSchema>;
