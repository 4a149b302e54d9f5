import { basename } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import type { DitConfig } from '../wan/dit-config.ts';
import type { Umt5Config } from '../wan/umt5-config.ts';
import type { VaeConfig } from '../wan/vae-config.ts';
import type { Checkpoint } from './checkpoint.ts';
import { ditInventory, umt5Inventory } from './inventory.ts';
import { ditName, renamed, umt5Name, vaeName } from './key-maps.ts';
import { looksLikeLora, loraLayer } from './lora.ts';
import { metadataNumber } from './model-metadata.ts';
import { checkInventory, shapesOf, take, wrongFamily } from './recognise-checks.ts';
import { vaeConfig } from './recognise-vae.ts';

/** What a checkpoint is. `checkpoint` has its tensors under official names. */
export type Recognised =
  | { readonly family: 'dit'; readonly config: DitConfig; readonly checkpoint: Checkpoint }
  | { readonly family: 'vae'; readonly config: VaeConfig; readonly checkpoint: Checkpoint }
  | { readonly family: 'umt5'; readonly config: Umt5Config; readonly checkpoint: Checkpoint }
  | { readonly family: 'lora'; readonly checkpoint: Checkpoint };

const wanLayer = /^blocks\.\d+\.(self_attn|cross_attn|ffn)\./;
const headWidth = 128;
const wanTextLength = 512;

/**
 * Tells from names and shapes what a checkpoint is, and that it is whole.
 * @throws PusaError CHECKPOINT_WRONG_FAMILY, CHECKPOINT_INCOMPLETE, CHECKPOINT_INVALID
 */
export function recognise(checkpoint: Checkpoint): Recognised {
  const names = [...checkpoint.entries.keys()];
  if (looksLikeLora(names)) {
    if (names.some((name) => wanLayer.test(loraLayer(name) ?? ''))) return { family: 'lora', checkpoint };
    throw wrongFamily(checkpoint, 'it is a LoRA of another model than Wan', take.lora);
  }

  const dit = renamed(checkpoint, ditName);
  const has = (view: Checkpoint, name: string): boolean => view.entries.has(name);
  if (has(dit, 'head.modulation') || has(dit, 'patch_embedding.weight') || has(dit, 'blocks.0.modulation')) {
    return { family: 'dit', config: ditConfig(dit), checkpoint: dit };
  }
  const umt5 = renamed(checkpoint, umt5Name);
  if (has(umt5, 'token_embedding.weight') || has(umt5, 'blocks.0.attn.q.weight')) {
    return { family: 'umt5', config: umt5Config(umt5), checkpoint: umt5 };
  }
  const vae = renamed(checkpoint, vaeName);
  if (names.some((name) => /^(first_stage_model\.|vae\.)?(encoder|decoder)\./.test(name))) {
    return { family: 'vae', config: vaeConfig(vae), checkpoint: vae };
  }
  throw wrongFamily(checkpoint, 'it is none of the networks of Wan2.1 or Wan2.2', take.any);
}

/** Variants that share most names with text to video but need inputs that nothing here gives. */
const variants: readonly (readonly [RegExp, string])[] = [
  [/^vace_/, 'VACE'],
  [/^(casual_audio_encoder|audio_injector)\./, 'speech-to-video'],
  [/^(motion_encoder|face_adapter|face_encoder)\./, 'character animation'],
  [/^control_adapter\./, 'camera control'],
];

function ditConfig(checkpoint: Checkpoint): DitConfig {
  const { entries } = checkpoint;
  const shape = shapesOf(checkpoint, take.dit);
  const names = [...entries.keys()];
  const variant = variants.find(([pattern]) => names.some((name) => pattern.test(name)));
  if (variant !== undefined) throw wrongFamily(checkpoint, `it is the ${variant[1]} variant`, take.dit);
  const [dim, inDim] = shape('patch_embedding.weight', 5) as [number, number];
  if (inDim === 36 || names.some((name) => name.startsWith('img_emb.') || name.includes('.k_img.'))) {
    throw wrongFamily(checkpoint, 'it is an image-to-video model, which Pusa cannot use', take.dit);
  }
  const outDim = shape('head.head.weight', 2)[0]! / 4;
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
