/** Configuration of the VAE of Wan2.1 (spec §4) or Wan2.2 (spec §6). */
export interface VaeConfig {
  /** Width of the first stage. */
  readonly dim: number;
  /** Latent channels. */
  readonly zDim: number;
  /** Width of each stage as a multiple of `dim`. */
  readonly dimMult: readonly number[];
  /** Residual blocks of an encoder stage; a decoder stage has one more. */
  readonly numResBlocks: number;
  /** Whether the encoder also halves time after each stage but the last; the decoder mirrors it. */
  readonly temporalDownsample: readonly boolean[];
  /** Per latent channel: latent = (μ − mean) / std. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /**
   * Only in the VAE of Wan2.2: pixels enter and leave as patches of 2×2, a shortcut without parameters leads around
   * every stage, a resampling keeps its width, and the decoder has a width of its own.
   */
  readonly wan22?: { readonly decoderDim: number } | undefined;
}

/** Height and width of the patches in which pixels enter the VAE of Wan2.2. */
export const pixelPatch = 2;

/** Wan2.1's latent statistics (spec §4.1). */
export const wanLatentMean: readonly number[] = [
  -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632,
  -0.1922, -0.9497, 0.2503, -0.2921,
];
export const wanLatentStd: readonly number[] = [
  2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382,
  1.1253, 2.8251, 1.916,
];

/** Wan2.2's latent statistics for its 48 channels (spec §6). */
export const wan22LatentMean: readonly number[] = [
  -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891, 0.157,
  -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055,
  -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.123, -0.0313, -0.1649, 0.0117, 0.0723, -0.2839,
  -0.2083, -0.052, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
];
export const wan22LatentStd: readonly number[] = [
  0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.499, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901, 0.6885,
  0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338,
  0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458,
  1.6887, 0.3971, 1.06, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
];

/** Pixels per latent in time, height and width: [4, 8, 8] for Wan2.1, [4, 16, 16] for Wan2.2. */
export function vaeStride(config: VaeConfig): readonly [number, number, number] {
  const space = 2 ** config.temporalDownsample.length * (config.wan22 === undefined ? 1 : pixelPatch);
  return [2 ** config.temporalDownsample.filter(Boolean).length, space, space];
}

/** Encoder widths: of `conv1`, then of each stage. */
export function encoderWidths(config: VaeConfig): number[] {
  return [1, ...config.dimMult].map((mult) => mult * config.dim);
}

/** One entry of `encoder.downsamples` or `decoder.upsamples`, by its index in the key names. */
export type VaeLayer =
  | { readonly kind: 'residual'; readonly index: number; readonly from: number; readonly to: number }
  | {
      readonly kind: 'resample';
      readonly index: number;
      readonly from: number;
      readonly to: number;
      readonly time: boolean;
    };

/** The layers of `encoder.downsamples` (spec §4.3). */
export function encoderLayers(config: VaeConfig): VaeLayer[] {
  const layers: VaeLayer[] = [];
  const widths = encoderWidths(config);
  config.dimMult.forEach((_, stage) => {
    const to = widths[stage + 1]!;
    for (let block = 0; block < config.numResBlocks; block++) {
      layers.push({ kind: 'residual', index: layers.length, from: block === 0 ? widths[stage]! : to, to });
    }
    const time = config.temporalDownsample[stage];
    if (time !== undefined) layers.push({ kind: 'resample', index: layers.length, from: to, to, time });
  });
  return layers;
}

/** The layers of `decoder.upsamples`; an upsampling halves the width (spec §4.3). */
export function decoderLayers(config: VaeConfig): VaeLayer[] {
  const layers: VaeLayer[] = [];
  const mults = [...config.dimMult].reverse();
  const times = [...config.temporalDownsample].reverse();
  let from = mults[0]! * config.dim;
  mults.forEach((mult, stage) => {
    const to = mult * config.dim;
    for (let block = 0; block <= config.numResBlocks; block++) {
      layers.push({ kind: 'residual', index: layers.length, from: block === 0 ? from : to, to });
    }
    const time = times[stage];
    if (time !== undefined) {
      from = Math.floor(to / 2);
      layers.push({ kind: 'resample', index: layers.length, from: to, to: from, time });
    }
  });
  return layers;
}
