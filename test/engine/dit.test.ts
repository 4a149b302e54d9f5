import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PusaError } from '../../src-main/core/errors.ts';
import { seededNoise } from '../../src-main/engine/noise/randn.ts';
import type { Denoiser, Tensor } from '../../src-main/engine/networks.ts';
import type { WeightEntry, WeightSource } from '../../src-main/engine/onnx/weights.ts';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import type { OnnxModel, OperatorForms, Runtime } from '../../src-main/engine/runtime/runtime.ts';
import type { AttachedLora } from '../../src-main/engine/wan/adapters.ts';
import {
  attachLoras,
  checkpointWeights,
  type FolderWeights,
} from '../../src-main/engine/wan/checkpoint-weights.ts';
import type { DitConfig } from '../../src-main/engine/wan/dit-config.ts';
import { createDenoiser, type DenoiserOptions } from '../../src-main/engine/wan/dit.ts';
import { readLora, type AppliedLora, type Lora } from '../../src-main/engine/weights/lora.ts';
import { openSafetensors, type Checkpoint } from '../../src-main/engine/weights/safetensors.ts';
import { readTensors } from '../goldens/tensors.ts';
import { mergedTensor } from '../support/merged-tensor.ts';

const goldens = join(import.meta.dirname, '../fixtures/goldens');
const config: DitConfig = {
  dim: 64,
  ffnDim: 128,
  heads: 2,
  layers: 2,
  inDim: 16,
  outDim: 16,
  freqDim: 32,
  textDim: 32,
  textLength: 16,
  eps: 1e-6,
};
const cpu = createRuntime('cpu');
const given = readTensors(join(goldens, 'lora_merge/tensors.safetensors'));
const input = (name: string): Tensor => ({ data: given.f32(name), shape: given.get(name).shape });
const [x, context] = [input('x'), input('context')];
const timesteps = given.f32('timesteps');

let base: Checkpoint;
let weights: FolderWeights;
let pusa: Lora;
let distill: Lora;
const scratch = mkdtempSync(join(tmpdir(), 'pusa-dit-'));
beforeAll(async () => {
  base = await openSafetensors(join(goldens, 'dit_tiny_vector/weights.safetensors'));
  weights = checkpointWeights(base, goldens);
  pusa = await readLora(await openSafetensors(join(goldens, 'lora_merge/lora_pusa.safetensors')));
  distill = await readLora(await openSafetensors(join(goldens, 'lora_merge/lora_step_distill.safetensors')));
});
afterAll(async () => {
  for (const checkpoint of [base, pusa.checkpoint, distill.checkpoint]) await checkpoint.close();
  rmSync(scratch, { recursive: true });
});

interface Setting {
  source?: WeightSource;
  loras?: readonly AttachedLora[];
  options?: DenoiserOptions;
  runtime?: Runtime;
}

async function withDenoiser<T>(setting: Setting, use: (denoiser: Denoiser) => Promise<T>): Promise<T> {
  const { source = weights, loras = [], options = {}, runtime = cpu } = setting;
  const denoiser = createDenoiser(runtime, config, source, loras, options);
  try {
    return await use(denoiser);
  } finally {
    await denoiser.release();
  }
}

function velocity(setting: Setting = {}, strength = 1): Promise<Float32Array> {
  return withDenoiser(setting, async (d) => (await d.velocity(x, timesteps, context, strength)).data);
}

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let worst = 0;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
  return worst;
}

/** The base weights with LoRAs merged in, in memory. */
function merged(loras: readonly AppliedLora[]): WeightSource {
  const entries = new Map<string, WeightEntry>();
  for (const [name, { shape }] of base.entries) {
    entries.set(name, { dtype: 'F32', shape, data: mergedTensor(base, name, loras) });
  }
  return { folder: null, entry: (name) => entries.get(name) };
}

async function thrownBy(run: () => Promise<unknown>): Promise<PusaError> {
  try {
    await run();
  } catch (error) {
    return error as PusaError;
  }
  throw new Error('Nothing was thrown.');
}

