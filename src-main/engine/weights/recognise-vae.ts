import {
  decoderLayers,
  encoderLayers,
  pixelPatch,
  wan22LatentMean,
  wan22LatentStd,
  wanLatentMean,
  wanLatentStd,
  type VaeConfig,
} from '../wan/vae-config.ts';
import { hasWan22Widths } from '../wan/vae22-steps.ts';
import type { Checkpoint } from './checkpoint.ts';
import { vaeInventory } from './inventory.ts';
import { checkInventory, shapesOf, take, wrongFamily } from './recognise-checks.ts';

/**
 * The sizes of a VAE of Wan2.1 or Wan2.2 from its tensors.
 * @throws PusaError CHECKPOINT_WRONG_FAMILY, CHECKPOINT_INCOMPLETE
 */
export function vaeConfig(checkpoint: Checkpoint): VaeConfig {
  const { entries } = checkpoint;
  const names = [...entries.keys()];
  if (names.some((name) => name.startsWith('encoder.downsamples.0.downsamples.'))) {
    return wan22Config(checkpoint);
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

/** Stages are numbered, and inside each its blocks, then its resampling (spec §6). */
function wan22Config(checkpoint: Checkpoint): VaeConfig {
  const { entries } = checkpoint;
  const shape = shapesOf(checkpoint, take.vae);
  const [dim, patchChannels] = shape('encoder.conv1.weight', 5) as [number, number];
  if (patchChannels !== 3 * pixelPatch ** 2) {
    const needed = 3 * pixelPatch ** 2;
    throw wrongFamily(
      checkpoint,
      `its encoder takes ${patchChannels} channels instead of ${needed}`,
      take.vae,
    );
  }
  const zDim = shape('conv2.weight', 5)[0]!;
  if (zDim !== wan22LatentMean.length) {
    throw wrongFamily(
      checkpoint,
      `it has ${zDim} latent channels where Wan2.2 has ${wan22LatentMean.length}`,
      take.vae,
    );
  }
  const dimMult: number[] = [];
  const temporalDownsample: boolean[] = [];
  let numResBlocks = 0;
  for (let stage = 0; ; stage++) {
    const key = `encoder.downsamples.${stage}.downsamples`;
    let block = 0;
    while (entries.has(`${key}.${block}.residual.6.weight`)) block++;
    if (block === 0) break;
    if (stage === 0) numResBlocks = block;
    dimMult.push(shape(`${key}.0.residual.6.weight`, 5)[0]! / dim);
    if (!entries.has(`${key}.${block}.resample.1.weight`)) break;
    temporalDownsample.push(entries.has(`${key}.${block}.time_conv.weight`));
  }
  const config: VaeConfig = {
    dim,
    zDim,
    dimMult,
    numResBlocks,
    temporalDownsample,
    mean: wan22LatentMean,
    std: wan22LatentStd,
    wan22: { decoderDim: shape('decoder.conv1.weight', 5)[0]! / (dimMult.at(-1) ?? 1) },
  };
  if (numResBlocks === 0 || !hasWan22Widths(config)) {
    throw wrongFamily(checkpoint, 'its stages have widths that Wan2.2 does not have', take.vae);
  }
  checkInventory(checkpoint, vaeInventory(config), take.vae);
  return config;
}
