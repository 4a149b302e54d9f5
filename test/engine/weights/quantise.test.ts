import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seededNoise } from '../../../src-main/engine/noise/randn.ts';
import { linear } from '../../../src-main/engine/onnx/layers.ts';
import { checkpointWeights } from '../../../src-main/engine/wan/checkpoint-weights.ts';
import { addLowRank } from '../../../src-main/engine/weights/low-rank.ts';
import { openCheckpoint } from '../../../src-main/engine/weights/open-checkpoint.ts';
import {
  dequantiseRows,
  quantiseRows,
  relativeErrorOf,
  type BlockLayout,
} from '../../../src-main/engine/weights/quantise.ts';
import { writeSafetensors } from '../../../src-main/engine/weights/write-safetensors.ts';
import { evaluate } from '../../support/numeric.ts';

const layouts: BlockLayout[] = [8, 4].flatMap((bits) =>
  [16, 32, 128].map((blockSize) => ({ bits: bits as 8 | 4, blockSize })),
);

/** Round to nearest as it is defined, a number at a time. */
function plainly(
  values: Float32Array,
  { bits, blockSize }: BlockLayout,
): { codes: number[]; scales: number[] } {
  const half = 2 ** (bits - 1);
  const codes: number[] = [];
  const scales: number[] = [];
  for (let from = 0; from < values.length; from += blockSize) {
    const block = values.subarray(from, from + blockSize);
    const peak = block.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    // What is this small is nothing.
    const scale = Math.abs(peak) < 1e-30 ? 0 : Math.fround(-peak / half);
    scales.push(scale);
    for (const value of block) {
      codes.push(scale === 0 ? half : Math.min(2 * half - 1, Math.max(0, Math.round(value / scale) + half)));
    }
  }
  return { codes, scales };
}

function codesOf(packed: Uint8Array, bits: number): number[] {
  return bits === 8 ? [...packed] : [...packed].flatMap((byte) => [byte & 15, byte >> 4]);
}

function squaredError(values: Float32Array, others: Float32Array): number {
  return values.reduce((sum, value, i) => sum + (value - others[i]!) ** 2, 0);
}

describe('blocks', () => {
  test.each(layouts)(
    '$bits bits, blocks of $blockSize: every code is the nearest, the errors are told',
    (layout) => {
      const values = seededNoise(layout.bits * layout.blockSize, [12, 256]);
      // A block of zeros, one whose largest number is negative and one of tiny numbers.
      values.fill(0, 0, layout.blockSize);
      values[layout.blockSize] = -9;
      values.fill(1e-37, 256, 256 + layout.blockSize);
      const { packed, scales, error } = quantiseRows(values, 256, layout);
      const expected = plainly(values, layout);
      const codes = codesOf(packed, layout.bits);
      expect(codes.length).toBe(values.length);
      // A tie may go either way.
      const off = codes.filter((code, i) => code !== expected.codes[i]).length;
      expect(off).toBeLessThanOrEqual(2);
      for (const [i, scale] of scales.entries()) {
        expect(scale).toBeCloseTo(expected.scales[i]!, 6);
      }
      const back = dequantiseRows(packed, scales, layout);
      expect(back.every(Number.isFinite)).toBe(true);
      expect(error.difference).toBeCloseTo(squaredError(values, back), 3);
      expect(error.size).toBeCloseTo(
        values.reduce((sum, value) => sum + value * value, 0),
        1,
      );
      expect(relativeErrorOf(error)).toBeLessThan(layout.bits === 8 ? 8e-3 : 0.13);
    },
  );

  test('the searched scale is never worse than the nearest, and better on the whole', () => {
    for (const layout of layouts) {
      const values = seededNoise(3, [16, 1024]);
      const nearest = quantiseRows(values, 1024, layout).error.difference;
      const searched = quantiseRows(values, 1024, layout, true).error.difference;
      expect(searched).toBeLessThan(nearest * 0.97);
    }
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }), {
          minLength: 32,
          maxLength: 32,
        }),
        fc.constantFrom(8 as const, 4 as const),
        (numbers, bits) => {
          const values = Float32Array.from(numbers);
          const layout = { bits, blockSize: 32 };
          const nearest = quantiseRows(values, 32, layout);
          const searched = quantiseRows(values, 32, layout, true);
          const [a, b] = [nearest, searched].map(({ packed, scales }) =>
            squaredError(values, dequantiseRows(packed, scales, layout)),
          );
          expect(b).toBeLessThanOrEqual(a! * 1.0001 + 1e-30);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('numbers that are not finite show in the sum of squares; sizes that make no blocks are refused', () => {
    const values = seededNoise(1, [2, 64]);
    values[70] = NaN;
    expect(quantiseRows(values, 64, { bits: 8, blockSize: 32 }).error.size).toBeNaN();
    expect(() => quantiseRows(values, 64, { bits: 8, blockSize: 48 })).toThrow(RangeError);
    expect(() => quantiseRows(values.subarray(1), 64, { bits: 8, blockSize: 32 })).toThrow(RangeError);
    expect(() => quantiseRows(values, 64, { bits: 8, blockSize: 8 })).toThrow(RangeError);
  });
});

