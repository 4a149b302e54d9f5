import { basename } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import { clip, type Checkpoint } from './checkpoint.ts';
import type { Inventory } from './inventory.ts';

/** Which file to take instead of one that cannot be used. */
export const take = {
  dit: 'Take a text-to-video model: wan2.1_t2v_14B_fp16.safetensors or wan2.1_t2v_1.3B_fp16.safetensors of Comfy-Org/Wan_2.1_ComfyUI_repackaged, both experts of Wan2.2 T2V A14B, or wan2.2_ti2v_5B_fp16.safetensors.',
  vae: 'Take wan_2.1_vae.safetensors of Comfy-Org/Wan_2.1_ComfyUI_repackaged or Wan2.1_VAE.pth of Wan-AI/Wan2.1-T2V-14B; for the 5B model wan2.2_vae.safetensors of Comfy-Org/Wan_2.2_ComfyUI_Repackaged.',
  umt5: 'Take models_t5_umt5-xxl-enc-bf16.pth of Wan-AI/Wan2.1-T2V-14B, or umt5_xxl_fp16.safetensors of Comfy-Org/Wan_2.1_ComfyUI_repackaged.',
  lora: 'Take a LoRA for Wan text-to-video, for example Pusa/Wan21_PusaV1_LoRA_14B_rank512_bf16.safetensors of Kijai/WanVideo_comfy.',
  tokenizer: 'Take spiece.model from the folder google/umt5-xxl of Wan-AI/Wan2.1-T2V-14B.',
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
  const shards = /-\d{5}-of-(\d{5})\.safetensors$/.exec(checkpoint.path)?.[1];
  if (shards !== undefined) {
    return new PusaError(
      'CHECKPOINT_INCOMPLETE',
      `"${basename(checkpoint.path)}" is one of the ${Number(shards)} files of a model.`,
      'Put all of them and the .index.json of the same page into one folder, and choose the .index.json or the folder.',
    );
  }
  return new PusaError(
    'CHECKPOINT_INCOMPLETE',
    `"${basename(checkpoint.path)}" is not whole: "${clip(missing[0]!)}"${more} is missing.`,
    `Download it again. ${remedy}`,
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
