import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PusaError } from '../../src-main/core/errors.ts';
import type { Checkpoint } from '../../src-main/engine/weights/checkpoint.ts';
import {
  ditInventory,
  umt5Inventory,
  vaeInventory,
  type Inventory,
} from '../../src-main/engine/weights/inventory.ts';
import { ditName, renamed, umt5Name, vaeName } from '../../src-main/engine/weights/key-maps.ts';
import { modelCard } from '../../src-main/engine/weights/model-metadata.ts';
import { expertNamed, pairExperts } from '../../src-main/engine/weights/experts.ts';
import { recognise } from '../../src-main/engine/weights/recognise.ts';
import { whatItIs } from '../../src-main/engine/weights/recognise-words.ts';
import { openSafetensors } from '../../src-main/engine/weights/safetensors.ts';
import { umt5Xxl, wan14B, wan1B, wan22Vae, wan5B, wanVae } from '../support/real-configs.ts';

const goldens = join(import.meta.dirname, '../fixtures/goldens');
/** A checkpoint that holds what an inventory lists: the real models' names and shapes without their gigabytes. */
function listed(inventory: Inventory, changes: Record<string, readonly number[] | null> = {}): Checkpoint {
  const shapes = new Map<string, readonly number[]>(inventory);
  for (const [name, shape] of Object.entries(changes)) {
    if (shape === null) shapes.delete(name);
    else shapes.set(name, shape);
  }
  const file = '/models/listed.safetensors';
  const none = (): Promise<never> => Promise.reject(new Error('these tensors have no bytes'));
  return {
    path: file,
    files: [file],
    metadata: {},
    entries: new Map(
      [...shapes].map(([name, shape]) => [name, { name, dtype: 'BF16', shape, file, offset: 0, bytes: 0 }]),
    ),
    read: none,
    readBytes: none,
    close: () => Promise.resolve(),
  };
}

