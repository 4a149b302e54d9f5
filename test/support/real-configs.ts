import type { DitConfig } from '../../src-main/engine/wan/dit-config.ts';
import type { Umt5Config } from '../../src-main/engine/wan/umt5-config.ts';
import {
  wan22LatentMean,
  wan22LatentStd,
  wanLatentMean,
  wanLatentStd,
  type VaeConfig,
} from '../../src-main/engine/wan/vae-config.ts';

/** The published models' sizes (spec §1.1, §4.1, §5, §6). */
export const wan14B: DitConfig = {
  dim: 5120,
  ffnDim: 13_824,
  heads: 40,
  layers: 40,
  inDim: 16,
  outDim: 16,
  freqDim: 256,
  textDim: 4096,
  textLength: 512,
  eps: 1e-6,
};
export const wan1B: DitConfig = { ...wan14B, dim: 1536, ffnDim: 8960, heads: 12, layers: 30 };
export const wan5B: DitConfig = {
  ...wan14B,
  dim: 3072,
  ffnDim: 14_336,
  heads: 24,
  layers: 30,
  inDim: 48,
  outDim: 48,
};
export const wanVae: VaeConfig = {
  dim: 96,
  zDim: 16,
  dimMult: [1, 2, 4, 4],
  numResBlocks: 2,
  temporalDownsample: [false, true, true],
  mean: wanLatentMean,
  std: wanLatentStd,
};
export const wan22Vae: VaeConfig = {
  ...wanVae,
  dim: 160,
  zDim: 48,
  mean: wan22LatentMean,
  std: wan22LatentStd,
  wan22: { decoderDim: 256 },
};
export const umt5Xxl: Umt5Config = {
  vocabulary: 256_384,
  dim: 4096,
  attentionDim: 4096,
  ffnDim: 10_240,
  heads: 64,
  layers: 24,
  buckets: 32,
  maxDistance: 128,
  eps: 1e-6,
};
