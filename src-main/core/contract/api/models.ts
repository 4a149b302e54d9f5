import { z } from 'zod';
import { recommendedSchema } from '../../edit/commands.ts';
import type { EventSpec, MethodSpec } from '../channel/contract.ts';
import { deviceReportSchema } from '../device.ts';
import { idSchema, projectSchema, rangeSchema } from '../project.ts';
import { catalogueSchema } from './model-catalogue.ts';
import { modelDetailsSchema } from './model-details.ts';
import { nothing, pathSchema } from './common.ts';
import {
  bakeSchema,
  foundSchema,
  importSchema,
  inspectionSchema,
  modelTaskSchema,
  removalSchema,
  sourcesSchema,
  spaceSchema,
} from './model-work.ts';

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
  /** Both sides of a picture must be multiples of it, in pixels; 16 where left out. */
  sizeMultiple: z.int().min(16).max(64).optional(),
  loras: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(255),
        defaultStrength: z.number().min(0).max(4),
        /** Its strength can be set for each generation. */
        live: z.boolean(),
      }),
    )
    .max(32),
});
export type Model = z.infer<typeof modelSchema>;

const startedSchema = z.strictObject({ task: idSchema });

/** Models and the machine they run on. */
export const modelMethods = {
  'models.list': {
    input: z.strictObject({}),
    output: z.strictObject({ models: z.array(modelSchema).max(1000) }),
    writes: false,
  },
  /** What a model consists of, and how it was made. */
  'models.details': { input: z.strictObject({ model: idSchema }), output: modelDetailsSchema, writes: false },
  /** How many tokens a model's text encoder makes of a prompt, its end mark included; what is past `limit` is cut. */
  'models.countTokens': {
    /** Null: the default model. */
    input: z.strictObject({ model: idSchema.nullable(), text: rangeSchema.shape.prompt }),
    output: z.strictObject({ tokens: z.int().min(1), limit: z.int().min(1) }),
    writes: false,
  },
  /** Long operations on models that are waiting, at work, paused or just over, oldest first. */
  'models.tasks': {
    input: z.strictObject({}),
    output: z.strictObject({ tasks: z.array(modelTaskSchema).max(1000) }),
    writes: false,
  },
  /** Known models that can be downloaded; asks nobody outside this machine. */
  'models.catalogue': { input: z.strictObject({}), output: catalogueSchema, writes: false },
  /**
   * Downloads what of an entry is not here yet, checks it and makes a package of it. Null: the folder of
   * `models.sources`. Answers as soon as the task waits.
   */
  'models.download': {
    input: z.strictObject({ entry: idSchema, folder: pathSchema.nullable() }),
    output: startedSchema,
    writes: true,
    namesPath: true,
  },
  /** Space on the disk of a folder, which need not exist yet. */
  'models.space': {
    input: z.strictObject({ folder: pathSchema }),
    output: spaceSchema,
    writes: false,
    namesPath: true,
  },
  /** Where models come from and go to. */
  'models.sources': { input: z.strictObject({}), output: sourcesSchema, writes: false },
  /** What is left out stays. A token goes in here and never comes out again; null forgets it. */
  'models.setSources': {
    input: z.strictObject({
      mirror: sourcesSchema.shape.mirror.optional(),
      token: z.string().min(1).max(500).nullable().optional(),
      folder: sourcesSchema.shape.folder.optional(),
      lookIn: sourcesSchema.shape.lookIn.optional(),
    }),
    output: sourcesSchema,
    writes: true,
    namesPath: true,
  },
  /** Looks for checkpoints that other programs or the person put on this machine. Reads headers only. */
  'models.found': { input: z.strictObject({}), output: foundSchema, writes: false },
  /** What a file is, from its tensors. A file that cannot be used is no error here: `refused` says why. */
  'models.inspect': {
    input: z.strictObject({ path: pathSchema }),
    output: inspectionSchema,
    writes: false,
    namesPath: true,
  },
  /** Makes a package of files where they lie, or with another precision of a baked copy. */
  'models.import': { input: importSchema, output: startedSchema, writes: true, namesPath: true },
  /** Makes another package of one: its LoRAs merged, its matrices in another number format. */
  'models.bake': { input: bakeSchema, output: startedSchema, writes: true },
  /** Reads every file of a model and compares it with what was imported. */
  'models.verify': { input: z.strictObject({ model: idSchema }), output: startedSchema, writes: true },
  /** What removing a model would do. */
  'models.removal': { input: z.strictObject({ model: idSchema }), output: removalSchema, writes: false },
  /** Forgets a model and deletes the files that only it owns; a person's own files stay. */
  'models.remove': {
    input: z.strictObject({ model: idSchema }),
    output: z.strictObject({ bytes: z.int().min(0) }),
    writes: true,
  },
  /** Holds a task that `canPause`; what it has done stays. */
  'models.pause': { input: z.strictObject({ task: idSchema }), output: nothing, writes: true },
  /** A paused, failed or cancelled task goes on from what it had done. */
  'models.resume': { input: z.strictObject({ task: idSchema }), output: nothing, writes: true },
  /**
   * Ends a task. What a download or a bake has written stays for another time, unless `removeParts`: then it goes, but
   * for files that a model uses. Also for tasks that failed or are paused.
   */
  'models.cancel': {
    input: z.strictObject({ task: idSchema, removeParts: z.boolean() }),
    output: z.strictObject({ bytes: z.int().min(0) }),
    writes: true,
  },
  /** Takes a task that is over from the list. */
  'models.dismiss': { input: z.strictObject({ task: idSchema }), output: nothing, writes: true },
  /** What this machine has; asked of the engine where it is not known yet or `fresh` is wanted. */
  'device.report': {
    input: z.strictObject({ fresh: z.boolean() }),
    output: deviceReportSchema,
    writes: false,
  },
} as const satisfies Record<string, MethodSpec>;

export const modelEvents = {
  /** Models, the catalogue, what is owned or which tasks there are is not what it was: read anew. */
  'models.changed': { payload: z.strictObject({}), lossy: false },
  /** A task as it is now: at every change of its state, a few times a second while it works. */
  'models.task': { payload: z.strictObject({ task: modelTaskSchema }), lossy: false },
} as const satisfies Record<string, EventSpec>;
