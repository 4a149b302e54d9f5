import { mkdir, mkdtemp, open, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ditInventory, umt5Inventory, vaeInventory } from '../../src-main/engine/weights/inventory.ts';
import { safetensorsHeader } from '../../src-main/engine/weights/write-safetensors.ts';
import { OwnFiles } from '../../src-main/studio/model-work/own-files.ts';
import type { TaskRequest } from '../../src-main/studio/model-work/requests.ts';
import { ModelRunner } from '../../src-main/studio/model-work/runner.ts';
import { findPlaces } from '../../src-main/studio/places.ts';
import { pusaIn, type Ended } from '../support/pusa-cli.ts';
import { umt5Xxl, wan14B, wan1B, wan22Vae, wanVae } from '../support/real-configs.ts';
import {
  writeComfy,
  writeDiffusers,
  writeOfficial,
  writeShards,
  weightsOf,
} from '../support/real-layouts.ts';
import { refusal } from '../support/refusal.ts';
import { global, mark, operation, reduce, stop, text, torchArchive, tuple } from '../support/torch-file.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pusa-real-files-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const pusa = (...args: string[]): Promise<Ended> => pusaIn(folder)(...args);

async function render(model: string, ...more: string[]): Promise<void> {
  const clip = join(folder, `${model}.gif`);
  const args = [
    '--model',
    model,
    '--prompt',
    'A boat at sunset',
    '--steps',
    '1',
    '--cfg',
    '1',
    '--frames',
    '5',
  ];
  const { code, err } = await pusa('render', clip, ...args, ...more);
  expect([code, err]).toEqual([0, expect.any(String)]);
  expect((await stat(clip)).size).toBeGreaterThan(1000);
}

describe('from files as they are published to a clip in three commands', () => {
  test(
    'the official folder: shards, .pth of text encoder and VAE, pusa_v1.pt',
    { timeout: 180_000 },
    async () => {
      const official = join(folder, 'Wan2.1-T2V-tiny');
      await writeOfficial(official);
      const imported = await pusa('models', 'import', official);
      expect(imported).toMatchObject({ code: 0 });
      expect(imported.err).toContain('Reading and hashing the files');
      expect(imported.out).toBe(
        [
          'Diffusion model  diffusion_pytorch_model.safetensors.index.json',
          'LoRA             pusa_v1, strength 1, free in each render',
          'VAE              Wan2.1_VAE.pth',
          'Text encoder     models_t5_umt5-xxl-enc-bf16.pth',
          'Tokenizer        spiece.model',
          '"Wan2-1-T2V-tiny" is ready.',
          'Where memory is short: npm run pusa -- models bake Wan2-1-T2V-tiny --to Wan2-1-T2V-tiny-int8',
          'Next: npm run render -- clip.mp4 --model Wan2-1-T2V-tiny --prompt "A boat at sunset"',
          '',
        ].join('\n'),
      );
      const baked = await pusa('models', 'bake', 'Wan2-1-T2V-tiny', '--to', 'small', '--merge-loras');
      expect(baked.err).toContain('Merges pusa_v1: its strength is fixed from then on.');
      expect(baked.out).toContain('Next: npm run render -- clip.mp4 --model small');
      await render('small');

      // A baked file says what it is, wherever it goes.
      const alone = join(folder, 'taken elsewhere');
      const made = join(folder, 'data', 'pusa-studio', 'models', 'small');
      const [dit, text] = ['diffusion-model.int8.safetensors', 'models_t5_umt5-xxl-enc-bf16.pth'];
      await mkdir(alone);
      await rename(join(made, dit), join(alone, dit));
      const others = [text, 'Wan2.1_VAE.pth', 'google/umt5-xxl/spiece.model'].map((name) =>
        join(official, name),
      );
      const again = await pusa('models', 'import', join(alone, dit), ...others, '--id', 'again');
      expect(again.out).not.toContain('models bake');
      const refused = await pusa('models', 'bake', 'again', '--to', 'twice', '--precision', 'int4');
      expect(refused.err).toContain('already has LoRAs merged into it');
      const twice = await pusa('models', 'import', join(alone, dit), join(official, 'pusa_v1.pt'), ...others);
      expect(twice.err).toContain('has the LoRA "pusa_v1" merged into it already');
      expect(twice.err).toContain('Leave the LoRA out');
    },
  );

  test('ComfyUI’s files, with the LoRA for four steps', { timeout: 180_000 }, async () => {
    const { dit, vae, text, pusa: lora, fourSteps } = await writeComfy(folder);
    const inspected = await pusa('models', 'inspect', text);
    expect(inspected.out).toMatch(/Is +UMT5 text encoder/);
    expect(inspected.out).toMatch(/Used +after converting it to float16 once/);
    const imported = await pusa('models', 'import', dit, vae, text, lora, fourSteps, '--id', 'comfy');
    expect(imported.out).toMatch(/LoRA +Wan21_PusaV1_LoRA_tiny_rank32_bf16, strength 1, free in each render/);
    expect(imported.out).toMatch(/LoRA +lightx2v_T2V_tiny_cfg_step_distill_rank32, strength 1\n/);
    expect(imported.out).toContain('umt5_xxl_fp8_e4m3fn_scaled.safetensors (converted to float16)');
    const made = join(folder, 'data', 'pusa-studio', 'models', 'comfy', 'manifest.json');
    expect(JSON.parse(await readFile(made, 'utf8'))).toMatchObject({
      recommended: { steps: 4, cfg: 1, shift: 5, loraStrength: 1 },
    });
    await render('comfy');
  });

  test('Diffusers’ folder, its VAE under Diffusers’ names', { timeout: 180_000 }, async () => {
    await writeDiffusers(join(folder, 'Wan2.1-T2V-tiny-Diffusers'));
    const imported = await pusa(
      'models',
      'import',
      join(folder, 'Wan2.1-T2V-tiny-Diffusers'),
      '--id',
      'diffusers',
    );
    expect(imported.out).toContain('"diffusers" is ready.');
    await render('diffusers');
  });

  test('an id that is none is not said to be taken', async () => {
    const { code, err } = await pusa('models', 'import', folder, '--id', 'my model');
    expect([code, err]).toEqual([2, expect.stringContaining('It must be letters, digits, "-" and "_"')]);
  });
});