describe('a LoRA kept apart', () => {
  test('gives what the merged weights of the reference give, at a strength chosen per call', async () => {
    const { weights: source, loras } = attachLoras(weights, [{ lora: pusa, strength: 'live' }]);
    await withDenoiser({ source, loras }, async (denoiser) => {
      const at = async (strength: number) => (await denoiser.velocity(x, timesteps, context, strength)).data;
      expect(distance(await at(1.4), given.f32('output_pusa_merged'))).toBeLessThan(1e-4);
      expect(distance(await at(0), given.f32('output_base'))).toBeLessThan(1e-4);
      expect(distance(await at(1.4), await at(1.5))).toBeGreaterThan(1e-3);
    });
  });

  test('adds up with another that has alphas, biases and norms of its own', async () => {
    const { weights: source, loras } = attachLoras(weights, [
      { lora: pusa, strength: 'live' },
      { lora: distill, strength: 0.8 },
    ]);
    const apart = await velocity({ source, loras }, 1.4);
    const both = await velocity({
      source: merged([
        { lora: pusa, strength: 1.4 },
        { lora: distill, strength: 0.8 },
      ]),
    });
    expect(distance(apart, both)).toBeLessThan(1e-4);
    const onlyPusa = await velocity({ source: merged([{ lora: pusa, strength: 1.4 }]) });
    expect(distance(apart, onlyPusa)).toBeGreaterThan(1e-2);
  });

  test('that changes a layer the model does not have is refused', async () => {
    const { weights: source, loras } = attachLoras(weights, [{ lora: pusa, strength: 1 }]);
    const stray = (name: string, to: 'layers' | 'diffs'): AttachedLora => ({
      ...loras[0]!,
      [to]: new Map<string, unknown>([[name, loras[0]!.layers.get('blocks.0.ffn.0')]]),
    });
    for (const lora of [stray('blocks.2.ffn.0', 'layers'), stray('blocks.1.ffn.0.weight', 'diffs')]) {
      expect(() => createDenoiser(cpu, config, source, [lora])).toThrow(
        expect.objectContaining({ code: 'LORA_MISMATCH' }),
      );
    }
    // The layer is there, its matrix is for another.
    const crossed: AttachedLora = {
      ...loras[0]!,
      layers: new Map([['blocks.0.self_attn.q', loras[0]!.layers.get('blocks.0.ffn.0')!]]),
    };
    const error = await thrownBy(() => velocity({ source, loras: [crossed] }));
    expect(error.code).toBe('GRAPH_INVALID');
    expect(error.message).toContain('block_0/blocks.0/blocks.0.self_attn.q');
  });
});

