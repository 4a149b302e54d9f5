// Formats beside safetensors. The fixtures were written by PyTorch (`torch.save`) and by the gguf package, the values
// expected of them by the same two libraries.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PusaError } from '../../src-main/core/errors.ts';
import { convertCheckpoint } from '../../src-main/engine/weights/convert.ts';
import { openCheckpoint } from '../../src-main/engine/weights/open-checkpoint.ts';
import { PickleRefused, readStateDict } from '../../src-main/engine/weights/pickle.ts';
import { openSafetensors } from '../../src-main/engine/weights/safetensors.ts';
import { toBfloat16, writeSafetensors } from '../../src-main/engine/weights/write-safetensors.ts';

const fixtures = join(import.meta.dirname, '../fixtures/checkpoints');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pusa-checkpoints-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function refusal(path: string): Promise<PusaError> {
  const thrown: unknown = await openCheckpoint(path).then(
    (checkpoint) => checkpoint.close(),
    (error: unknown) => error,
  );
  if (!(thrown instanceof PusaError)) throw new Error(`expected a PusaError, got ${String(thrown)}`);
  return thrown;
}

/** Every tensor of one file equals that of the other, in float32. */
async function expectSame(path: string, expected: string, tolerance = 0): Promise<void> {
  const [found, wanted] = [await openCheckpoint(path), await openSafetensors(expected)];
  try {
    expect([...found.entries.keys()].sort()).toEqual([...wanted.entries.keys()].sort());
    for (const [name, { shape }] of wanted.entries) {
      expect(found.entries.get(name)!.shape, name).toEqual(shape);
      const [a, b] = [await found.read(name), await wanted.read(name)];
      const error = b.reduce((most, value, i) => Math.max(most, Math.abs(value - a[i]!)), 0);
      expect(error, name).toBeLessThanOrEqual(tolerance);
    }
  } finally {
    await found.close();
    await wanted.close();
  }
}

describe('GGUF', () => {
  const path = join(fixtures, 'blocks.gguf');

  test('every block format as its own library decodes it; folded shapes unfolded', () =>
    expectSame(path, join(fixtures, 'blocks.safetensors'), 1e-7));

  test('scalars of the header are kept as text', async () => {
    const checkpoint = await openCheckpoint(path);
    expect(checkpoint.metadata).toMatchObject({
      'general.architecture': 'wan',
      'general.name': 'block formats',
    });
  });

  test('a file cut at any point, or with any byte changed, is refused or read, never more', async () => {
    const whole = await readFile(path);
    const changed = join(folder, 'changed.gguf');
    const attempt = async (bytes: Uint8Array): Promise<void> => {
      await writeFile(changed, bytes);
      try {
        const checkpoint = await openCheckpoint(changed);
        try {
          for (const name of checkpoint.entries.keys()) await checkpoint.read(name);
        } finally {
          await checkpoint.close();
        }
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(PusaError);
      }
    };
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), (length) => attempt(whole.subarray(0, length))),
      { numRuns: 40 },
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(1500), fc.integer({ min: 0, max: 255 }), (at, byte) => {
        const bytes = Uint8Array.from(whole);
        bytes[at] = byte;
        return attempt(bytes);
      }),
      { numRuns: 150 },
    );
  });

  test('another version and formats that are not read are named', async () => {
    const bytes = Uint8Array.from(await readFile(path));
    bytes[4] = 2;
    await writeFile(join(folder, 'old.gguf'), bytes);
    expect((await refusal(join(folder, 'old.gguf'))).message).toContain('version 2');

    const whole = await readFile(path);
    const at = whole.indexOf('Q4_0') + 4 + 4 + 2 * 8;
    const other = Uint8Array.from(whole);
    other[at] = 10;
    await writeFile(join(folder, 'q2.gguf'), other);
    expect((await refusal(join(folder, 'q2.gguf'))).message).toContain('Q2_K');
  });
});

