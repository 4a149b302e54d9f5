import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Tensor } from '../../src-main/engine/networks.ts';
import type { WeightEntry, WeightSource } from '../../src-main/engine/onnx/weights.ts';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import { checkpointWeights } from '../../src-main/engine/wan/checkpoint-weights.ts';
import { embeddingRows } from '../../src-main/engine/wan/embedding-rows.ts';
import type { Umt5Config } from '../../src-main/engine/wan/umt5-config.ts';
import { relativeBuckets } from '../../src-main/engine/wan/umt5-positions.ts';
import { createTextEncoder, type TextEncoderOptions } from '../../src-main/engine/wan/umt5.ts';
import { openSafetensors, type Checkpoint } from '../../src-main/engine/weights/safetensors.ts';
import { givenIds } from '../goldens/kinds/umt5.ts';
import { readTensors } from '../goldens/tensors.ts';

const golden = join(import.meta.dirname, '../fixtures/goldens/umt5_tiny');
const config: Umt5Config = {
  vocabulary: 97,
  dim: 32,
  attentionDim: 32,
  ffnDim: 64,
  heads: 4,
  layers: 2,
  buckets: 32,
  maxDistance: 128,
  eps: 1e-6,
};
const runtime = createRuntime('cpu');
const given = readTensors(join(golden, 'tensors.safetensors'));
const scratch = mkdtempSync(join(tmpdir(), 'pusa-umt5-'));
let checkpoint: Checkpoint;
let weights: WeightSource;
beforeAll(async () => {
  checkpoint = await openSafetensors(join(golden, 'weights.safetensors'));
  weights = checkpointWeights(checkpoint, golden);
});
afterAll(async () => {
  await checkpoint.close();
  rmSync(scratch, { recursive: true });
});

/** The reference's rows of one prompt of the golden, [160, 32]. */
function reference(row: number): Float32Array {
  return given.f32('output_zeroed').subarray(row * 160 * 32, (row + 1) * 160 * 32);
}

function encode(
  row: number,
  options: Partial<TextEncoderOptions>,
  onSegment?: (done: number, total: number) => void,
) {
  const tokenizer = givenIds(given.i32('ids'), given.i32('mask'), 160);
  const encoder = createTextEncoder(runtime, config, weights, tokenizer, { textLength: 160, ...options });
  return encoder.encode(String(row), onSegment).finally(() => encoder.release());
}

function expectClose({ data }: Tensor, expected: Float32Array): void {
  expect(data.length).toBe(expected.length);
  expect(data.reduce((worst, v, i) => Math.max(worst, Math.abs(v - expected[i]!)), 0)).toBeLessThan(1e-4);
}

test('layers are cut into segments freely, each one told of', async () => {
  const seen: number[][] = [];
  expectClose(await encode(0, { keepLoaded: false }, (...at) => seen.push(at)), reference(0));
  expect(seen.splice(0)).toEqual([
    [1, 2],
    [2, 2],
  ]);
  expectClose(await encode(1, { layersPerSegment: 3 }, (...at) => seen.push(at)), reference(1));
  expect(seen).toEqual([[1, 1]]);
});

test('an encoder stopped between segments encodes again', async () => {
  const tokenizer = givenIds(given.i32('ids'), given.i32('mask'), 160);
  const encoder = createTextEncoder(runtime, config, weights, tokenizer, { textLength: 160 });
  const stopped = encoder.encode('2', () => {
    throw new Error('enough');
  });
  await expect(stopped).rejects.toThrow('enough');
  expectClose(await encoder.encode('2'), reference(2));
  await encoder.release();
});

test('each pair of positions has one bucket', () => {
  const { data, shape } = relativeBuckets(12, 32, 128);
  expect(shape).toEqual([12, 12, 32]);
  const bucket = (query: number, key: number) => {
    const row = data.subarray((query * 12 + key) * 32, (query * 12 + key + 1) * 32);
    expect([...row].sort()).toEqual([...Array<number>(31).fill(0), 1]);
    return row.indexOf(1);
  };
  // A later key is in the upper half: rel 3 → 16 + 3, rel −3 → 3, |rel| ≥ 8 logarithmic.
  expect([bucket(0, 3), bucket(3, 0), bucket(5, 5), bucket(0, 8), bucket(11, 0)]).toEqual([19, 3, 0, 24, 8]);
});

test('rows of the vocabulary are read in place, whatever their format', async () => {
  const table = await checkpoint.read('token_embedding.weight');
  // bfloat16 is the upper half of a float32; 5 bytes of another tensor stand before it.
  const bits = new Uint32Array(table.slice().buffer);
  const bf16 = Uint16Array.from(bits, (b) => b >>> 16);
  writeFileSync(join(scratch, 'table.bin'), Buffer.concat([Buffer.alloc(5), Buffer.from(bf16.buffer)]));
  const narrow: WeightEntry = {
    dtype: 'BF16',
    shape: [97, 32],
    file: 'table.bin',
    offset: 5,
    length: 97 * 64,
  };
  const ids = Int32Array.of(96, 0, 41, 0);
  const from = (folder: string | null, entry: WeightEntry | undefined) =>
    embeddingRows({ folder, entry: () => entry }, 'token_embedding.weight', ids, [97, 32]);

  const exact = Float32Array.from([...ids].flatMap((id) => [...table.subarray(id * 32, id * 32 + 32)]));
  const inline = await from(null, { dtype: 'F32', shape: [97, 32], data: table });
  expect(inline).toEqual({ data: exact, shape: [4, 32] });
  expect(await from(golden, weights.entry('token_embedding.weight'))).toEqual(inline);
  const rounded = new Uint32Array(exact.slice().buffer).map((b) => (b & 0xffff0000) >>> 0);
  expect((await from(scratch, narrow)).data).toEqual(new Float32Array(rounded.buffer));

  const refused: [string, WeightEntry | undefined][] = [
    ['CHECKPOINT_INCOMPLETE', undefined],
    ['CHECKPOINT_INVALID', { ...narrow, shape: [32, 97] }],
    ['CHECKPOINT_INVALID', { ...narrow, offset: 6 }],
  ];
  for (const [code, entry] of refused) await expect(from(scratch, entry)).rejects.toMatchObject({ code });
  for (const id of [97, -1]) {
    const outside = embeddingRows(weights, 'token_embedding.weight', Int32Array.of(1, id), [97, 32]);
    await expect(outside).rejects.toMatchObject({ code: 'TOKENIZER_INVALID' });
  }
});
