import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newProject, newRange } from '../../src-main/core/presets/defaults.ts';
import type { Denoiser, Tensor } from '../../src-main/engine/networks.ts';
import { JobFolder } from '../../src-main/engine/pipeline/job-folder.ts';
import { runJob, type PipelineHooks } from '../../src-main/engine/pipeline/pipeline.ts';
import type { Result } from '../../src-main/engine/pipeline/result.ts';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import type { Runtime } from '../../src-main/engine/runtime/runtime.ts';
import { checkpointWeights } from '../../src-main/engine/wan/checkpoint-weights.ts';
import type { DitConfig } from '../../src-main/engine/wan/dit-config.ts';
import { createExperts } from '../../src-main/engine/wan/experts.ts';
import { fitPreview, previewFrames } from '../../src-main/engine/wan/preview.ts';
import { createVideoCodec } from '../../src-main/engine/wan/vae.ts';
import { vaeStride, type VaeConfig } from '../../src-main/engine/wan/vae-config.ts';
import { encoderSteps, decoderSteps } from '../../src-main/engine/wan/vae-steps.ts';
import { loadFrameNetwork } from '../../src-main/engine/wan/vae-stream.ts';
import type { Dtype } from '../../src-main/engine/weights/dtypes.ts';
import { importPackage } from '../../src-main/engine/weights/import-package.ts';
import { ditInventory } from '../../src-main/engine/weights/inventory.ts';
import { loadModel } from '../../src-main/engine/weights/load-model.ts';
import { sizeMultipleOf } from '../../src-main/engine/weights/manifest.ts';
import { openPackage, verifyPackage, type ModelPackage } from '../../src-main/engine/weights/package.ts';
import { recognise } from '../../src-main/engine/weights/recognise.ts';
import { openSafetensors } from '../../src-main/engine/weights/safetensors.ts';
import { writeSafetensors, type TensorToWrite } from '../../src-main/engine/weights/write-safetensors.ts';
import { freezeJob } from '../../src-main/studio/freeze.ts';
import { readTensors } from '../goldens/tensors.ts';
import { noisyCells, outcomeOf, smallJob, tensor, type SmallJob } from './jobs.ts';
import { refusal } from '../support/refusal.ts';

const fixtures = join(import.meta.dirname, '../fixtures');
const pattern = join(fixtures, 'models/test-pattern');
const golden = join(fixtures, 'goldens/vae22_tiny');
let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pusa-wan22-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Numbers that look random, the same for the same seed. */
function wave(size: number, seed: number, scale: number): Float32Array {
  return new Float32Array(size).map((_, i) => scale * Math.sin((i + 1) * (0.7 + seed) + 3 * Math.sin(i)));
}

async function writeDit(path: string, config: DitConfig, seed: number): Promise<void> {
  const tensors = [...ditInventory(config)].map(([name, shape]): TensorToWrite => {
    const size = shape.reduce((a, b) => a * b, 1);
    const isNorm = /norm\w*\.weight$/.test(name);
    const data = isNorm ? new Float32Array(size).fill(1) : wave(size, seed, 0.08);
    return { name, dtype: 'F32', shape, data };
  });
  await writeSafetensors(path, tensors, {
    'pusa.num_heads': String(config.heads),
    'pusa.text_len': String(config.textLength),
  });
}

async function writeLora(path: string, seed: number): Promise<void> {
  await writeSafetensors(path, [
    { name: 'blocks.0.ffn.0.lora_A.weight', dtype: 'F32', shape: [3, 64], data: wave(192, seed, 0.2) },
    { name: 'blocks.0.ffn.0.lora_B.weight', dtype: 'F32', shape: [128, 3], data: wave(384, seed, 0.2) },
  ]);
}

async function makeJob(
  name: string,
  { manifest }: ModelPackage,
  options: Omit<SmallJob, 'model'>,
): Promise<JobFolder> {
  const path = join(root, name);
  await smallJob(path, { ...options, model: { id: manifest.id, hash: manifest.hash } });
  return JobFolder.open(path);
}

