import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PusaError } from '../../src-main/core/errors.ts';
import type { Checkpoint } from '../../src-main/engine/weights/checkpoint.ts';
import { checkLoraFits, loraScale, readLora } from '../../src-main/engine/weights/lora.ts';
import { asPusaLoader, mergedTensor } from '../support/merged-tensor.ts';
import { recognise } from '../../src-main/engine/weights/recognise.ts';
import { openSafetensors } from '../../src-main/engine/weights/safetensors.ts';
import { toBfloat16, writeSafetensors } from '../../src-main/engine/weights/write-safetensors.ts';
import { refusal } from '../support/refusal.ts';

const goldens = join(import.meta.dirname, '../fixtures/goldens');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pusa-weights-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A safetensors file of any header and data, right or wrong. */
async function rawFile(
  name: string,
  header: unknown,
  data: Uint8Array | number,
  length?: bigint,
): Promise<string> {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const body = typeof data === 'number' ? new Uint8Array(data) : data;
  const file = new Uint8Array(8 + text.length + body.length);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(body, 8 + text.length);
  const path = join(folder, name);
  await writeFile(path, file);
  return path;
}

describe('safetensors', () => {
  test('reads back what was written, every number format as float32', async () => {
    const path = join(folder, 'formats.safetensors');
    const view = (make: ArrayBuffer): Uint8Array => new Uint8Array(make);
    await writeSafetensors(
      path,
      [
        { name: 'f32', dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, -2.5, 1e-40, Infinity) },
        {
          name: 'bf16',
          dtype: 'BF16',
          shape: [3],
          data: toBfloat16(Float32Array.of(1, -3.14159265, 1.00390625)),
        },
        // 1, the smallest subnormal, the largest number, −infinity.
        {
          name: 'f16',
          dtype: 'F16',
          shape: [4],
          data: view(Uint16Array.of(0x3c00, 1, 0x7bff, 0xfc00).buffer),
        },
        { name: 'odd', dtype: 'U8', shape: [3], data: Uint8Array.of(0, 7, 255) },
        { name: 'i8', dtype: 'I8', shape: [2], data: view(Int8Array.of(-128, 127).buffer) },
        { name: 'i32', dtype: 'I32', shape: [], data: view(Int32Array.of(-70_000).buffer) },
        { name: 'i64', dtype: 'I64', shape: [1], data: view(BigInt64Array.of(-5n).buffer) },
        { name: 'f64', dtype: 'F64', shape: [1], data: view(Float64Array.of(0.5).buffer) },
        // e4m3fn: 448 is the largest, 2⁻⁹ the smallest; e5m2: 57344 and infinity.
        { name: 'e4m3', dtype: 'F8_E4M3', shape: [4], data: Uint8Array.of(0x38, 0x7e, 0x01, 0xb8) },
        { name: 'e5m2', dtype: 'F8_E5M2', shape: [3], data: Uint8Array.of(0x3c, 0x7b, 0xfc) },
        { name: 'empty', dtype: 'F16', shape: [0, 4], data: new Uint8Array() },
      ],
      { 'pusa.name': 'formats' },
    );
    const checkpoint = await openSafetensors(path);
    const values = async (name: string): Promise<number[]> => [...(await checkpoint.read(name))];
    expect(checkpoint.metadata).toEqual({ 'pusa.name': 'formats' });
    expect(await values('f32')).toEqual([1, -2.5, Math.fround(1e-40), Infinity]);
    expect(await values('bf16')).toEqual([1, -3.140625, 1]);
    expect(await values('f16')).toEqual([1, 2 ** -24, 65_504, -Infinity]);
    expect(await values('odd')).toEqual([0, 7, 255]);
    expect(await values('i8')).toEqual([-128, 127]);
    expect(await values('i32')).toEqual([-70_000]);
    expect(await values('i64')).toEqual([-5]);
    expect(await values('f64')).toEqual([0.5]);
    expect(await values('e4m3')).toEqual([1, 448, 2 ** -9, -1]);
    expect(await values('e5m2')).toEqual([1, 57_344, -Infinity]);
    expect(await values('empty')).toEqual([]);
    expect([...(await checkpoint.readBytes('odd'))]).toEqual([0, 7, 255]);
    const entry = checkpoint.entries.get('odd')!;
    expect((await readFile(entry.file)).subarray(entry.offset, entry.offset + entry.bytes)).toEqual(
      Buffer.from([0, 7, 255]),
    );
    expect(await refusal(checkpoint.read('nothing'))).toMatchObject({ code: 'CHECKPOINT_INVALID' });
    await checkpoint.close();
  });

  const f32 = (from: number, to: number, shape: unknown = [1]): unknown => ({
    dtype: 'F32',
    shape,
    data_offsets: [from, to],
  });
  const malformed: [name: string, what: RegExp, header: unknown, data: number, length?: bigint][] = [
    ['header longer than the file', /header claims 1000 bytes of a file/, '{}', 4, 1000n],
    ['header beyond the format', /claims 18446744073709551615 bytes/, '{}', 4, 2n ** 64n - 1n],
    ['empty header', /header claims 0 bytes/, '{}', 4, 0n],
    ['not JSON', /not valid JSON/, '{"a":', 4],
    ['NaN in the header', /not valid JSON/, '{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', 4],
    ['a list', /not an object/, '[]', 0],
    ['entry of a wrong kind', /entry for "a" is not an object/, { a: 3 }, 4],
    [
      'unknown dtype',
      /"a" has an unknown number format \(F33\)/,
      { a: { dtype: 'F33', shape: [1], data_offsets: [0, 4] } },
      4,
    ],
    [
      'a lying dtype',
      /"a" has 4 bytes where its shape and format need 8/,
      { a: { dtype: 'F64', shape: [1], data_offsets: [0, 4] } },
      4,
    ],
    ['negative side', /"a" has an impossible shape/, { a: f32(0, 4, [-1]) }, 4],
    ['fraction as side', /"a" has an impossible shape/, { a: f32(0, 4, [0.5]) }, 4],
    ['null as side', /"a" has an impossible shape/, { a: f32(0, 4, [null]) }, 4],
    [
      'infinite side',
      /"a" has an impossible shape/,
      '{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,4]}}',
      4,
    ],
    ['too many axes', /"a" has an impossible shape/, { a: f32(0, 4, [1, 1, 1, 1, 1, 1, 1, 1, 1]) }, 4],
    ['absurd size', /"a" has 4 bytes where its shape/, { a: f32(0, 4, [2 ** 50, 2 ** 50]) }, 4],
    ['offsets past the end', /"a" claims bytes 0 to 400 of 4/, { a: f32(0, 400, [100]) }, 4],
    ['offsets backwards', /"a" claims bytes 4 to 0/, { a: f32(4, 0) }, 4],
    [
      'three offsets',
      /"a" has impossible data offsets/,
      { a: { dtype: 'F32', shape: [1], data_offsets: [0, 4, 8] } },
      4,
    ],
    [
      'offset as text',
      /"a" has impossible data offsets/,
      { a: { dtype: 'F32', shape: [1], data_offsets: ['0', '4'] } },
      4,
    ],
    ['overlap', /"b" overlaps another tensor/, { a: f32(0, 8, [2]), b: f32(4, 8) }, 8],
    ['hole', /hole before "b"/, { a: f32(0, 4), b: f32(8, 12) }, 12],
    ['bytes left over', /4 bytes of it belong to no tensor/, { a: f32(0, 4) }, 8],
    [
      'the same name twice',
      /names "a" twice/,
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
      8,
    ],
    [
      'a field twice',
      /names "dtype" twice/,
      '{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}',
      4,
    ],
    ['metadata of a wrong kind', /metadata "x" is not text/, { __metadata__: { x: 1 } }, 0],
    ['a name too long', /impossible name/, { ['n'.repeat(2000)]: f32(0, 4) }, 4],
  ];
  test.each(malformed)('refuses %s', async (name, what, header, data, length) => {
    const error = await refusal(openSafetensors(await rawFile(`${name}.safetensors`, header, data, length)));
    expect(error.code).toBe('CHECKPOINT_INVALID');
    expect(error.message).toMatch(what);
    expect(error.message).toContain(`${name}.safetensors`);
  });

  test('refuses empty, short, missing and truncated files', async () => {
    const empty = join(folder, 'zero.safetensors');
    await writeFile(empty, '');
    expect(await refusal(openSafetensors(empty))).toMatchObject({ code: 'FILE_EMPTY' });
    await writeFile(join(folder, 'short.safetensors'), 'abc');
    expect(await refusal(openSafetensors(join(folder, 'short.safetensors')))).toMatchObject({
      code: 'CHECKPOINT_INVALID',
    });
    expect(await refusal(openSafetensors(join(folder, 'none.safetensors')))).toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
    expect(await refusal(openSafetensors(folder))).toMatchObject({ code: 'CHECKPOINT_INVALID' });
    const whole = await readFile(join(goldens, 'umt5_tiny/weights.safetensors'));
    const cut = join(folder, 'cut.safetensors');
    for (const share of [0.001, 0.01, 0.1, 0.5, 0.9, 0.999]) {
      await writeFile(cut, whole.subarray(0, Math.floor(whole.length * share)));
      expect(await refusal(openSafetensors(cut))).toMatchObject({ code: 'CHECKPOINT_INVALID' });
    }
    // A file that shrinks after it was opened.
    await writeFile(cut, whole);
    const checkpoint = await openSafetensors(cut);
    await writeFile(cut, whole.subarray(0, 5000));
    const last = [...checkpoint.entries.keys()].at(-1)!;
    expect(await refusal(checkpoint.read(last))).toMatchObject({ code: 'CHECKPOINT_INVALID' });
    await checkpoint.close();
  });

  test('a file with any byte of its header changed opens consistently or is refused', async () => {
    const whole = await readFile(join(goldens, 'umt5_tiny/weights.safetensors'));
    const headerEnd = 8 + Number(whole.readBigUInt64LE(0));
    const path = join(folder, 'mutant.safetensors');
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(headerEnd - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const mutant = Buffer.from(whole);
        mutant[at]! ^= change;
        await writeFile(path, mutant);
        const result: unknown = await openSafetensors(path).catch((thrown: unknown) => thrown);
        if (result instanceof PusaError) {
          expect(result.code).toBe('CHECKPOINT_INVALID');
          return;
        }
        // A changed name, or one number format for another of its size: still inside the file and in one piece.
        const checkpoint = result as Checkpoint;
        const { entries } = checkpoint;
        let end = headerEnd;
        for (const { offset, bytes } of [...entries.values()].sort((a, b) => a.offset - b.offset)) {
          expect(offset).toBe(end);
          end += bytes;
        }
        expect(end).toBe(whole.length);
        accepted++;
        await checkpoint.close();
      }),
      { numRuns: 150, seed: 7 },
    );
    expect(accepted).toBeGreaterThan(0);
  });

  test('opens shards by their index, and nothing outside their folder', async () => {
    const dir = join(folder, 'shards');
    await mkdir(dir);
    const shard = (file: string, names: string[]): Promise<void> =>
      writeSafetensors(
        join(dir, file),
        names.map((name, i) => ({ name, dtype: 'F32', shape: [2], data: Float32Array.of(i, names.length) })),
        { file },
      );
    await shard('model-1.safetensors', ['a', 'b']);
    await shard('model-2.safetensors', ['c']);
    const index = async (map: Record<string, unknown> | string): Promise<string> => {
      const path = join(dir, 'model.safetensors.index.json');
      await writeFile(
        path,
        typeof map === 'string' ? map : JSON.stringify({ metadata: {}, weight_map: map }),
      );
      return path;
    };
    const good = { a: 'model-1.safetensors', b: 'model-1.safetensors', c: 'model-2.safetensors' };
    const checkpoint = await openSafetensors(await index(good));
    expect([...checkpoint.entries.keys()]).toEqual(['a', 'b', 'c']);
    expect([...(await checkpoint.read('c'))]).toEqual([0, 1]);
    expect(checkpoint.files.map((file) => file.slice(dir.length + 1))).toEqual([
      'model-1.safetensors',
      'model-2.safetensors',
    ]);
    await checkpoint.close();
    const refused: [Record<string, unknown> | string, RegExp, string?][] = [
      [{ ...good, d: 'model-2.safetensors' }, /index says that model-2.safetensors holds "d"/],
      [{ a: 'model-1.safetensors' }, /model-1.safetensors holds "b"/],
      [{ a: '../model-1.safetensors' }, /"a" is said to lie in/],
      [{ a: '/etc/passwd' }, /no safetensors file beside it/],
      [{ a: '..\\model.safetensors' }, /no safetensors file beside it/],
      [{ a: 'C:model.safetensors' }, /no safetensors file beside it/],
      [{ a: 3 }, /has no "weight_map"/],
      [{}, /names no tensors/],
      ['{"weight_map":{"a":"model-1.safetensors","a":"model-2.safetensors"}}', /names "a" twice/],
      ['{', /not valid JSON/],
      [{ a: 'model-9.safetensors' }, /missing/, 'CHECKPOINT_INCOMPLETE'],
    ];
    for (const [map, what, code] of refused) {
      const error = await refusal(openSafetensors(await index(map)));
      expect(error.message).toMatch(what);
      expect(error.code).toBe(code ?? 'CHECKPOINT_INVALID');
    }
  });
});

