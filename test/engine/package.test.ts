import { cp, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createRuntime } from '../../src-main/engine/runtime/ort.ts';
import { importPackage } from '../../src-main/engine/weights/import-package.ts';
import { loadModel } from '../../src-main/engine/weights/load-model.ts';
import { mergedTensor } from '../support/merged-tensor.ts';
import type { Manifest } from '../../src-main/engine/weights/manifest.ts';
import { openPackage, verifyPackage, type ModelPackage } from '../../src-main/engine/weights/package.ts';
import { openSafetensors } from '../../src-main/engine/weights/safetensors.ts';
import { writeSafetensors, type TensorToWrite } from '../../src-main/engine/weights/write-safetensors.ts';
import type { Dtype } from '../../src-main/engine/weights/dtypes.ts';
import { checkpointWeights } from '../../src-main/engine/wan/checkpoint-weights.ts';
import { createDenoiser } from '../../src-main/engine/wan/dit.ts';
import { readTensors } from '../goldens/tensors.ts';
import { refusal } from '../support/refusal.ts';

const bundled = join(import.meta.dirname, '../fixtures/models/test-pattern');
const goldens = join(import.meta.dirname, '../fixtures/goldens');
const folders: string[] = [];
/** A copy of the bundled package to spoil. */
let folder: string;

beforeEach(async () => {
  const parent = await mkdtemp(join(tmpdir(), 'pusa-package-'));
  folders.push(parent);
  folder = join(parent, 'my model');
  await cp(bundled, folder, { recursive: true });
});
afterAll(async () => {
  for (const parent of folders) await rm(parent, { recursive: true });
});

async function tensorsOf(
  path: string,
): Promise<{ tensors: TensorToWrite[]; metadata: Record<string, string> }> {
  const checkpoint = await openSafetensors(path);
  const tensors: TensorToWrite[] = [];
  for (const [name, { dtype, shape }] of checkpoint.entries) {
    tensors.push({ name, dtype: dtype as Dtype, shape, data: await checkpoint.readBytes(name) });
  }
  await checkpoint.close();
  return { tensors, metadata: { ...checkpoint.metadata } };
}

/** Writes the package's diffusion model again, changed. */
async function changeDit(
  change: (dit: Awaited<ReturnType<typeof tensorsOf>>) => void,
  to = 'dit.safetensors',
): Promise<void> {
  const dit = await tensorsOf(join(folder, 'dit.safetensors'));
  change(dit);
  await writeSafetensors(join(folder, to), dit.tensors, dit.metadata);
}

describe('the bundled test pattern model', () => {
  test('is what its manifest says, file by file', async () => {
    const opened = await openPackage(bundled);
    let last: [number, number] = [0, 0];
    await verifyPackage(opened, (done, total) => (last = [done, total]));
    expect(last[0]).toBe(last[1]);
    expect(opened.manifest).toMatchObject({
      id: 'test-pattern',
      name: 'Test pattern model',
      native: { width: 80, height: 48, fps: 16, frames: 17 },
      recommended: { steps: 4, cfg: 3, shift: 5 },
      dit: { config: { heads: 2, textLength: 24 } },
      textEncoder: { config: { vocabulary: 97, heads: 4 } },
      vae: { config: { dim: 6, numResBlocks: 2 } },
    });
  });

  test('runs: text, denoising and decoding equal the golden case its weights come from', async () => {
    const golden = readTensors(join(goldens, 'vae_tiny', 'tensors.safetensors'));
    const model = loadModel(createRuntime('cpu'), await openPackage(bundled));
    expect(model).toMatchObject({ provider: 'cpu', hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string });
    const text = await (await model.textEncoder()).encode('A red ball rolls, 2 times!');
    expect(text.shape).toEqual([24, 32]);
    expect(await model.textEncoder()).toBe(await model.textEncoder());
    const other = await (await model.textEncoder()).encode('a blue cube');
    expect(other.data).not.toEqual(text.data);
    const latents = { data: golden.f32('latent'), shape: [16, 3, 4, 6] };
    const velocity = await (await model.denoiser()).velocity(latents, Float32Array.of(0, 500, 900), text, 1);
    expect(velocity.shape).toEqual([16, 3, 4, 6]);
    const expected = golden.f32('decoded');
    let worst = 0;
    await (
      await model.codec()
    ).decode(latents, null, ({ data, shape }, first) => {
      const count = shape[1]!;
      data.forEach((value, i) => {
        const [c, rest] = [Math.floor(i / (count * 1536)), i % (count * 1536)];
        worst = Math.max(worst, Math.abs(value - expected[c * 9 * 1536 + first * 1536 + rest]!));
      });
    });
    expect(worst).toBeLessThan(2e-4);
    await model.release();
  });
});