describe('what cannot be used says which file, what is wrong with it, and which one to take', () => {
  /** Files with the headers of the published ones and nothing behind them. */
  let real: string;
  beforeAll(async () => {
    real = join(folder, 'real');
    await mkdir(real);
    const sparse = async (name: string, tensors: Iterable<[string, readonly number[]]>): Promise<void> => {
      const all = [...tensors].map(([key, shape]) => ({ name: key, dtype: 'BF16' as const, shape }));
      const { header, bytes } = safetensorsHeader(all, {});
      await writeFile(join(real, name), header);
      await truncate(join(real, name), header.length + bytes);
    };
    const dit = ditInventory(wan14B);
    await sparse('wan14B.safetensors', dit);
    await sparse('wan1B.safetensors', ditInventory(wan1B));
    await sparse('wan_i2v_14B.safetensors', [
      ...new Map([...dit, ['patch_embedding.weight', [5120, 36, 1, 2, 2]]]),
    ] as [string, number[]][]);
    await sparse('wan_2.1_vae.safetensors', vaeInventory(wanVae));
    await sparse('wan2.2_vae.safetensors', vaeInventory(wan22Vae));
    await sparse('umt5.safetensors', umt5Inventory(umt5Xxl));
    await sparse('clip_vision_h.safetensors', [['vision_model.post_layernorm.weight', [1280]]]);
    await sparse('sdxl_style.safetensors', [
      ['lora_unet_down_blocks_1.lora_down.weight', [8, 640]],
      ['lora_unet_down_blocks_1.lora_up.weight', [640, 8]],
    ]);
    await sparse('Wan21_PusaV1_LoRA_14B.safetensors', [
      ['blocks.0.self_attn.q.lora_A.weight', [512, 5120]],
      ['blocks.0.self_attn.q.lora_B.weight', [5120, 512]],
    ]);
    await sparse('diffusion_pytorch_model-00001-of-00006.safetensors', [...dit].slice(0, 100));
    await writeFile(
      join(real, 'page.safetensors'),
      '<!DOCTYPE html><html><head><title>Log in</title></head>',
    );
    await writeFile(
      join(real, 'pointer.safetensors'),
      'version https://git-lfs.github.com/spec/v1\noid sha256:00\n',
    );
    await writeFile(join(real, 'pusa_v1.pt.part00'), Buffer.alloc(100));
    await writeFile(join(real, 'film.mp4'), Buffer.from('....ftypisom....moov....'));
    const evil = [
      operation('PROTO', 0x80, Uint8Array.of(2)),
      ...[global('os', 'system'), mark, text('rm -rf ~'), tuple, reduce, stop],
    ];
    await writeFile(join(real, 'evil.pth'), torchArchive(evil, []).bytes);
    await writeFile(join(real, 'old.pth'), Buffer.concat([Uint8Array.of(0x80, 2), Buffer.alloc(100)]));
    await writeFile(join(real, 'wan-Q3_K_S.gguf'), ggufOf(11));
    const { tensors, metadata } = await weightsOf(
      join(findPlaces().resources, 'models/starter/starter_base.safetensors'),
    );
    const index = await writeShards(join(real, 'cut'), { tensors, metadata });
    const cut = index.replace('.safetensors.index.json', '-00002-of-00002.safetensors');
    await truncate(cut, (await stat(cut)).size - 1000);
    const gone = await writeShards(join(real, 'gone'), { tensors, metadata });
    await rm(gone.replace('.safetensors.index.json', '-00001-of-00002.safetensors'));
  });

  /** A GGUF file of one matrix in a number format. */
  function ggufOf(format: number): Buffer {
    const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
    const u64 = (value: number): Buffer => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
    const name = Buffer.from('blocks.0.ffn.0.weight');
    return Buffer.concat([
      ...[Buffer.from('GGUF'), u32(3), u64(1), u64(0), u64(name.length), name],
      ...[u32(2), u64(256), u64(4), u32(format), u64(0), Buffer.alloc(1024)],
    ]);
  }

  const spiece = join(import.meta.dirname, '../fixtures/models/test-pattern/spiece.model');
  const vae = 'wan_2.1_vae.safetensors';
  const rest = [vae, 'umt5.safetensors', spiece];

  test.each<[string[], string, RegExp]>([
    [
      ['wan_i2v_14B.safetensors', ...rest],
      '"wan_i2v_14B.safetensors" cannot be used: it is an image-to-video model',
      /Take a text-to-video model: wan2\.1_t2v_14B_fp16/,
    ],
    [
      ['clip_vision_h.safetensors', 'wan14B.safetensors', ...rest],
      '"clip_vision_h.safetensors" cannot be used: it is none of the networks',
      /name the files to use one by one/,
    ],
    [
      ['wan14B.safetensors', 'umt5.safetensors', spiece],
      'There is no VAE among the files.',
      /Take wan_2\.1_vae\.safetensors of Comfy-Org/,
    ],
    [
      ['wan14B.safetensors', vae, spiece],
      'There is no text encoder among the files.',
      /Take models_t5_umt5-xxl-enc-bf16\.pth of Wan-AI/,
    ],
    [
      ['wan14B.safetensors', vae, 'umt5.safetensors'],
      'There is no tokenizer among the files.',
      /Take spiece\.model from the folder google\/umt5-xxl of Wan-AI/,
    ],
    [rest, 'There is no diffusion model among the files.', /Take a text-to-video model/],
    [
      ['wan14B.safetensors', 'wan1B.safetensors', ...rest],
      'There is more than one diffusion model: "wan14B.safetensors" and "wan1B.safetensors".',
      /Name the files to use one by one/,
    ],
    [
      ['wan14B.safetensors', 'wan2.2_vae.safetensors', 'umt5.safetensors', spiece],
      'These files do not belong together: the diffusion model has 16 latent channels, the VAE 48.',
      /all others take wan_2\.1_vae/,
    ],
    [
      ['wan1B.safetensors', 'Wan21_PusaV1_LoRA_14B.safetensors', ...rest],
      'The LoRA "Wan21_PusaV1_LoRA_14B.safetensors" does not fit this model: "blocks.0.self_attn.q" is 5120 × 5120 in the LoRA and 1536 × 1536 in the model.',
      /Pusa V1 belongs to Wan2\.1 T2V 14B/,
    ],
    [
      ['sdxl_style.safetensors', 'wan14B.safetensors', ...rest],
      '"sdxl_style.safetensors" cannot be used: it is a LoRA of another model than Wan.',
      /Take a LoRA for Wan/,
    ],
    [
      ['diffusion_pytorch_model-00001-of-00006.safetensors', ...rest],
      '"diffusion_pytorch_model-00001-of-00006.safetensors" is one of the 6 files of a model.',
      /choose the \.index\.json or the folder/,
    ],
    [
      ['cut/diffusion_pytorch_model.safetensors.index.json', ...rest],
      '"diffusion_pytorch_model-00002-of-00002.safetensors" cannot be used: it is damaged or was not downloaded whole',
      /Download the file again/,
    ],
    [
      ['gone/diffusion_pytorch_model.safetensors.index.json', ...rest],
      '"diffusion_pytorch_model-00001-of-00002.safetensors" is missing: it is one of the 2 files of the model.',
      /Download it from the same page into the folder of/,
    ],
    [
      ['wan-Q3_K_S.gguf', ...rest],
      'is stored as Q3_K, which Pusa Studio does not read.',
      /Take the Q4_K_M, Q5_K_M, Q6_K or Q8_0 file from the same page\./,
    ],
    [
      ['evil.pth', ...rest],
      '"evil.pth" cannot be used: it asks to run "os.system", which is not needed to read weights.',
      /Take the \.safetensors file .* unless you trust who made it/,
    ],
    [
      ['old.pth', ...rest],
      '"old.pth" cannot be used: it is of an old PyTorch',
      /Take the \.safetensors file/,
    ],
    [
      ['page.safetensors', ...rest],
      '"page.safetensors" cannot be used: it is a web page',
      /log in or to accept a licence/,
    ],
    [
      ['pointer.safetensors', ...rest],
      '"pointer.safetensors" cannot be used: it is only the note that Git keeps',
      /git lfs pull/,
    ],
    [
      ['pusa_v1.pt.part00', 'wan14B.safetensors', ...rest],
      '"pusa_v1.pt.part00" cannot be used: it is one piece of a file that was cut.',
      /cat pusa_v1\.pt\.part\* > pusa_v1\.pt/,
    ],
    [['not there.safetensors'], '“not there.safetensors” is not there.', /Choose the files again/],
  ])('%j', async (names, sentence, remedy) => {
    const at = {
      dataFolder: join(folder, 'refused'),
      places: findPlaces(),
      own: new OwnFiles(join(folder, 'refused')),
      catalogue: () => Promise.resolve([]),
      server: () => ({ base: 'http://127.0.0.1:9', token: null }),
      folder: () => null,
    };
    const paths = names.map((name) => join(name === spiece ? '' : real, name));
    const request: TaskRequest = {
      kind: 'import',
      paths,
      id: 'x',
      name: null,
      loras: [],
      precision: 'asIs',
    };
    const refused = await refusal(
      new ModelRunner(at).run(request, new AbortController().signal, () => undefined),
    );
    expect(refused.message).toContain(sentence);
    expect(refused.remedy).toMatch(remedy);
  });

  test('in the terminal: one sentence, what to do, its code; no file of weights; no place to write', async () => {
    const film = await pusa('models', 'inspect', join(real, 'film.mp4'));
    expect(film).toMatchObject({
      code: 3,
      err: '"film.mp4" cannot be used: it is no file of weights.\nTake a .safetensors, .gguf, .pth or .pt file, or the .index.json of a model in several files.  [CHECKPOINT_INVALID]\n',
    });
    const blocked = join(folder, 'a file');
    await (await open(blocked, 'w')).close();
    const unwritable = await pusa(
      'models',
      'import',
      join(folder, 'Wan2.1-T2V-tiny'),
      '--data',
      join(blocked, 'data'),
    );
    expect(unwritable.code).toBe(1);
    expect(unwritable.err).toContain('There is a file where a folder is needed');
  });
});
