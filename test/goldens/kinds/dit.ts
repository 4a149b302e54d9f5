import { join } from 'node:path';
import { createRuntime } from '../../../src-main/engine/runtime/ort.ts';
import type { Provider, Runtime } from '../../../src-main/engine/runtime/runtime.ts';
import { checkpointWeights } from '../../../src-main/engine/wan/checkpoint-weights.ts';
import type { DitConfig } from '../../../src-main/engine/wan/dit-config.ts';
import { createDenoiser } from '../../../src-main/engine/wan/dit.ts';
import { ropeTables, timeFeatures } from '../../../src-main/engine/wan/rope.ts';
import { openSafetensors } from '../../../src-main/engine/weights/safetensors.ts';
import type { Tensor } from '../../../src-main/engine/networks.ts';
import { compare, type Comparison } from '../compare.ts';
import type { GoldenCase } from '../kinds.ts';
import { readTensors, type GoldenTensors } from '../tensors.ts';

/** The sizes of a case's network, from the configuration in the reference's own words. */
export function ditConfig(config: Readonly<Record<string, unknown>>): DitConfig {
  const size = (name: string): number => {
    const value = config[name];
    if (typeof value !== 'number') throw new Error(`The case's configuration has no ${name}.`);
    return value;
  };
  return {
    dim: size('dim'),
    ffnDim: size('ffn_dim'),
    heads: size('num_heads'),
    layers: size('num_layers'),
    inDim: size('in_dim'),
    outDim: size('out_dim'),
    freqDim: size('freq_dim'),
    textDim: size('text_dim'),
    textLength: size('text_len'),
    eps: size('eps'),
  };
}

/** A float32 tensor of a case, without leading axes of size 1 beyond `rank`. */
export function goldenTensor(tensors: GoldenTensors, name: string, rank: number): Tensor {
  const shape = tensors.get(name).shape;
  return { data: tensors.f32(name), shape: shape.slice(shape.length - rank) };
}

/** The whole network's output, and what flows between its graphs on the way. */
export async function run(
  caseDir: string,
  goldenCase: GoldenCase,
  provider: Provider,
): Promise<Comparison[]> {
  const config = ditConfig(goldenCase.config);
  const tensors = readTensors(join(caseDir, 'tensors.safetensors'));
  const checkpoint = await openSafetensors(join(caseDir, 'weights.safetensors'));
  const outputs = new Map<string, Readonly<Record<string, Tensor>>>();
  const runtime = recorded(createRuntime(provider), outputs);
  const latents = goldenTensor(tensors, 'x', 4);
  const [, cells, height, width] = latents.shape as [number, number, number, number];
  const timesteps = tensors.has('timesteps')
    ? tensors.f32('timesteps')
    : new Float32Array(cells).fill(tensors.f32('timestep')[0]!);
  const context = goldenTensor(tensors, 'context', 2);

  const comparisons: Comparison[] = [];
  const check = (name: string, actual: ArrayLike<number>, expected: ArrayLike<number>) =>
    comparisons.push(compare(name, actual, expected, goldenCase.tolerance));

  const denoiser = createDenoiser(runtime, config, checkpointWeights(checkpoint, caseDir));
  const velocity = await denoiser.velocity(latents, timesteps, context, 1);
  await denoiser.release();
  await checkpoint.close();
  check('output', velocity.data, tensors.f32('output'));

  if (tensors.has('rope_cos')) {
    const { cos, sin } = ropeTables([cells, height / 2, width / 2], config.dim / config.heads);
    check('rope_cos', cos.data, tensors.f32('rope_cos'));
    check('rope_sin', sin.data, tensors.f32('rope_sin'));
  }
  if (tensors.has('sinusoid')) {
    const time = timeFeatures(timesteps, config.freqDim);
    check('sinusoid', time.data.subarray(0, config.freqDim), tensors.f32('sinusoid'));
  }

  if (tensors.has('inter.head')) {
    const given = (graph: string, name: string): Tensor => outputs.get(graph)![name]!;
    const rows = (name: string): Float32Array => tensors.f32(`inter.${name}`);
    check('text_embedding', given('text_embedding', 'context').data, rows('text_embedding'));
    const { hidden, e, e0 } = outputs.get('embedding')!;
    check('patch_embedding', hidden!.data, channelsFirst(rows('patch_embedding'), config.dim));
    for (const [name, value] of [
      ['time_embedding', e!],
      ['time_projection', e0!],
    ] as const) {
      check(name, perGoldenRow(value, tensors, `inter.${name}`), rows(name));
    }
    check('block0', given('block_0', 'hidden_out').data, rows('block0'));
    check('last_block', given(`block_${config.layers - 1}`, 'hidden_out').data, rows('last_block'));
    check('head', given('head', 'patches').data, rows('head'));
  }
  return comparisons;
}

/** A runtime that keeps a copy of what each graph gave last, by the graph's name. */
function recorded(runtime: Runtime, outputs: Map<string, Readonly<Record<string, Tensor>>>): Runtime {
  return {
    ...runtime,
    async load(model) {
      const segment = await runtime.load(model);
      return {
        ...segment,
        async run(inputs, into) {
          const given = await segment.run(inputs, into);
          const copies = Object.entries(given).map(
            ([name, { data, shape }]) => [name, { data: data.slice(), shape }] as const,
          );
          outputs.set(model.name, Object.fromEntries(copies));
          return given;
        },
      };
    },
  };
}

/** [dim, tokens] → [tokens, dim] */
function channelsFirst(data: Float32Array, dim: number): Float32Array {
  const tokens = data.length / dim;
  return Float32Array.from(data, (_, i) => data[(i % dim) * tokens + Math.floor(i / dim)]!);
}

/** One row per cell repeated or cut to the golden's rows: one for all, or one per token. */
function perGoldenRow(value: Tensor, tensors: GoldenTensors, name: string): Float32Array {
  const width = value.data.length / value.shape[0]!;
  const rows = tensors.f32(name).length / width;
  const out = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const cell = Math.floor((row * value.shape[0]!) / rows);
    out.set(value.data.subarray(cell * width, (cell + 1) * width), row * width);
  }
  return out;
}
