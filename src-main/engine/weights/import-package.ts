import { createHash } from 'node:crypto';
import { mkdir, readdir, realpath, rename, stat, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { formatBytes } from '../../core/units.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { isInPlace, type Checkpoint } from './checkpoint.ts';
import { convertCheckpoint, convertedBytes } from './convert.ts';
import {
  convertedEnding,
  describePackage,
  type DescribeOptions,
  type Found,
  type Part,
  type Tokenizer,
} from './describe-package.ts';
import { expertNamed, pairExperts } from './experts.ts';
import { checkLoraFits, readLora } from './lora.ts';
import { manifestName, type Manifest } from './manifest.ts';
import { openPackage, type ModelPackage } from './package.ts';
import { recognise, type Recognised } from './recognise.ts';
import { take } from './recognise-checks.ts';
import { checkpointNames, openCheckpoint, wholeOfPiece } from './open-checkpoint.ts';
import {
  carriesTokenizer,
  readTokenizerFile,
  tokenizerNames,
  tokenizerPieces,
  tokenizerTensor,
} from './tokenizer-file.ts';

export interface ImportOptions extends DescribeOptions {
  /** Files to use, inside the folder; all that are found there where left out. */
  readonly files?: readonly string[];
  /** Called while a file is converted, with its name and the bytes written so far and in all. */
  readonly onConvert?: (file: string, done: number, total: number) => void;
}

/** Most files looked at, and how deep below the folder. */
const maxFiles = 10_000;
const maxDepth = 3;
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
    const loras = await chosenLoras(recognised, options.loras);
    const tokenizer = await findTokenizer(recognised.umt5, files);
    const found = await convertAll(recognised, opened, options);
    const manifest = await describePackage(place, found, tokenizer, { ...options, loras });
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
  if (chosen === undefined) return (await filesBelow(root)).sort();
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

/**
 * Files that an import of a folder looks at.
 * @throws PusaError MODEL_NOT_FOUND when there are too many
 */
export async function filesBelow(folder: string, depth = maxDepth): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && depth > 0) files.push(...(await filesBelow(path, depth - 1)));
    else if (entry.isFile() || entry.isSymbolicLink()) files.push(path);
    if (files.length > maxFiles) {
      throw new PusaError(
        'MODEL_NOT_FOUND',
        `"${folder}" holds more than ${maxFiles} files.`,
        'Choose the folder of one model, or name its files one by one.',
      );
    }
  }
  return files;
}