describe('PyTorch', () => {
  test('tensors of a nested state dictionary, whatever their format, and parts of a storage', () =>
    expectSame(join(fixtures, 'model.pth'), join(fixtures, 'model.safetensors')));

  test('tensors lie in the file as the entries say', async () => {
    const path = join(fixtures, 'model.pth');
    const [checkpoint, bytes] = [await openCheckpoint(path), await readFile(path)];
    const { offset, dtype } = checkpoint.entries.get('part')!;
    expect(dtype).toBe('F32');
    expect(bytes.readFloatLE(offset)).toBe((await checkpoint.read('part'))[0]);
    await checkpoint.close();
  });

  test('a tensor that is not stored row by row is refused', async () => {
    expect((await refusal(join(fixtures, 'transposed.pth'))).message).toContain('row by row');
  });

  test('a file cut anywhere is refused', async () => {
    const whole = await readFile(join(fixtures, 'model.pth'));
    for (const length of [12, 200, 1000, whole.length - 30, whole.length - 1]) {
      await writeFile(join(folder, 'cut.pth'), whole.subarray(0, length));
      expect((await refusal(join(folder, 'cut.pth'))).code).toBe('CHECKPOINT_INVALID');
    }
  });

  test('the pickle of an old PyTorch is refused with the reason', async () => {
    await writeFile(join(folder, 'old.pt'), Uint8Array.of(0x80, 0x02, ...Array<number>(40).fill(0)));
    expect((await refusal(join(folder, 'old.pt'))).message).toContain('old PyTorch');
  });
});

