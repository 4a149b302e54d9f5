import { readdir, readFile, realpath, rename, stat, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { bakeCheckpoint } from './bake.ts';
import { isInPlace, type Checkpoint } from './checkpoint.ts';
import { checkLoraFits, readLora } from './lora.ts';
import { manifestName, manifestSchema, type Manifest, type PackageFile } from './manifest.ts';
import { metadataNumber, modelCard } from './model-metadata.ts';
import { hashFile, openPackage, packageHash, tokenizerPieces, type ModelPackage } from './package.ts';
import { recognise, type Recognised } from './recognise.ts';
import { checkpointNames, openCheckpoint } from './open-checkpoint.ts';

export interface ImportOptions {
  /** Files to use, inside the folder; all that are found there where left out. */
  readonly files?: readonly string[];
  /** Default: made from the folder's name. */
  readonly id?: string;
  /** Default: what the model calls itself, else the name of its file. */
  readonly name?: string;
  readonly licence?: string;
  /** Called while files are hashed, with the bytes read so far and in all. */
  readonly onBytes?: (done: number, total: number) => void;
  /** Called while a file is converted, with its name and the bytes written so far and in all. */
  readonly onConvert?: (file: string, done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Most files looked at, and how deep below the folder. */
const maxFiles = 10_000;
const maxDepth = 3;
const tokenizerNames = new Set(['spiece.model', 'tokenizer.json']);
const tokenizerTensor = 'spiece_model';
const unreadable = /\.(bin|ckpt)$/i;
/** Strengths of spec §2: Pusa's own, and what other LoRAs are made for. */
const pusaStrength = 1.4;

type Part<F extends Recognised['family']> = Extract<Recognised, { family: F }>;

/** The parts of a model found among files, open. */
interface Found {
  readonly dit: Part<'dit'>;
  readonly vae: Part<'vae'>;
  readonly umt5: Part<'umt5'>;
  readonly loras: readonly Checkpoint[];
}

/**
 * Makes a model package of the files in a folder where they lie: recognises them, checks that they belong together,
 * hashes them and writes `manifest.json` beside them. Nothing is copied, except that a file whose number format
 * graphs cannot use (8-bit floats, GGUF blocks) is converted to float16 beside it, once.
 * @throws PusaError MODEL_NOT_FOUND, CHECKPOINT_*, LORA_MISMATCH, TOKENIZER_INVALID, DISK_FULL, WRITE_FAILED, CANCELLED
 */
export async function importPackage(folder: string, options: ImportOptions = {}): Promise<ModelPackage> {
  const root = await realpath(folder).catch(() => {
    throw new PusaError(
      'MODEL_NOT_FOUND',
      `There is no folder "${folder}".`,
      'Choose the folder with the model files.',
    );
  });
  const files = await chosenFiles(root, options.files);
  const opened: Checkpoint[] = [];
  try {
    const recognised = await recogniseAll(files, opened);
    await checkTogether(recognised);
    const found = await convertAll(recognised, opened, options);
    const tokenizer = await findTokenizer(found.umt5, files);
    const manifest = await describe(root, found, tokenizer, options);
    await writeManifest(root, manifest);
  } finally {
    for (const checkpoint of opened) await checkpoint.close();
  }
  return openPackage(root);
}

/** Under another name first, so that an interrupted import leaves the former manifest whole. */
async function writeManifest(root: string, manifest: Manifest): Promise<void> {
  const path = join(root, manifestName);
  try {
    await writeFile(`${path}.new`, `${JSON.stringify(manifest, null, 2)}\n`);
    await rename(`${path}.new`, path);
  } catch (thrown) {
    throw toPusaError(thrown);
  }
}

/** Absolute paths of the files to consider, sorted, so that an import does not depend on the disk's order. */
async function chosenFiles(root: string, chosen: readonly string[] | undefined): Promise<string[]> {
  if (chosen === undefined) return (await listFiles(root, maxDepth)).sort();
  const files = chosen.map((file) => resolve(root, file));
  const outside = files.find((file) => relative(root, file).split(sep)[0] === '..' || !file.startsWith(root));
  if (outside !== undefined) {
    throw new PusaError(
      'MODEL_NOT_FOUND',
      `"${outside}" does not lie in the model's folder.`,
      'Put the files of a model into one folder; links and copies on the same disk are enough.',
    );
  }
  return files.sort();
}

async function listFiles(folder: string, depth: number): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && depth > 0) files.push(...(await listFiles(path, depth - 1)));
    else if (entry.isFile() || entry.isSymbolicLink()) files.push(path);
    if (files.length > maxFiles) {
      throw new PusaError(
        'MODEL_NOT_FOUND',
        `"${folder}" holds too many files.`,
        'Choose the folder of one model.',
      );
    }
  }
  return files;
}

