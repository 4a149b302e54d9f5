import type { DitConfig } from '../wan/dit-config.ts';
import type { Umt5Config } from '../wan/umt5-config.ts';
import { decoderSteps, encoderSteps, type VaeStep } from '../wan/vae-steps.ts';
import type { VaeConfig } from '../wan/vae-config.ts';

/** Official tensor name → shape. */
export type Inventory = ReadonlyMap<string, readonly number[]>;

/** All tensors of a Wan diffusion transformer: 27 per block and 15 outside (spec §1.2). */
export function ditInventory(config: DitConfig): Inventory {
  const { dim, ffnDim, inDim, outDim, freqDim, textDim } = config;
  const tensors = new Map<string, readonly number[]>();
  const linear = (name: string, out: number, into: number): void => {
    tensors.set(`${name}.weight`, [out, into]).set(`${name}.bias`, [out]);
  };
  tensors.set('patch_embedding.weight', [dim, inDim, 1, 2, 2]).set('patch_embedding.bias', [dim]);
  linear('text_embedding.0', dim, textDim);
  linear('text_embedding.2', dim, dim);
  linear('time_embedding.0', dim, freqDim);
  linear('time_embedding.2', dim, dim);
  linear('time_projection.1', 6 * dim, dim);
  for (let n = 0; n < config.layers; n++) {
    const block = `blocks.${n}`;
    tensors.set(`${block}.modulation`, [1, 6, dim]);
    for (const at of ['self_attn', 'cross_attn']) {
      for (const side of ['q', 'k', 'v', 'o']) linear(`${block}.${at}.${side}`, dim, dim);
      tensors.set(`${block}.${at}.norm_q.weight`, [dim]).set(`${block}.${at}.norm_k.weight`, [dim]);
    }
    tensors.set(`${block}.norm3.weight`, [dim]).set(`${block}.norm3.bias`, [dim]);
    linear(`${block}.ffn.0`, ffnDim, dim);
    linear(`${block}.ffn.2`, dim, ffnDim);
  }
  tensors.set('head.modulation', [1, 2, dim]);
  linear('head.head', 4 * outDim, dim);
  return tensors;
}

/** All tensors of a UMT5 encoder (spec §5). */
export function umt5Inventory(config: Umt5Config): Inventory {
  const { dim, attentionDim, ffnDim } = config;
  const tensors = new Map<string, readonly number[]>([['token_embedding.weight', [config.vocabulary, dim]]]);
  for (let n = 0; n < config.layers; n++) {
    const block = `blocks.${n}`;
    tensors.set(`${block}.norm1.weight`, [dim]).set(`${block}.norm2.weight`, [dim]);
    for (const side of ['q', 'k', 'v']) tensors.set(`${block}.attn.${side}.weight`, [attentionDim, dim]);
    tensors.set(`${block}.attn.o.weight`, [dim, attentionDim]);
    tensors.set(`${block}.pos_embedding.embedding.weight`, [config.buckets, config.heads]);
    tensors.set(`${block}.ffn.gate.0.weight`, [ffnDim, dim]).set(`${block}.ffn.fc1.weight`, [ffnDim, dim]);
    tensors.set(`${block}.ffn.fc2.weight`, [dim, ffnDim]);
  }
  return tensors.set('norm.weight', [dim]);
}

/** All tensors of a VAE of Wan2.1 or Wan2.2 (spec §4.3, §6). */
export function vaeInventory(config: VaeConfig): Inventory {
  const tensors = new Map<string, readonly number[]>();
  for (const step of [...encoderSteps(config), ...decoderSteps(config)]) addVaeStep(tensors, step);
  return tensors;
}

function addVaeStep(tensors: Map<string, readonly number[]>, step: VaeStep): void {
  const convolution = (name: string, shape: readonly number[]): void => {
    tensors.set(`${name}.weight`, shape).set(`${name}.bias`, [shape[0]!]);
  };
  switch (step.kind) {
    case 'toLatent':
      convolution('conv1', [2 * step.zDim, 2 * step.zDim, 1, 1, 1]);
      return;
    case 'fromLatent':
      convolution('conv2', [step.zDim, step.zDim, 1, 1, 1]);
      return;
    case 'causal':
      if (step.norm !== null) tensors.set(`${step.norm}.gamma`, [step.from, 1, 1, 1]);
      convolution(step.key, [step.to, step.from, 3, 3, 3]);
      return;
    case 'residual':
      tensors.set(`${step.key}.residual.0.gamma`, [step.from, 1, 1, 1]);
      convolution(`${step.key}.residual.2`, [step.to, step.from, 3, 3, 3]);
      tensors.set(`${step.key}.residual.3.gamma`, [step.to, 1, 1, 1]);
      convolution(`${step.key}.residual.6`, [step.to, step.to, 3, 3, 3]);
      if (step.from !== step.to) convolution(`${step.key}.shortcut`, [step.to, step.from, 1, 1, 1]);
      return;
    case 'attention':
      tensors.set(`${step.key}.norm.gamma`, [step.width, 1, 1]);
      convolution(`${step.key}.to_qkv`, [3 * step.width, step.width, 1, 1]);
      convolution(`${step.key}.proj`, [step.width, step.width, 1, 1]);
      return;
    case 'halveSpace':
    case 'doubleSpace':
      convolution(`${step.key}.resample.1`, [step.to, step.from, 3, 3]);
      return;
    case 'halveTime':
      convolution(`${step.key}.time_conv`, [step.width, step.width, 3, 1, 1]);
      return;
    case 'doubleTime':
      convolution(`${step.key}.time_conv`, [2 * step.width, step.width, 3, 1, 1]);
      return;
    case 'toPatches':
    case 'fromPatches':
    case 'branch':
    case 'shortcutDown':
    case 'shortcutUp':
      return;
  }
}
