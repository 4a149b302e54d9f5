import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, realpath, rename, stat, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { bakeCheckpoint } from './bake.ts';
import { isInPlace, type Checkpoint } from './checkpoint.ts';
import {
  convertedEnding,
  describePackage,
  type DescribeOptions,
  type Found,
  type FoundLora,
  type Part,
  type Tokenizer,
} from './describe-package.ts';
import { expertNamed, pairExperts } from './experts.ts';
import { checkLoraFits, readLora } from './lora.ts';
import { manifestName, type Manifest } from './manifest.ts';
import { openPackage, tokenizerPieces, type ModelPackage } from './package.ts';
import { recognise, type Recognised } from './recognise.ts';
import { checkpointNames, openCheckpoint } from './open-checkpoint.ts';

export interface ImportOptions extends DescribeOptions {
  /** Files to use, inside the folder; all that are found there where left out. */
  readonly files?: readonly string[];
  /** Called while a file is converted, with its name and the bytes written so far and in all. */
  readonly onConvert?: (file: string, done: number, total: number) => void;
}

/** Most files looked at, and how deep below the folder. */
const maxFiles = 10_000;
const maxDepth = 3;
const tokenizerNames = new Set(['spiece.model', 'tokenizer.json']);
const tokenizerTensor = 'spiece_model';
const unreadable = /\.(bin|ckpt)$/i;

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
  const files = await chosenFiles(root, options);
  const place = options.into === undefined ? root : await madeFolder(options.into);
  const opened: Checkpoint[] = [];
  try {
    const recognised = await recogniseAll(files, opened);
    await checkTogether(recognised);
    const found = await convertAll(recognised, opened, options);
    const tokenizer = await findTokenizer(found.umt5, files);
    const manifest = await describePackage(place, found, tokenizer, options);
    await writeManifest(place, manifest);
  } finally {
    for (const checkpoint of opened) await checkpoint.close();
  }
  return openPackage(place);
}

async function madeFolder(folder: string): Promise<string> {
  try {
    await mkdir(folder, { recursive: true });
    return await realpath(folder);
  } catch (thrown) {
    throw toPusaError(thrown);
  }
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
async function chosenFiles(
  root: string,
  { files: chosen, into }: Pick<ImportOptions, 'files' | 'into'>,
): Promise<string[]> {
  if (chosen === undefined) return (await listFiles(root, maxDepth)).sort();
  const files = chosen.map((file) => resolve(root, file));
  const isOutside = (file: string): boolean =>
    relative(root, file).split(sep)[0] === '..' || !file.startsWith(root);
  const outside = into === undefined ? files.find(isOutside) : undefined;
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
  const pair = pairExperts(parts.filter((part) => part.family === 'dit'));
  return {
    dit: pair?.high ?? one('dit', 'diffusion model'),
    lowNoise: pair?.low ?? null,
    vae: one('vae', 'VAE'),
    umt5: one('umt5', 'text encoder'),
    loras: parts
      .filter((part) => part.family === 'lora')
      .map(({ checkpoint }) => ({ checkpoint, expert: pair === null ? null : expertNamed(checkpoint) })),
  };
}

async function checkTogether({ dit, vae, umt5, loras }: Found): Promise<void> {
  const apart = (what: string, remedy = 'Take files of one model.'): PusaError =>
    new PusaError('CHECKPOINT_WRONG_FAMILY', `These files do not belong together: ${what}.`, remedy);
  if (dit.config.inDim !== vae.config.zDim) {
    throw apart(
      `the diffusion model has ${dit.config.inDim} latent channels, the VAE ${vae.config.zDim}`,
      'TI2V 5B takes wan2.2_vae.safetensors; all others take wan_2.1_vae.safetensors.',
    );
  }
  if (dit.config.textDim !== umt5.config.dim) {
    throw apart(
      `the diffusion model reads text of width ${dit.config.textDim}, the encoder gives ${umt5.config.dim}`,
    );
  }
  for (const { checkpoint } of loras) {
    checkLoraFits(await readLora(checkpoint), (name) => dit.checkpoint.entries.get(name)?.shape);
  }
}

/** What a converted file remembers of its source. */
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
  const loras: FoundLora[] = [];
  for (const { checkpoint, expert } of found.loras)
    loras.push({ checkpoint: await usable(checkpoint), expert });
  const { lowNoise } = found;
  return {
    dit: { ...found.dit, checkpoint: await usable(found.dit.checkpoint) },
    lowNoise: lowNoise === null ? null : { ...lowNoise, checkpoint: await usable(lowNoise.checkpoint) },
    vae: { ...found.vae, checkpoint: await usable(found.vae.checkpoint) },
    umt5: { ...found.umt5, checkpoint: await usable(found.umt5.checkpoint) },
    loras,
  };
}

async function convert(checkpoint: Checkpoint, options: ImportOptions): Promise<Checkpoint> {
  const { onConvert, signal, into } = options;
  const path =
    into === undefined ? `${checkpoint.path}${convertedEnding}` : await convertedPath(into, checkpoint.path);
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

/** In a folder of its own for each source: files of different folders may have one name. */
async function convertedPath(into: string, source: string): Promise<string> {
  const folder = join(into, createHash('sha256').update(source).digest('hex').slice(0, 12));
  return join(await madeFolder(folder), `${basename(source)}${convertedEnding}`);
}

/** What a file says of its network in our own words or the trainer's. */
function ownMetadata({ metadata }: Checkpoint): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).filter(([key]) => key.startsWith('pusa.') || key === 'model_type'),
  );
}

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
