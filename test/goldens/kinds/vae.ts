import { dirname, join } from 'node:path';
import type { Tensor, Tiling, VideoCodec } from '../../../src-main/engine/networks.ts';
import { createRuntime, defaultForms } from '../../../src-main/engine/runtime/ort.ts';
import type { OperatorForms, Provider } from '../../../src-main/engine/runtime/runtime.ts';
import { checkpointWeights } from '../../../src-main/engine/wan/checkpoint-weights.ts';
import { createVideoCodec } from '../../../src-main/engine/wan/vae.ts';
import type { VaeConfig } from '../../../src-main/engine/wan/vae-config.ts';
import { ramp } from '../../../src-main/engine/wan/vae-tiling.ts';
import { openSafetensors } from '../../../src-main/engine/weights/safetensors.ts';
import { compare, type Comparison } from '../compare.ts';
import type { GoldenCase } from '../kinds.ts';
import { readTensors, type GoldenTensors } from '../tensors.ts';

export interface Stated {
  dim: number;
  z_dim: number;
  dim_mult: number[];
  num_res_blocks: number;
  temperal_downsample: boolean[];
  mean: number[];
  std: number[];
  /** Width of the decoder; only Wan2.2 states it. */
  dec_dim?: number;
}

/**
 * Encode and decode through the graphs that ship: whole, a single picture, trailing frames, tiled. Everything in the
 * convolution's form that is quickest on the CPU or on a GPU in software, a picture in the others too.
 */
export async function run(
  caseDir: string,
  { config, tolerance }: GoldenCase,
  provider: Provider,
): Promise<Comparison[]> {
  const tensors = readTensors(join(caseDir, 'tensors.safetensors'));
  const weightsFile = join(caseDir, (config['weights'] as string | undefined) ?? 'weights.safetensors');
  const checkpoint = await openSafetensors(weightsFile);
  const stated = config as unknown as Stated;
  const results: Comparison[] = [];
  const within = async (
    convolution: OperatorForms['convolution'],
    compareAll: (codec: VideoCodec, add: Add) => Promise<void>,
  ): Promise<void> => {
    const runtime = createRuntime(provider, { ...defaultForms[provider], convolution });
    const codec = createVideoCodec(
      runtime,
      vaeConfig(stated),
      checkpointWeights(checkpoint, dirname(weightsFile)),
    );
    try {
      await compareAll(codec, (name, actual, expected = tensors.get(name)) => {
        const sameShape = actual.shape.join() === expected.shape.join();
        const label = `${name} (${convolution})${sameShape ? '' : ` [${actual.shape.join()}]`}`;
        results.push(compare(label, sameShape ? actual.data : [], expected.data, tolerance));
      });
    } finally {
      await codec.release();
    }
  };
  const [all, ...others]: readonly [OperatorForms['convolution'], ...OperatorForms['convolution'][]] =
    provider === 'cpu' ? ['planes', 'conv3d', 'taps'] : ['conv3d', 'taps'];
  try {
    if (config['tile_size'] === undefined) {
      await within(all, (codec, add) => whole(codec, tensors, stated, add));
      for (const form of others) await within(form, (codec, add) => picture(codec, tensors, add));
    } else {
      const tiling: Tiling = {
        tile: config['tile_size'] as [number, number],
        stride: config['tile_stride'] as [number, number],
      };
      await within(all, (codec, add) => tiled(codec, tensors, tiling, add));
    }
    return results;
  } finally {
    await checkpoint.close();
  }
}

type Add = (
  name: string,
  actual: Tensor,
  expected?: { data: ArrayLike<number>; shape: readonly number[] },
) => void;

async function picture(codec: VideoCodec, tensors: GoldenTensors, add: Add): Promise<void> {
  add('image_latent', await codec.encode(input(tensors, 'image'), null));
  const image = await decode(codec, input(tensors, 'image_latent'), null);
  add('image_decoded_raw', image, clamped(tensors, 'image_decoded_raw'));
}

