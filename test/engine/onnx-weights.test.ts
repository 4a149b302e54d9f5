import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { PusaError } from '../../src-main/core/errors.ts';
import { GraphBuilder } from '../../src-main/engine/onnx/graph.ts';
import { linear } from '../../src-main/engine/onnx/layers.ts';
import { mul } from '../../src-main/engine/onnx/ops.ts';
import type { WeightEntry, WeightSource } from '../../src-main/engine/onnx/weights.ts';
import { evaluate, expectClose, naiveLinear, random } from '../support/numeric.ts';

const folder = mkdtempSync(join(tmpdir(), 'pusa-onnx-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('weights', () => {
  /** Half floats exactly representable in all three formats, so that the results must agree to the bit. */
  const numbers = Float32Array.from([0.5, -1.25, 3, 0, 0.015625, -96]);

  function encode(dtype: 'F32' | 'F16' | 'BF16'): Buffer {
    if (dtype === 'F32') return Buffer.from(numbers.slice().buffer);
    const bits = new Uint32Array(numbers.slice().buffer);
    const half = Uint16Array.from(bits, (b) => {
      if (dtype === 'BF16') return b >>> 16;
      if (b << 1 === 0) return 0;
      return ((b >>> 16) & 0x8000) | ((((b >>> 23) & 0xff) - 112) << 10) | ((b >>> 13) & 0x3ff);
    });
    return Buffer.from(half.buffer);
  }

  test('are used in place, at any offset and in every float format', async () => {
    const entries: Record<string, WeightEntry> = {};
    for (const dtype of ['F32', 'F16', 'BF16'] as const) {
      const data = encode(dtype);
      writeFileSync(
        join(folder, `${dtype}.bin`),
        Buffer.concat([Buffer.alloc(7, 0xff), data, Buffer.alloc(3, 0xff)]),
      );
      entries[dtype] = { dtype, shape: [2, 3], file: `${dtype}.bin`, offset: 7, length: data.length };
    }
    const x = { data: Float32Array.of(1), shape: [1] };
    const source = { folder, entry: (name: string) => entries[name] };
    const results = await evaluate(
      { x },
      ({ x }, g) =>
        Object.fromEntries(Object.keys(entries).map((name) => [name, mul(g.weight(name, [2, 3]), x!)])),
      source,
    );
    for (const name of Object.keys(entries))
      expect([...results[name]!.data]).toEqual([...numbers].map((n) => n + 0));
  });

  test('that are missing or of another shape or size are refused by name', () => {
    const entries: Record<string, WeightEntry> = {
      short: { dtype: 'F32', shape: [4], file: 'a.bin', offset: 0, length: 12 },
      negative: { dtype: 'F32', shape: [4], file: 'a.bin', offset: -4, length: 16 },
      square: { dtype: 'F32', shape: [2, 2], data: new Float32Array(4) },
      thin: { dtype: 'F32', shape: [2, 2], data: new Float32Array(3) },
    };
    const graph = new GraphBuilder('g', { folder, entry: (name) => entries[name] });
    const code = (build: () => unknown): string => {
      try {
        build();
      } catch (error) {
        if (error instanceof PusaError) return `${error.code} ${error.message}`;
      }
      return 'nothing';
    };
    expect(code(() => graph.weight('absent'))).toMatch(/^CHECKPOINT_INCOMPLETE .*absent/);
    expect(code(() => graph.weight('short'))).toMatch(/^CHECKPOINT_INVALID short/);
    expect(code(() => graph.weight('negative'))).toMatch(/^CHECKPOINT_INVALID negative/);
    expect(code(() => graph.weight('square', [4]))).toMatch(/^CHECKPOINT_INVALID square .*\[2, 2\].*\[4\]/);
    expect(code(() => graph.weight('thin'))).toMatch(/^CHECKPOINT_INVALID thin/);
  });

  test.each([
    [32, false],
    [32, true],
    [128, false],
  ])(
    'in 8-bit blocks of %i (zero points: %s) multiply like the numbers they stand for',
    async (blockSize, zeros) => {
      const [rows, columns] = [24, 256];
      const blocks = columns / blockSize;
      const packed = Uint8Array.from({ length: rows * columns }, (_, i) => (i * 73 + (i >> 5) * 31) % 256);
      const scales = Float32Array.from({ length: rows * blocks }, (_, i) => 0.001 + (i % 7) * 0.0005);
      const zeroPoints = Uint8Array.from({ length: rows * blocks }, (_, i) =>
        zeros ? 100 + ((i * 13) % 60) : 128,
      );
      const bytes = Buffer.concat([packed, Buffer.from(scales.buffer), zeroPoints]);
      const file = `q8-${blockSize}-${zeros}.bin`;
      writeFileSync(join(folder, file), bytes);
      const entry: WeightEntry = {
        dtype: 'Q8',
        shape: [rows, columns],
        blockSize,
        packed: { file, offset: 0, length: packed.length },
        scales: { file, offset: packed.length, length: scales.byteLength },
        ...(zeros
          ? { zeroPoints: { file, offset: packed.length + scales.byteLength, length: zeroPoints.length } }
          : {}),
      };
      const dense = Float32Array.from(packed, (byte, i) => {
        const block = Math.floor(i / blockSize);
        return (byte - zeroPoints[block]!) * scales[block]!;
      });
      const [x, b] = [random(10, columns), random(rows)];
      const source: WeightSource = {
        folder,
        entry: (name) => (name === 'w' ? entry : { dtype: 'F32', shape: b.shape, data: b.data }),
      };
      const { y } = await evaluate({ x }, ({ x }) => ({ y: linear(x!, 'w', 'b') }), source);
      const expected = naiveLinear(x, { data: dense, shape: [rows, columns] }, b);
      // Level 4 rounds the activations to 8 bits as well.
      const size = Math.sqrt(expected.reduce((sum, v) => sum + v * v, 0) / expected.length);
      expectClose(y!, [10, rows], expected, 0.05 * size);
    },
  );
});
