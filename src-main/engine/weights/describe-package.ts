import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, relative, sep } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { PusaError } from '../../core/errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import { textToVideoBoundary } from './experts.ts';
import {
  expertsOf,
  manifestSchema,
  type Baked,
  type Expert,
  type Manifest,
  type PackageFile,
} from './manifest.ts';
import { bakedOf, metadataNumber, modelCard } from './model-metadata.ts';
import { modelName, weightsName } from './model-name.ts';
import { hashFile, packageHash, readManifest } from './package.ts';
import type { Recognised } from './recognise.ts';

/** What a person may say about a new package. */
export interface DescribeOptions {
  /** Default: made from the folder's name. */
  readonly id?: string;
  /** Default: what the model calls itself, else the name of its file. */
  readonly name?: string;
  readonly licence?: string;
  /**
   * Folder for the manifest and for what has to be converted; made if missing. Every file then stays where it lies and
   * `files` may lie anywhere. Default: the folder of the files itself.
   */
  readonly into?: string;
  /** Strengths of LoRAs that are not to have those they recommend, by absolute path, links resolved. */
  readonly loras?: ReadonlyMap<string, { readonly strength: number; readonly live: boolean }>;
  /** SHA-256 of files that were just hashed, by absolute path: these are not read again. */
  readonly hashes?: ReadonlyMap<string, string>;
  /** Called while files are hashed, with the bytes read so far and in all. */
  readonly onBytes?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** A recognised checkpoint of one family. */
export type Part<F extends Recognised['family']> = Extract<Recognised, { family: F }>;

/** The parts of a model found among files, open. */
export interface Found {
  /** Of two experts the high-noise one. */
  readonly dit: Part<'dit'>;
  readonly lowNoise: Part<'dit'> | null;
  readonly vae: Part<'vae'>;
  readonly umt5: Part<'umt5'>;
  readonly loras: readonly FoundLora[];
  /** Files that were converted: path of the result → path of the person's file. */
  readonly converted: ReadonlyMap<string, string>;
}

/** `expert`: the one it was made for, null for any. */
export interface FoundLora {
  readonly checkpoint: Checkpoint;
  readonly expert: Expert | null;
}

/** Where the tokenizer is: a tensor of the text encoder, or a file. */
export type Tokenizer =
  { readonly from: 'tensor'; readonly name: string } | { readonly from: 'file'; readonly path: string };

/** Beside the file it was made of, whose size and time it remembers: made once, made again when they change. */
export const convertedEnding = '.pusa.safetensors';
/** Strength of Pusa's own LoRAs (spec §2); others are made for 1. */
const pusaStrength = 1.4;

/**
 * The manifest of a package in the folder `root`; hashes every file.
 * @throws PusaError CHECKPOINT_INVALID, CANCELLED
 */
export async function describePackage(
  root: string,
  found: Found,
  tokenizer: Tokenizer,
  options: DescribeOptions,
): Promise<Manifest> {
  const { dit, lowNoise, vae, umt5, loras } = found;
  const sourceOf = (path: string): string => found.converted.get(path) ?? path;
  const inner = (file: string): string => {
    const way = relative(root, file);
    const isOutside = isAbsolute(way) || way.split(sep)[0] === '..';
    return isOutside ? file : way.split(sep).join('/');
  };
  const hash = await hasher(
    [
      ...filesOfCheckpoint(dit.checkpoint),
      ...(lowNoise === null ? [] : filesOfCheckpoint(lowNoise.checkpoint)),
      ...loras.flatMap(({ checkpoint }) => filesOfCheckpoint(checkpoint)),
      ...filesOfCheckpoint(vae.checkpoint),
      ...filesOfCheckpoint(umt5.checkpoint),
      ...(tokenizer.from === 'file' ? [tokenizer.path] : []),
    ],
    inner,
    options,
  );
  const files = async ({ checkpoint }: { checkpoint: Checkpoint }): Promise<PackageFile[]> => {
    const all: PackageFile[] = [];
    for (const file of filesOfCheckpoint(checkpoint)) all.push(await hash(file));
    return all;
  };
  const lorasOf = async (expert: Expert): Promise<Manifest['loras']> => {
    const own = loras.filter((lora) => lora.expert === null || lora.expert === expert);
    const checkpoints = own.map(({ checkpoint }) => checkpoint);
    return describeLoras(checkpoints, { hash, sourceOf, dit: dit.checkpoint, chosen: options.loras });
  };
  const card = modelCard(dit.checkpoint, vae.config.wan22 === undefined ? 'textToVideo' : 'ti2v5b');
  const described = await lorasOf('high');
  const live = described.find((lora) => lora.live);
  const parts = {
    dit: { open: inner(dit.checkpoint.path), files: await files(dit), config: dit.config },
    loras: described,
    ...(lowNoise === null
      ? {}
      : {
          lowNoise: {
            boundary: textToVideoBoundary,
            dit: {
              open: inner(lowNoise.checkpoint.path),
              files: await files(lowNoise),
              config: lowNoise.config,
            },
            loras: await lorasOf('low'),
          },
        }),
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
  const isWan22 = lowNoise !== null || vae.config.wan22 !== undefined;
  const baked = await bakedBefore(found, parts);
  const manifest = manifestSchema.safeParse({
    version: isWan22 ? 2 : 1,
    id: options.id ?? idOf(basename(root)),
    name: options.name ?? card.name ?? modelName(sourceOf(dit.checkpoint.path), lowNoise !== null),
    licence: options.licence ?? card.licence ?? 'Not stated',
    hash: packageHash(parts),
    ...(options.into === undefined ? {} : { filesStay: true as const }),
    family: isWan22 ? 'wan2.2' : 'wan2.1',
    ...parts,
    recommended: {
      ...card.recommended,
      ...(loras.some(({ checkpoint }) => isDistilled(sourceOf(checkpoint.path))) ? distilled : {}),
      loraStrength: statedStrength(dit.checkpoint) ?? live?.defaultStrength ?? 1,
    },
    ...(baked === null ? {} : { baked }),
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

/** One LoRA follows the strength of each generation: Pusa's, or the only one there is. */
async function describeLoras(
  loras: readonly Checkpoint[],
  {
    hash,
    sourceOf,
    dit,
    chosen,
  }: {
    readonly hash: (file: string) => Promise<PackageFile>;
    readonly sourceOf: (file: string) => string;
    readonly dit: Checkpoint;
    readonly chosen: DescribeOptions['loras'];
  },
): Promise<Manifest['loras']> {
  const liveIndex = Math.max(0, loras.findIndex(isPusa));
  const described: Manifest['loras'] = [];
  for (const [index, checkpoint] of loras.entries()) {
    const choice = chosen?.get(await realpath(sourceOf(checkpoint.path)));
    described.push({
      file: await hash(checkpoint.path),
      name: weightsName(checkpoint.path),
      defaultStrength: choice?.strength ?? recommendedStrength(checkpoint, dit),
      live: choice?.live ?? index === liveIndex,
    });
  }
  return described;
}

/** What LoRAs for few steps are made for (spec §2.3). */
const distilled = { steps: 4, cfg: 1, shift: 5 } as const;

/** Whether a LoRA is one of those, by its name: nothing in the file says so. */
function isDistilled(path: string): boolean {
  const name = modelName(path);
  return /lightx2v|lightning|distill|[248][-_ ]?steps?(?![=\d])/i.test(name) && !/pusa/i.test(name);
}

/**
 * How the diffusion models were baked, if they are the files of one bake; the errors of their layers stand in its own
 * manifest, where that lies beside them still.
 * @throws PusaError LORA_MISMATCH when a LoRA comes that is merged in already
 */
async function bakedBefore(
  { dit, lowNoise }: Found,
  parts: Pick<Manifest, 'dit' | 'loras' | 'lowNoise'>,
): Promise<Baked | null> {
  const high = bakedOf(dit.checkpoint);
  const low = lowNoise === null ? high : bakedOf(lowNoise.checkpoint);
  const experts = [
    { baked: high, expert: 'high', loras: parts.loras, file: dit.checkpoint.path },
    { baked: low, expert: 'low', loras: parts.lowNoise?.loras ?? [], file: lowNoise?.checkpoint.path ?? '' },
  ];
  for (const { baked, expert, loras, file } of experts) {
    const merged = baked?.merged.filter((one) => one.expert === expert) ?? [];
    const twice = loras.find((lora) =>
      merged.some(({ name, sha256 }) => name === lora.name || sha256 === lora.file.sha256),
    );
    if (twice === undefined) continue;
    throw new PusaError(
      'LORA_MISMATCH',
      `"${basename(file)}" has the LoRA "${twice.name}" merged into it already; with it once more it would count twice.`,
      'Leave the LoRA out, or take the model that this one was baked from.',
    );
  }
  if (high === null || !isDeepStrictEqual(high, low)) return null;
  const before = await readManifest(dirname(dit.checkpoint.path)).catch(() => null);
  const isOfThese = before !== null && isDeepStrictEqual(weightsOf(before), weightsOf(parts));
  return (isOfThese ? before.baked : undefined) ?? high;
}

function weightsOf(manifest: Pick<Manifest, 'dit' | 'loras' | 'lowNoise'>): string[] {
  return expertsOf(manifest).flatMap((expert) => {
    const { dit } = expert === 'high' ? manifest : manifest.lowNoise!;
    return dit.files.map(({ sha256 }) => sha256);
  });
}

function cancelled(): PusaError {
  return new PusaError('CANCELLED', 'Importing the model was cancelled.', 'Start it again when you want it.');
}

/** The path it is opened by first, then its shards. */
function filesOfCheckpoint({ path, files }: Checkpoint): string[] {
  return [...new Set([path, ...files])];
}

/** Strength a LoRA starts at: for Pusa's own what the model's metadata say, or that of its paper; for others 1. */
export function recommendedStrength(lora: Checkpoint, dit: Checkpoint): number {
  if (!isPusa(lora)) return 1;
  return statedStrength(dit) ?? pusaStrength;
}

function statedStrength(dit: Checkpoint): number | null {
  return metadataNumber(dit, 'pusa.recommended_lora_strength');
}

/** Whether a LoRA is one of Pusa's: it is what makes marks work, so its strength is a control. */
export function isPusa({ path, metadata }: Checkpoint): boolean {
  return /pusa/i.test(basename(path)) || /^pusa/i.test(metadata['model_type'] ?? '');
}

function idOf(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9_-]+/g, '-').slice(0, 64) || 'model';
}

/** Hashes files on demand, counting bytes over all of them. */
async function hasher(
  all: readonly string[],
  inner: (file: string) => string,
  { onBytes, hashes, signal }: DescribeOptions,
): Promise<(file: string) => Promise<PackageFile>> {
  let total = 0;
  for (const file of all) total += (await stat(file)).size;
  let before = 0;
  // Both experts may have the same LoRA.
  const known = new Map<string, PackageFile>();
  return async (file) => {
    const done = known.get(file);
    if (done !== undefined) return done;
    const { size: bytes } = await stat(file);
    const sha256 =
      hashes?.get(file) ??
      (await hashFile(file, (done) => {
        if (signal?.aborted === true) throw cancelled();
        onBytes?.(before + done, total);
      }));
    before += bytes;
    onBytes?.(before, total);
    const hashed = { path: inner(file), bytes, sha256 };
    known.set(file, hashed);
    return hashed;
  };
}
