import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  bakePackage,
  type BakePackageOptions,
  type BakeProgress,
} from '../../../src-main/engine/weights/bake-package.ts';
import { openCheckpoint } from '../../../src-main/engine/weights/open-checkpoint.ts';
import {
  openPackage,
  packageHash,
  verifyPackage,
  type Manifest,
  type ModelPackage,
} from '../../../src-main/engine/weights/package.ts';
import { writeSafetensors, type TensorToWrite } from '../../../src-main/engine/weights/write-safetensors.ts';
import { listShelf } from '../../../src-main/studio/model-shelf.ts';
import { smallDisk } from '../../library/media-support.ts';
import { clip, forward, psnr } from '../../support/clip.ts';
import { mergedTensor } from '../../support/merged-tensor.ts';
import { seeded } from '../kill.ts';
import { refusal } from '../../support/refusal.ts';

const root = join(import.meta.dirname, '../../..');
const starterFolder = join(root, 'resources/models/starter');
const patternFolder = join(root, 'test/fixtures/models/test-pattern');

let folder: string;
let starter: ModelPackage;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pusa-bake-'));
  starter = await openPackage(starterFolder);
});
afterAll(() => rm(folder, { recursive: true }));

let next = 0;
function bake(
  source: ModelPackage,
  options: Partial<BakePackageOptions>,
  name = `m${next++}`,
): Promise<ModelPackage> {
  return bakePackage(source, join(folder, name), { id: 'baked', precision: 'int8', ...options });
}

function relativeError(a: Float32Array, b: Float32Array): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

/** Relative path → SHA-256 of every file below a folder. */
async function contentOf(at: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of (await readdir(at, { recursive: true })).sort()) {
    if ((await stat(join(at, name))).isDirectory()) continue;
    found[name] = createHash('sha256')
      .update(await readFile(join(at, name)))
      .digest('hex');
  }
  return found;
}

describe('the starter model', () => {
  test('in 8 bits: a forward within 1 %, the clip above 35 dB, the LoRA still live', async () => {
    const baked = await bake(starter, { precision: 'int8' });
    expect(baked.manifest).toMatchObject({
      id: 'baked',
      name: 'Pusa Studio Starter (int8)',
      loras: [{ name: 'starter_pusa_lora', live: true }],
      baked: {
        precision: 'int8',
        blockSize: 32,
        search: false,
        merged: [],
        source: { id: 'starter', hash: starter.manifest.hash },
      },
    });
    const layers = baked.manifest.baked!.layers;
    expect(layers.length).toBe(6 * 10);
    for (const { error } of layers) expect(error > 2e-3 && error < 7e-3).toBe(true);
    for (const strength of [0.5, 1]) {
      const error = relativeError(await forward(baked, strength), await forward(starter, strength));
      expect(error).toBeGreaterThan(1e-5);
      expect(error).toBeLessThan(0.01);
    }
    expect(psnr(await clip(baked), await clip(starter))).toBeGreaterThan(35);
    await verifyPackage(baked);
  });

  test('the search brings weights nearer; 4 bits are further away, and half the bytes', async () => {
    const errors: Record<string, number> = {};
    const bytes: Record<string, number> = {};
    for (const precision of ['int8', 'int4'] as const) {
      for (const search of [false, true]) {
        const { manifest } = await bake(starter, { precision, search });
        const key = `${precision}${search ? ' searched' : ''}`;
        const squares = manifest.baked!.layers.map(({ error }) => error ** 2);
        errors[key] = Math.sqrt(squares.reduce((sum, value) => sum + value, 0) / squares.length);
        bytes[key] = manifest.dit.files[0]!.bytes;
      }
    }
    expect(errors['int8 searched']).toBeLessThan(errors['int8']! * 0.97);
    expect(errors['int4 searched']).toBeLessThan(errors['int4']! * 0.97);
    expect(errors['int4']).toBeGreaterThan(errors['int8']! * 10);
    expect(bytes['int4']).toBeLessThan(bytes['int8']! * 0.7);
  });

  test('with its LoRA merged: each tensor as defined, the same forward as apart, whatever the precision', async () => {
    const whole = await bake(starter, { precision: 'F32', mergeLoras: true });
    expect(whole.manifest.loras).toEqual([]);
    expect(whole.manifest.baked!.merged).toMatchObject([
      { expert: 'high', name: 'starter_pusa_lora', strength: 1 },
    ]);
    const dit = await whole.openDit();
    const base = await starter.openDit();
    const [lora] = await starter.openLoras();
    expect([...dit.entries.keys()].sort()).toEqual([...base.entries.keys()].sort());
    for (const name of base.entries.keys()) {
      const expected = mergedTensor(base, name, [{ lora: lora!, strength: 1 }]);
      expect(relativeError(await dit.read(name), expected)).toBeLessThan(1e-6);
    }
    for (const checkpoint of [dit, base, lora!.checkpoint]) await checkpoint.close();

    const apart = await forward(starter, 1);
    expect(relativeError(await forward(whole, 1), apart)).toBeLessThan(1e-5);
    // Its strength is a part of the weights now.
    expect(await forward(whole, 0)).toEqual(await forward(whole, 1));
    const narrow = await bake(starter, { precision: 'int8', mergeLoras: true });
    expect(relativeError(await forward(narrow, 1), apart)).toBeLessThan(0.01);
    const half = await bake(starter, {
      precision: 'F16',
      mergeLoras: true,
      strengths: { starter_pusa_lora: 0.5 },
    });
    expect(relativeError(await forward(half, 1), await forward(starter, 0.5))).toBeLessThan(2e-3);
    expect(half.manifest.baked!.merged[0]!.strength).toBe(0.5);
  });

  test('shares with the original what stays as it is', async () => {
    const baked = await bake(starter, {});
    for (const name of [
      'starter_vae.safetensors',
      'starter_umt5.safetensors',
      'starter_pusa_lora.safetensors',
    ]) {
      const [from, to] = [await stat(join(starter.folder, name)), await stat(join(baked.folder, name))];
      expect(to.size).toBe(from.size);
    }
    expect((await readdir(baked.folder)).sort()).toEqual([
      'diffusion-model.int8.safetensors',
      'manifest.json',
      'starter_pusa_lora.safetensors',
      'starter_umt5.safetensors',
      'starter_vae.safetensors',
    ]);
  });
});