describe('the denoiser', () => {
  const forms: [string, OperatorForms][] = [
    ['fused attention in runs of 16 rows', { attention: 'fused', attentionRows: 16, convolution: 'conv3d' }],
    ['primitive attention', { attention: 'primitive', attentionRows: 0, convolution: 'conv3d' }],
    [
      'primitive attention in runs of 7 rows',
      { attention: 'primitive', attentionRows: 7, convolution: 'taps' },
    ],
  ];
  test.each(forms)('gives the same with %s', async (_, form) => {
    expect(
      distance(await velocity({ runtime: createRuntime('cpu', form) }), given.f32('output_base')),
    ).toBeLessThan(1e-4);
  });

  test.each([
    { blocksPerSegment: 2 },
    { residentBlocks: 0 },
    { blocksPerSegment: 5, residentBlocks: 0 },
    { feedForwardChunks: 3, arena: false },
    { attentionRows: 5, residentBlocks: 1 },
  ])('gives the same with %o', async (options) => {
    expect(distance(await velocity({ options }), given.f32('output_base'))).toBeLessThan(1e-4);
  });

  test('takes any size, one after the other, and is usable again after release', async () => {
    const runtime = createRuntime('cpu', {
      attention: 'primitive',
      attentionRows: 16,
      convolution: 'conv3d',
    });
    const small: Tensor = { data: seededNoise(5, [16, 2, 4, 6]), shape: [16, 2, 4, 6] };
    const at = Float32Array.of(0, 700);
    const fresh = await withDenoiser({}, (d) => d.velocity(small, at, context, 1));
    // 12 tokens cannot be cut into 8 equal runs: they are 6 of 2.
    await withDenoiser({ runtime, options: { feedForwardChunks: 8 } }, async (denoiser) => {
      for (let round = 0; round < 2; round++) {
        const large = await denoiser.velocity(x, timesteps, context, 1);
        expect(distance(large.data, given.f32('output_base'))).toBeLessThan(1e-4);
        const { data, shape } = await denoiser.velocity(small, at, context, 1);
        expect(shape).toEqual(small.shape);
        expect(distance(data, fresh.data)).toBeLessThan(1e-4);
        await denoiser.release();
      }
    });
  });

  test('attends to the padding of a short text, and tells texts apart', async () => {
    const padded = new Float32Array(16 * 32);
    padded.set(context.data);
    const other: Tensor = { data: seededNoise(9, [9, 32]), shape: [9, 32] };
    await withDenoiser({}, async (denoiser) => {
      const run = async (text: Tensor) => (await denoiser.velocity(x, timesteps, text, 1)).data;
      const short = await run(context);
      expect(await run({ data: padded, shape: [16, 32] })).toEqual(short);
      expect(distance(await run(other), short)).toBeGreaterThan(1e-2);
      expect(await run(context)).toEqual(short);
    });
  });

  test('tells its progress between segments and stops where that throws', async () => {
    const seen: number[][] = [];
    await withDenoiser({}, async (denoiser) => {
      await denoiser.velocity(x, timesteps, context, 1, (done, total) => seen.push([done, total]));
      expect(seen).toEqual([1, 2, 3, 4].map((done) => [done, 4]));
      const calls: number[] = [];
      const stop = denoiser.velocity(x, timesteps, context, 1, (done) => {
        calls.push(done);
        if (done === 2) throw new Error('enough');
      });
      await expect(stop).rejects.toThrow('enough');
      expect(calls).toEqual([1, 2]);
      const again = await denoiser.velocity(x, timesteps, context, 1);
      expect(distance(again.data, given.f32('output_base'))).toBeLessThan(1e-4);
    });
  });

  test('keeps graphs loaded, or never more than one', async () => {
    const most = async (options: DenoiserOptions): Promise<{ most: number; loads: number; left: number }> => {
      let [open, highest, loads] = [0, 0, 0];
      const counting: Runtime = {
        ...cpu,
        async load(model: OnnxModel) {
          const segment = await cpu.load(model);
          loads++;
          highest = Math.max(highest, ++open);
          return {
            run: (inputs) => segment.run(inputs),
            release: () => {
              open--;
              return segment.release();
            },
          };
        },
      };
      await withDenoiser({ runtime: counting, options }, async (denoiser) => {
        await denoiser.velocity(x, timesteps, context, 1);
        await denoiser.velocity(x, timesteps, context, 1);
      });
      return { most: highest, loads, left: open };
    };
    // Embedding, text, two blocks, head. The text is embedded once.
    expect(await most({})).toEqual({ most: 5, loads: 5, left: 0 });
    expect(await most({ residentBlocks: 0 })).toEqual({ most: 1, loads: 9, left: 0 });
    // Of two blocks the second is loaded for its turn.
    expect(await most({ residentBlocks: 1 })).toEqual({ most: 5, loads: 6, left: 0 });
  });

  test('refuses what it cannot take in a sentence', async () => {
    const bad: [Tensor, Float32Array, Tensor][] = [
      [{ data: new Float32Array(8 * 3 * 8 * 12), shape: [8, 3, 8, 12] }, timesteps, context],
      [{ data: new Float32Array(16 * 3 * 7 * 12), shape: [16, 3, 7, 12] }, timesteps, context],
      [x, Float32Array.of(1, 2), context],
      [x, timesteps, { data: new Float32Array(17 * 32), shape: [17, 32] }],
      [x, timesteps, { data: new Float32Array(9 * 16), shape: [9, 16] }],
    ];
    await withDenoiser({}, async (denoiser) => {
      for (const [latents, t, text] of bad) {
        expect((await thrownBy(() => denoiser.velocity(latents, t, text, 1))).code).toBe('JOB_MISMATCH');
      }
    });
  });

  test('refuses weights that are missing or of another model, by name', async () => {
    const without: WeightSource = {
      ...weights,
      entry: (name) => (name === 'blocks.1.ffn.2.bias' ? undefined : weights.entry(name)),
    };
    const missing = await thrownBy(() => velocity({ source: without }));
    expect(missing).toMatchObject({ code: 'CHECKPOINT_INCOMPLETE' });
    expect(missing.message).toContain('blocks.1.ffn.2.bias');
    const wider = createDenoiser(cpu, { ...config, ffnDim: 192 }, weights);
    const wrong = await thrownBy(() => wider.velocity(x, timesteps, context, 1));
    expect(wrong.message).toContain('blocks.0.ffn.0');
    expect(['GRAPH_INVALID', 'CHECKPOINT_INVALID']).toContain(wrong.code);
    await wider.release();
  });

  test.each([32, 64])(
    'runs with linear layers in 8-bit blocks of %i, LoRAs beside them',
    async (blockSize) => {
      const source = await inEightBits(blockSize);
      const exact = given.f32('output_base');
      const size = Math.sqrt(exact.reduce((sum, v) => sum + v * v, 0) / exact.length);
      const error = distance(await velocity({ source }), exact) / size;
      expect(error).toBeLessThan(0.1);
      expect(error).toBeGreaterThan(1e-4);
      const beside = attachLoras(weights, [{ lora: pusa, strength: 1.4 }]);
      const both: WeightSource = { folder: goldens, entry: (name) => beside.weights.entry(name) };
      expect(
        distance(await velocity({ source: both, loras: beside.loras }), given.f32('output_pusa_merged')),
      ).toBeLessThan(1e-4);
    },
  );
});

