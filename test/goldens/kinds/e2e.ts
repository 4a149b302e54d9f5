import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Denoiser, Tensor, VideoCodec } from '../../../src-main/engine/networks.ts';
import {
  conditionLatents,
  pixelsToTensor,
  tensorToPixels,
} from '../../../src-main/engine/pipeline/latents.ts';
import { denoise, type StepStore } from '../../../src-main/engine/pipeline/stages/denoise.ts';
import type { Watch } from '../../../src-main/engine/pipeline/watch.ts';
import { createRuntime } from '../../../src-main/engine/runtime/ort.ts';
import type { Provider, Runtime } from '../../../src-main/engine/runtime/runtime.ts';
import { checkpointWeights } from '../../../src-main/engine/wan/checkpoint-weights.ts';
import { createDenoiser } from '../../../src-main/engine/wan/dit.ts';
import { createExperts } from '../../../src-main/engine/wan/experts.ts';
import { createTextEncoder } from '../../../src-main/engine/wan/umt5.ts';
import { createVideoCodec } from '../../../src-main/engine/wan/vae.ts';
import { openSafetensors } from '../../../src-main/engine/weights/safetensors.ts';
import type { WeightSource } from '../../../src-main/engine/onnx/weights.ts';
import { compare, type Comparison, type Tolerance } from '../compare.ts';
import type { GoldenCase } from '../kinds.ts';
import { goldenPlan } from '../plan.ts';
import { readTensors, type GoldenTensors } from '../tensors.ts';
import { ditConfig, goldenTensor } from './dit.ts';
import { givenIds, umt5Config } from './umt5.ts';
import { decode, vaeConfig, type Stated } from './vae.ts';

/** What the cases of this kind state; `cond` is the noise multiplier by latent index. */
interface StatedLoop {
  dit: Record<string, unknown>;
  weights?: string;
  /** Wan2.2's low-noise expert; the high-noise one is then `weights_high.safetensors`. */
  weights_low?: string;
  boundary?: number;
  vae?: string;
  t5?: string;
  steps: number;
  shift: number;
  cfg: number;
  cond?: Record<string, number>;
}

/** A case at work: what it states, and where comparisons go. */
interface Bench {
  readonly caseDir: string;
  readonly stated: StatedLoop;
  readonly tensors: GoldenTensors;
  readonly runtime: Runtime;
  readonly limits: Readonly<Record<string, unknown>>;
  readonly check: (
    name: string,
    actual: ArrayLike<number>,
    expected: ArrayLike<number>,
    tolerance?: Tolerance,
  ) => void;
}

/** The denoising stage that ships, from noise to latents; before it text and sources, after it the decoder, where given. */
export async function run(
  caseDir: string,
  goldenCase: GoldenCase,
  provider: Provider,
): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  const bench: Bench = {
    caseDir,
    stated: goldenCase.config as unknown as StatedLoop,
    tensors: readTensors(join(caseDir, 'tensors.safetensors')),
    runtime: createRuntime(provider),
    limits: goldenCase.limits,
    check: (name, actual, expected, tolerance = goldenCase.tolerance) =>
      comparisons.push(compare(name, actual, expected, tolerance)),
  };
  const { stated, tensors } = bench;
  const positive = await context(bench, 'context_pos', 0);
  const negative = stated.cfg === 1 ? null : await context(bench, 'context_neg', 1);
  if (stated.vae === undefined) {
    await loop(bench, positive, negative);
    return comparisons;
  }
  const { config } = JSON.parse(readFileSync(join(caseDir, dirname(stated.vae), 'case.json'), 'utf8')) as {
    config: Stated;
  };
  await withWeights(join(caseDir, stated.vae), async (weights) => {
    const codec = createVideoCodec(bench.runtime, vaeConfig(config), weights);
    await encodeSource(bench, codec);
    const latents = await loop(bench, positive, negative);
    if (tensors.has('decoded')) await decodeResult(bench, codec, latents);
    await codec.release();
  });
  return comparisons;
}