/** Opens and recognises every checkpoint; what was opened is in `opened`, also when this throws. */
async function recogniseAll(files: readonly string[], opened: Checkpoint[]): Promise<Found> {
  const parts: Recognised[] = [];
  const shards = new Set<string>();
  // Indexes first: what they name are parts of a model, no models.
  const candidates = files.filter((file) => checkpointNames.test(file) && !file.endsWith(convertedEnding));
  for (const file of candidates.sort((a, b) => Number(b.endsWith('.json')) - Number(a.endsWith('.json')))) {
    if (shards.has(file)) continue;
    const checkpoint = await openCheckpoint(file);
    opened.push(checkpoint);
    if (file.endsWith('.json')) for (const shard of checkpoint.files) shards.add(shard);
    parts.push(recognise(checkpoint));
  }
  const one = <F extends Recognised['family']>(family: F, what: string): Part<F> => {
    const candidates = parts.filter((part): part is Part<F> => part.family === family);
    if (candidates.length > 1) {
      const names = candidates.map((part) => `"${basename(part.checkpoint.path)}"`).join(' and ');
      throw new PusaError(
        'CHECKPOINT_WRONG_FAMILY',
        `There is more than one ${what}: ${names}.`,
        'Choose the files to use, or move the others to another folder.',
      );
    }
    const [part] = candidates;
    if (part !== undefined) return part;
    const other = files.find((file) => unreadable.test(file));
    throw new PusaError(
      'CHECKPOINT_INCOMPLETE',
      `There is no ${what} among the files.`,
      other === undefined
        ? 'A model is a diffusion model, a VAE and a UMT5 encoder as .safetensors, .gguf or .pth, with spiece.model or tokenizer.json.'
        : `"${basename(other)}" cannot be read; take the .safetensors file of the same network.`,
    );
  };
  return {
    dit: one('dit', 'diffusion model'),
    vae: one('vae', 'VAE'),
    umt5: one('umt5', 'text encoder'),
    loras: parts.filter((part) => part.family === 'lora').map((part) => part.checkpoint),
  };
}

async function checkTogether({ dit, vae, umt5, loras }: Found): Promise<void> {
  const apart = (what: string): PusaError =>
    new PusaError(
      'CHECKPOINT_WRONG_FAMILY',
      `These files do not belong together: ${what}.`,
      'Take files of one model.',
    );
  if (dit.config.inDim !== vae.config.zDim) {
    throw apart(`the diffusion model has ${dit.config.inDim} latent channels, the VAE ${vae.config.zDim}`);
  }
  if (dit.config.textDim !== umt5.config.dim) {
    throw apart(
      `the diffusion model reads text of width ${dit.config.textDim}, the encoder gives ${umt5.config.dim}`,
    );
  }
  for (const checkpoint of loras) {
    checkLoraFits(await readLora(checkpoint), (name) => dit.checkpoint.entries.get(name)?.shape);
  }
}

/** Beside the file it was made of, whose size and time it remembers: made once, made again when they change. */
const convertedEnding = '.pusa.safetensors';
const madeOf = 'pusa.made_of';