function parameters(inventory: Inventory): number {
  return [...inventory.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

test('inventories have the released models’ numbers of tensors and parameters', () => {
  const counts = [
    ditInventory(wan1B),
    ditInventory(wan14B),
    ditInventory(wan5B),
    vaeInventory(wanVae),
    vaeInventory(wan22Vae),
    umt5Inventory(umt5Xxl),
  ];
  expect(counts.map((inventory) => [inventory.size, parameters(inventory)])).toEqual([
    [825, 1_418_996_800],
    [1095, 14_288_491_584],
    [825, 4_999_787_712],
    [194, 126_892_531],
    [196, 704_688_668],
    [242, 5_680_910_336],
  ]);
});

test('recognises the released models by names and shapes', () => {
  expect(recognise(listed(ditInventory(wan14B)))).toMatchObject({ family: 'dit', config: wan14B });
  expect(recognise(listed(ditInventory(wan1B)))).toMatchObject({ family: 'dit', config: wan1B });
  expect(recognise(listed(vaeInventory(wanVae)))).toMatchObject({ family: 'vae', config: wanVae });
  expect(recognise(listed(umt5Inventory(umt5Xxl)))).toMatchObject({ family: 'umt5', config: umt5Xxl });
  expect(recognise(listed(ditInventory(wan5B)))).toMatchObject({ family: 'dit', config: wan5B });
  expect(recognise(listed(vaeInventory(wan22Vae)))).toMatchObject({ family: 'vae', config: wan22Vae });
  const starter = { ...wanVae, dim: 16, numResBlocks: 1 };
  expect(recognise(listed(vaeInventory(starter)))).toMatchObject({ family: 'vae', config: starter });
  for (const prefix of ['model.diffusion_model.', 'diffusion_model.']) {
    const prefixed = renamed(listed(ditInventory(wan1B)), (name) => prefix + name);
    const recognised = recognise(prefixed);
    expect(recognised).toMatchObject({ family: 'dit', config: wan1B });
    expect([...recognised.checkpoint.entries.keys()]).toEqual([...ditInventory(wan1B).keys()]);
  }
});

test('recognises UMT5 under both namings, with equal tensors', async () => {
  const official = await openSafetensors(join(goldens, 'umt5_tiny/weights.safetensors'));
  const huggingFace = await openSafetensors(join(goldens, 'umt5_tiny/weights_hf.safetensors'));
  const [a, b] = [recognise(official), recognise(huggingFace)];
  expect(a).toMatchObject({
    family: 'umt5',
    config: { vocabulary: 97, dim: 32, heads: 4, layers: 2, buckets: 32 },
  });
  expect((b as { config?: unknown }).config).toEqual((a as { config?: unknown }).config);
  for (const name of a.checkpoint.entries.keys()) {
    expect(await b.checkpoint.read(name)).toEqual(await a.checkpoint.read(name));
  }
  await official.close();
  await huggingFace.close();
});

test('renames Diffusers’ DiT and Hugging Face’s UMT5', () => {
  expect(ditName('condition_embedder.time_proj.weight')).toBe('time_projection.1.weight');
  expect(ditName('blocks.3.attn2.to_out.0.bias')).toBe('blocks.3.cross_attn.o.bias');
  expect(ditName('blocks.3.norm2.weight')).toBe('blocks.3.norm3.weight');
  expect(ditName('scale_shift_table')).toBe('head.modulation');
  expect(ditName('diffusion_model.blocks.0.ffn.2.weight')).toBe('blocks.0.ffn.2.weight');
  expect(umt5Name('encoder.block.7.layer.1.DenseReluDense.wi_1.weight')).toBe('blocks.7.ffn.fc1.weight');
});

const t2v = ditInventory(wan1B);
const image = { 'patch_embedding.weight': [1536, 36, 1, 2, 2], 'img_emb.proj.0.bias': [1280] };
const shared = Object.fromEntries(
  Array.from({ length: 23 }, (_, n) => [`blocks.${n + 1}.pos_embedding.embedding.weight`, null]),
);
const wrong: [string, Checkpoint, code: string, what: RegExp, remedy: RegExp][] = [
  [
    'an image-to-video model',
    listed(t2v, image),
    'CHECKPOINT_WRONG_FAMILY',
    /image-to-video/,
    /text-to-video/,
  ],
  [
    'an image-to-video expert of Wan2.2, which has no CLIP',
    listed(ditInventory(wan14B), { 'patch_embedding.weight': [5120, 36, 1, 2, 2] }),
    'CHECKPOINT_WRONG_FAMILY',
    /image-to-video/,
    /both experts of Wan2.2 T2V A14B/,
  ],
  [
    'the speech-to-video model of Wan2.2',
    listed(ditInventory(wan14B), { 'audio_injector.injector.0.q.weight': [5120, 5120] }),
    'CHECKPOINT_WRONG_FAMILY',
    /speech-to-video variant/,
    /text-to-video/,
  ],
  [
    'the animation model of Wan2.2',
    listed(ditInventory(wan14B), { 'face_adapter.fuser_blocks.0.linear1_q.weight': [5120, 5120] }),
    'CHECKPOINT_WRONG_FAMILY',
    /character animation variant/,
    /text-to-video/,
  ],
  [
    'a control model',
    listed(t2v, { 'patch_embedding.weight': [1536, 32, 1, 2, 2] }),
    'CHECKPOINT_WRONG_FAMILY',
    /takes 32 channels/,
    /text-to-video/,
  ],
  [
    'VACE',
    listed(t2v, { 'vace_blocks.0.before_proj.weight': [1536, 1536] }),
    'CHECKPOINT_WRONG_FAMILY',
    /VACE/,
    /text-to-video/,
  ],
  [
    'a missing tensor',
    listed(t2v, { 'blocks.29.ffn.2.bias': null }),
    'CHECKPOINT_INCOMPLETE',
    /"blocks.29.ffn.2.bias" is missing/,
    /^Download it again/,
  ],
  [
    'a missing block',
    listed(
      t2v,
      Object.fromEntries([...t2v.keys()].filter((n) => n.startsWith('blocks.4.')).map((n) => [n, null])),
    ),
    'CHECKPOINT_INCOMPLETE',
    /"blocks.4.modulation" and 26 more/,
    /^Download it again/,
  ],
  [
    'a block far out',
    listed(t2v, { 'blocks.999999.modulation': [1, 6, 1536] }),
    'CHECKPOINT_INCOMPLETE',
    /is missing/,
    /^Download it again/,
  ],
  [
    'a wrong shape',
    listed(t2v, { 'blocks.0.ffn.2.bias': [7] }),
    'CHECKPOINT_WRONG_FAMILY',
    /"blocks.0.ffn.2.bias" has the shape \[7\] instead of \[1536\]/,
    /wan2\.1_t2v/,
  ],
  [
    'an unknown head count',
    listed(ditInventory({ ...wan1B, dim: 192, heads: 6 })),
    'CHECKPOINT_INCOMPLETE',
    /how many attention heads/,
    /pusa.num_heads/,
  ],
  [
    'a VAE of both kinds',
    listed(vaeInventory(wanVae), {
      'encoder.downsamples.0.downsamples.0.residual.0.gamma': [160, 1, 1, 1],
    }),
    'CHECKPOINT_WRONG_FAMILY',
    /takes 3 channels instead of 12/,
    /wan2.2_vae/,
  ],
  [
    'half a VAE of Wan2.2',
    listed(vaeInventory(wan22Vae), { 'decoder.upsamples.1.upsamples.3.time_conv.weight': null }),
    'CHECKPOINT_INCOMPLETE',
    /"decoder.upsamples.1.upsamples.3.time_conv.weight" is missing/,
    /wan2.2_vae/,
  ],
  [
    'a VAE of Wan2.2 whose stages do not fit each other',
    listed(vaeInventory(wan22Vae), {
      'encoder.downsamples.1.downsamples.0.residual.6.weight': [1280, 320, 3, 3, 3],
    }),
    'CHECKPOINT_WRONG_FAMILY',
    /widths that Wan2.2 does not have/,
    /wan2.2_vae/,
  ],
  [
    'another VAE',
    listed(new Map([['encoder.down.0.block.0.conv1.weight', [128, 128, 3, 3]]])),
    'CHECKPOINT_WRONG_FAMILY',
    /another family/,
    /wan_2.1_vae/,
  ],
  [
    'half a VAE',
    listed(new Map([...vaeInventory(wanVae)].filter(([name]) => !name.startsWith('decoder.')))),
    'CHECKPOINT_INCOMPLETE',
    /decoder.conv1.weight/,
    /wan_2.1_vae/,
  ],
  [
    'T5 instead of UMT5',
    listed(umt5Inventory(umt5Xxl), shared),
    'CHECKPOINT_WRONG_FAMILY',
    /T5 encoder, not UMT5/,
    /umt5_xxl/,
  ],
  [
    'something else',
    listed(new Map([['model.layers.0.mlp.weight', [4, 4]]])),
    'CHECKPOINT_WRONG_FAMILY',
    /none of the networks/,
    /UMT5/,
  ],
];
test.each(wrong)('refuses %s and says what to take', (_, checkpoint, code, what, remedy) => {
  let thrown: unknown = null;
  try {
    recognise(checkpoint);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(PusaError);
  expect(thrown).toMatchObject({ code });
  expect((thrown as PusaError).message).toMatch(what);
  expect((thrown as PusaError).remedy).toMatch(remedy);
});

test('metadata states what tensors cannot, and is checked', () => {
  const config = { ...wan1B, dim: 192, heads: 6, textLength: 128 };
  const stated = {
    'pusa.num_heads': '6',
    'pusa.text_len': '128',
    'pusa.native_width': '128',
    'pusa.recommended_cfg': '1.5',
    'pusa.name': ' Small\nmodel ',
  };
  const checkpoint = { ...listed(ditInventory(config)), metadata: stated };
  expect(recognise(checkpoint)).toMatchObject({ family: 'dit', config });
  expect(modelCard(checkpoint)).toEqual({
    name: 'Small model',
    licence: null,
    recommended: { steps: 30, cfg: 1.5, shift: 5 },
    native: { width: 128, height: 480, fps: 16, frames: 81 },
  });
  for (const heads of ['0', '-6', 'six', '1e9', '6.5', '', '99999999999']) {
    expect(() => recognise({ ...checkpoint, metadata: { 'pusa.num_heads': heads } })).toThrow(
      /impossible pusa.num_heads/,
    );
  }
});

test('says what a file is, an expert by the name it has', () => {
  const named = (checkpoint: Checkpoint, path: string): string =>
    whatItIs(recognise({ ...checkpoint, path, files: [path] }));
  const dit = listed(ditInventory(wan14B));
  const experts = [
    ['/m/wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors', 'high'],
    ['/m/Wan2.2-T2V-A14B-LowNoise-Q4_K_M.gguf', 'low'],
    ['/m/low_noise_model/diffusion_pytorch_model.safetensors.index.json', 'low'],
  ] as const;
  for (const [path, expert] of experts) {
    expect(named(dit, path)).toBe(`diffusion model of Wan2.2, ${expert}-noise expert`);
    expect(expertNamed({ path, metadata: {} })).toBe(expert);
  }
  expect(named(dit, '/m/high/wan2.1_t2v_14B.safetensors')).toBe('diffusion model of Wan2.1, text to video');
  expect(named(listed(ditInventory(wan5B)), '/m/5b.safetensors')).toBe('diffusion model of Wan2.2, TI2V 5B');
  expect(named(listed(vaeInventory(wan22Vae)), '/m/v.safetensors')).toBe('VAE of Wan2.2');
  // Kijai's names; in a file's own name the word may stand for both, then nothing is told.
  expect(expertNamed({ path: '/m/Wan22_PusaV1_lora_HIGH_resized.safetensors', metadata: {} })).toBe('high');
  expect(expertNamed({ path: '/m/high_and_low.safetensors', metadata: {} })).toBeNull();
  expect(expertNamed({ path: '/m/flow_highway.safetensors', metadata: {} })).toBeNull();
  expect(expertNamed({ path: '/m/x.safetensors', metadata: { 'pusa.expert': 'low' } })).toBe('low');
});

test('a VAE under Diffusers’ names has the official ones', async () => {
  const path = join(goldens, 'vae_tiny/key_map_official_to_diffusers.json');
  const map = JSON.parse(await readFile(path, 'utf8')) as Record<string, string>;
  expect(Object.keys(map).length).toBe(194);
  for (const [official, diffusers] of Object.entries(map)) {
    expect(vaeName(diffusers)).toBe(official);
    expect(vaeName(official)).toBe(official);
  }
});

test('Diffusers’ folders tell the two experts apart', () => {
  const at = (path: string): { config: typeof wan14B; checkpoint: Checkpoint } => ({
    config: wan14B,
    checkpoint: { ...listed(ditInventory(wan14B)), path },
  });
  const [high, low] = [at('/m/transformer/model.safetensors'), at('/m/transformer_2/model.safetensors')];
  expect(pairExperts([low, high])).toEqual({ high, low });
  expect(() => pairExperts([low])).toThrow(/the high-noise one is missing/);
  expect(pairExperts([high])).toBeNull();
});