describe('LoRA', () => {
  const random = (shape: readonly number[], seed: number): Float32Array =>
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) =>
      Math.sin((i + 1) * (seed + 1.7)),
    );

  async function lora(name: string, tensors: Record<string, readonly number[]>): Promise<string> {
    const path = join(folder, name);
    await writeSafetensors(
      path,
      Object.entries(tensors).map(([key, shape], seed) => ({
        name: key,
        dtype: 'F32',
        shape,
        data: random(shape, seed),
      })),
    );
    return path;
  }

  test('merges differing ranks, alpha and diffs under both namings', async () => {
    const base = join(folder, 'base.safetensors');
    await writeSafetensors(base, [
      { name: 'blocks.0.self_attn.q.weight', dtype: 'F32', shape: [4, 3], data: random([4, 3], 50) },
      { name: 'blocks.0.self_attn.q.bias', dtype: 'F32', shape: [4], data: random([4], 51) },
      { name: 'blocks.0.norm3.weight', dtype: 'F32', shape: [3], data: random([3], 52) },
      { name: 'blocks.0.modulation', dtype: 'F32', shape: [1, 6, 1], data: random([6], 53) },
    ]);
    const path = await lora('mixed.safetensors', {
      'diffusion_model.blocks.0.self_attn.q.lora_down.weight': [2, 3],
      'diffusion_model.blocks.0.self_attn.q.lora_up.weight': [4, 2],
      'diffusion_model.blocks.0.self_attn.q.alpha': [],
      'diffusion_model.blocks.0.self_attn.q.diff_b': [4],
      'diffusion_model.blocks.0.norm3.diff': [3],
      'diffusion_model.blocks.0.diff_m': [1, 6, 1],
      'blocks.0.attn1.to_k.lora_A.default.weight': [5, 3],
      'blocks.0.attn1.to_k.lora_B.default.weight': [4, 5],
    });
    const [checkpoint, mixed] = [await openSafetensors(base), await readLora(await openSafetensors(path))];
    const q = mixed.layers.get('blocks.0.self_attn.q')!;
    const k = mixed.layers.get('blocks.0.self_attn.k')!;
    expect([q.rank, k.rank]).toEqual([2, 5]);
    const [alpha] = await mixed.checkpoint.read('diffusion_model.blocks.0.self_attn.q.alpha');
    expect(loraScale(q)).toBe(alpha! / 2);
    expect(loraScale(k)).toBe(1);

    const [down, up] = [random([2, 3], 0), random([4, 2], 1)];
    const expected = random([4, 3], 50).map((w, i) => {
      const [row, column] = [Math.floor(i / 3), i % 3];
      const delta = up[row * 2]! * down[column]! + up[row * 2 + 1]! * down[3 + column]!;
      return w + 0.7 * (alpha! / 2) * delta;
    });
    const applied = [{ lora: mixed, strength: 0.7 }];
    const close = (actual: Float32Array, wanted: ArrayLike<number>): void => {
      expect(actual.length).toBe(wanted.length);
      actual.forEach((value, i) => expect(value).toBeCloseTo(wanted[i]!, 5));
    };
    close(mergedTensor(checkpoint, 'blocks.0.self_attn.q.weight', applied), expected);
    const sum = (a: Float32Array, b: Float32Array): Float32Array => a.map((value, i) => value + 0.7 * b[i]!);
    close(
      mergedTensor(checkpoint, 'blocks.0.self_attn.q.bias', applied),
      sum(random([4], 51), random([4], 3)),
    );
    close(mergedTensor(checkpoint, 'blocks.0.norm3.weight', applied), sum(random([3], 52), random([3], 4)));
    close(mergedTensor(checkpoint, 'blocks.0.modulation', applied), sum(random([6], 53), random([6], 5)));
    // Pusa's loader leaves diffs out.
    const loader = [{ lora: asPusaLoader(mixed), strength: 0.7 }];
    expect(mergedTensor(checkpoint, 'blocks.0.norm3.weight', loader)).toEqual(random([3], 52));

    const shapes = (name: string): readonly number[] | undefined => checkpoint.entries.get(name)?.shape;
    expect(() => checkLoraFits(mixed, shapes)).toThrow(
      /blocks.0.self_attn.k", which the model does not have/,
    );
    const withK = (shape: readonly number[]) => (name: string) =>
      name === 'blocks.0.self_attn.k.weight' ? shape : shapes(name);
    expect(() => checkLoraFits(mixed, withK([4, 3]))).not.toThrow();
    expect(() => checkLoraFits(mixed, withK([4, 9]))).toThrow(/is 4 × 3 in the LoRA and 4 × 9 in the model/);
    await checkpoint.close();
    await mixed.checkpoint.close();
  });

  test('refuses halves, ranks that differ and files without matrices', async () => {
    const a = { 'blocks.0.ffn.0.lora_A.weight': [2, 4] };
    const cases: [string, Record<string, readonly number[]>, string, RegExp][] = [
      ['half', a, 'CHECKPOINT_INCOMPLETE', /lacks one half of "blocks.0.ffn.0"/],
      ['otherhalf', { 'blocks.0.ffn.0.lora_B.weight': [8, 2] }, 'CHECKPOINT_INCOMPLETE', /lacks one half/],
      [
        'ranks',
        { ...a, 'blocks.0.ffn.0.lora_B.weight': [8, 3] },
        'CHECKPOINT_INVALID',
        /do not fit each other/,
      ],
      [
        'axes',
        { ...a, 'blocks.0.ffn.0.lora_B.weight': [8, 2, 1] },
        'CHECKPOINT_INVALID',
        /do not fit each other/,
      ],
      [
        'twice',
        { ...a, 'diffusion_model.blocks.0.ffn.0.lora_A.weight': [2, 4] },
        'CHECKPOINT_INVALID',
        /twice/,
      ],
      ['none', { 'blocks.0.norm3.diff': [4] }, 'CHECKPOINT_WRONG_FAMILY', /no LoRA matrices/],
      [
        'alpha',
        { ...a, 'blocks.0.ffn.0.lora_B.weight': [8, 2], 'blocks.0.ffn.0.alpha': [2] },
        'CHECKPOINT_INVALID',
        /alpha/,
      ],
    ];
    for (const [name, tensors, code, what] of cases) {
      const checkpoint = await openSafetensors(await lora(`${name}.lora.safetensors`, tensors));
      const error = await refusal(readLora(checkpoint));
      expect(error.code).toBe(code);
      expect(error.message).toMatch(what);
      await checkpoint.close();
    }
    const recognised = recognise(await openSafetensors(join(goldens, 'lora_merge/lora_pusa.safetensors')));
    expect(recognised.family).toBe('lora');
    await recognised.checkpoint.close();
  });
});