/** Loads the model afresh, as a new process would. */
async function run(
  folder: JobFolder,
  modelPackage: ModelPackage,
  hooks: Partial<PipelineHooks> = {},
  runtime: Runtime = createRuntime('cpu'),
  memory = 2 ** 34,
): Promise<Result> {
  const model = loadModel(runtime, modelPackage, { availableBytes: memory });
  try {
    return await runJob(
      folder,
      model,
      { onProgress: () => undefined, previews: null, log: () => undefined, wish: () => 'run', ...hooks },
      { availableBytes: memory },
    );
  } finally {
    await model.release();
  }
}

describe('the VAE of Wan2.2', () => {
  const tensors = readTensors(join(golden, 'tensors.safetensors'));
  const video: Tensor = { data: tensors.f32('video'), shape: tensors.get('video').shape };
  const latent: Tensor = { data: tensors.f32('latent'), shape: tensors.get('latent').shape };

  async function withVae<T>(
    use: (config: VaeConfig, weights: ReturnType<typeof checkpointWeights>) => Promise<T>,
  ) {
    const checkpoint = await openSafetensors(join(golden, 'weights.safetensors'));
    const recognised = recognise(checkpoint);
    if (recognised.family !== 'vae') throw new Error(recognised.family);
    try {
      return await use(recognised.config, checkpointWeights(checkpoint, golden));
    } finally {
      await checkpoint.close();
    }
  }

  test('is recognised from its tensors, compresses 16-fold, and refuses sizes that are no multiple of it', () =>
    withVae(async (config, weights) => {
      expect(config).toMatchObject({ dim: 4, zDim: 48, numResBlocks: 1, wan22: { decoderDim: 4 } });
      expect(vaeStride(config)).toEqual([4, 16, 16]);
      const codec = createVideoCodec(createRuntime('cpu'), config, weights);
      const odd = tensor([3, 1, 24, 32], () => 0);
      await expect(codec.encode(odd, null)).rejects.toThrow('cannot be encoded in steps of 4×16×16');
      await codec.release();
    }));

  test.each(['encoder', 'decoder'] as const)(
    '%s: the same when every step has a graph of its own, and as many runs as foretold',
    (direction) =>
      withVae(async (config, weights) => {
        const isEncoder = direction === 'encoder';
        const steps = isEncoder ? encoderSteps(config) : decoderSteps(config);
        const input = isEncoder ? video : latent;
        const [channels, frames, height, width] = input.shape as [number, number, number, number];
        const outcome = async (stageBytes?: number): Promise<{ values: number[]; graphs: number }> => {
          const real = createRuntime('cpu');
          let graphs = 0;
          const runtime: Runtime = {
            ...real,
            load: (model) => {
              graphs++;
              return real.load(model);
            },
          };
          const network = await loadFrameNetwork('vae', runtime, steps, [1, channels, height, width], {
            config,
            weights,
            ...(stageBytes === undefined ? {} : { stageBytes }),
          });
          const values: number[] = [];
          let runs = 0;
          const stream = network.start();
          const size = height * width;
          for (let t = 0; t < frames; t++) {
            const data = new Float32Array(channels * size);
            for (let c = 0; c < channels; c++) {
              const from = (c * frames + t) * size;
              data.set(input.data.subarray(from, from + size), c * size);
            }
            await stream.push(
              { data, shape: [1, channels, height, width] },
              (frame) => void values.push(...frame.data),
              () => runs++,
            );
          }
          expect(runs).toBe(network.runs(frames));
          await network.release();
          return { values, graphs };
        };
        const [few, many] = [await outcome(), await outcome(1)];
        expect(many.graphs).toBeGreaterThan(few.graphs + 5);
        expect(Math.max(...many.values.map((v, i) => Math.abs(v - few.values[i]!)))).toBeLessThan(1e-5);
      }),
  );

  test('in tiles gives nearly the same video, and previews have its 48 channels', () =>
    withVae(async (config, weights) => {
      const codec = createVideoCodec(createRuntime('cpu'), config, weights);
      const wide = tensor([48, 2, 2, 4], (i) => Math.sin(i));
      const frames = async (tiling: Parameters<typeof codec.decode>[1]): Promise<number[]> => {
        const all: number[] = [];
        await codec.decode(wide, tiling, (group) => void all.push(...group.data));
        return all;
      };
      const whole = await frames(null);
      const tiled = await frames({ tile: [2, 3], stride: [2, 1] });
      expect(tiled.length).toBe(3 * 5 * 32 * 64);
      // Beside the tiles' edges, where other zeros are seen, the picture is the same: its first column.
      const off = tiled.map((v, i) => (i % 64 === 0 ? Math.abs(v - whole[i]!) : 0));
      expect(Math.max(...off)).toBeLessThan(0.2);
      const map = await fitPreview(codec);
      expect(map.matrix.length).toBe(3 * 48);
      expect(previewFrames(wide, map).length).toBe(2 * 2 * 4 * 3);
      await codec.release();
    }));
});

