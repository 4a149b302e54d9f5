import { basename } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import type { DitConfig } from '../wan/dit-config.ts';
import type { Umt5Config } from '../wan/umt5-config.ts';
import {
  decoderLayers,
  encoderLayers,
  wanLatentMean,
  wanLatentStd,
  type VaeConfig,
} from '../wan/vae-config.ts';
import { clip, type Checkpoint } from './checkpoint.ts';
import { ditInventory, umt5Inventory, vaeInventory, type Inventory } from './inventory.ts';
import { ditName, renamed, stripPrefix, umt5Name } from './key-maps.ts';
import { looksLikeLora } from './lora.ts';
import { metadataNumber } from './model-metadata.ts';

/** What a checkpoint is. `checkpoint` has its tensors under official names. */
export type Recognised =
  | { readonly family: 'dit'; readonly config: DitConfig; readonly checkpoint: Checkpoint }
  | { readonly family: 'vae'; readonly config: VaeConfig; readonly checkpoint: Checkpoint }
  | { readonly family: 'umt5'; readonly config: Umt5Config; readonly checkpoint: Checkpoint }
  | { readonly family: 'lora'; readonly checkpoint: Checkpoint };

const headWidth = 128;
const wanTextLength = 512;
const take = {
  dit: 'Take the text-to-video model of Wan2.1, for example wan2.1_t2v_14B_bf16.safetensors.',
  vae: 'Take the VAE of Wan2.1, for example wan_2.1_vae.safetensors.',
  umt5: 'Take the UMT5-XXL encoder, for example umt5_xxl_fp16.safetensors.',
  any: 'Take the files of Wan2.1 text-to-video: the diffusion model, its VAE and the UMT5-XXL encoder.',
} as const;

/**
 * Tells from names and shapes what a checkpoint is, and that it is whole.
 * @throws PusaError CHECKPOINT_WRONG_FAMILY, CHECKPOINT_INCOMPLETE, CHECKPOINT_INVALID
 */
export function recognise(checkpoint: Checkpoint): Recognised {
  const names = [...checkpoint.entries.keys()];
  if (looksLikeLora(names)) return { family: 'lora', checkpoint };

  const dit = renamed(checkpoint, ditName);
  const has = (view: Checkpoint, name: string): boolean => view.entries.has(name);
  if (has(dit, 'head.modulation') || has(dit, 'patch_embedding.weight') || has(dit, 'blocks.0.modulation')) {
    return { family: 'dit', config: ditConfig(dit), checkpoint: dit };
  }
  const umt5 = renamed(checkpoint, umt5Name);
  if (has(umt5, 'token_embedding.weight') || has(umt5, 'blocks.0.attn.q.weight')) {
    return { family: 'umt5', config: umt5Config(umt5), checkpoint: umt5 };
  }
  const vae = renamed(checkpoint, stripPrefix);
  if (names.some((name) => /^(first_stage_model\.|vae\.)?(encoder|decoder)\./.test(name))) {
    return { family: 'vae', config: vaeConfig(vae), checkpoint: vae };
  }
  throw wrongFamily(checkpoint, 'it is none of the networks of Wan2.1', take.any);
}

