import { z } from 'zod';
import { idSchema } from '../../core/contract/project.ts';
import { patch } from '../wan/dit-config.ts';
import { vaeStride } from '../wan/vae-config.ts';

const size = z.int().min(1).max(1_000_000);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const finite = z.number().refine(Number.isFinite);

/** Path inside the package's folder: forward slashes, no way out, not absolute, no drive. */
const innerPath = z
  .string()
  .min(1)
  .max(1024)
  .refine(
    (path) =>
      !/[\\\0:]/.test(path) && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..'),
    'The path leaves the folder.',
  );

/** A file that stays in a folder of its own, such as another program's: absolute, on any system. */
const outerPath = z
  .string()
  .min(1)
  .max(4096)
  .refine(
    (path) =>
      /^(\/|[A-Za-z]:[\\/]|\\\\)/.test(path) && !path.includes('\0') && !path.split(/[\\/]/).includes('..'),
    'The path is neither inside the folder nor absolute.',
  );
const filePath = z.union([innerPath, outerPath]);

/** A file of the package as it was at import: inside its folder, or where it lies. */
const packageFileSchema = z.strictObject({
  path: filePath,
  bytes: z.int().min(1),
  sha256,
});
export type PackageFile = z.infer<typeof packageFileSchema>;

const ditConfigSchema = z.strictObject({
  dim: size,
  ffnDim: size,
  heads: size,
  layers: size,
  inDim: size,
  outDim: size,
  freqDim: size,
  textDim: size,
  textLength: size,
  eps: finite.positive(),
});

const vaeConfigSchema = z.strictObject({
  dim: size,
  zDim: size,
  dimMult: z.array(finite.positive()).min(1).max(16),
  numResBlocks: size,
  temporalDownsample: z.array(z.boolean()).max(15),
  mean: z.array(finite).max(1024),
  std: z.array(finite.positive()).max(1024),
  wan22: z.strictObject({ decoderDim: size }).optional(),
});

const umt5ConfigSchema = z.strictObject({
  vocabulary: z.int().min(1).max(10_000_000),
  dim: size,
  attentionDim: size,
  ffnDim: size,
  heads: size,
  layers: size,
  buckets: size,
  maxDistance: size,
  eps: finite.positive(),
});

/** `open` is the one of `files` that names the others: the index of a model in shards, or the single file. */
const ditSchema = z.strictObject({
  open: filePath,
  files: z.array(packageFileSchema).min(1).max(1001),
  config: ditConfigSchema,
});

/** Kept apart from the base. `live`: its strength is the one of each generation; else always `defaultStrength`. */
const lorasSchema = z
  .array(
    z.strictObject({
      file: packageFileSchema,
      name: z.string().min(1).max(255),
      defaultStrength: finite.min(0).max(4),
      live: z.boolean(),
    }),
  )
  .max(16);

const expertSchema = z.enum(['high', 'low']);

/** How a package was made from a pristine one. */
export const bakedSchema = z.strictObject({
  precision: z.enum(['F32', 'F16', 'int8', 'int4']),
  /** Numbers under one scale; null for floats. */
  blockSize: z.int().min(2).max(4096).nullable(),
  /** Scales of least squared error, not merely of the largest number. */
  search: z.boolean(),
  source: z.strictObject({ id: idSchema, name: z.string().min(1).max(200), hash: sha256 }),
  /** LoRAs that are part of the weights now. */
  merged: z
    .array(
      z.strictObject({
        expert: expertSchema,
        name: z.string().min(1).max(255),
        sha256,
        strength: finite.min(0).max(4),
      }),
    )
    .max(32),
  /** Relative error ‖W − W′‖ / ‖W‖ of each quantised layer, against the merged weights. */
  layers: z
    .array(z.strictObject({ expert: expertSchema, name: z.string().min(1).max(255), error: finite.min(0) }))
    .max(20_000),
});

/** @see bakedSchema */
export type Baked = z.infer<typeof bakedSchema>;

