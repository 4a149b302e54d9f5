import { z } from 'zod';
import { errorSchema } from '../job.ts';
import { idSchema } from '../project.ts';
import { workPhaseSchema } from '../work-phase.ts';
import { pathSchema } from './common.ts';

const bytes = z.int().min(0);
const time = z.iso.datetime();
const modelName = z
  .string()
  .min(1)
  .max(200)
  .refine((name) => name === name.trim(), 'A name has no space around it.');

export const modelTaskKinds = ['import', 'bake', 'download', 'verify'] as const;
export const modelTaskStates = ['waiting', 'running', 'paused', 'done', 'failed', 'cancelled'] as const;

/** A long operation on models. The studio keeps it: downloads go on after a restart, the others say they were cut off. */
export const modelTaskSchema = z.strictObject({
  id: idSchema,
  kind: z.enum(modelTaskKinds),
  /** What it works on, as a person calls it: the entry's name, the model's name. */
  label: z.string().min(1).max(200),
  /** What it is doing; null before it began and once it is done. */
  phase: workPhaseSchema.nullable(),
  /** Bytes of the present phase; of a download, of all its files together. */
  done: bytes,
  total: bytes.nullable(),
  /** Over the last seconds; null where nothing was measured. */
  bytesPerSecond: z.number().min(0).nullable(),
  state: z.enum(modelTaskStates),
  /** Whether `models.pause` makes sense: downloads and bakes. */
  canPause: z.boolean(),
  /** Why it failed. */
  error: errorSchema.nullable(),
  /** The catalogue's entry of a download. */
  entry: idSchema.nullable(),
  /** The package that came of it, once it is done; of a verification the model that was read. */
  model: idSchema.nullable(),
  createdAt: time,
  finishedAt: time.nullable(),
});
export type ModelTask = z.infer<typeof modelTaskSchema>;

/** Precisions that a package can be baked to. */
export const bakePrecisions = ['F32', 'F16', 'int8', 'int4'] as const;

/** What becomes of a LoRA. `live`: its strength is set for each generation; else it is always `strength`. */
export const loraChoiceSchema = z.strictObject({
  path: pathSchema,
  strength: z.number().min(0).max(4),
  live: z.boolean(),
});

export const importSchema = z.strictObject({
  /** One folder, whose files are all looked at; or files from any folders: networks, index files, tokenizer. */
  paths: z.array(pathSchema).min(1).max(2000),
  /** Null: made from the name. One that is taken by another model is refused. */
  id: idSchema.nullable(),
  /** Null: what the model calls itself, else its file's name. */
  name: modelName.nullable(),
  /** LoRAs to go with it; those among `paths` that are not named here have the strength they recommend. */
  loras: z.array(loraChoiceSchema).max(16),
  /** `asIs`: the files where they lie, nothing copied, except what graphs cannot read and is converted once. */
  precision: z.enum(['asIs', ...bakePrecisions]),
});
export type ImportRequest = z.infer<typeof importSchema>;

export const bakeSchema = z.strictObject({
  model: idSchema,
  /** Of the new package; null: made from the model's and the precision. */
  id: idSchema.nullable(),
  name: modelName.nullable(),
  precision: z.enum(bakePrecisions),
  /** Search the scale of every block that fits its numbers best: slower, nearer to the original. */
  search: z.boolean(),
  /** Merge its LoRAs at their strengths; else they stay apart with theirs live where it was. */
  mergeLoras: z.boolean(),
});
export type BakeRequest = z.infer<typeof bakeSchema>;

/** What a checkpoint is, or why it cannot be used. */
export const inspectionSchema = z.strictObject({
  path: pathSchema,
  bytes,
  /** The file's format: safetensors, GGUF, PyTorch. */
  format: z.string().max(40),
  /** Which part of a model it is; null where it is refused. */
  role: z.enum(['dit', 'vae', 'textEncoder', 'lora', 'tokenizer']).nullable(),
  /** A phrase such as "diffusion model of Wan2.1, text to video". */
  what: z.string().max(200).nullable(),
  /** Sizes in words: label and value. */
  details: z.record(z.string().max(60), z.string().max(200)),
  tensors: z.int().min(0),
  parameters: z.number().min(0),
  /** Number format → how many tensors are stored so. */
  formats: z.record(z.string().max(20), z.int().min(0)),
  /** False: its numbers are converted to float16 once, which takes `convertedBytes` more. */
  inPlace: z.boolean(),
  convertedBytes: bytes,
  refused: errorSchema.nullable(),
});
export type Inspection = z.infer<typeof inspectionSchema>;

/** Checkpoints found on this machine. */
export const foundSchema = z.strictObject({
  files: z
    .array(
      inspectionSchema.extend({
        where: z.enum(['huggingface', 'comfyui', 'folder']),
        /** The folder of those searched that it was found under. */
        root: pathSchema,
        /** Models that use it already. */
        models: z.array(idSchema).max(1000),
      }),
    )
    .max(2000),
  /** Files that make a whole model together, as `models.import` takes them, best first. */
  sets: z
    .array(
      z.strictObject({
        name: modelName,
        paths: z.array(pathSchema).min(1).max(2000),
        bytes,
        /** LoRAs that fit, to be chosen from; they are not among `paths`. */
        loras: z.array(loraChoiceSchema).max(100),
      }),
    )
    .max(100),
  /** Folders that were looked through. */
  looked: z.array(pathSchema).max(200),
  /** There were more files than are looked at: the list is not whole. */
  cut: z.boolean(),
});
export type Found = z.infer<typeof foundSchema>;

/** Room on the disk of a folder. */
export const spaceSchema = z.strictObject({
  folder: pathSchema,
  /** Null where the system does not say. */
  freeBytes: bytes.nullable(),
});

/** Where models come from and go to. */
export const sourcesSchema = z.strictObject({
  /** Address of a server that answers like huggingface.co; null: that one itself. */
  mirror: z.url().max(500).nullable(),
  /** Whether a token is kept. It is sent to the server of the models only, and never shown. */
  hasToken: z.boolean(),
  /** Where downloads and baked packages go; null: the data folder. */
  folder: pathSchema.nullable(),
  /** More folders for `models.found`. */
  lookIn: z.array(pathSchema).max(50),
});
export type ModelSources = z.infer<typeof sourcesSchema>;

/** What removing a model does. */
export const removalSchema = z.strictObject({
  frees: bytes,
  /** Files that go. */
  deletes: z.array(z.strictObject({ path: pathSchema, bytes })).max(2000),
  /** Files that stay, and why: a sentence. */
  keeps: z.array(z.strictObject({ path: pathSchema, bytes, why: z.string().max(300) })).max(2000),
  /** Why it cannot be removed now, a sentence; null where it can. */
  blocked: z.string().max(1000).nullable(),
});
export type Removal = z.infer<typeof removalSchema>;
