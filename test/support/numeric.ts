import { expect } from 'vitest';
import type { Tensor } from '../../src-main/engine/networks.ts';
import { seededNoise } from '../../src-main/engine/noise/randn.ts';
import { GraphBuilder, type Value } from '../../src-main/engine/onnx/graph.ts';
import type { WeightSource } from '../../src-main/engine/onnx/weights.ts';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';

let seed = 1;
/** Normal numbers, other ones at each call. */
export function random(...shape: number[]): Tensor {
  return { data: seededNoise(seed++, shape), shape };
}

/** Builds a graph over the given inputs, runs it on the CPU and hands back its outputs. */
export async function evaluate(
  inputs: Record<string, Tensor>,
  build: (values: Record<string, Value>, graph: GraphBuilder) => Record<string, Value>,
  weights: WeightSource | null = null,
): Promise<Record<string, Tensor>> {
  const graph = new GraphBuilder('test', weights);
  const values = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape }]) => [name, graph.input(name, shape)]),
  );
  const outputs = build(values, graph);
  for (const [name, value] of Object.entries(outputs)) graph.output(`out_${name}`, value);
  const segment = await createRuntime('cpu').load(graph.finish());
  const results = await segment.run(inputs);
  await segment.release();
  return Object.fromEntries(Object.keys(outputs).map((name) => [name, results[`out_${name}`]!]));
}

/** Compares shape and numbers; the largest difference stays below the tolerance. */
export function expectClose(
  actual: Tensor,
  shape: readonly number[],
  expected: ArrayLike<number>,
  tolerance = 1e-5,
): void {
  expect(actual.shape).toEqual(shape);
  expect(actual.data.length).toBe(expected.length);
  let worst = 0;
  actual.data.forEach((value, i) => (worst = Math.max(worst, Math.abs(value - expected[i]!))));
  expect(worst).toBeLessThan(tolerance);
}

/** x [n, in] · W [out, in]ᵀ + b in float64. */
export function naiveLinear(x: Tensor, w: Tensor, b?: Tensor): number[] {
  const [out, columns] = w.shape as [number, number];
  return Array.from({ length: (x.data.length / columns) * out }, (_, i) => {
    const row = Math.floor(i / out) * columns;
    const column = (i % out) * columns;
    let sum = b?.data[i % out] ?? 0;
    for (let k = 0; k < columns; k++) sum += x.data[row + k]! * w.data[column + k]!;
    return sum;
  });
}

/** Attention of [1, L, heads · d] in float64. */
export function naiveAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  heads: number,
  scale?: number,
  bias?: Tensor,
): number[] {
  const [, rows, width] = q.shape as [number, number, number];
  const keys = k.shape[1]!;
  const d = width / heads;
  const out: number[] = [];
  for (let i = 0; i < rows; i++) {
    for (let h = 0; h < heads; h++) {
      const logits = Array.from({ length: keys }, (_, j) => {
        let dot = 0;
        for (let c = 0; c < d; c++) dot += q.data[i * width + h * d + c]! * k.data[j * width + h * d + c]!;
        return dot * (scale ?? 1 / Math.sqrt(d)) + (bias?.data[(h * rows + i) * keys + j] ?? 0);
      });
      const top = Math.max(...logits);
      const shares = logits.map((logit) => Math.exp(logit - top));
      const total = shares.reduce((a, b) => a + b);
      for (let c = 0; c < d; c++) {
        out[i * width + h * d + c] =
          shares.reduce((sum, share, j) => sum + share * v.data[j * width + h * d + c]!, 0) / total;
      }
    }
  }
  return out;
}

/** Convolution of one picture or video [C, T, H, W] by [O, C, kt, kh, kw] in float64, zeros around. */
export function naiveConv(
  x: Tensor,
  w: Tensor,
  b: Tensor,
  stride: number,
  padding: [number, number][],
): number[] {
  const [channels, ...size] = x.shape as [number, number, number, number];
  const [outs, , ...kernel] = w.shape as [number, number, number, number, number];
  const out = size.map((n, a) => Math.floor((n + padding[a]![0] + padding[a]![1] - kernel[a]!) / stride) + 1);
  const result: number[] = [];
  for (let o = 0; o < outs; o++) {
    for (let p = 0; p < out[0]! * out[1]! * out[2]!; p++) {
      const at = [Math.floor(p / (out[1]! * out[2]!)), Math.floor(p / out[2]!) % out[1]!, p % out[2]!];
      let sum = b.data[o]!;
      for (let c = 0; c < channels; c++) {
        for (let k = 0; k < kernel[0] * kernel[1] * kernel[2]; k++) {
          const tap = [
            Math.floor(k / (kernel[1] * kernel[2])),
            Math.floor(k / kernel[2]) % kernel[1],
            k % kernel[2],
          ];
          const from = at.map((n, a) => n * stride + tap[a]! - padding[a]![0]);
          if (from.some((n, a) => n < 0 || n >= size[a]!)) continue;
          const weight = w.data[(o * channels + c) * kernel[0] * kernel[1] * kernel[2] + k]!;
          sum += weight * x.data[((c * size[0] + from[0]!) * size[1] + from[1]!) * size[2] + from[2]!]!;
        }
      }
      result.push(sum);
    }
  }
  return result;
}