describe('what is baked', () => {
  test('only the blocks’ matrices: norms, modulation, embeddings and the head stay wide', async () => {
    const model = await bake(await openPackage(patternFolder), { precision: 'int4' });
    const { manifest } = model;
    const dit = await model.openDit();
    const narrow = [...dit.entries].filter(([, { blocks }]) => blocks !== undefined).map(([name]) => name);
    const { layers } = manifest.dit.config;
    expect(narrow.length).toBe(10 * layers);
    expect(
      narrow.every((name) => /^blocks\.\d+\.(self_attn|cross_attn|ffn)\.[qkvo02]\.weight$/.test(name)),
    ).toBe(true);
    expect(manifest.baked!.layers.map(({ name }) => `${name}.weight`)).toEqual(narrow);
    await dit.close();
  });

  test('both experts of Wan2.2, each with its own LoRAs', async () => {
    const copy = join(folder, 'two');
    await cp(patternFolder, copy, { recursive: true });
    const { manifest } = await openPackage(copy);
    await cp(join(copy, 'dit.safetensors'), join(copy, 'low.safetensors'));
    const two: Manifest = {
      ...manifest,
      version: 2,
      lowNoise: {
        boundary: 0.875,
        dit: {
          ...manifest.dit,
          open: 'low.safetensors',
          files: [{ ...manifest.dit.files[0]!, path: 'low.safetensors' }],
        },
        loras: [],
      },
    };
    await writeFile(join(copy, 'manifest.json'), JSON.stringify({ ...two, hash: packageHash(two) }));
    const seen: BakeProgress[] = [];
    const baked = await bake(await openPackage(copy), { onProgress: (progress) => seen.push(progress) });
    expect(baked.manifest.dit.open).toBe('diffusion-model.int8.safetensors');
    expect(baked.manifest.lowNoise).toMatchObject({
      boundary: 0.875,
      dit: { open: 'diffusion-model-low-noise.int8.safetensors' },
    });
    expect(new Set(baked.manifest.baked!.layers.map(({ expert }) => expert))).toEqual(
      new Set(['high', 'low']),
    );
    for (const expert of ['high', 'low'] as const) await (await baked.openDit(expert)).close();
    expect(seen.at(-1)!.doneBytes).toBe(seen.at(-1)!.totalBytes);
    await verifyPackage(baked);
  });
});