/** The given context, or with a text encoder the one of row `row` of the given ids. */
async function context(
  { caseDir, stated, tensors, runtime, check }: Bench,
  name: string,
  row: number,
): Promise<Tensor> {
  const given = goldenTensor(tensors, name, 2);
  const { t5 } = stated;
  if (t5 === undefined) return given;
  const { config } = JSON.parse(readFileSync(join(caseDir, dirname(t5), 'case.json'), 'utf8')) as {
    config: Record<string, unknown>;
  };
  return withWeights(join(caseDir, t5), async (weights) => {
    const textLength = given.shape[0]!;
    const tokenizer = givenIds(tensors.i32('ids'), tensors.i32('mask'), textLength);
    const encoder = createTextEncoder(runtime, umt5Config(config), weights, tokenizer, { textLength });
    const encoded = await encoder.encode(String(row));
    await encoder.release();
    check(name, encoded.data, given.data);
    return encoded;
  });
}

/** The latents of the given picture or video. */
async function encodeSource({ tensors, check }: Bench, codec: VideoCodec): Promise<void> {
  if (tensors.has('image_u8')) {
    const image = tensors.get('image_u8');
    const latents = await codec.encode(
      pixels(tensors.f32('image_u8'), [3, 1, ...image.shape.slice(1)]),
      null,
    );
    check('cond_latent_0', latents.data, tensors.f32('cond_latent_0'));
  } else {
    const video = tensors.get('video_u8');
    const latents = await codec.encode(pixels(tensors.f32('video_u8'), video.shape), null);
    check('video_latents', latents.data, tensors.f32('video_latents'));
  }
}

/** Noise → latents by the reference's conditioned latents and noise; every step is compared. */
async function loop(bench: Bench, positive: Tensor, negative: Tensor | null): Promise<Tensor> {
  const { stated, tensors, check } = bench;
  const noise = goldenTensor(tensors, 'noise', 4);
  const cells = noise.shape[1]!;
  const marked = stated.cond ?? {};
  const plan = goldenPlan(cells, marked, stated);
  check('timesteps', plan.timesteps.flat(), tensors.f32('timesteps'), { atol: 1e-4, rtol: 1e-6 });

  const sources = Object.keys(marked).map((cell) => ({
    firstCell: Number(cell),
    cells: 1,
    dropCells: 0,
    frameCount: 1,
    sha256: '',
  }));
  const encoded = sources.map(({ firstCell }) => givenLatent(tensors, firstCell));
  const condition = sources.length === 0 ? null : conditionLatents(plan, sources, encoded, noise.shape);
  const sampler = { solver: 'euler', steps: stated.steps, shift: stated.shift, cfg: stated.cfg } as const;

  return withDenoiser(bench, async (denoiser) => {
    const { latents } = await denoise(
      {
        plan,
        sampler: { ...sampler, seed: 0, loraStrength: 1 },
        context: { positive, negative },
        noise,
        condition,
      },
      compared(denoiser, bench, positive),
      comparedSteps(bench, noise.data.length),
      silentWatch,
    );
    if (tensors.has('final_latents')) check('final_latents', latents.data, tensors.f32('final_latents'));
    return latents;
  });
}

/** The case's network, or its two experts as one. */
async function withDenoiser<T>(
  { caseDir, stated, runtime }: Bench,
  use: (denoiser: Denoiser) => Promise<T>,
): Promise<T> {
  const one = <R>(file: string, then: (denoiser: Denoiser) => Promise<R>): Promise<R> =>
    withWeights(join(caseDir, file), async (weights) => {
      const denoiser = createDenoiser(runtime, ditConfig(stated.dit), weights);
      const result = await then(denoiser);
      await denoiser.release();
      return result;
    });
  const { weights_low: lowFile, boundary } = stated;
  if (lowFile === undefined) return one(stated.weights ?? 'weights.safetensors', use);
  return one('weights_high.safetensors', (high) =>
    one(lowFile, (low) => use(createExperts({ high, low, boundary: boundary!, keepBoth: false }))),
  );
}

