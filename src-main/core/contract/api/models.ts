import { z } from 'zod';
import { recommendedSchema } from '../../edit/commands.ts';
import type { MethodSpec } from '../channel/contract.ts';
import { deviceReportSchema } from '../device.ts';
import { idSchema, projectSchema, rangeSchema } from '../project.ts';

const { width, height, fps } = projectSchema.shape;

/** A model that is there to be used, or why it is not. */
export const modelSchema = z.strictObject({
  id: idSchema,
  name: z.string().min(1).max(200),
  licence: z.string().max(200),
  /** SHA-256 that names exactly these weights. */
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().min(0),
  /** Comes with the application. */
  bundled: z.boolean(),
  /** Used where a range names none. */
  isDefault: z.boolean(),
  /** A sentence; null while it can be used. */
  unusable: z.string().max(1000).nullable(),
  recommended: recommendedSchema.extend({ negativePrompt: rangeSchema.shape.negativePrompt.optional() }),
  /** What it was made for. */
  native: z.strictObject({ width, height, fps, frames: rangeSchema.shape.frames }),
  loras: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(255),
        defaultStrength: z.number().min(0).max(4),
        /** Its strength can be set for each generation. */
        live: z.boolean(),
      }),
    )
    .max(16),
});
export type Model = z.infer<typeof modelSchema>;

/** Models and the machine they run on. */
export const modelMethods = {
  'models.list': {
    input: z.strictObject({}),
    output: z.strictObject({ models: z.array(modelSchema).max(1000) }),
    writes: false,
  },
  /** How many tokens a model's text encoder makes of a prompt, its end mark included; what is past `limit` is cut. */
  'models.countTokens': {
    /** Null: the default model. */
    input: z.strictObject({ model: idSchema.nullable(), text: rangeSchema.shape.prompt }),
    output: z.strictObject({ tokens: z.int().min(1), limit: z.int().min(1) }),
    writes: false,
  },
  /** What this machine has; asked of the engine where it is not known yet or `fresh` is wanted. */
  'device.report': {
    input: z.strictObject({ fresh: z.boolean() }),
    output: deviceReportSchema,
    writes: false,
  },
} as const satisfies Record<string, MethodSpec>;