describe('two experts', () => {
  let both: ModelPackage;
  const options = { width: 32, height: 32, cells: noisyCells, sampler: { steps: 5, cfg: 2 } };

  beforeAll(async () => {
    const folder = join(root, 'pair');
    await cp(pattern, folder, { recursive: true });
    const { config } = (await openPackage(pattern)).manifest.dit;
    await rm(join(folder, 'dit.safetensors'));
    await rm(join(folder, 'manifest.json'));
    await writeDit(join(folder, 'tiny_high_noise.safetensors'), config, 1);
    await mkdir(join(folder, 'low_noise_model'));
    await writeDit(join(folder, 'low_noise_model', 'tiny.safetensors'), config, 2);
    await writeLora(join(folder, 'high_noise_pusa.safetensors'), 3);
    await writeLora(join(folder, 'low_noise_pusa.safetensors'), 4);
    await writeLora(join(folder, 'style.safetensors'), 5);
    both = await importPackage(folder, { id: 'pair' });
  });

  test('are found by their names, with the LoRAs made for each', async () => {
    const { manifest } = both;
    expect(manifest).toMatchObject({
      version: 2,
      name: 'tiny',
      family: 'wan2.2',
      dit: { open: 'tiny_high_noise.safetensors' },
      loras: [
        { name: 'high_noise_pusa', live: true, defaultStrength: 1.4 },
        { name: 'style', live: false, defaultStrength: 1 },
      ],
      lowNoise: {
        boundary: 0.875,
        dit: { open: 'low_noise_model/tiny.safetensors' },
        loras: [
          { name: 'low_noise_pusa', live: true, defaultStrength: 1.4 },
          { name: 'style', live: false, defaultStrength: 1 },
        ],
      },
      recommended: { steps: 30, cfg: 3, shift: 5, loraStrength: 1.4 },
    });
    await verifyPackage(await openPackage(both.folder));
    const [high, low] = [await both.openDit(), await both.openDit('low')];
    expect(await high.read('head.head.bias')).not.toEqual(await low.read('head.head.bias'));
    await high.close();
    await low.close();
  });

  test('work one after the other: at t of the boundary and above the high-noise one, then the other', async () => {
    const seen: string[] = [];
    const expert = (name: string): Denoiser => ({
      velocity: (latents, _times, _context, strength) => {
        seen.push(`${name} ${strength.toFixed(2)}`);
        return Promise.resolve(latents);
      },
      release: () => {
        seen.push(`release ${name}`);
        return Promise.resolve();
      },
    });
    const at = tensor([1, 1, 2, 2], () => 0);
    for (const keepBoth of [false, true]) {
      seen.length = 0;
      const parts = { high: expert('high'), low: expert('low'), boundary: 0.875, lowStrength: 0.5 };
      const experts = createExperts({ ...parts, keepBoth });
      expect(() => experts.velocity(at, Float32Array.of(0), at, 1)).toThrow('No step has begun');
      for (const t of [1000, 875, 874.99, 3]) {
        await experts.beginStep!(t);
        // The timesteps of the cells do not matter: all may be held clean.
        await experts.velocity(at, Float32Array.of(0), at, 1);
      }
      expect(seen).toEqual([
        ...['high 1.00', 'high 1.00'],
        ...(keepBoth ? [] : ['release high']),
        ...['low 0.50', 'low 0.50'],
      ]);
    }
  });

  test('make a clip, with one of them loaded at a time where memory is short, and the result is the same', async () => {
    /** Counts how many experts are loaded at a time, by their heads. */
    const counted = (): { runtime: Runtime; most: () => number } => {
      const real = createRuntime('cpu');
      let loaded = 0;
      let most = 0;
      return {
        most: () => most,
        runtime: {
          ...real,
          async load(model) {
            const segment = await real.load(model);
            const isHead = model.name === 'head';
            if (isHead) most = Math.max(most, ++loaded);
            return {
              run: (...input) => segment.run(...input),
              release: () => {
                if (isHead) loaded--;
                return segment.release();
              },
            };
          },
        },
      };
    };
    const roomy = counted();
    const whole = await makeJob('pair-whole', both, options);
    const result = await run(whole, both, {}, roomy.runtime);
    expect(result).toMatchObject({ frames: 17, stepsDone: 5, partial: false });
    // Weights in float32 stay in the file on the CPU, so both experts stay loaded.
    expect(roomy.most()).toBe(2);

    const narrow = counted();
    const short = await makeJob('pair-short', both, options);
    const half = { ...narrow.runtime, provider: 'webgpu' as const };
    // As on a GPU, where all weights take memory: room for one expert, not for two.
    const bytes =
      4 *
      [...ditInventory(both.manifest.dit.config).values()].reduce(
        (sum, s) => sum + s.reduce((a, b) => a * b, 1),
        0,
      );
    const tight = await run(short, both, {}, half, Math.ceil(bytes * 2 * 1.5));
    expect(narrow.most()).toBe(1);
    expect(tight.stepsDone).toBe(5);
    // Less memory may mean other sums, never another result.
    const latentsOf = async (folder: JobFolder): Promise<Float32Array> => {
      const step = await folder.readRecord('step-5');
      if (step.state !== 'whole') throw new Error(step.state);
      return step.content.tensors['latents']!.data;
    };
    const [a, b] = [await latentsOf(whole), await latentsOf(short)];
    expect(Math.max(...a.map((value, i) => Math.abs(value - b[i]!)))).toBeLessThan(1e-4);

    // The second expert matters: without it the result is another.
    const single = join(root, 'single');
    await cp(both.folder, single, { recursive: true });
    await rm(join(single, 'low_noise_model'), { recursive: true });
    await rename(join(single, 'tiny_high_noise.safetensors'), join(single, 'tiny.safetensors'));
    await rm(join(single, 'low_noise_pusa.safetensors'));
    const alone = await importPackage(single, { id: 'single' });
    expect(alone.manifest).toMatchObject({ version: 1, family: 'wan2.1' });
    expect('lowNoise' in alone.manifest).toBe(false);
    const other = await run(await makeJob('pair-single', alone, options), alone);
    expect(other.latentsSha256).not.toBe(result.latentsSha256);
  });

  test('stopped before, at and after the switch go on to the same bytes', async () => {
    const whole = JobFolder.open(join(root, 'pair-whole'));
    const stopped = await makeJob('pair-stopped', both, options);
    for (let k = 1; k < 5; k++) {
      let reached = 0;
      const wish = () => (reached >= k ? 'cancel' : 'run');
      const onProgress: PipelineHooks['onProgress'] = ({ phase, done }) => {
        if (phase === 'denoise') reached = done;
      };
      await expect(run(stopped, both, { wish, onProgress })).rejects.toMatchObject({ code: 'CANCELLED' });
    }
    await run(stopped, both);
    expect(outcomeOf(stopped.path, 5)).toEqual(outcomeOf((await whole).path, 5));
  });

  test('that are one, alike in name, or of two models are refused with what to do', async () => {
    const { config } = both.manifest.dit;
    const folder = join(root, 'broken-pair');
    await cp(both.folder, folder, { recursive: true });
    const low = join(folder, 'low_noise_model');
    await rename(low, join(root, 'aside'));
    const missing = await refusal(importPackage(folder));
    expect(missing.code).toBe('CHECKPOINT_INCOMPLETE');
    expect(missing.message).toMatch(/high-noise expert of Wan2.2; the low-noise one is missing/);

    await writeDit(join(folder, 'another.safetensors'), config, 5);
    const unnamed = await refusal(importPackage(folder));
    expect(unnamed).toMatchObject({ code: 'CHECKPOINT_WRONG_FAMILY' });
    expect(unnamed.message).toMatch(/cannot be told/);
    expect(unnamed.remedy).toMatch(/high_noise/);
    await writeDit(join(folder, 'another.safetensors'), { ...config, layers: 1 }, 5);
    expect((await refusal(importPackage(folder))).message).toMatch(/more than one diffusion model/);
  });
});