/** Opens and recognises every checkpoint; what was opened is in `opened`, also when this throws. */
async function recogniseAll(files: readonly string[], opened: Checkpoint[]): Promise<Found> {
  const parts: Recognised[] = [];
  const shards = new Set<string>();
  const piece = files.find((file) => {
    const whole = wholeOfPiece(file);
    return whole !== null && !files.includes(join(dirname(file), whole));
  });
  if (piece !== undefined) await openCheckpoint(piece);
  // Indexes first: what they name are parts of a model, no models.
  const candidates = files.filter((file) => checkpointNames.test(file) && !file.endsWith(convertedEnding));
  for (const file of candidates.sort((a, b) => Number(b.endsWith('.json')) - Number(a.endsWith('.json')))) {
    if (shards.has(file)) continue;
    const checkpoint = await openCheckpoint(file);
    opened.push(checkpoint);
    if (file.endsWith('.json')) for (const shard of checkpoint.files) shards.add(shard);
    parts.push(recogniseAmong(checkpoint, candidates.length));
  }
  const one = <F extends Recognised['family']>(family: F, what: string): Part<F> => {
    const candidates = parts.filter((part): part is Part<F> => part.family === family);
    if (candidates.length > 1) {
      const names = candidates.map((part) => `"${basename(part.checkpoint.path)}"`).join(' and ');
      throw new PusaError(
        'CHECKPOINT_WRONG_FAMILY',
        `There is more than one ${what}: ${names}.`,
        'Name the files to use one by one, or move the others to another folder.',
      );
    }
    const [part] = candidates;
    if (part !== undefined) return part;
    const other = files.find((file) => unreadable.test(file));
    throw new PusaError(
      'CHECKPOINT_INCOMPLETE',
      `There is no ${what} among the files.`,
      other === undefined
        ? take[family]
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
    converted: new Map(),
  };
}

/** As {@link recognise}; of several files one may only lie there by chance. */
function recogniseAmong(checkpoint: Checkpoint, files: number): Recognised {
  try {
    return recognise(checkpoint);
  } catch (thrown) {
    if (!(thrown instanceof PusaError) || thrown.code !== 'CHECKPOINT_WRONG_FAMILY' || files === 1)
      throw thrown;
    throw new PusaError(
      thrown.code,
      thrown.message,
      `${thrown.remedy} If it is not meant to be a part of the model, name the files to use one by one.`,
    );
  }
}

/** The strengths a person chose, by real path. @throws PusaError LORA_MISMATCH of a file that is no LoRA among them */
async function chosenLoras(
  { loras }: Found,
  chosen: NonNullable<ImportOptions['loras']> = new Map(),
): Promise<NonNullable<ImportOptions['loras']>> {
  const there = new Set(await Promise.all(loras.map(({ checkpoint }) => realpath(checkpoint.path))));
  const byRealPath = new Map<string, { readonly strength: number; readonly live: boolean }>();
  for (const [path, choice] of chosen) {
    const real = await realpath(path).catch(() => path);
    if (!there.has(real)) {
      throw new PusaError(
        'LORA_MISMATCH',
        `"${basename(path)}" is given a strength, but is no LoRA among the files.`,
        'Name the file of a LoRA.',
      );
    }
    byRealPath.set(real, choice);
  }
  return byRealPath;
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

/** Every part in a number format that graphs can use, converted where it is not; first it is seen whether all fits. */
async function convertAll(found: Found, opened: Checkpoint[], options: ImportOptions): Promise<Found> {
  const { dit, lowNoise, vae, umt5, loras } = found;
  const parts = [dit, ...(lowNoise === null ? [] : [lowNoise]), vae, umt5, ...loras];
  const made = new Map<Checkpoint, Checkpoint>();
  const missing: Conversion[] = [];
  for (const { checkpoint } of parts) {
    // Bytes beside the weights, such as a tokenizer, are no matter of number formats.
    const weights = [...checkpoint.entries.values()].filter(({ dtype }) => dtype !== 'U8');
    if (weights.every(isInPlace)) continue;
    const conversion = await conversionOf(checkpoint, options);
    const known = await openCheckpoint(conversion.path).catch(() => null);
    if (known !== null) opened.push(known);
    if (known?.metadata[madeOf] === conversion.source) made.set(checkpoint, known);
    else missing.push(conversion);
  }
  await checkSpace(missing);
  for (const { checkpoint, path, source } of missing) {
    const { onConvert, signal } = options;
    const name = basename(checkpoint.path);
    await convertCheckpoint(checkpoint, path, {
      precision: 'F16',
      metadata: { ...ownMetadata(checkpoint), [madeOf]: source },
      ...(onConvert ? { onBytes: (done: number, total: number) => onConvert(name, done, total) } : {}),
      signal,
    });
    const converted = await openCheckpoint(path);
    opened.push(converted);
    made.set(checkpoint, converted);
  }
  const usable = <P extends { readonly checkpoint: Checkpoint }>(part: P): P => ({
    ...part,
    checkpoint: made.get(part.checkpoint) ?? part.checkpoint,
  });
  return {
    dit: usable(dit),
    lowNoise: lowNoise === null ? null : usable(lowNoise),
    vae: usable(vae),
    umt5: usable(umt5),
    loras: loras.map(usable),
    converted: new Map([...made].map(([from, to]) => [to.path, from.path])),
  };
}

/** A file to be converted, where the result goes and what it remembers of its source. */
interface Conversion {
  readonly checkpoint: Checkpoint;
  readonly path: string;
  readonly source: string;
}

async function conversionOf(checkpoint: Checkpoint, { into }: ImportOptions): Promise<Conversion> {
  const path =
    into === undefined ? `${checkpoint.path}${convertedEnding}` : await convertedPath(into, checkpoint.path);
  const stats = await Promise.all(checkpoint.files.map((file) => stat(file)));
  const source = stats.map(({ size, mtimeMs }) => `${size}@${Math.floor(mtimeMs)}`).join(' ');
  return { checkpoint, path, source };
}

/** @throws PusaError DISK_FULL when the results do not fit; all lie on one disk */
async function checkSpace(missing: readonly Conversion[]): Promise<void> {
  const [first] = missing;
  if (first === undefined) return;
  const bytes = missing.reduce((sum, { checkpoint }) => sum + convertedBytes(checkpoint), 0);
  const { bavail, bsize } = await statfs(dirname(first.path));
  if (bavail * bsize >= bytes) return;
  const names = missing.map(({ checkpoint }) => `"${basename(checkpoint.path)}"`).join(' and ');
  throw new PusaError(
    'DISK_FULL',
    `${names} cannot be used as stored and must be converted, which takes ${formatBytes(bytes)} on the disk of "${dirname(first.path)}"; ${formatBytes(bavail * bsize)} are free.`,
    'Free space there, or take the fp16 or bf16 files of the same model, which are used where they lie.',
  );
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
  if (carriesTokenizer(checkpoint)) {
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
      `${take.tokenizer} Put it beside the text encoder, or name it too.`,
    );
  }
  check(await readTokenizerFile(path));
  return { from: 'file', path };
}