/** Every part in a number format that graphs can use, converted where it is not. */
async function convertAll(found: Found, opened: Checkpoint[], options: ImportOptions): Promise<Found> {
  const usable = async (checkpoint: Checkpoint): Promise<Checkpoint> => {
    // Bytes beside the weights, such as a tokenizer, are no matter of number formats.
    const weights = [...checkpoint.entries.values()].filter(({ dtype }) => dtype !== 'U8');
    if (weights.every(isInPlace)) return checkpoint;
    const converted = await convert(checkpoint, options);
    opened.push(converted);
    return converted;
  };
  const loras: Checkpoint[] = [];
  for (const lora of found.loras) loras.push(await usable(lora));
  return {
    dit: { ...found.dit, checkpoint: await usable(found.dit.checkpoint) },
    vae: { ...found.vae, checkpoint: await usable(found.vae.checkpoint) },
    umt5: { ...found.umt5, checkpoint: await usable(found.umt5.checkpoint) },
    loras,
  };
}

async function convert(checkpoint: Checkpoint, { onConvert, signal }: ImportOptions): Promise<Checkpoint> {
  const path = `${checkpoint.path}${convertedEnding}`;
  const name = basename(checkpoint.path);
  const stats = await Promise.all(checkpoint.files.map((file) => stat(file)));
  const source = stats.map(({ size, mtimeMs }) => `${size}@${Math.floor(mtimeMs)}`).join(' ');
  const known = await openCheckpoint(path).catch(() => null);
  if (known?.metadata[madeOf] === source) return known;
  await known?.close();
  const values = [...checkpoint.entries.values()].reduce(
    (sum, { shape }) => sum + shape.reduce((product, side) => product * side, 1),
    0,
  );
  const { bavail, bsize } = await statfs(dirname(path));
  if (bavail * bsize < 2 * values) {
    throw new PusaError(
      'DISK_FULL',
      `"${name}" has to be converted, which takes ${((2 * values) / 1e9).toFixed(1)} GB on its disk; ${((bavail * bsize) / 1e9).toFixed(1)} GB are free.`,
      'Free space there, or move the model to a larger disk.',
    );
  }
  await bakeCheckpoint(checkpoint, path, {
    precision: 'F16',
    metadata: { ...ownMetadata(checkpoint), [madeOf]: source },
    ...(onConvert ? { onBytes: (done: number, total: number) => onConvert(name, done, total) } : {}),
    signal,
  });
  return openCheckpoint(path);
}

/** What a file says of its network in our own words or the trainer's. */
function ownMetadata({ metadata }: Checkpoint): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).filter(([key]) => key.startsWith('pusa.') || key === 'model_type'),
  );
}

type Tokenizer =
  { readonly from: 'tensor'; readonly name: string } | { readonly from: 'file'; readonly path: string };

/** The tokenizer inside the text encoder, else the file nearest to it (spec §5). */
async function findTokenizer(
  { checkpoint, config }: Part<'umt5'>,
  files: readonly string[],
): Promise<Tokenizer> {
  const check = (bytes: Uint8Array): void => {
    const pieces = tokenizerPieces(bytes);
    if (pieces <= config.vocabulary) return;
    throw new PusaError(
      'TOKENIZER_INVALID',
      `The tokenizer has ${pieces} pieces, the text encoder only ${config.vocabulary}.`,
      'Take spiece.model or tokenizer.json from the same model.',
    );
  };
  if (checkpoint.entries.get(tokenizerTensor)?.dtype === 'U8') {
    check(await checkpoint.readBytes(tokenizerTensor));
    return { from: 'tensor', name: tokenizerTensor };
  }
  const beside = dirname(checkpoint.path);
  const distance = (file: string): number =>
    relative(beside, dirname(file)).split(sep).filter(Boolean).length;
  const [path] = files
    .filter((file) => tokenizerNames.has(basename(file)))
    .sort((a, b) => distance(a) - distance(b) || (basename(a) === 'spiece.model' ? -1 : 1));
  if (path === undefined) {
    throw new PusaError(
      'CHECKPOINT_INCOMPLETE',
      'There is no tokenizer among the files.',
      'Put spiece.model or tokenizer.json of google/umt5-xxl beside the text encoder.',
    );
  }
  check(new Uint8Array(await readFile(path)));
  return { from: 'file', path };
}