describe('TI2V 5B in small', () => {
  let model: ModelPackage;
  beforeAll(async () => {
    const folder = join(root, 'ti2v');
    await cp(pattern, folder, { recursive: true });
    const { config } = (await openPackage(pattern)).manifest.dit;
    await rm(join(folder, 'manifest.json'));
    await writeDit(join(folder, 'dit.safetensors'), { ...config, inDim: 48, outDim: 48 }, 1);
    const apart = await refusal(importPackage(folder));
    expect(apart.message).toMatch(/48 latent channels, the VAE 16/);
    expect(apart.remedy).toMatch(/wan2.2_vae.safetensors/);
    const vae = await openSafetensors(join(golden, 'weights.safetensors'));
    const tensors: TensorToWrite[] = [];
    for (const [name, { dtype, shape }] of vae.entries)
      tensors.push({ name, dtype: dtype as Dtype, shape, data: await vae.readBytes(name) });
    await vae.close();
    await writeSafetensors(join(folder, 'vae.safetensors'), tensors);
    model = await importPackage(folder, { id: 'ti2v' });
  });

  test('is a package with its own recommendations, size, rate and length', () => {
    expect(model.manifest).toMatchObject({
      version: 2,
      family: 'wan2.2',
      dit: { config: { inDim: 48 } },
      vae: { config: { zDim: 48, wan22: { decoderDim: 4 } } },
      recommended: { steps: 50, cfg: 5, shift: 5 },
      native: { width: 1280, height: 704, fps: 24, frames: 121 },
    });
  });

  test('makes a clip from marks, as bytes that do not depend on an interruption', async () => {
    const options = { width: 64, height: 32, sampler: { steps: 3, cfg: 2 } };
    const whole = await makeJob('ti2v-whole', model, options);
    const shapes: (readonly number[])[] = [];
    const previews = {
      prepare: () => Promise.resolve(),
      show: (latents: Tensor) => void shapes.push(latents.shape),
    };
    const result = await run(whole, model, { previews });
    expect(result).toMatchObject({ width: 64, height: 32, frames: 17, stepsDone: 3 });
    expect(shapes[0]).toEqual([48, 5, 2, 4]);
    const stopped = await makeJob('ti2v-stopped', model, options);
    let reached = 0;
    await expect(
      run(stopped, model, {
        wish: () => (reached >= 2 ? 'cancel' : 'run'),
        onProgress: ({ phase, done }) => {
          if (phase === 'denoise') reached = done;
        },
      }),
    ).rejects.toMatchObject({ code: 'CANCELLED' });
    await run(stopped, model);
    expect(outcomeOf(stopped.path, 3)).toEqual(outcomeOf(whole.path, 3));

    expect([sizeMultipleOf(model.manifest), sizeMultipleOf((await openPackage(pattern)).manifest)]).toEqual([
      32, 16,
    ]);
    // Said when a job is made, and by the engine of a job that was made for another model's size.
    const project = newProject({ id: 'p', name: 'P', now: new Date(0).toISOString(), width: 80, height: 48 });
    const range = newRange({ id: 'r', frames: 17, recommended: model.manifest.recommended });
    const noMedia = () => Promise.reject(new Error('there is none'));
    const frozen = freezeJob(project, range, model.manifest, noMedia, join(root, 'never'), 'never');
    expect(await refusal(frozen)).toMatchObject({
      code: 'MODEL_CANNOT',
      message: 'The model makes sizes whose sides are multiples of 32; 80×48 is none.',
      remedy: 'Choose 96×64, or another model.',
    });
    const odd = await makeJob('ti2v-odd', model, { ...options, width: 48 });
    expect(await refusal(run(odd, model))).toMatchObject({
      code: 'MODEL_CANNOT',
      remedy: 'Choose a width that is a multiple of 32 and a height that is a multiple of 32.',
    });
  });
});