describe('import', () => {
  test('makes the same package of the same files, and tells progress', async () => {
    const before = (await openPackage(bundled)).manifest;
    await rm(join(folder, 'manifest.json'));
    const bytes: number[] = [];
    const { manifest } = await importPackage(folder, {
      id: 'test-pattern',
      onBytes: (done) => bytes.push(done),
    });
    expect(manifest).toEqual(before);
    expect(bytes.at(-1)).toBe(
      before.dit.files[0]!.bytes + before.vae.file.bytes + before.textEncoder.files[0]!.bytes + 1204,
    );
    // The id comes from the folder's name where none is given.
    expect((await importPackage(folder)).manifest.id).toBe('my-model');
    const named = await importPackage(folder, {
      name: 'Mine',
      licence: 'CC0',
      files: ['dit.safetensors', 'vae.safetensors', 'umt5.safetensors', 'spiece.model'],
    });
    expect(named.manifest).toMatchObject({ name: 'Mine', licence: 'CC0', hash: before.hash });
  });

  test('converts what graphs cannot use where it lies, once, and again when it changed', async () => {
    const narrow = ({ tensors }: Awaited<ReturnType<typeof tensorsOf>>, byte: number): void => {
      const at = tensors.findIndex(({ name }) => name === 'blocks.0.ffn.0.weight');
      const { name, shape } = tensors[at]!;
      const data = new Uint8Array(shape[0]! * shape[1]!).fill(byte);
      tensors[at] = { name, dtype: 'F8_E4M3', shape, data };
    };
    const valueOf = async (model: ModelPackage): Promise<number> => {
      const dit = await model.openDit();
      const [value] = await dit.read('blocks.0.ffn.0.weight');
      await dit.close();
      return value!;
    };
    await changeDit((dit) => narrow(dit, 0x38));
    const converted: string[] = [];
    const onConvert = (file: string): void => void converted.push(file);
    const first = await importPackage(folder, { onConvert });
    expect(first.manifest.dit.open).toBe('dit.safetensors.pusa.safetensors');
    expect(new Set(converted)).toEqual(new Set(['dit.safetensors']));
    expect(await valueOf(first)).toBe(1);
    // What says how the network is built went along.
    expect(first.manifest.dit.config).toEqual((await openPackage(bundled)).manifest.dit.config);
    await (await loadModel(createRuntime('cpu'), first).denoiser()).release();

    converted.length = 0;
    expect((await importPackage(folder, { onConvert })).manifest.hash).toBe(first.manifest.hash);
    expect(converted).toEqual([]);

    await changeDit((dit) => narrow(dit, 0x40));
    expect(await valueOf(await importPackage(folder, { onConvert }))).toBe(2);
    expect(converted).not.toEqual([]);
  });

  test('finds shards, subfolders, a tokenizer inside the encoder, and Hugging Face names', async () => {
    await changeDit(({ tensors }) => tensors.splice(0, 30), 'dit-2.safetensors');
    await changeDit(({ tensors }) => tensors.splice(30), 'dit-1.safetensors');
    const map: Record<string, string> = {};
    for (const shard of ['dit-1.safetensors', 'dit-2.safetensors']) {
      for (const { name } of (await tensorsOf(join(folder, shard))).tensors) map[name] = shard;
    }
    await mkdir(join(folder, 'dit'));
    for (const shard of ['dit-1.safetensors', 'dit-2.safetensors'])
      await rename(join(folder, shard), join(folder, 'dit', shard));
    await writeFile(join(folder, 'dit', 'dit.safetensors.index.json'), JSON.stringify({ weight_map: map }));
    await rm(join(folder, 'dit.safetensors'));
    const encoder = await tensorsOf(join(goldens, 'umt5_tiny', 'weights_hf.safetensors'));
    const spiece = new Uint8Array(await readFile(join(folder, 'spiece.model')));
    encoder.tensors.push({ name: 'spiece_model', dtype: 'U8', shape: [spiece.length], data: spiece });
    await writeSafetensors(join(folder, 'umt5.safetensors'), encoder.tensors);
    await rm(join(folder, 'spiece.model'));

    const opened = await importPackage(folder);
    const { dit, tokenizer } = opened.manifest;
    expect(dit.open).toBe('dit/dit.safetensors.index.json');
    expect(dit.files.map(({ path }) => path)).toEqual([
      'dit/dit.safetensors.index.json',
      'dit/dit-1.safetensors',
      'dit/dit-2.safetensors',
    ]);
    expect(tokenizer).toEqual({ from: 'tensor', name: 'spiece_model' });
    const [sharded, whole] = [
      loadModel(createRuntime('cpu'), opened),
      loadModel(createRuntime('cpu'), await openPackage(bundled)),
    ];
    const latents = { data: new Float32Array(16 * 2 * 16).map((_, i) => Math.sin(i)), shape: [16, 2, 4, 4] };
    const outputs: Float32Array[] = [];
    for (const model of [sharded, whole]) {
      const text = await (await model.textEncoder()).encode('same words');
      outputs.push(
        (await (await model.denoiser()).velocity(latents, Float32Array.of(400, 400), text, 0)).data,
      );
      await model.release();
    }
    expect(outputs[0]).toEqual(outputs[1]);
  });

  test('a LoRA is kept apart: live where it is Pusa’s, and equal to merging it', async () => {
    const lora = async (file: string, seed: number): Promise<void> => {
      const random = (size: number): Float32Array =>
        new Float32Array(size).map((_, i) => 0.1 * Math.sin(i * (seed + 0.7)));
      await writeSafetensors(join(folder, file), [
        { name: 'blocks.0.ffn.0.lora_A.weight', dtype: 'F32', shape: [3, 64], data: random(192) },
        { name: 'blocks.0.ffn.0.lora_B.weight', dtype: 'F32', shape: [128, 3], data: random(384) },
      ]);
    };
    await lora('a-style.safetensors', 1);
    expect((await importPackage(folder)).manifest).toMatchObject({
      loras: [{ name: 'a-style', defaultStrength: 1, live: true }],
      recommended: { loraStrength: 1 },
    });
    await lora('pusa_v1.safetensors', 2);
    const opened = await importPackage(folder);
    expect(opened.manifest).toMatchObject({
      loras: [
        { name: 'a-style', defaultStrength: 1, live: false },
        { name: 'pusa_v1', defaultStrength: 1.4, live: true },
      ],
      recommended: { loraStrength: 1.4 },
    });
    const latents = { data: new Float32Array(16 * 2 * 16).map((_, i) => Math.sin(i)), shape: [16, 2, 4, 4] };
    const context = { data: new Float32Array(24 * 32).map((_, i) => Math.cos(i)), shape: [24, 32] };
    const times = Float32Array.of(100, 700);
    const model = loadModel(createRuntime('cpu'), opened);
    const apart = await (await model.denoiser()).velocity(latents, times, context, 0.6);
    await model.release();

    const [base, loras] = [await opened.openDit(), await opened.openLoras()];
    const strengths = loras.map((one, i) => ({ lora: one, strength: [1, 0.6][i]! }));
    const changed = mergedTensor(base, 'blocks.0.ffn.0.weight', strengths);
    const source = checkpointWeights(base, opened.folder);
    const merged = createDenoiser(createRuntime('cpu'), opened.manifest.dit.config, {
      folder: opened.folder,
      entry: (name) =>
        name === 'blocks.0.ffn.0.weight'
          ? { dtype: 'F32', shape: [128, 64], data: changed }
          : source.entry(name),
    });
    const expected = await merged.velocity(latents, times, context, 0);
    const worst = (a: Float32Array, b: Float32Array): number =>
      a.reduce((w, v, i) => Math.max(w, Math.abs(v - b[i]!)), 0);
    expect(worst(apart.data, expected.data)).toBeLessThan(1e-5);
    await merged.release();
    const plain = loadModel(createRuntime('cpu'), await openPackage(bundled));
    const without = await (await plain.denoiser()).velocity(latents, times, context, 0);
    expect(worst(without.data, expected.data)).toBeGreaterThan(1e-3);
    await plain.release();
    await base.close();
    for (const { checkpoint } of loras) await checkpoint.close();
  });

  const spoiled: [string, () => Promise<unknown>, code: string, message: RegExp, remedy: RegExp][] = [
    [
      'no VAE',
      () => rm(join(folder, 'vae.safetensors')),
      'CHECKPOINT_INCOMPLETE',
      /There is no VAE/,
      /wan_2\.1_vae/,
    ],
    [
      'an encoder in another format',
      () => rename(join(folder, 'umt5.safetensors'), join(folder, 'models_t5.bin')),
      'CHECKPOINT_INCOMPLETE',
      /There is no text encoder/,
      /"models_t5.bin" cannot be read/,
    ],
    [
      'two diffusion models',
      () => cp(join(folder, 'dit.safetensors'), join(folder, 'dit2.safetensors')),
      'CHECKPOINT_WRONG_FAMILY',
      /more than one diffusion model: "dit.safetensors" and "dit2.safetensors"/,
      /Name the files/,
    ],
    [
      'no tokenizer',
      () => rm(join(folder, 'spiece.model')),
      'CHECKPOINT_INCOMPLETE',
      /no tokenizer/,
      /spiece.model/,
    ],
    [
      'a broken tokenizer',
      () => writeFile(join(folder, 'spiece.model'), 'nonsense'),
      'TOKENIZER_INVALID',
      /tokenizer/,
      /spiece.model/,
    ],
    [
      'a tokenizer of another model',
      () => cp(join(goldens, 'spm_tiny', 'spiece.model'), join(folder, 'spiece.model')),
      'TOKENIZER_INVALID',
      /343 pieces, the text encoder only 97/,
      /same model/,
    ],
    [
      'a LoRA of another model',
      () =>
        writeSafetensors(join(folder, 'lora.safetensors'), [
          { name: 'blocks.7.ffn.0.lora_A.weight', dtype: 'F32', shape: [1, 64], data: new Float32Array(64) },
          {
            name: 'blocks.7.ffn.0.lora_B.weight',
            dtype: 'F32',
            shape: [128, 1],
            data: new Float32Array(128),
          },
        ]),
      'LORA_MISMATCH',
      /blocks.7.ffn.0/,
      /Wan2.1 T2V 14B/,
    ],
    [
      'a native length that is none',
      () => changeDit(({ metadata }) => (metadata['pusa.native_frames'] = '18')),
      'CHECKPOINT_INVALID',
      /native.frames/,
      /author/,
    ],
    [
      'an empty file',
      () => writeFile(join(folder, 'more.safetensors'), ''),
      'FILE_EMPTY',
      /"more.safetensors" is empty/,
      /again/,
    ],
    [
      'an encoder of another width',
      () =>
        changeDit(({ tensors }) => {
          const at = tensors.findIndex(({ name }) => name === 'text_embedding.0.weight');
          tensors[at] = {
            name: 'text_embedding.0.weight',
            dtype: 'F32',
            shape: [64, 48],
            data: new Float32Array(64 * 48),
          };
        }),
      'CHECKPOINT_WRONG_FAMILY',
      /reads text of width 48, the encoder gives 32/,
      /one model/,
    ],
  ];
  test.each(spoiled)('refuses %s', async (_, spoil, code, message, remedy) => {
    await rm(join(folder, 'manifest.json'));
    await spoil();
    const error = await refusal(importPackage(folder));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.remedy).toMatch(remedy);
  });

  test('refuses files outside the folder', async () => {
    expect(await refusal(importPackage(folder, { files: ['../other.safetensors'] }))).toMatchObject({
      code: 'MODEL_NOT_FOUND',
    });
    expect(await refusal(importPackage(join(folder, 'nowhere')))).toMatchObject({ code: 'MODEL_NOT_FOUND' });
    await rename(join(folder, 'vae.safetensors'), join(folder, '..', 'vae.safetensors'));
    await symlink('../vae.safetensors', join(folder, 'vae.safetensors'));
    const error = await refusal(importPackage(folder));
    expect(error.code).toBe('CHECKPOINT_INVALID');
    expect(error.message).toMatch(/"vae.safetensors" is a link to outside/);
  });
});