const partsSchema = z.strictObject({
  version: z.union([z.literal(1), z.literal(2)]),
  id: idSchema,
  name: z.string().min(1).max(200),
  licence: z.string().min(1).max(200),
  /** SHA-256 over the hashes of all files in order: names exactly these weights. */
  hash: sha256,
  /** Files may lie in folders of their own, by absolute path. */
  filesStay: z.literal(true).optional(),
  family: z.enum(['wan2.1', 'wan2.2']),
  dit: ditSchema,
  loras: lorasSchema,
  /**
   * The second expert of Wan2.2, of the same sizes: it takes the steps at timesteps below `boundary` · 1000, and `dit`
   * with `loras`, then the high-noise expert, those above. A live strength is the high-noise one's; here it is meant in
   * proportion of the default strengths.
   */
  lowNoise: z.strictObject({ boundary: finite.min(0).max(1), dit: ditSchema, loras: lorasSchema }).optional(),
  vae: z.strictObject({ file: packageFileSchema, config: vaeConfigSchema }),
  textEncoder: z.strictObject({
    open: filePath,
    files: z.array(packageFileSchema).min(1).max(1001),
    config: umt5ConfigSchema,
  }),
  /** A `spiece.model` or `tokenizer.json`, or a tensor of the text encoder that holds one. */
  tokenizer: z.discriminatedUnion('from', [
    z.strictObject({ from: z.literal('file'), file: packageFileSchema }),
    z.strictObject({ from: z.literal('tensor'), name: z.string().min(1).max(255) }),
  ]),
  recommended: z.strictObject({
    steps: z.int().min(1).max(200),
    cfg: finite.min(0).max(30),
    shift: finite.min(0.1).max(50),
    loraStrength: finite.min(0).max(4),
    negativePrompt: z.string().max(10_000).optional(),
  }),
  /** Absent in a package of the weights as they came. */
  baked: bakedSchema.optional(),
  native: z.strictObject({
    width: z.int().min(16).max(4096).multipleOf(16),
    height: z.int().min(16).max(4096).multipleOf(16),
    fps: finite.min(1).max(240),
    frames: z
      .int()
      .min(1)
      .max(4001)
      .refine((n) => n % 4 === 1, 'A length is 4n+1 frames.'),
  }),
});

/**
 * `manifest.json` of a model package: which files play which part, what the networks' sizes are, and what the model
 * recommends. Everything that differs between models stands here. Version 2 may have a second expert and the VAE of
 * Wan2.2; all else is version 1, which packages without them still are.
 */
export const manifestSchema = partsSchema.superRefine((manifest, context) => {
  if (manifest.filesStay === true) return;
  const { dit, loras, lowNoise, vae, textEncoder, tokenizer } = manifest;
  const check = (path: string, ...where: (string | number)[]): void => {
    if (innerPath.safeParse(path).success) return;
    context.addIssue({ code: 'custom', path: [...where, 'path'], message: 'The path leaves the folder.' });
  };
  dit.files.forEach(({ path }, index) => check(path, 'dit', 'files', index));
  loras.forEach(({ file }, index) => check(file.path, 'loras', index, 'file'));
  lowNoise?.dit.files.forEach(({ path }, index) => check(path, 'lowNoise', 'dit', 'files', index));
  lowNoise?.loras.forEach(({ file }, index) => check(file.path, 'lowNoise', 'loras', index, 'file'));
  check(vae.file.path, 'vae', 'file');
  textEncoder.files.forEach(({ path }, index) => check(path, 'textEncoder', 'files', index));
  if (tokenizer.from === 'file') check(tokenizer.file.path, 'tokenizer', 'file');
});
export type Manifest = z.infer<typeof manifestSchema>;

/** Name of the manifest inside a package's folder. */
export const manifestName = 'manifest.json';

/** The networks of a two-expert model; a model with one network has only `high`. */
export type Expert = 'high' | 'low';

/** The experts a package has. */
export function expertsOf({ lowNoise }: Pick<Manifest, 'lowNoise'>): readonly Expert[] {
  return lowNoise === undefined ? ['high'] : ['high', 'low'];
}

/** The diffusion model of an expert with its LoRAs. @throws RangeError where the package has no such expert */
export function expertOf(manifest: Manifest, expert: Expert): Pick<Manifest, 'dit' | 'loras'> {
  if (expert === 'high') return manifest;
  if (manifest.lowNoise === undefined) throw new RangeError(`"${manifest.name}" has one network only.`);
  return manifest.lowNoise;
}

/** Sides of a picture are multiples of this many pixels: the autoencoder's stride times the patch of two latents. */
export function sizeMultipleOf({ vae }: Pick<Manifest, 'vae'>): number {
  return patch * Math.max(...vaeStride(vae.config).slice(1));
}

/** All files of a package, each once, in the order their hashes are combined in. */
export function filesOf(
  manifest: Pick<Manifest, 'dit' | 'loras' | 'lowNoise' | 'vae' | 'textEncoder' | 'tokenizer'>,
): PackageFile[] {
  const { lowNoise } = manifest;
  const all = [
    ...manifest.dit.files,
    ...manifest.loras.map(({ file }) => file),
    ...(lowNoise === undefined ? [] : [...lowNoise.dit.files, ...lowNoise.loras.map(({ file }) => file)]),
    manifest.vae.file,
    ...manifest.textEncoder.files,
    ...(manifest.tokenizer.from === 'file' ? [manifest.tokenizer.file] : []),
  ];
  // Both experts may have the same LoRA.
  return [...new Map(all.map((file) => [file.path, file])).values()];
}
