import { dirname, join } from 'node:path';
import type { Tensor, VideoCodec } from '../../../src-main/engine/networks.ts';
import { createRuntime, defaultForms } from '../../../src-main/engine/runtime/ort.ts';
import type { OperatorForms, Provider } from '../../../src-main/engine/runtime/runtime.ts';
import { checkpointWeights } from '../../../src-main/engine/wan/checkpoint-weights.ts';
import { createVideoCodec } from '../../../src-main/engine/wan/vae.ts';
import { wan22LatentMean, wan22LatentStd } from '../../../src-main/engine/wan/vae-config.ts';
import { openSafetensors } from '../../../src-main/engine/weights/safetensors.ts';
import { compare, type Comparison } from '../compare.ts';
import type { GoldenCase } from '../kinds.ts';
import { readTensors, type GoldenTensors } from '../tensors.ts';
import { clamped, decode, input, vaeConfig, type Stated } from './vae.ts';

/**
 * The VAE of Wan2.2: a video both ways in the convolution's form that is quickest on the CPU or on a GPU in software,
 * in the others its first frame, which alone must give the first latent, because the network is causal.
 */
export async function run(
  caseDir: string,
  { config, tolerance }: GoldenCase,
  provider: Provider,
): Promise<Comparison[]> {
  const tensors = readTensors(join(caseDir, 'tensors.safetensors'));
  const weightsFile = join(caseDir, 'weights.safetensors');
  const checkpoint = await openSafetensors(weightsFile);
  const results: Comparison[] = [
    compare('mean', wan22LatentMean, tensors.f32('mean'), tolerance),
    compare('std', wan22LatentStd, tensors.f32('std'), tolerance),
  ];
  const forms: readonly OperatorForms['convolution'][] =
    provider === 'cpu' ? ['planes', 'conv3d', 'taps'] : ['conv3d', 'taps'];
  try {
    for (const convolution of forms) {
      const runtime = createRuntime(provider, { ...defaultForms[provider], convolution });
      const weights = checkpointWeights(checkpoint, dirname(weightsFile));
      const codec = createVideoCodec(runtime, vaeConfig(config as unknown as Stated), weights);
      try {
        const compareAll = convolution === forms[0] ? whole : firstFrame;
        await compareAll(codec, tensors, (name, actual, expected) =>
          results.push(compare(`${name} (${convolution})`, actual.data, expected.data, tolerance)),
        );
      } finally {
        await codec.release();
      }
    }
    return results;
  } finally {
    await checkpoint.close();
  }
}

type Add = (name: string, actual: Tensor, expected: Tensor) => void;

async function whole(codec: VideoCodec, tensors: GoldenTensors, add: Add): Promise<void> {
  const latent = input(tensors, 'latent');
  add('latent', await codec.encode(input(tensors, 'video'), null), latent);
  // Encodes before it decodes, so that each direction's graphs are loaded once.
  await firstFrame(codec, tensors, add);
  add('decoded', await decode(codec, latent, null), clamped(tensors, 'decoded_raw'));
}

async function firstFrame(codec: VideoCodec, tensors: GoldenTensors, add: Add): Promise<void> {
  const [video, latent] = [input(tensors, 'video'), input(tensors, 'latent')];
  add('latent of the first frame', await codec.encode(first(video), null), first(latent));
  const decodedFirst = await decode(codec, first(latent), null);
  add('first frame decoded', decodedFirst, first(clamped(tensors, 'decoded_raw')));
}

/** [C, T, H, W] → its first frame [C, 1, H, W]. */
function first({ data, shape }: Tensor): Tensor {
  const [channels, frames, height, width] = shape as [number, number, number, number];
  const size = height * width;
  const one = new Float32Array(channels * size);
  for (let c = 0; c < channels; c++) {
    one.set(data.subarray(c * frames * size, (c * frames + 1) * size), c * size);
  }
  return { data: one, shape: [channels, 1, height, width] };
}