/** What has one direction and size follows each other: a codec has the graphs of one at a time. */
async function whole(codec: VideoCodec, tensors: GoldenTensors, stated: Stated, add: Add): Promise<void> {
  add('video2_latent', await codec.encode(input(tensors, 'video2'), null));
  const latent = await codec.encode(input(tensors, 'video'), null);
  add('latent', latent);
  add('latent_unnormalised', denormalised(latent, stated));
  add('latent_from_first_8_frames', await codec.encode(firstFrames(input(tensors, 'video'), 8), null));
  await picture(codec, tensors, add);
  const decoded = await decode(codec, input(tensors, 'latent'), null);
  add('decoded', decoded);
  // Every value of the unclamped references lies in −1 … 1 or is compared after clamping.
  add('decoded_raw', decoded, clamped(tensors, 'decoded_raw'));
  const random = await decode(codec, input(tensors, 'rand_latent'), null);
  add('rand_decoded_raw', random, clamped(tensors, 'rand_decoded_raw'));
  for (const [name, ours] of [
    ['mean', stated.mean],
    ['std', stated.std],
  ] as const) {
    add(name, { data: Float32Array.from(ours), shape: [ours.length] });
  }
}

async function tiled(codec: VideoCodec, tensors: GoldenTensors, tiling: Tiling, add: Add): Promise<void> {
  const video = input(tensors, 'video');
  add('latent_tiled', await codec.encode(video, tiling));
  add('latent_untiled', await codec.encode(video, null));
  // The reference decoded its own latents: those of the same tiling.
  add('decoded_tiled', await decode(codec, input(tensors, 'latent_untiled'), tiling));
  add('decoded_untiled', await decode(codec, input(tensors, 'latent_untiled'), null));
  const mask = ramp(8, 3, false, false);
  add('mask_1d_len8_border3', { data: mask, shape: [mask.length] });
}

/** Decodes and joins what is handed over; checks that the groups follow each other. */
export async function decode(codec: VideoCodec, latents: Tensor, tiling: Tiling | null): Promise<Tensor> {
  const [, cells, rows, columns] = latents.shape as [number, number, number, number];
  const [time, height, width] = codec.stride;
  const shape = [3, 1 + time * (cells - 1), rows * height, columns * width] as const;
  const size = shape[2] * shape[3];
  const data = new Float32Array(3 * shape[1] * size);
  let next = 0;
  await codec.decode(latents, tiling, (frames, first) => {
    const count = frames.shape[1]!;
    if (first !== next) throw new Error(`Frames from ${first} came where ${next} belongs.`);
    next += count;
    for (let c = 0; c < 3; c++) {
      data.set(frames.data.subarray(c * count * size, (c + 1) * count * size), (c * shape[1] + first) * size);
    }
  });
  if (next !== shape[1]) throw new Error(`${next} frames came instead of ${shape[1]}.`);
  return { data, shape };
}

export function vaeConfig(stated: Stated): VaeConfig {
  return {
    dim: stated.dim,
    zDim: stated.z_dim,
    dimMult: stated.dim_mult,
    numResBlocks: stated.num_res_blocks,
    temporalDownsample: stated.temperal_downsample,
    mean: stated.mean,
    std: stated.std,
    ...(stated.dec_dim === undefined ? {} : { wan22: { decoderDim: stated.dec_dim } }),
  };
}

/** A tensor of the case as the codec takes it. */
export function input(tensors: GoldenTensors, name: string): Tensor {
  return { data: tensors.f32(name), shape: tensors.get(name).shape };
}

/** A tensor of the case in −1 … 1, as decoded frames are. */
export function clamped(tensors: GoldenTensors, name: string): Tensor {
  const { data, shape } = input(tensors, name);
  return { data: data.map((value) => Math.min(1, Math.max(-1, value))), shape };
}

function denormalised({ data, shape }: Tensor, { mean, std }: Stated): Tensor {
  const size = data.length / shape[0]!;
  return {
    data: data.map((value, i) => value * std[Math.floor(i / size)]! + mean[Math.floor(i / size)]!),
    shape,
  };
}

function firstFrames({ data, shape }: Tensor, count: number): Tensor {
  const [channels, frames, height, width] = shape as [number, number, number, number];
  const size = height * width;
  const parts = Array.from({ length: channels }, (_, c) => [
    ...data.subarray(c * frames * size, (c * frames + count) * size),
  ]);
  return { data: Float32Array.from(parts.flat()), shape: [channels, count, height, width] };
}