async function decodeResult(
  { tensors, limits, check }: Bench,
  codec: VideoCodec,
  latents: Tensor,
): Promise<void> {
  const video = await decode(codec, latents, null);
  check('decoded', video.data, tensors.f32('decoded'));
  const expected = pixelsFirst(tensors.f32('video_u8'));
  check('video_u8', tensorToPixels(video), expected, { atol: Number(limits['video_u8_atol']), rtol: 0 });
}

/** The denoiser, its velocities compared with the reference's where the case has them. */
function compared(denoiser: Denoiser, { tensors, stated, check }: Bench, positive: Tensor): Denoiser {
  const calls = { pred_pos: 0, pred_neg: 0 };
  let step = 0;
  return {
    async beginStep(timestep) {
      if (tensors.has('expert_per_step')) {
        const expected = tensors.i32('expert_per_step')[step]!;
        check(`expert[${step}]`, [timestep < 1000 * stated.boundary! ? 1 : 0], [expected]);
      }
      step++;
      await denoiser.beginStep?.(timestep);
    },
    async velocity(latents, timesteps, text, strength, onSegment) {
      const velocity = await denoiser.velocity(latents, timesteps, text, strength, onSegment);
      const name = text === positive ? 'pred_pos' : 'pred_neg';
      const call = calls[name]++;
      if (tensors.has(name))
        check(`${name}[${call}]`, velocity.data, part(tensors.f32(name), call, velocity.data.length));
      return velocity;
    },
    release: () => denoiser.release(),
  };
}

function comparedSteps({ tensors, check }: Bench, size: number): StepStore {
  return {
    load: () => Promise.resolve(null),
    save({ steps, latents }) {
      const expected = part(tensors.f32('latents_after_step'), steps - 1, size);
      check(`latents_after_step[${steps - 1}]`, latents.data, expected);
      return Promise.resolve();
    },
  };
}

const silentWatch: Watch = {
  begin: () => undefined,
  advance: () => undefined,
  wish: () => 'run',
  preview: () => undefined,
  log: () => undefined,
};

/** The reference's clean latent of a conditioned cell, [C, 1, H, W]. */
function givenLatent(tensors: GoldenTensors, cell: number): Tensor {
  if (tensors.has(`cond_latent_${cell}`)) return goldenTensor(tensors, `cond_latent_${cell}`, 4);
  const { data, shape } = goldenTensor(tensors, 'video_latents', 4);
  const [channels, cells, height, width] = shape as [number, number, number, number];
  const size = height * width;
  const rows = Array.from({ length: channels }, (_, c) => [...part(data, c * cells + cell, size)]);
  return { data: Float32Array.from(rows.flat()), shape: [channels, 1, height, width] };
}

/** [3, T, H, W] of 0 … 255 → what the codec takes, by way of the RGB8 frames of a job. */
function pixels(planes: Float32Array, shape: readonly number[]): Tensor {
  const [, frames, height, width] = shape as [number, number, number, number];
  return pixelsToTensor(pixelsFirst(planes), frames, height, width);
}

/** [3, T, H, W] → [T, H, W, 3] */
function pixelsFirst(planes: Float32Array): Uint8Array {
  const size = planes.length / 3;
  return Uint8Array.from(planes, (_, i) => planes[(i % 3) * size + Math.floor(i / 3)]!);
}

function part(data: Float32Array, index: number, size: number): Float32Array {
  return data.subarray(index * size, (index + 1) * size);
}

async function withWeights<T>(file: string, use: (weights: WeightSource) => Promise<T>): Promise<T> {
  const checkpoint = await openSafetensors(file);
  try {
    return await use(checkpointWeights(checkpoint, dirname(file)));
  } finally {
    await checkpoint.close();
  }
}