/** The linear layers of the blocks in 8 bits, symmetric, one scale for each block of a row; the rest as it is. */
async function inEightBits(blockSize: number): Promise<WeightSource> {
  const entries = new Map<string, WeightEntry>();
  const parts: Uint8Array[] = [];
  let length = 0;
  const file = `q8-${blockSize}.bin`;
  const put = (bytes: Uint8Array) => {
    const at = { file, offset: length, length: bytes.length };
    parts.push(bytes);
    length += bytes.length;
    return at;
  };
  for (const [name, { shape }] of base.entries) {
    const values = await base.read(name);
    if (shape.length !== 2 || !/^blocks\.\d+\.(self_attn|cross_attn|ffn)\./.test(name)) {
      entries.set(name, { dtype: 'F32', shape, data: values });
      continue;
    }
    const scales = new Float32Array(values.length / blockSize);
    const packed = Uint8Array.from(values, (_, i) => {
      const block = Math.floor(i / blockSize);
      if (i % blockSize === 0) {
        scales[block] =
          values.subarray(i, i + blockSize).reduce((most, v) => Math.max(most, Math.abs(v)), 0) / 127;
      }
      return 128 + Math.round(values[i]! / scales[block]!);
    });
    entries.set(name, {
      dtype: 'Q8',
      shape: [shape[0]!, shape[1]!],
      blockSize,
      packed: put(packed),
      scales: put(new Uint8Array(scales.buffer)),
    });
  }
  writeFileSync(join(scratch, file), Buffer.concat(parts));
  return { folder: scratch, entry: (name) => entries.get(name) };
}
