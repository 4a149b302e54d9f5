import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Mt19937 } from '../../src-main/engine/noise/mt19937.ts';
import { NormalGenerator, seededNoise } from '../../src-main/engine/noise/randn.ts';

interface Case {
  seed: number;
  sizes: number[];
  values: string;
}

const { cases } = JSON.parse(readFileSync(join(import.meta.dirname, '../fixtures/noise.json'), 'utf8')) as {
  cases: Case[];
};

describe('noise equals torch.randn on a CPU generator', () => {
  test.each(cases)('seed $seed, sizes $sizes', ({ seed, sizes, values }) => {
    const bytes = Buffer.from(values, 'base64');
    const expected = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const generator = new NormalGenerator(seed);
    let at = 0;
    for (const size of sizes) {
      const actual = generator.randn(size);
      const wanted = expected.subarray(at, at + size);
      at += size;
      if (size < 16) {
        expect([...actual]).toEqual([...wanted]);
      } else {
        const errors = actual.map((value, i) => Math.abs(value - wanted[i]!));
        expect(Math.max(...errors)).toBeLessThanOrEqual(1e-6);
      }
    }
    expect(at).toBe(expected.length);
  });

  test('the 10,000th number of the standard seed is the one the C++ standard names', () => {
    const random = new Mt19937(5489);
    for (let i = 1; i < 10_000; i++) random.uint32();
    expect(random.uint32()).toBe(4_123_659_995);
  });

  test('a shape is filled in row-major order, the same every time', () => {
    const shaped = seededNoise(3, [4, 3, 2, 2]);
    expect(shaped).toEqual(new NormalGenerator(3).randn(48));
    expect(shaped).toEqual(seededNoise(3, [48]));
    expect(shaped).not.toEqual(seededNoise(4, [48]));
    expect(seededNoise(3, [0])).toHaveLength(0);
  });

  test.each([-1, 2 ** 32, 0.5, Number.NaN])('the seed %s is refused', (seed) => {
    expect(() => new NormalGenerator(seed)).toThrow(RangeError);
  });
});