describe('refusals', () => {
  test('a LoRA is never merged twice, and nothing is quantised twice', async () => {
    const merged = await bake(starter, { precision: 'F16', mergeLoras: true });
    const again = await refusal(bake(merged, { precision: 'int8' }));
    expect([again.code, again.message, again.remedy]).toEqual([
      'MODEL_CANNOT',
      'This model already has LoRAs merged into it, and merging them again would change it twice.',
      'Bake "Pusa Studio Starter", the model it was made from.',
    ]);
    const narrow = await refusal(bake(await bake(starter, {}), { precision: 'int4' }));
    expect(narrow.message).toMatch(/^This model was made from another one by rounding/);
    // The file alone tells it too, where the manifest was lost.
    const { baked, ...forgotten } = merged.manifest;
    expect(baked).toBeDefined();
    await writeFile(join(merged.folder, 'manifest.json'), JSON.stringify(forgotten));
    expect((await refusal(bake(await openPackage(merged.folder), {}))).message).toBe(again.message);
  });

  test('a place that is taken, a LoRA that is not there, an impossible strength, numbers that are none', async () => {
    await mkdir(join(folder, 'taken'));
    await writeFile(join(folder, 'taken', 'diary.txt'), 'mine');
    expect((await refusal(bake(starter, {}, 'taken'))).message).toMatch(/already holds something else/);
    expect(await readdir(join(folder, 'taken'))).toEqual(['diary.txt']);
    const strengths = { other: 1 };
    expect((await refusal(bake(starter, { mergeLoras: true, strengths }))).remedy).toBe(
      'It has: starter_pusa_lora.',
    );
    const tooMuch = { starter_pusa_lora: 5 };
    expect((await refusal(bake(starter, { mergeLoras: true, strengths: tooMuch }))).code).toBe(
      'LORA_MISMATCH',
    );

    const broken = join(folder, 'broken');
    await cp(patternFolder, broken, { recursive: true });
    const dit = await openCheckpoint(join(broken, 'dit.safetensors'));
    const at = dit.entries.get('blocks.0.ffn.0.weight')!;
    await dit.close();
    const file = await open(join(broken, 'dit.safetensors'), 'r+');
    await file.write(new Uint8Array(4).fill(0xff), 0, 4, at.offset + 400);
    await file.close();
    const nan = await refusal(bake(await openPackage(broken), {}));
    expect([nan.code, nan.message]).toEqual([
      'CHECKPOINT_INVALID',
      '"dit.safetensors" cannot be used: "blocks.0.ffn.0.weight" holds numbers that are not finite.',
    ]);
  });

  test('blocks and scales that do not belong together', async () => {
    const path = join(folder, 'odd.safetensors');
    const packed: TensorToWrite = {
      name: 'w#packed',
      dtype: 'U8',
      shape: [2, 2, 32],
      data: new Uint8Array(128),
    };
    const scales: TensorToWrite = {
      name: 'w#scales',
      dtype: 'F32',
      shape: [2, 2],
      data: new Float32Array(4),
    };
    const stated = { 'pusa.block_size': '32' };
    const wrong: [TensorToWrite[], Record<string, string>][] = [
      [[packed], stated],
      [[scales], stated],
      [[packed, scales], {}],
      [[packed, scales], { 'pusa.block_size': '48' }],
      [[packed, scales], { 'pusa.block_size': '99999999999' }],
      [[packed, { ...scales, shape: [4, 1] }], stated],
      [[packed, { ...scales, dtype: 'U8', shape: [2, 2], data: new Uint8Array(4) }], stated],
      [[{ ...packed, shape: [128] }, scales], stated],
      [[packed, scales, { ...packed, name: 'w' }], stated],
    ];
    for (const [tensors, metadata] of wrong) {
      await writeSafetensors(path, tensors, metadata);
      expect((await refusal(openCheckpoint(path))).code).toBe('CHECKPOINT_INVALID');
    }
    await writeSafetensors(path, [packed, scales], stated);
    await (await openCheckpoint(path)).close();
  });

  const disk = smallDisk(4 * 2 ** 20);
  test.skipIf(disk === null)('a disk that is too small, before anything is written there', async () => {
    const target = join(disk!, 'model');
    const error = await refusal(bakePackage(starter, target, { id: 'baked', precision: 'int8' }));
    expect(error.code).toBe('DISK_FULL');
    expect(error.message).toMatch(/^The baked model takes 12\.8 MB, and 4\.\d\d MB are free/);
    expect(await readdir(`${target}.part`)).toEqual([]);
  });
});

