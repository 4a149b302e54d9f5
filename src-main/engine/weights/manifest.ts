import { z } from 'zod';
import { idSchema } from '../../core/contract/project.ts';

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

/** A file of the package as it was at import. */
export const packageFileSchema = z.strictObject({
  path: innerPath,
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

/**
 * `manifest.json` of a model package, version 1: which files play which part, what the networks' sizes are, and what
 * the model recommends. Everything that differs between models stands here.
 */
export const manifestSchema = z.strictObject({
  version: z.literal(1),
  id: idSchema,
  name: z.string().min(1).max(200),
  licence: z.string().min(1).max(200),
  /** SHA-256 over the hashes of all files in order: names exactly these weights. */
  hash: sha256,
  family: z.literal('wan2.1'),
  /** `open` is the one of `files` that names the others: the index of a model in shards, or the single file. */
  dit: z.strictObject({
    open: innerPath,
    files: z.array(packageFileSchema).min(1).max(1001),
    config: ditConfigSchema,
  }),
  /** Kept apart from the base. `live`: its strength is the one of each generation; else always `defaultStrength`. */
  loras: z
    .array(
      z.strictObject({
        file: packageFileSchema,
        name: z.string().min(1).max(255),
        defaultStrength: finite.min(0).max(4),
        live: z.boolean(),
      }),
    )
    .max(16),
  vae: z.strictObject({ file: packageFileSchema, config: vaeConfigSchema }),
  textEncoder: z.strictObject({
    open: innerPath,
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
export type Manifest = z.infer<typeof manifestSchema>;

/** Name of the manifest inside a package's folder. */
export const manifestName = 'manifest.json';

/** All files of a package, in the order their hashes are combined in. */
export function filesOf(
  manifest: Pick<Manifest, 'dit' | 'loras' | 'vae' | 'textEncoder' | 'tokenizer'>,
): PackageFile[] {
  return [
    ...manifest.dit.files,
    ...manifest.loras.map(({ file }) => file),
    manifest.vae.file,
    ...manifest.textEncoder.files,
    ...(manifest.tokenizer.from === 'file' ? [manifest.tokenizer.file] : []),
  ];
}
