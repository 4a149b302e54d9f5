import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PusaError } from '../../src-main/core/errors.ts';
import type { Tensor } from '../../src-main/engine/networks.ts';
import { GraphBuilder, type Value } from '../../src-main/engine/onnx/graph.ts';
import {
  attention,
  conv2d,
  conv3d,
  flatten,
  layerNorm,
  linear,
  queryChunks,
  rmsNorm,
  rotate,
} from '../../src-main/engine/onnx/layers.ts';
import * as ops from '../../src-main/engine/onnx/ops.ts';
import {
  addDims,
  floorDivDim,
  mulDims,
  sameDim,
  shapeText,
  subDims,
  sym,
  type Dim,
} from '../../src-main/engine/onnx/shape.ts';
import type { WeightSource } from '../../src-main/engine/onnx/weights.ts';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import { evaluate, expectClose, naiveAttention, naiveConv, naiveLinear, random } from '../support/numeric.ts';

const runtime = createRuntime('cpu');

function inline(entries: Record<string, Tensor>): WeightSource {
  return {
    folder: null,
    entry(name) {
      const tensor = entries[name];
      return tensor && { dtype: 'F32', shape: tensor.shape, data: tensor.data };
    },
  };
}

describe('dimensions', () => {
  test('calculate with symbols as with numbers', () => {
    const names = ['F', 'H', 'W'];
    const dim = fc.array(
      fc.tuple(fc.constantFrom(...names, ''), fc.constantFrom(...names, ''), fc.integer({ min: 1, max: 9 })),
      {
        minLength: 1,
        maxLength: 4,
      },
    );
    const symbolic = (parts: [string, string, number][]) =>
      addDims(...parts.map(([a, b, n]) => mulDims(n, ...[a, b].filter((s) => s !== '').map(sym))));
    const value = (d: Dim, sizes: Record<string, number>) =>
      typeof d === 'number'
        ? d
        : [...d.terms].reduce(
            (sum, [monomial, n]) => sum + monomial.split('*').reduce((all, s) => all * (sizes[s] ?? 1), n),
            0,
          );
    fc.assert(
      fc.property(
        dim,
        dim,
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 3, maxLength: 3 }),
        (a, b, n, [F, H, W]) => {
          const sizes = { F: F!, H: H!, W: W! };
          const [x, y] = [symbolic(a), symbolic(b)];
          const [vx, vy] = [value(x, sizes), value(y, sizes)];
          expect(value(addDims(x, y), sizes)).toBe(vx + vy);
          expect(value(subDims(x, y), sizes)).toBe(vx - vy);
          expect(value(mulDims(x, y), sizes)).toBe(vx * vy);
          expect(sameDim(mulDims(x, y), mulDims(y, x))).toBe(true);
          expect(floorDivDim(mulDims(n, x), n)).toEqual(x);
          const quotient = floorDivDim(x, n);
          if (quotient !== null) expect(value(quotient, sizes)).toBe(Math.floor(vx / n));
        },
      ),
    );
    expect(shapeText([mulDims(2, sym('H')), addDims(sym('F'), 1), 3])).toBe('[2*H, F + 1, 3]');
    expect(floorDivDim(sym('H'), 2)).toBeNull();
  });
});

