import {
  decoderLayers,
  encoderLayers,
  encoderWidths,
  pixelPatch,
  type VaeConfig,
  type VaeLayer,
} from './vae-config.ts';
import { decoderStages, decoderWidths, encoderStages } from './vae22-steps.ts';

/**
 * One step a frame takes through the VAE. Most work on one frame (and what their causal convolutions remember of the
 * two before); `halveTime` and `doubleTime` change the number of frames. `key` is the official name that the step's
 * tensors start with.
 *
 * The last five are Wan2.2's (spec §6). Pixels enter and leave as patches. A `branch` keeps a frame (`halved`:
 * averaged over 2×2) until the shortcut of the same key adds it; `pairs`: two frames are kept for one that leaves, the
 * first of all with zeros before it.
 */
export type VaeStep =
  | { readonly kind: 'toLatent'; readonly zDim: number }
  | { readonly kind: 'fromLatent'; readonly zDim: number }
  | {
      readonly kind: 'causal';
      readonly key: string;
      readonly norm: string | null;
      readonly from: number;
      readonly to: number;
    }
  | { readonly kind: 'residual'; readonly key: string; readonly from: number; readonly to: number }
  | { readonly kind: 'attention'; readonly key: string; readonly width: number }
  | { readonly kind: 'halveSpace'; readonly key: string; readonly from: number; readonly to: number }
  | { readonly kind: 'doubleSpace'; readonly key: string; readonly from: number; readonly to: number }
  | { readonly kind: 'halveTime'; readonly key: string; readonly width: number }
  | { readonly kind: 'doubleTime'; readonly key: string; readonly width: number }
  | { readonly kind: 'toPatches' }
  | { readonly kind: 'fromPatches' }
  | {
      readonly kind: 'branch';
      readonly key: string;
      readonly width: number;
      readonly halved: boolean;
      readonly pairs: boolean;
    }
  | {
      readonly kind: 'shortcutDown';
      readonly key: string;
      readonly from: number;
      readonly to: number;
      readonly pairs: boolean;
    }
  | { readonly kind: 'shortcutUp'; readonly key: string; readonly from: number; readonly to: number };

/** Pixels [3, 8H, 8W] (Wan2.2: 16H, 16W) → normalised latent [z, H, W] (spec §4.3, §6). */
export function encoderSteps(config: VaeConfig): VaeStep[] {
  const widths = encoderWidths(config);
  const last = widths.at(-1)!;
  const patches = config.wan22 !== undefined;
  return [
    ...(patches ? [{ kind: 'toPatches' } as const] : []),
    { kind: 'causal', key: 'encoder.conv1', norm: null, from: pixelChannels(config), to: widths[0]! },
    ...(patches
      ? encoderStages(config)
      : encoderLayers(config).flatMap((layer) => layerSteps('encoder.downsamples', layer))),
    ...middleSteps('encoder.middle', last),
    { kind: 'causal', key: 'encoder.head.2', norm: 'encoder.head.0', from: last, to: 2 * config.zDim },
    { kind: 'toLatent', zDim: config.zDim },
  ];
}

/** Normalised latent [z, H, W] → pixels [3, 8H, 8W] (Wan2.2: 16H, 16W; spec §4.3, §6). */
export function decoderSteps(config: VaeConfig): VaeStep[] {
  const widths = decoderWidths(config);
  const [first, last] = [widths[0]!, widths.at(-1)!];
  const patches = config.wan22 !== undefined;
  return [
    { kind: 'fromLatent', zDim: config.zDim },
    { kind: 'causal', key: 'decoder.conv1', norm: null, from: config.zDim, to: first },
    ...middleSteps('decoder.middle', first),
    ...(patches
      ? decoderStages(config)
      : decoderLayers(config).flatMap((layer) => layerSteps('decoder.upsamples', layer))),
    {
      kind: 'causal',
      key: 'decoder.head.2',
      norm: 'decoder.head.0',
      from: last,
      to: pixelChannels(config),
    },
    ...(patches ? [{ kind: 'fromPatches' } as const] : []),
  ];
}

/** Channels of what the first convolution sees and the last gives: colours, or patches of them. */
function pixelChannels({ wan22 }: VaeConfig): number {
  return wan22 === undefined ? 3 : 3 * pixelPatch * pixelPatch;
}

function middleSteps(key: string, width: number): VaeStep[] {
  return [
    { kind: 'residual', key: `${key}.0`, from: width, to: width },
    { kind: 'attention', key: `${key}.1`, width },
    { kind: 'residual', key: `${key}.2`, from: width, to: width },
  ];
}

/** Going down, space shrinks before time; going up, time grows before space (spec §4.2). */
function layerSteps(prefix: 'encoder.downsamples' | 'decoder.upsamples', layer: VaeLayer): VaeStep[] {
  const key = `${prefix}.${layer.index}`;
  const { from, to } = layer;
  if (layer.kind === 'residual') return [{ kind: 'residual', key, from, to }];
  if (prefix === 'encoder.downsamples') {
    const space: VaeStep = { kind: 'halveSpace', key, from, to };
    return layer.time ? [space, { kind: 'halveTime', key, width: to }] : [space];
  }
  const space: VaeStep = { kind: 'doubleSpace', key, from, to };
  return layer.time ? [{ kind: 'doubleTime', key, width: from }, space] : [space];
}
