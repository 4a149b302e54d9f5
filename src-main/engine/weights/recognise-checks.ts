import { basename } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import { clip, type Checkpoint } from './checkpoint.ts';
import type { Inventory } from './inventory.ts';

/** Which file to take instead of one that cannot be used. */
export const take = {
  dit: 'Take a text-to-video model: of Wan2.1, for example wan2.1_t2v_14B_bf16.safetensors, both experts of Wan2.2 T2V A14B, or Wan2.2 TI2V 5B.',
  vae: 'Take the VAE of Wan2.1, for example wan_2.1_vae.safetensors, or for the 5B model wan2.2_vae.safetensors.',
  umt5: 'Take the UMT5-XXL encoder, for example umt5_xxl_fp16.safetensors.',
  any: 'Take the files of Wan2.1 or Wan2.2 text-to-video: the diffusion model, its VAE and the UMT5-XXL encoder.',
} as const;

/** Shapes by name, of a known rank. */
export function shapesOf(
  checkpoint: Checkpoint,
  remedy: string,
): (name: string, rank: number) => readonly number[] {
  return (name, rank) => {
    const entry = checkpoint.entries.get(name);
    if (entry === undefined) throw incomplete(checkpoint, [name], remedy);
    if (entry.shape.length !== rank || entry.shape.includes(0)) {
      throw wrongFamily(checkpoint, `"${clip(name)}" has the shape [${entry.shape.join(', ')}]`, remedy);
    }
    return entry.shape;
  };
}

/** Every tensor there, in its shape. */
export function checkInventory(checkpoint: Checkpoint, inventory: Inventory, remedy: string): void {
  const missing = [...inventory.keys()].filter((name) => !checkpoint.entries.has(name));
  if (missing.length > 0) throw incomplete(checkpoint, missing, remedy);
  for (const [name, shape] of inventory) {
    const entry = checkpoint.entries.get(name)!;
    if (entry.shape.join() !== shape.join()) {
      const stated = `"${clip(name)}" has the shape [${entry.shape.join(', ')}] instead of [${shape.join(', ')}]`;
      throw wrongFamily(checkpoint, stated, remedy);
    }
  }
}

function incomplete(checkpoint: Checkpoint, missing: readonly string[], remedy: string): PusaError {
  const more = missing.length > 1 ? ` and ${missing.length - 1} more` : '';
  return new PusaError(
    'CHECKPOINT_INCOMPLETE',
    `"${basename(checkpoint.path)}" is not whole: "${clip(missing[0]!)}"${more} is missing.`,
    `Download it again; a model in several files is opened by its .index.json. ${remedy}`,
  );
}

/** The error for a whole file that is not what is needed. @param what after "it cannot be used:" */
export function wrongFamily(checkpoint: Checkpoint, what: string, remedy: string): PusaError {
  return new PusaError(
    'CHECKPOINT_WRONG_FAMILY',
    `"${basename(checkpoint.path)}" cannot be used: ${what}.`,
    remedy,
  );
}