describe('operators', () => {
  test('compute what they say', async () => {
    const [x, y] = [random(2, 3, 4), random(3, 1)];
    const at = (i: number, j: number, k: number) => x.data[(i * 3 + j) * 4 + k]!;
    const results = await evaluate({ x, y }, ({ x, y }) => ({
      add: ops.add(x!, y!),
      sub: ops.sub(x!, 1.5),
      mul: ops.mul(x!, y!),
      div: ops.div(x!, ops.add(ops.mul(y!, y!), 1)),
      root: ops.sqrt(ops.maximum(x!, 0.25)),
      silu: ops.silu(x!),
      gelu: ops.geluTanh(x!),
      softmax: ops.softmax(x!),
      mean: ops.reduceMean(x!, [0, 2]),
      turned: ops.transpose(x!, [2, 0, 1]),
      product: ops.matmul(x!, ops.transpose(x!, [0, 2, 1])),
      middle: ops.slice(x!, 2, 1, -1),
      second: ops.slice(x!, 2, 0, undefined, 2),
      last: ops.slice(x!, 1, -1),
      swapped: ops.concat([...ops.split(x!, 2, [1, 3])].reverse(), 2),
      padded: ops.pad(x!, [
        [0, 0],
        [1, 0],
        [0, 2],
      ]),
      squeezed: ops.squeeze(ops.unsqueeze(x!, [0, 3]), [0]),
      doubled: ops.resizeNearest2x(ops.unsqueeze(x!, [0])),
      like: ops.reshapeLike(ops.reshape(x!, [6, 4]), x!),
    }));
    const each = (f: (v: number, j: number) => number) =>
      Array.from(x.data, (v, i) => f(v, Math.floor(i / 4) % 3));
    expectClose(
      results['add']!,
      [2, 3, 4],
      each((v, j) => v + y.data[j]!),
    );
    expectClose(
      results['sub']!,
      [2, 3, 4],
      each((v) => v - 1.5),
    );
    expectClose(
      results['mul']!,
      [2, 3, 4],
      each((v, j) => v * y.data[j]!),
    );
    expectClose(
      results['div']!,
      [2, 3, 4],
      each((v, j) => v / (y.data[j]! ** 2 + 1)),
    );
    expectClose(
      results['root']!,
      [2, 3, 4],
      each((v) => Math.sqrt(Math.max(v, 0.25))),
    );
    expectClose(
      results['silu']!,
      [2, 3, 4],
      each((v) => v / (1 + Math.exp(-v))),
    );
    const gelu = (v: number) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
    expectClose(results['gelu']!, [2, 3, 4], each(gelu), 1e-6);
    const sums = Array.from({ length: 6 }, (_, r) =>
      [0, 1, 2, 3].reduce((s, k) => s + Math.exp(x.data[4 * r + k]!), 0),
    );
    expectClose(
      results['softmax']!,
      [2, 3, 4],
      Array.from(x.data, (v, i) => Math.exp(v) / sums[Math.floor(i / 4)]!),
    );
    const mean = [0, 1, 2].map(
      (j) => [0, 1].flatMap((i) => [0, 1, 2, 3].map((k) => at(i, j, k))).reduce((a, b) => a + b) / 8,
    );
    expectClose(results['mean']!, [1, 3, 1], mean);
    const grid = <T>(a: number, b: number, c: number, f: (i: number, j: number, k: number) => T) =>
      Array.from({ length: a * b * c }, (_, n) => f(Math.floor(n / (b * c)), Math.floor(n / c) % b, n % c));
    expectClose(
      results['turned']!,
      [4, 2, 3],
      grid(4, 2, 3, (k, i, j) => at(i, j, k)),
    );
    const dot = (i: number, j: number, l: number) =>
      [0, 1, 2, 3].reduce((s, k) => s + at(i, j, k) * at(i, l, k), 0);
    expectClose(results['product']!, [2, 3, 3], grid(2, 3, 3, dot));
    expectClose(
      results['middle']!,
      [2, 3, 2],
      grid(2, 3, 2, (i, j, k) => at(i, j, k + 1)),
    );
    expectClose(
      results['second']!,
      [2, 3, 2],
      grid(2, 3, 2, (i, j, k) => at(i, j, 2 * k)),
    );
    expectClose(
      results['last']!,
      [2, 1, 4],
      grid(2, 1, 4, (i, _, k) => at(i, 2, k)),
    );
    expectClose(
      results['swapped']!,
      [2, 3, 4],
      grid(2, 3, 4, (i, j, k) => at(i, j, (k + 1) % 4)),
    );
    expectClose(
      results['padded']!,
      [2, 4, 6],
      grid(2, 4, 6, (i, j, k) => (j === 0 || k > 3 ? 0 : at(i, j - 1, k))),
    );
    expectClose(results['squeezed']!, [2, 3, 1, 4].toSpliced(2, 1, 1), x.data);
    expectClose(
      results['doubled']!,
      [1, 2, 6, 8],
      grid(2, 6, 8, (i, j, k) => at(i, j >> 1, k >> 1)),
    );
    expectClose(results['like']!, [2, 3, 4], x.data, 1e-9);
  });

  test('norms, rotation and layers of rows', async () => {
    const [x, scale, bias] = [random(2, 3, 8), random(8), random(8)];
    const [w, b, cos, sin] = [random(5, 8), random(5), random(6, 2), random(6, 2)];
    const results = await evaluate(
      { x, cos, sin },
      ({ x, cos, sin }, g) => ({
        plain: layerNorm(x!, 1e-6),
        affine: layerNorm(x!, 1e-6, g.weight('scale', [8]), g.weight('bias', [8])),
        rms: rmsNorm(x!, 1e-6, g.weight('scale')),
        linear: linear(flatten(x!), 'w', 'b', 5),
        batched: linear(ops.reshape(x!, [1, 6, 8]), 'w'),
        rotated: rotate(ops.reshape(x!, [1, 6, 8]), cos!, sin!),
      }),
      inline({ scale, bias, w, b }),
    );
    const rows = Array.from({ length: 6 }, (_, r) => [...x.data.subarray(8 * r, 8 * r + 8)]);
    const normed = rows.map((row) => {
      const mean = row.reduce((a, v) => a + v) / 8;
      const deviation = Math.sqrt(row.reduce((a, v) => a + (v - mean) ** 2, 0) / 8 + 1e-6);
      return row.map((v) => (v - mean) / deviation);
    });
    expectClose(results['plain']!, [2, 3, 8], normed.flat());
    expectClose(
      results['affine']!,
      [2, 3, 8],
      normed.flatMap((r) => r.map((v, c) => v * scale.data[c]! + bias.data[c]!)),
    );
    const rms = rows.flatMap((row) => {
      const size = Math.sqrt(row.reduce((a, v) => a + v * v, 0) / 8 + 1e-6);
      return row.map((v, c) => (v / size) * scale.data[c]!);
    });
    expectClose(results['rms']!, [2, 3, 8], rms);
    expectClose(results['linear']!, [6, 5], naiveLinear(x, w, b));
    expectClose(results['batched']!, [1, 6, 5], naiveLinear(x, w));
    // Two heads of 4: pairs (0, 1), (2, 3) of each by the row's two angles.
    const turned = rows.flatMap((row, r) =>
      row.map((v, c) => {
        const pair = Math.floor((c % 4) / 2);
        const [co, si] = [cos.data[2 * r + pair]!, sin.data[2 * r + pair]!];
        return c % 2 === 0 ? v * co - row[c + 1]! * si : row[c - 1]! * si + v * co;
      }),
    );
    expectClose(results['rotated']!, [1, 6, 8], turned);
  });

  test('convolutions with uneven padding and stride', async () => {
    const [x, w, b] = [random(3, 4, 6, 5), random(2, 3, 3, 3, 3), random(2)];
    const w2 = { data: random(2, 3, 3, 3).data, shape: [2, 3, 3, 3] };
    const results = await evaluate(
      { x },
      ({ x }, g) => ({
        causal: conv3d(ops.unsqueeze(x!, [0]), g.weight('w'), g.weight('b'), {
          padding: [
            [2, 0],
            [1, 1],
            [1, 1],
          ],
        }),
        down: conv2d(
          ops.pad(ops.transpose(x!, [1, 0, 2, 3]), [
            [0, 0],
            [0, 0],
            [0, 1],
            [0, 1],
          ]),
          g.weight('w2'),
          g.weight('b'),
          { stride: [2, 2] },
        ),
        padded: conv2d(ops.transpose(x!, [1, 0, 2, 3]), g.weight('w2'), g.weight('b'), {
          stride: [2, 2],
          padding: [
            [0, 1],
            [0, 1],
          ],
        }),
      }),
      inline({ w, w2, b }),
    );
    expectClose(
      results['causal']!,
      [1, 2, 4, 6, 5],
      naiveConv(x, w, b, 1, [
        [2, 0],
        [1, 1],
        [1, 1],
      ]),
    );
    const frames = Array.from({ length: 4 }, (_, t) => {
      const frame = Float32Array.from(
        { length: 90 },
        (_, i) => x.data[Math.floor(i / 30) * 120 + t * 30 + (i % 30)]!,
      );
      const kernel = { data: w2.data, shape: [2, 3, 1, 3, 3] };
      return naiveConv({ data: frame, shape: [3, 1, 6, 5] }, kernel, b, 2, [
        [0, 0],
        [0, 1],
        [0, 1],
      ]);
    });
    // A stride of 2 also strides over the single frame, which leaves it.
    expectClose(results['down']!, [4, 2, 3, 2], frames.flat());
    expectClose(results['padded']!, [4, 2, 3, 2], frames.flat());
  });

  test('attention is the same fused, from primitives and in runs of rows', async () => {
    const [q, k, v, bias] = [random(1, 21, 24), random(1, 13, 24), random(1, 13, 24), random(1, 3, 21, 13)];
    const forms = ['fused', 'primitive'] as const;
    const results = await evaluate({ q, k, v, bias }, ({ q, k, v, bias }) =>
      Object.fromEntries(
        forms.flatMap((form) => [
          [form, attention(q!, k!, v!, { heads: 3, form })],
          [`${form} biased`, attention(q!, k!, v!, { heads: 3, form, scale: 1, bias: bias! })],
          [`${form} in runs`, attention(q!, k!, v!, { heads: 3, form, chunks: 4 })],
        ]),
      ),
    );
    for (const form of forms) {
      expectClose(results[form]!, [1, 21, 24], naiveAttention(q, k, v, 3));
      expectClose(results[`${form} in runs`]!, [1, 21, 24], naiveAttention(q, k, v, 3));
      expectClose(results[`${form} biased`]!, [1, 21, 24], naiveAttention(q, k, v, 3, 1, bias));
    }
    // 14B at 832 × 480 × 81: by the limit of rows, or by 512 MiB of scores.
    const size = { queries: 32_760, keys: 32_760, heads: 40 };
    expect(queryChunks('fused', 0, size)).toBe(1);
    expect(queryChunks('fused', 1024, size)).toBe(32);
    const runs = queryChunks('primitive', 1024, size);
    expect(Math.ceil(size.queries / runs) * size.heads * size.keys * 4).toBeLessThanOrEqual(512 * 2 ** 20);
    expect(Math.ceil(size.queries / (runs - 2)) * size.heads * size.keys * 4).toBeGreaterThan(512 * 2 ** 20);
  });
});

