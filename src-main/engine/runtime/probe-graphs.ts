import { seededNoise } from '../noise/randn.ts';
import type { Tensor } from '../networks.ts';
import { GraphBuilder } from '../onnx/graph.ts';
import { attention, layerNorm, linear, rmsNorm } from '../onnx/layers.ts';
import { add, geluTanh, mul } from '../onnx/ops.ts';
import type { WeightSource } from '../onnx/weights.ts';
import type { OnnxModel, OperatorForms } from './runtime.ts';

/** A graph with fixed inputs, to compare or time a provider with. */
export interface Probe {
  readonly model: OnnxModel;
  readonly inputs: Readonly<Record<string, Tensor>>;
}

/**
 * Self attention alone: 64 queries and 64 keys. Fewer than 32 queries would take another kernel than real work does.
 */
export function attentionProbe(form: OperatorForms['attention']): Probe {
  const tokens = 64;
  const heads = 2;
  const width = heads * 64;
  const graph = new GraphBuilder(`canary: ${form} attention`);
  const [q, k, v] = ['q', 'k', 'v'].map((name) => graph.input(name, [1, tokens, width]));
  graph.output('y', attention(q!, k!, v!, { heads, form }));
  const inputs = Object.fromEntries(
    ['q', 'k', 'v'].map((name, i) => [name, randomTensor(i + 1, [1, tokens, width])]),
  );
  return { model: graph.finish(), inputs };
}

/** Size of a probe block. */
export interface BlockSize {
  readonly tokens: number;
  readonly width: number;
  readonly heads: number;
  readonly hidden: number;
}

/**
 * A transformer block like the DiT's with random weights: layer norm and modulation, RMS-normed queries and keys,
 * attention, feed-forward with GELU, gates.
 */
export function blockProbe(form: OperatorForms['attention'], size: BlockSize): Probe {
  const { tokens, width, heads } = size;
  const graph = new GraphBuilder('probe block', randomWeights(size));
  const x = graph.input('x', [1, tokens, width]);
  const scale = graph.input('scale', [1, 1, width]);
  const gate = graph.input('gate', [1, 1, width]);
  const a = mul(layerNorm(x, 1e-6), add(scale, 1));
  const q = rmsNorm(linear(a, 'q', 'bias'), 1e-6, graph.weight('norm'));
  const k = rmsNorm(linear(a, 'k', 'bias'), 1e-6, graph.weight('norm'));
  const v = linear(a, 'v', 'bias');
  const y = add(x, mul(linear(attention(q, k, v, { heads, form }), 'o', 'bias'), gate));
  const b = mul(layerNorm(y, 1e-6), add(scale, 1));
  const z = linear(geluTanh(linear(b, 'up', 'upBias')), 'down', 'bias');
  graph.output('y', add(y, mul(z, gate)));
  return {
    model: graph.finish(),
    inputs: {
      x: randomTensor(1, [1, tokens, width]),
      scale: randomTensor(2, [1, 1, width], 0.1),
      gate: randomTensor(3, [1, 1, width], 0.5),
    },
  };
}

/** Floating-point operations of one run of {@link blockProbe}: two for each multiplication of its matrix products. */
export function blockOperations({ tokens, width, hidden }: BlockSize): number {
  return 2 * tokens * (4 * width * width + 2 * width * hidden + 2 * tokens * width);
}

/** Matrices that keep the size of what goes through them, and small vectors. */
function randomWeights({ width: d, hidden: h }: BlockSize): WeightSource {
  const shapes: Record<string, readonly number[]> = {
    q: [d, d],
    k: [d, d],
    v: [d, d],
    o: [d, d],
    up: [h, d],
    down: [d, h],
    norm: [d],
    bias: [d],
    upBias: [h],
  };
  const names = Object.keys(shapes);
  return {
    folder: null,
    entry(name) {
      const shape = shapes[name];
      if (shape === undefined) return undefined;
      const deviation = shape.length === 2 ? 1 / Math.sqrt(shape[1]!) : 0.5;
      return { dtype: 'F32', shape, data: randomTensor(names.indexOf(name) + 10, shape, deviation).data };
    },
  };
}

function randomTensor(seed: number, shape: readonly number[], deviation = 1): Tensor {
  return { data: seededNoise(seed, shape).map((value) => value * deviation), shape };
}
