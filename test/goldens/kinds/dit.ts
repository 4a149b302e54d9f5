import { join } from 'node:path';
import { createRuntime } from '../../../src-main/engine/runtime/ort.ts';
import type { Provider } from '../../../src-main/engine/runtime/runtime.ts';
import { checkpointWeights } from '../../../src-main/engine/wan/checkpoint-weights.ts';
import type { DitConfig } from '../../../src-main/engine/wan/dit-config.ts';
import {
  blockChunks,
  buildBlocks,
  buildEmbedding,
  buildHead,
  buildTextEmbedding,
  type DitGraph,
} from '../../../src-main/engine/wan/dit-graphs.ts';
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

/** The whole network's output, and what flows between its graphs. */
export async function run(
  caseDir: string,
  goldenCase: GoldenCase,
  provider: Provider,
): Promise<Comparison[]> {
  const config = ditConfig(goldenCase.config);
  const tensors = readTensors(join(caseDir, 'tensors.safetensors'));
  const checkpoint = await openSafetensors(join(caseDir, 'weights.safetensors'));
  const weights = checkpointWeights(checkpoint, caseDir);
  const runtime = createRuntime(provider);
  const latents = goldenTensor(tensors, 'x', 4);
  const [, cells, height, width] = latents.shape as [number, number, number, number];
  const timesteps = tensors.has('timesteps')
    ? tensors.f32('timesteps')
    : new Float32Array(cells).fill(tensors.f32('timestep')[0]!);
  const context = goldenTensor(tensors, 'context', 2);

  const comparisons: Comparison[] = [];
  const check = (name: string, actual: ArrayLike<number>, expected: ArrayLike<number>) =>
    comparisons.push(compare(name, actual, expected, goldenCase.tolerance));

  const denoiser = createDenoiser(runtime, config, weights);
  const velocity = await denoiser.velocity(latents, timesteps, context, 1);
  await denoiser.release();
  check('output', velocity.data, tensors.f32('output'));

  const { cos, sin } = ropeTables([cells, height / 2, width / 2], config.dim / config.heads);
  if (tensors.has('rope_cos')) {
    check('rope_cos', cos.data, tensors.f32('rope_cos'));
    check('rope_sin', sin.data, tensors.f32('rope_sin'));
  }
  const time = timeFeatures(timesteps, config.freqDim);
  if (tensors.has('sinusoid'))
    check('sinusoid', time.data.subarray(0, config.freqDim), tensors.f32('sinusoid'));

  if (tensors.has('inter.head')) {
    const runGraph = async ({ model }: DitGraph, inputs: Record<string, Tensor>) => {
      const segment = await runtime.load(model);
      const outputs = await segment.run(inputs);
      await segment.release();
      return outputs;
    };
    const parts = { config, weights, loras: [] };
    const text = goldenTensor(tensors, 'context_padded', 2);
    const { context: embeddedText } = await runGraph(buildTextEmbedding(parts), { text });
    check('text_embedding', embeddedText!.data, tensors.f32('inter.text_embedding'));

    const { hidden, e, e0 } = await runGraph(buildEmbedding(parts), { latents, time });
    check('patch_embedding', hidden!.data, channelsFirst(tensors.f32('inter.patch_embedding'), config.dim));
    check(
      'time_embedding',
      perGoldenRow(e!, tensors, 'inter.time_embedding'),
      tensors.f32('inter.time_embedding'),
    );
    check(
      'time_projection',
      perGoldenRow(e0!, tensors, 'inter.time_projection'),
      tensors.f32('inter.time_projection'),
    );

    const chunks = blockChunks(config, runtime.forms, cells * (height / 2) * (width / 2));
    let x = hidden!;
    for (let n = 0; n < config.layers; n++) {
      const inputs = { hidden: x, e0: e0!, context: embeddedText!, cos, sin };
      x = (await runGraph(buildBlocks(parts, n, 1, runtime.forms, chunks), inputs))['hidden_out']!;
      if (n === 0) check('block0', x.data, tensors.f32('inter.block0'));
    }
    check('last_block', x.data, tensors.f32('inter.last_block'));
    const { patches } = await runGraph(buildHead(parts), { hidden: x, e: e! });
    check('head', patches!.data, tensors.f32('inter.head'));
  }
  await checkpoint.close();
  return comparisons;
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