describe('a graph on quantised weights', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pusa-quantise-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test.each([8, 4] as const)('%i bits: multiplies by what the codes stand for', async (bits) => {
    const [rows, columns, blockSize] = [24, 96, 32];
    const values = seededNoise(5, [rows, columns]);
    const layout = { bits, blockSize };
    const { packed, scales } = quantiseRows(values, columns, layout, true);
    expect(scales.some((scale) => scale < 0) && scales.some((scale) => scale > 0)).toBe(true);
    const path = join(folder, `${bits}.safetensors`);
    const packedShape = [rows, columns / blockSize, (blockSize * bits) / 8];
    await writeSafetensors(
      path,
      [
        { name: 'w#packed', dtype: 'U8', shape: packedShape, data: packed },
        { name: 'w#scales', dtype: 'F32', shape: [rows, columns / blockSize], data: scales },
      ],
      { 'pusa.block_size': String(blockSize) },
    );
    const checkpoint = await openCheckpoint(path);
    expect([...checkpoint.entries.keys()]).toEqual(['w']);
    expect(checkpoint.entries.get('w')).toMatchObject({
      shape: [rows, columns],
      blocks: { bits, blockSize },
    });
    const stands = dequantiseRows(packed, scales, layout);
    expect(await checkpoint.read('w')).toEqual(stands);
    // Whole numbers up to 127 in every block: exact when the kernel rounds its input to 8 bits.
    const x = seededNoise(6, [5, columns]).map((value) =>
      Math.max(-127, Math.min(127, Math.round(value * 40))),
    );
    for (let i = 0; i < x.length; i += blockSize) x[i] = 127;
    const { y } = await evaluate(
      { x: { data: x, shape: [5, columns] } },
      (inputs) => ({ y: linear(inputs['x']!, 'w') }),
      checkpointWeights(checkpoint, folder),
    );
    await checkpoint.close();
    let worst = 0;
    for (let row = 0; row < 5; row++) {
      for (let out = 0; out < rows; out++) {
        let sum = 0;
        for (let i = 0; i < columns; i++) sum += x[row * columns + i]! * stands[out * columns + i]!;
        worst = Math.max(worst, Math.abs(sum - y!.data[row * rows + out]!));
      }
    }
    // Sums are around 400.
    expect(worst).toBeLessThan(0.02);
  });
});

test('a low-rank product is added as it is defined, whatever its sizes', () => {
  for (const [rows, columns, rank] of [
    [1, 16, 1],
    [7, 50, 3],
    [32, 192, 32],
    [5, 17, 130],
  ] as const) {
    const target = seededNoise(1, [rows, columns]);
    const up = seededNoise(2, [rows, rank]);
    const down = seededNoise(3, [rank, columns]);
    const expected = target.map((value, i) => {
      let sum = 0;
      for (let r = 0; r < rank; r++) {
        sum += up[Math.floor(i / columns) * rank + r]! * down[r * columns + (i % columns)]!;
      }
      return value + 1.4 * sum;
    });
    addLowRank(target, up, down, rank, 1.4);
    target.forEach((value, i) => {
      expect(Math.abs(value - expected[i]!)).toBeLessThan(2e-5 * rank ** 0.5);
    });
  }
});
