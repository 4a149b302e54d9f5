import { wanLatentMean, wanLatentStd, type VaeConfig } from '../../src-main/engine/wan/vae-config.ts';

/** Wan2.1's VAE in its real sizes (spec §4.1). */
export const realVae: VaeConfig = {
  dim: 96,
  zDim: 16,
  dimMult: [1, 2, 4, 4],
  numResBlocks: 2,
  temporalDownsample: [false, true, true],
  mean: wanLatentMean,
  std: wanLatentStd,
};