describe('pickles', () => {
  const text = (value: string): number[] => [0x8c, value.length, ...new TextEncoder().encode(value)];
  const globalOf = (module: string, name: string): number[] => [
    0x63,
    ...new TextEncoder().encode(`${module}\n${name}\n`),
  ];
  const attempt = (...codes: number[]): (() => unknown) => {
    return () => readStateDict(Uint8Array.of(0x80, 0x02, ...codes, 0x2e));
  };

  test('no function is ever called', () => {
    const call = [...globalOf('os', 'system'), ...text('touch owned'), 0x85, 0x52];
    expect(attempt(...call)).toThrow(/"os\.system"/);
    expect(attempt(...globalOf('builtins', 'eval'), ...text('1'), 0x85, 0x52)).toThrow(PickleRefused);
    // By the stack, as protocol 4 has it.
    expect(attempt(...text('os'), ...text('system'), 0x93, ...text('x'), 0x85, 0x52)).toThrow(/os\.system/);
    // Objects made in other ways: INST, OBJ, NEWOBJ, EXT1.
    for (const code of [0x69, 0x6f, 0x81, 0x82]) expect(attempt(0x28, code)).toThrow(PickleRefused);
  });

  test('torn pickles are refused', () => {
    expect(attempt()).toThrow(PickleRefused);
    expect(attempt(0x52)).toThrow(PickleRefused);
    expect(attempt(0x75)).toThrow(PickleRefused);
    expect(attempt(0x68, 3)).toThrow(PickleRefused);
    expect(() => readStateDict(Uint8Array.of(0x80, 0x09, 0x2e))).toThrow(/protocol/);
  });

  test('any bytes are read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          readStateDict(bytes);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(PickleRefused);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('8-bit floats with scales', () => {
  test('one scale for all, and one for each row; the scales themselves are not shown', async () => {
    const path = join(folder, 'scaled.safetensors');
    // E4M3: 0x38 is 1, 0x40 is 2, 0xb8 is −1.
    const weight = { dtype: 'F8_E4M3', shape: [2, 2], data: Uint8Array.of(0x38, 0x40, 0xb8, 0x00) } as const;
    await writeSafetensors(path, [
      { name: 'a.weight', ...weight },
      { name: 'a.scale_weight', dtype: 'F32', shape: [], data: Float32Array.of(3) },
      { name: 'b.weight', ...weight },
      { name: 'b.weight_scale', dtype: 'F32', shape: [2, 1], data: Float32Array.of(2, 5) },
      { name: 'c.weight', ...weight },
      { name: 'scaled_fp8', dtype: 'F8_E4M3', shape: [0], data: new Uint8Array() },
    ]);
    const checkpoint = await openCheckpoint(path);
    expect([...checkpoint.entries.keys()]).toEqual(['a.weight', 'b.weight', 'c.weight']);
    expect([...(await checkpoint.read('a.weight'))]).toEqual([3, 6, -3, 0]);
    expect([...(await checkpoint.read('b.weight'))]).toEqual([2, 4, -5, 0]);
    expect([...(await checkpoint.read('c.weight'))]).toEqual([1, 2, -1, 0]);
    await checkpoint.close();
  });

  test('a scale that fits no weight is refused', async () => {
    const path = join(folder, 'misfit.safetensors');
    await writeSafetensors(path, [
      { name: 'a.weight', dtype: 'F8_E4M3', shape: [2, 2], data: Uint8Array.of(0, 0, 0, 0) },
      { name: 'a.scale_weight', dtype: 'F32', shape: [3], data: Float32Array.of(1, 2, 3) },
    ]);
    const checkpoint = await openCheckpoint(path);
    await expect(checkpoint.read('a.weight')).rejects.toThrow(/fits no weight/);
    await checkpoint.close();
  });
});

describe('converting', () => {
  test('matrices in the precision asked for, the rest in float32, and nothing left of one that was stopped', async () => {
    const from = await openCheckpoint(join(fixtures, 'model.pth'));
    for (const precision of ['F32', 'F16', 'BF16'] as const) {
      const path = join(folder, `${precision}.safetensors`);
      await convertCheckpoint(from, path, { precision, metadata: { 'pusa.source': 'model.pth' } });
      const baked = await openSafetensors(path);
      expect(baked.metadata).toEqual({ 'pusa.source': 'model.pth' });
      expect(baked.entries.get('low')!.dtype).toBe(precision);
      expect(baked.entries.get('half')!.dtype).toBe('F32');
      const [was, is] = [await from.read('low'), await baked.read('low')];
      // The source is bfloat16: each of the three holds its values but for float16's narrower range of exponents.
      expect(is.every((value, i) => Math.abs(value - was[i]!) <= 1e-6)).toBe(true);
      await baked.close();
    }
    const stopped = join(folder, 'stopped.safetensors');
    const signal = AbortSignal.abort();
    await expect(convertCheckpoint(from, stopped, { precision: 'F16', signal })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    await expect(readFile(stopped)).rejects.toThrow(/ENOENT/);
    await expect(readFile(`${stopped}.part`)).rejects.toThrow(/ENOENT/);
    await from.close();
  });

  test('a tensor larger than a piece comes whole, each row with its scale', async () => {
    const path = join(folder, 'long.safetensors');
    const [rows, columns] = [3, 2 ** 19 + 32];
    const data = Uint8Array.from({ length: rows * columns }, (_, i) => 0x30 + (i % 16));
    await writeSafetensors(path, [
      { name: 'a.weight', dtype: 'F8_E4M3', shape: [rows, columns], data },
      { name: 'a.weight_scale', dtype: 'F32', shape: [rows, 1], data: Float32Array.of(1, 4, 0.25) },
    ]);
    const from = await openCheckpoint(path);
    const to = join(folder, 'long-f16.safetensors');
    await convertCheckpoint(from, to, { precision: 'F16' });
    const converted = await openSafetensors(to);
    const [was, is] = [await from.read('a.weight'), await converted.read('a.weight')];
    expect(is.findIndex((value, i) => value !== was[i])).toBe(-1);
    expect(await from.read('a.weight', { first: 2 * columns - 2, count: 4 })).toEqual(
      was.slice(2 * columns - 2, 2 * columns + 2),
    );
    for (const checkpoint of [from, converted]) await checkpoint.close();
  });

  test('float16 holds no infinity where the value was finite', async () => {
    const path = join(folder, 'large.safetensors');
    const data = toBfloat16(Float32Array.of(1e6, -1e6, 2, 3));
    await writeSafetensors(path, [{ name: 'w.weight', dtype: 'BF16', shape: [2, 2], data }]);
    const from = await openCheckpoint(path);
    const to = join(folder, 'large-f16.safetensors');
    await convertCheckpoint(from, to, { precision: 'F16' });
    const baked = await openSafetensors(to);
    expect([...(await baked.read('w.weight'))]).toEqual([65_504, -65_504, 2, 3]);
    await baked.close();
    await from.close();
  });
});
