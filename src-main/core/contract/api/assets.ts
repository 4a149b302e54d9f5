import { z } from 'zod';
import type { MethodSpec } from '../channel/contract.ts';
import { assetSchema, idSchema } from '../project.ts';
import { assetRecordSchema, assetStates } from '../records.ts';
import { idsSchema, nothing, pageInput, pageOf, pathSchema, pictureSchema, taskSchema } from './common.ts';

const assetId = idSchema;
const seconds = z.number().min(0).max(86_400);
const pixels = z.int().min(16).max(2048);
const { name, fps } = assetSchema.shape;

/** `known`: the library had these bytes already; nothing was copied. */
const importedSchema = z.strictObject({ asset: assetRecordSchema, known: z.boolean() });

/** Media files of the library. Their bytes are read by id; no path leads into the library. */
export const assetMethods = {
  'assets.list': {
    input: z.strictObject({
      ...pageInput,
      kind: assetSchema.shape.kind.optional(),
      state: z.enum(assetStates).optional(),
      sort: z.enum(['imported', 'name', 'bytes']),
    }),
    output: pageOf(assetRecordSchema),
    writes: false,
  },
  'assets.get': { input: z.strictObject({ assetId }), output: assetRecordSchema, writes: false },
  'assets.rename': { input: z.strictObject({ assetId, name }), output: assetRecordSchema, writes: true },
  /** A file, or the folder or numbered pattern of a sequence with its rate. */
  'assets.import': {
    input: z.strictObject({ path: pathSchema, sequenceFps: fps.optional(), task: taskSchema }),
    output: importedSchema,
    writes: true,
    namesPath: true,
  },
  'assets.upload': {
    input: z.strictObject({ name, task: taskSchema }),
    output: importedSchema,
    writes: true,
    upload: true,
  },
  /** Whole, or from a byte on, at most `bytes` of them. */
  'assets.read': {
    input: z.strictObject({
      assetId,
      from: z.int().min(0).optional(),
      bytes: z.int().min(1).optional(),
    }),
    output: z.strictObject({ from: z.int().min(0), bytes: z.int().min(0), total: z.int().min(1) }),
    writes: false,
    download: true,
  },
  /** One picture no larger than `size` on its longer side. */
  'assets.thumbnail': {
    input: z.strictObject({ assetId, size: pixels, at: seconds.optional() }),
    output: pictureSchema,
    writes: false,
    download: true,
  },
  /** Frames at even distances from `from` to `to`, side by side in one picture. */
  'assets.filmstrip': {
    input: z.strictObject({
      assetId,
      from: seconds,
      to: seconds,
      frames: z.int().min(1).max(64),
      height: z.int().min(16).max(512),
    }),
    output: pictureSchema.extend({ frames: z.int().min(1).max(64) }),
    writes: false,
    download: true,
  },
  'assets.missing': { input: z.strictObject(pageInput), output: pageOf(assetRecordSchema), writes: false },
  /** What its file is beside what its record says. `codec` as ffmpeg names it; `rotation` clockwise, in degrees. */
  'assets.probe': {
    input: z.strictObject({ assetId }),
    output: z.strictObject({
      codec: z.string().max(60),
      rotation: z.literal([0, 90, 180, 270]),
      flip: z.boolean(),
      hasAudio: z.boolean(),
    }),
    writes: false,
  },
  /** Gives a missing asset its bytes again. Others than it had are taken only by hand: `accept: 'any'`. */
  'assets.relink': {
    input: z.strictObject({ assetId, path: pathSchema, accept: z.enum(['same', 'any']), task: taskSchema }),
    output: assetRecordSchema,
    writes: true,
    namesPath: true,
  },
  /** Looks through a folder for whatever is missing, by hash. */
  'assets.relinkFolder': {
    input: z.strictObject({ path: pathSchema, task: taskSchema }),
    output: z.strictObject({ found: z.array(assetId).max(100_000), stillMissing: z.int().min(0) }),
    writes: true,
    namesPath: true,
  },
  /** Media that no project and no take uses. */
  'assets.unusedMedia': {
    input: z.strictObject(pageInput),
    output: pageOf(assetRecordSchema).extend({ bytes: z.int().min(0) }),
    writes: false,
  },
  /** Removes unused media for good: those named, or all. */
  'assets.collectUnused': {
    input: z.strictObject({ assetIds: idsSchema.optional() }),
    output: z.strictObject({ assets: z.int().min(0), bytes: z.int().min(0) }),
    writes: true,
  },
  /** To another folder, copied and checked before the old one is given up. */
  'assets.moveStore': {
    input: z.strictObject({ path: pathSchema, task: taskSchema }),
    output: nothing,
    writes: true,
    namesPath: true,
  },
} as const satisfies Record<string, MethodSpec>;