describe('interrupted', () => {
  const wish = ['int8', 'search', 'merge'] as const;
  let expected: Record<string, string>;
  beforeAll(async () => {
    expected = await contentOf(
      (await bake(starter, { precision: 'int8', search: true, mergeLoras: true })).folder,
    );
  });

  /** Runs the bake in a child and kills it once so many bytes are done; Infinity lets it live. */
  async function child(to: string, killAt: number): Promise<boolean> {
    const script = join(import.meta.dirname, 'bake-child.ts');
    const running = spawn(process.execPath, [script, starterFolder, to, ...wish], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = new Promise<number | null>((resolve) => running.on('exit', resolve));
    for await (const line of createInterface(running.stdout)) {
      if (Number(line) >= killAt) running.kill('SIGKILL');
    }
    return (await exited) === 0;
  }

  test('killed at random points it goes on, to the same bytes', async () => {
    const random = seeded(2026);
    let kills = 0;
    for (let round = 0; round < 2; round++) {
      const target = join(folder, `killed-${round}`);
      for (let at = random(1_500_000); ; at += random(3_500_000)) {
        if (await child(target, at)) break;
        kills++;
        await expect(stat(target)).rejects.toThrow();
      }
      expect(await contentOf(target)).toEqual(expected);
    }
    expect(kills).toBeGreaterThan(2);
  });

  test('cancelled it keeps what is done; what was spoilt meanwhile is made again', async () => {
    const copy = join(folder, 'source');
    await cp(starterFolder, copy, { recursive: true });
    const source = await openPackage(copy);
    const [first] = (await openCheckpoint(join(copy, source.manifest.dit.open))).entries.values();
    const spoil: ((part: string, journal: string) => Promise<void>)[] = [
      // A byte of what was written changes.
      async (part) => {
        const file = await open(part, 'r+');
        const { size } = await file.stat();
        const at = Math.floor(size / 2);
        const { buffer } = await file.read(new Uint8Array(1), 0, 1, at);
        await file.write(Uint8Array.of(buffer[0]! ^ 1), 0, 1, at);
        await file.close();
      },
      async (part) => {
        const file = await open(part, 'r+');
        await file.truncate(Math.floor((await file.stat()).size / 3));
        await file.close();
      },
      // A line torn by a power cut.
      async (_, journal) => {
        const text = await readFile(journal, 'utf8');
        await writeFile(journal, text.slice(0, -20));
      },
      async (_, journal) => writeFile(journal, 'no journal'),
      async (_, journal) => rm(journal),
      async (part) => rm(part),
      // Last, as it spoils the source: what is done is not made again, so that a change there does not show.
      async () => {
        const file = await open(first!.file, 'r+');
        await file.write(new Uint8Array(first!.bytes).fill(1), 0, first!.bytes, first!.offset);
        await file.close();
      },
    ];
    for (const [index, change] of spoil.entries()) {
      const name = `cancelled-${index}`;
      const options = { precision: 'int8', search: true, mergeLoras: true } as const;
      const stop = new AbortController();
      const onProgress = ({ doneBytes, totalBytes }: BakeProgress): void => {
        if (doneBytes > totalBytes / 2) stop.abort();
      };
      const error = await refusal(bake(source, { ...options, onProgress, signal: stop.signal }, name));
      expect(error.code).toBe('CANCELLED');
      const file = join(folder, `${name}.part`, 'diffusion-model.int8.safetensors');
      await change(`${file}.part`, `${file}.journal`);
      const made = await bake(source, options, name);
      expect(await contentOf(made.folder)).toEqual(expected);
      expect((await readdir(folder)).filter((one) => one.startsWith(name))).toEqual([name]);
    }
  });

  test('a half-baked package is not listed; other choices start anew and leave no traces', async () => {
    const data = join(folder, 'data');
    const target = join(data, 'models', 'mine');
    const stop = new AbortController();
    const options = { id: 'mine', precision: 'int4' as const };
    const cut = bakePackage(starter, target, {
      ...options,
      onProgress: () => stop.abort(),
      signal: stop.signal,
    });
    expect((await refusal(cut)).code).toBe('CANCELLED');
    expect(await readdir(join(data, 'models'))).toEqual(['mine.part']);
    const listed = async (): Promise<string[]> =>
      (await listShelf(data, { resources: join(root, 'resources') })).map(({ id }) => id);
    expect(await listed()).toEqual(['starter']);
    const made = await bakePackage(starter, target, { id: 'mine', precision: 'int8' });
    expect(await listed()).toEqual(['mine', 'starter']);
    expect((await readdir(target)).filter((name) => name.includes('diffusion'))).toEqual([
      'diffusion-model.int8.safetensors',
    ]);
    // The same wish again is what is there already; another one finds the place taken.
    const before = await contentOf(target);
    expect((await bakePackage(starter, target, { id: 'mine', precision: 'int8' })).manifest).toEqual(
      made.manifest,
    );
    expect(await contentOf(target)).toEqual(before);
    expect((await refusal(bakePackage(starter, target, options))).code).toBe('WRITE_FAILED');
  });

  test('two bakes of one model at a time: one of them is told', async () => {
    const ends = await Promise.allSettled([bake(starter, {}, 'twice'), bake(starter, {}, 'twice')]);
    expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const told = ends.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
    expect(told.reason).toMatchObject({ code: 'JOB_BUSY', message: 'This model is being baked already.' });
    expect((await readdir(folder)).filter((name) => name.startsWith('twice'))).toEqual(['twice']);
  });
});