async function describe(
  root: string,
  { dit, vae, umt5, loras }: Found,
  tokenizer: Tokenizer,
  options: ImportOptions,
): Promise<Manifest> {
  const inner = (file: string): string => relative(root, file).split(sep).join('/');
  const hash = await hasher(
    [
      ...filesOfCheckpoint(dit.checkpoint),
      ...loras.flatMap(filesOfCheckpoint),
      ...filesOfCheckpoint(vae.checkpoint),
      ...filesOfCheckpoint(umt5.checkpoint),
      ...(tokenizer.from === 'file' ? [tokenizer.path] : []),
    ],
    inner,
    options.onBytes,
  );
  const files = async ({ checkpoint }: { checkpoint: Checkpoint }): Promise<PackageFile[]> => {
    const all: PackageFile[] = [];
    for (const file of filesOfCheckpoint(checkpoint)) all.push(await hash(file));
    return all;
  };
  // One LoRA follows the strength of each generation: Pusa's, or the only one there is.
  const liveIndex = Math.max(0, loras.findIndex(isPusa));
  const recommendedStrength = metadataNumber(dit.checkpoint, 'pusa.recommended_lora_strength');
  const described: Manifest['loras'] = [];
  for (const [index, checkpoint] of loras.entries()) {
    described.push({
      file: await hash(checkpoint.path),
      name: basename(checkpoint.path).replace(/(\.(safetensors|pth|pt|pusa))+$/, ''),
      defaultStrength:
        (index === liveIndex ? recommendedStrength : undefined) ?? (isPusa(checkpoint) ? pusaStrength : 1),
      live: index === liveIndex,
    });
  }
  const card = modelCard(dit.checkpoint);
  const live = described.find((lora) => lora.live);
  const parts = {
    dit: { open: inner(dit.checkpoint.path), files: await files(dit), config: dit.config },
    loras: described,
    vae: {
      file: await hash(vae.checkpoint.path),
      config: {
        ...vae.config,
        dimMult: [...vae.config.dimMult],
        temporalDownsample: [...vae.config.temporalDownsample],
        mean: [...vae.config.mean],
        std: [...vae.config.std],
      },
    },
    textEncoder: { open: inner(umt5.checkpoint.path), files: await files(umt5), config: umt5.config },
    tokenizer:
      tokenizer.from === 'file'
        ? { from: 'file' as const, file: await hash(tokenizer.path) }
        : { ...tokenizer },
  };
  const manifest = manifestSchema.safeParse({
    version: 1,
    id: options.id ?? idOf(basename(root)),
    name:
      options.name ??
      card.name ??
      basename(dit.checkpoint.path).replace(/(\.(safetensors|index\.json|pth|pt|gguf|pusa))+$/, ''),
    licence: options.licence ?? card.licence ?? 'Not stated',
    hash: packageHash(parts),
    family: 'wan2.1',
    ...parts,
    recommended: {
      ...card.recommended,
      loraStrength: recommendedStrength ?? live?.defaultStrength ?? 1,
    },
    native: card.native,
  } satisfies Manifest);
  if (manifest.success) return manifest.data;
  const issue = manifest.error.issues[0]!;
  throw new PusaError(
    'CHECKPOINT_INVALID',
    `The model states an impossible value at "${issue.path.join('.')}" (${issue.message}).`,
    'Ask its author for a corrected file.',
  );
}

/** The path it is opened by first, then its shards. */
function filesOfCheckpoint({ path, files }: Checkpoint): string[] {
  return [...new Set([path, ...files])];
}

function isPusa({ path, metadata }: Checkpoint): boolean {
  return /pusa/i.test(basename(path)) || /^pusa/i.test(metadata['model_type'] ?? '');
}

function idOf(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9_-]+/g, '-').slice(0, 64) || 'model';
}

/** Hashes files on demand, counting bytes over all of them. */
async function hasher(
  all: readonly string[],
  inner: (file: string) => string,
  onBytes: ImportOptions['onBytes'],
): Promise<(file: string) => Promise<PackageFile>> {
  let total = 0;
  for (const file of all) total += (await stat(file)).size;
  let before = 0;
  return async (file) => {
    const { size: bytes } = await stat(file);
    const sha256 = await hashFile(file, (done) => onBytes?.(before + done, total));
    before += bytes;
    return { path: inner(file), bytes, sha256 };
  };
}