function ditConfig(checkpoint: Checkpoint): DitConfig {
  const { entries } = checkpoint;
  const shape = shapesOf(checkpoint, take.dit);
  const names = [...entries.keys()];
  if (names.some((name) => name.startsWith('vace_'))) {
    throw wrongFamily(checkpoint, 'it is the VACE variant', take.dit);
  }
  const [dim, inDim] = shape('patch_embedding.weight', 5) as [number, number];
  if (inDim === 36 || names.some((name) => name.startsWith('img_emb.') || name.includes('.k_img.'))) {
    throw wrongFamily(checkpoint, 'it is an image-to-video model, which Pusa cannot use', take.dit);
  }
  const outDim = shape('head.head.weight', 2)[0]! / 4;
  if (inDim === 48 && outDim === 48) {
    throw wrongFamily(checkpoint, 'it is the 5B model of Wan2.2', take.dit);
  }
  if (inDim !== outDim) {
    throw wrongFamily(
      checkpoint,
      `it takes ${inDim} channels and gives ${outDim}, so it is no text-to-video model`,
      take.dit,
    );
  }
  const heads = metadataNumber(checkpoint, 'pusa.num_heads') ?? dim / headWidth;
  // An even width per head, as rotary embeddings need; Wan's own is 128.
  if (!Number.isInteger(heads) || dim % heads !== 0 || (dim / heads) % 2 !== 0) {
    throw new PusaError(
      'CHECKPOINT_INCOMPLETE',
      `"${basename(checkpoint.path)}" does not say how many attention heads it has (width ${dim}).`,
      'Store the number as "pusa.num_heads" in the metadata of the file.',
    );
  }
  const config: DitConfig = {
    dim,
    ffnDim: shape('blocks.0.ffn.0.weight', 2)[0]!,
    heads,
    layers: countBlocks(names),
    inDim,
    outDim,
    freqDim: shape('time_embedding.0.weight', 2)[1]!,
    textDim: shape('text_embedding.0.weight', 2)[1]!,
    textLength: metadataNumber(checkpoint, 'pusa.text_len') ?? wanTextLength,
    eps: 1e-6,
  };
  checkInventory(checkpoint, ditInventory(config), take.dit);
  return config;
}

function umt5Config(checkpoint: Checkpoint): Umt5Config {
  const names = [...checkpoint.entries.keys()];
  const layers = countBlocks(names);
  if (layers > 1 && !checkpoint.entries.has('blocks.1.pos_embedding.embedding.weight')) {
    throw wrongFamily(checkpoint, 'it is a T5 encoder, not UMT5', take.umt5);
  }
  const shape = shapesOf(checkpoint, take.umt5);
  const [vocabulary, dim] = shape('token_embedding.weight', 2) as [number, number];
  const [buckets, heads] = shape('blocks.0.pos_embedding.embedding.weight', 2) as [number, number];
  const config: Umt5Config = {
    vocabulary,
    dim,
    attentionDim: shape('blocks.0.attn.q.weight', 2)[0]!,
    ffnDim: shape('blocks.0.ffn.fc1.weight', 2)[0]!,
    heads,
    layers,
    buckets,
    maxDistance: 128,
    eps: 1e-6,
  };
  if (config.attentionDim % heads !== 0 || buckets % 4 !== 0) {
    throw wrongFamily(checkpoint, 'its attention has sizes that UMT5 does not have', take.umt5);
  }
  checkInventory(checkpoint, umt5Inventory(config), take.umt5);
  return config;
}

