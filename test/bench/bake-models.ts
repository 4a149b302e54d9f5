// Models of real shapes to bake: sparse ones that take no disk, and random ones.
import { copyFile, mkdir, open, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  ditInventory,
  umt5Inventory,
  vaeInventory,
  type Inventory,
} from '../../src-main/engine/weights/inventory.ts';
import { safetensorsHeader, toBfloat16 } from '../../src-main/engine/weights/write-safetensors.ts';
import type { DitConfig } from '../../src-main/engine/wan/dit-config.ts';
import { umt5Xxl, wanVae } from '../support/real-configs.ts';
import { randomValues } from './support.ts';

const spiece = join(import.meta.dirname, '../fixtures/models/test-pattern/spiece.model');

/** A file with a real header and nothing behind it but a hole. */
async function writeSparse(path: string, tensors: Inventory, dtype: 'F32' | 'BF16'): Promise<number> {
  const { header, bytes } = safetensorsHeader(
    [...tensors].map(([name, shape]) => ({ name, dtype, shape })),
    {},
  );
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, header);
  await truncate(path, header.length + bytes);
  return header.length + bytes;
}

/** VAE, text encoder (one block of it) and tokenizer that belong to Wan's diffusion models, sparse. */
export async function writeOtherParts(folder: string): Promise<void> {
  await writeSparse(join(folder, 'vae.safetensors'), vaeInventory(wanVae), 'F32');
  await writeSparse(
    join(folder, 'umt5.safetensors'),
    umt5Inventory({ ...umt5Xxl, vocabulary: 1000, layers: 1 }),
    'BF16',
  );
  await copyFile(spiece, join(folder, 'spiece.model'));
}

/**
 * A diffusion model in float32 shards of at most 10 GB, sparse.
 * @returns apparent bytes, and the path of its index
 */
export async function writeSparseDit(
  folder: string,
  config: DitConfig,
): Promise<{ bytes: number; index: string }> {
  const shards = [new Map<string, readonly number[]>()];
  let filled = 0;
  for (const [name, shape] of ditInventory(config)) {
    const size = 4 * shape.reduce((a, b) => a * b, 1);
    if (filled + size > 10e9) {
      shards.push(new Map<string, readonly number[]>());
      filled = 0;
    }
    shards.at(-1)!.set(name, shape);
    filled += size;
  }
  const weightMap: Record<string, string> = {};
  let bytes = 0;
  for (const [n, shard] of shards.entries()) {
    const number = (value: number): string => String(value).padStart(5, '0');
    const file = `diffusion_pytorch_model-${number(n + 1)}-of-${number(shards.length)}.safetensors`;
    bytes += await writeSparse(join(folder, file), shard, 'F32');
    for (const name of shard.keys()) weightMap[name] = file;
  }
  const index = join(folder, 'diffusion_pytorch_model.safetensors.index.json');
  await writeFile(index, JSON.stringify({ metadata: { total_size: bytes }, weight_map: weightMap }));
  return { bytes, index };
}

/** A LoRA of Pusa's rank for every matrix of the blocks, sparse. */
export async function writeSparseLora(path: string, config: DitConfig, rank: number): Promise<void> {
  const tensors = new Map<string, readonly number[]>();
  for (const [name, shape] of ditInventory(config)) {
    if (!/^blocks\.\d+\.((self|cross)_attn\.[qkvo]|ffn\.[02])\.weight$/.test(name)) continue;
    const layer = name.slice(0, -'.weight'.length);
    tensors.set(`${layer}.lora_A.weight`, [rank, shape[1]!]).set(`${layer}.lora_B.weight`, [shape[0]!, rank]);
  }
  await writeSparse(path, tensors, 'BF16');
}

/** A diffusion model of normal-like numbers as bfloat16, each tensor from another place of one long random row. */
export async function writeRandomDit(path: string, config: DitConfig): Promise<number> {
  const inventory = ditInventory(config);
  const { header, bytes } = safetensorsHeader(
    [...inventory].map(([name, shape]) => ({ name, dtype: 'BF16' as const, shape })),
    {},
  );
  const file = await open(path, 'w');
  const rows = new Map<number, Uint8Array>();
  const length = 2 ** 22;
  let at = 0;
  try {
    await file.writeFile(header);
    for (const [name, shape] of inventory) {
      const scale = /norm.*weight$/.test(name)
        ? 1
        : shape.length > 1
          ? (shape[1]! * (shape[3] ?? 1)) ** -0.5
          : 0.02;
      const row = rows.get(scale) ?? toBfloat16(randomValues(length, scale, 7));
      rows.set(scale, row);
      let left = 2 * shape.reduce((a, b) => a * b, 1);
      for (at = (at + 2 * 104_729) % row.length; left > 0; at = 0) {
        const piece = row.subarray(at, Math.min(row.length, at + left));
        await file.writeFile(piece);
        left -= piece.length;
      }
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return header.length + bytes;
}
