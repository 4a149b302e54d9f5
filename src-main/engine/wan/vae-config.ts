/** Configuration of the Wan2.1 VAE (spec §4). */
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
}

/** Wan2.1's latent statistics (spec §4.1). */
export const wanLatentMean: readonly number[] = [
  -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632,
  -0.1922, -0.9497, 0.2503, -0.2921,
];
export const wanLatentStd: readonly number[] = [
  2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382,
  1.1253, 2.8251, 1.916,
];

/** Pixels per latent in time, height and width: [4, 8, 8] for Wan2.1. */
export function vaeStride(config: VaeConfig): readonly [number, number, number] {
  const space = 2 ** config.temporalDownsample.length;
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