describe('shapes', () => {
  test('are what ONNX Runtime computes, whatever the symbols turn out to be', async () => {
    const [F, H, W] = [sym('F'), sym('H'), sym('W')];
    const even = [F, 6, mulDims(2, H), mulDims(2, W)];
    const graph = new GraphBuilder('symbolic', inline({ k: random(4, 6, 3, 3), l: random(4, 12) }));
    const x = graph.input('x', even);
    const seq = graph.input('seq', [1, mulDims(F, H), 12]);
    const built: Record<string, Value> = {
      strided: conv2d(x, graph.weight('k'), null, {
        stride: [2, 2],
        padding: [
          [0, 1],
          [1, 0],
        ],
      }),
      causal: conv3d(
        ops.unsqueeze(ops.transpose(x, [1, 0, 2, 3]), [0]),
        ops.unsqueeze(graph.weight('k'), [2]),
        null,
      ),
      merged: ops.reshape(x, [F, 6, mulDims(4, H, W)]),
      doubled: ops.resizeNearest2x(x),
      joined: ops.concat(
        [
          x,
          ops.pad(x, [
            [1, 2],
            [0, 0],
            [0, 0],
            [0, 0],
          ]),
        ],
        0,
      ),
      half: ops.slice(x, 2, 0, undefined, 2),
      inner: ops.slice(x, 3, 1, -1),
      channels: ops.split(x, 1, [2, 4])[1]!,
      mean: ops.reduceMean(x, [1, 3]),
      attended: attention(seq, seq, seq, { heads: 2, form: 'primitive', chunks: 3 }),
      rows: linear(seq, 'l'),
    };
    for (const [name, value] of Object.entries(built)) graph.output(`out_${name}`, value);
    const segment = await runtime.load(graph.finish());
    const size = (d: Dim, sizes: Record<string, number>): number =>
      typeof d === 'number'
        ? d
        : [...d.terms].reduce(
            (sum, [m, n]) => sum + m.split('*').reduce((all, s) => all * (sizes[s] ?? 1), n),
            0,
          );
    for (const sizes of [
      { F: 1, H: 3, W: 2 },
      { F: 3, H: 2, W: 5 },
      { F: 2, H: 4, W: 4 },
    ]) {
      const outputs = await segment.run({
        x: random(sizes.F, 6, 2 * sizes.H, 2 * sizes.W),
        seq: random(1, sizes.F * sizes.H, 12),
      });
      for (const [name, value] of Object.entries(built)) {
        expect([name, outputs[`out_${name}`]!.shape]).toEqual([name, value.shape.map((d) => size(d, sizes))]);
      }
    }
    await segment.release();
  });

  test('that do not fit are refused while building, by the name of the place', () => {
    const [F, S] = [sym('F'), sym('S')];
    const graph = new GraphBuilder('block_3', inline({ w: random(5, 8), k: random(4, 6, 3, 3) }));
    const x = graph.input('x', [F, S, 8]);
    const picture = graph.input('picture', [F, 6, sym('H'), 7]);
    const wrong: [string, () => unknown][] = [
      ['Add', () => ops.add(x, graph.constant([1, 2, 3], [3]))],
      ['MatMul', () => ops.matmul(x, x)],
      ['Reshape', () => ops.reshape(x, [F, 8, 3])],
      ['more than one size open', () => ops.reshape(ops.reshape(x, [mulDims(F, S), 8]), [F, S, 8])],
      ['Transpose', () => ops.transpose(x, [0, 1])],
      ['Concat', () => ops.concat([x, ops.unsqueeze(x, [0])], 0)],
      ['Slice', () => ops.slice(x, 2, 9)],
      ['Split', () => ops.split(x, 2, [3, 3])],
      ['Squeeze', () => ops.squeeze(x, [0])],
      ['w has the shape [5, 8]', () => linear(ops.slice(flatten(x), 1, 0, 7), 'w')],
      ['w has the shape [5, 8]', () => linear(flatten(x), 'w', undefined, 6)],
      ['attention', () => attention(x, x, x, { heads: 3, form: 'fused' })],
      ['convolution', () => conv2d(picture, graph.weight('k'), null, { stride: [2, 2] })],
      ['used twice', () => graph.input('x', [1])],
      ['belongs to the graph', () => ops.add(x, new GraphBuilder('other').input('x', [8]))],
      ['not float32', () => graph.output('ints', graph.ints([1]))],
    ];
    for (const [what, build] of wrong) {
      let thrown: unknown;
      try {
        graph.scope('self_attn', () => graph.scope('q', build));
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBeInstanceOf(PusaError);
      expect((thrown as PusaError).code).toBe('GRAPH_INVALID');
      expect((thrown as PusaError).message).toContain('block_3/self_attn/q');
      expect((thrown as PusaError).message).toContain(what);
    }
  });
});