describe('opening', () => {
  async function changeManifest(
    change: (manifest: Manifest & Record<string, unknown>) => void,
  ): Promise<void> {
    const path = join(folder, 'manifest.json');
    const manifest = JSON.parse(await readFile(path, 'utf8')) as Manifest & Record<string, unknown>;
    change(manifest);
    await writeFile(path, JSON.stringify(manifest));
  }

  test('says what is missing or changed', async () => {
    expect(await refusal(openPackage(join(folder, 'gone')))).toMatchObject({ code: 'MODEL_NOT_FOUND' });
    const opened = await openPackage(folder);
    const vae = join(folder, 'vae.safetensors');
    const bytes = await readFile(vae);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(vae, bytes);
    const changed = await refusal(verifyPackage(opened));
    expect(changed).toMatchObject({ code: 'CHECKPOINT_INVALID' });
    expect(changed.message).toMatch(/"vae.safetensors" has changed/);
    await writeFile(vae, bytes.subarray(0, 1000));
    expect((await refusal(openPackage(folder))).message).toMatch(/"vae.safetensors" has changed/);
    await rm(vae);
    const lost = await refusal(openPackage(folder));
    expect(lost).toMatchObject({ code: 'MODEL_NOT_FOUND' });
    expect(lost.message).toMatch(/has lost its file "vae.safetensors"/);
    await rm(join(folder, 'manifest.json'));
    expect((await refusal(openPackage(folder))).code).toBe('MODEL_NOT_FOUND');
  });

  const hostile: [string, (manifest: Manifest & Record<string, unknown>) => void, RegExp][] = [
    ['a path out of the folder', (m) => (m.vae.file.path = '../vae.safetensors'), /wrong at "vae.file.path"/],
    ['an absolute path', (m) => (m.vae.file.path = '/etc/hostname'), /wrong at "vae.file.path"/],
    ['a drive', (m) => (m.vae.file.path = 'C:/vae.safetensors'), /wrong at "vae.file.path"/],
    ['a backslash', (m) => (m.vae.file.path = '..\\vae.safetensors'), /wrong at "vae.file.path"/],
    ['an id that is a path', (m) => (m.id = '../x'), /wrong at "id"/],
    ['an unknown field', (m) => (m['extra'] = 1), /manifest is wrong/],
    ['an absurd size', (m) => (m.dit.config.dim = 1e15), /wrong at "dit.config.dim"/],
    ['NaN', (m) => (m.recommended.shift = NaN), /wrong at "recommended.shift"/],
    ['another version', (m) => Object.assign(m, { version: 3 }), /newer version/],
    ['an opened file that is not listed', (m) => (m.dit.open = 'vae.safetensors'), /without listing it/],
  ];
  test.each(hostile)('refuses a manifest with %s', async (_, change, message) => {
    await changeManifest(change);
    const error = await refusal(openPackage(folder));
    expect(error.code).toBe('CHECKPOINT_INVALID');
    expect(error.message).toMatch(message);
  });

  test('refuses sizes that are not the file’s, and files in each other’s place', async () => {
    await changeManifest((m) => (m.dit.config.heads = 4));
    const error = await refusal((await openPackage(folder)).openDit());
    expect(error.message).toMatch(/"dit.safetensors" is not what the manifest says/);
    await changeManifest((m) => {
      m.vae.file = m.textEncoder.files[0]!;
    });
    expect((await refusal((await openPackage(folder)).openVae())).code).toBe('CHECKPOINT_INVALID');
    await writeFile(join(folder, 'manifest.json'), '{"version":1');
    expect((await refusal(openPackage(folder))).message).toMatch(/not valid JSON/);
  });
});