function vaeConfig(checkpoint: Checkpoint): VaeConfig {
  const { entries } = checkpoint;
  const names = [...entries.keys()];
  if (names.some((name) => name.startsWith('encoder.downsamples.0.downsamples.'))) {
    throw wrongFamily(checkpoint, 'it is the VAE of Wan2.2', take.vae);
  }
  if (
    !names.some((name) => name.startsWith('encoder.downsamples.') || name.startsWith('decoder.upsamples.'))
  ) {
    throw wrongFamily(
      checkpoint,
      'it is the VAE of another family, or under names of another tool',
      take.vae,
    );
  }
  const shape = shapesOf(checkpoint, take.vae);
  const [dim, colours] = shape('encoder.conv1.weight', 5) as [number, number];
  if (colours !== 3)
    throw wrongFamily(checkpoint, `its encoder takes ${colours} channels instead of 3`, take.vae);
  const zDim = shape('conv2.weight', 5)[0]!;

  // Stages end at a resampling: count the blocks before the first, and the width of each.
  const dimMult: number[] = [];
  const temporalDownsample: boolean[] = [];
  let numResBlocks = 0;
  let blocks = 0;
  let width = dim;
  for (let layer = 0; ; layer++) {
    const key = `encoder.downsamples.${layer}`;
    if (entries.has(`${key}.residual.6.weight`)) {
      width = shape(`${key}.residual.6.weight`, 5)[0]!;
      blocks++;
      continue;
    }
    dimMult.push(width / dim);
    if (dimMult.length === 1) numResBlocks = blocks;
    if (!entries.has(`${key}.resample.1.weight`)) break;
    temporalDownsample.push(entries.has(`${key}.time_conv.weight`));
    blocks = 0;
  }
  const latent = zDim === wanLatentMean.length;
  if (!latent || numResBlocks === 0) {
    throw wrongFamily(
      checkpoint,
      `it has ${zDim} latent channels where Wan2.1 has ${wanLatentMean.length}`,
      take.vae,
    );
  }
  const config: VaeConfig = {
    dim,
    zDim,
    dimMult,
    numResBlocks,
    temporalDownsample,
    mean: wanLatentMean,
    std: wanLatentStd,
  };
  const widths = [...encoderLayers(config), ...decoderLayers(config)].flatMap(({ from, to }) => [from, to]);
  if (!widths.every((size) => Number.isInteger(size) && size > 0)) {
    throw wrongFamily(checkpoint, 'its stages have widths that Wan2.1 does not have', take.vae);
  }
  checkInventory(checkpoint, vaeInventory(config), take.vae);
  return config;
}

/** Shapes by name, of a known rank. */
function shapesOf(checkpoint: Checkpoint, remedy: string): (name: string, rank: number) => readonly number[] {
  return (name, rank) => {
    const entry = checkpoint.entries.get(name);
    if (entry === undefined) throw incomplete(checkpoint, [name], remedy);
    if (entry.shape.length !== rank || entry.shape.includes(0)) {
      throw wrongFamily(checkpoint, `"${clip(name)}" has the shape [${entry.shape.join(', ')}]`, remedy);
    }
    return entry.shape;
  };
}

/** Numbers blocks by their names, without trusting a huge index: a hole is a missing block. */
function countBlocks(names: readonly string[]): number {
  const seen = new Set<number>();
  for (const name of names) {
    const match = /^blocks\.(\d{1,6})\./.exec(name);
    if (match !== null) seen.add(Number(match[1]));
  }
  // All blocks up to the last, so that a missing one is reported by its name; never more than there are tensors.
  return Math.min(Math.max(0, ...seen) + 1, names.length);
}

/** Every tensor there, in its shape. */
function checkInventory(checkpoint: Checkpoint, inventory: Inventory, remedy: string): void {
  const missing = [...inventory.keys()].filter((name) => !checkpoint.entries.has(name));
  if (missing.length > 0) throw incomplete(checkpoint, missing, remedy);
  for (const [name, shape] of inventory) {
    const entry = checkpoint.entries.get(name)!;
    if (entry.shape.join() !== shape.join()) {
      const stated = `"${clip(name)}" has the shape [${entry.shape.join(', ')}] instead of [${shape.join(', ')}]`;
      throw wrongFamily(checkpoint, stated, remedy);
    }
  }
}

function incomplete(checkpoint: Checkpoint, missing: readonly string[], remedy: string): PusaError {
  const more = missing.length > 1 ? ` and ${missing.length - 1} more` : '';
  return new PusaError(
    'CHECKPOINT_INCOMPLETE',
    `"${basename(checkpoint.path)}" is not whole: "${clip(missing[0]!)}"${more} is missing.`,
    `Download it again; a model in several files is opened by its .index.json. ${remedy}`,
  );
}

function wrongFamily(checkpoint: Checkpoint, what: string, remedy: string): PusaError {
  return new PusaError(
    'CHECKPOINT_WRONG_FAMILY',
    `"${basename(checkpoint.path)}" cannot be used: ${what}.`,
    remedy,
  );
}
