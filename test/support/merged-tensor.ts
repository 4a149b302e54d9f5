import { planBake } from '../../src-main/engine/weights/bake-plan.ts';
import { SlabReader } from '../../src-main/engine/weights/bake-slab.ts';
import type { Checkpoint } from '../../src-main/engine/weights/checkpoint.ts';
import type { AppliedLora, Lora } from '../../src-main/engine/weights/lora.ts';

/** How Pusa's scripts read a LoRA: 1/rank where up/down naming has no alpha, and no `diff` tensors (spec §2.3). */
export function asPusaLoader(lora: Lora): Lora {
  const layers = [...lora.layers].map(([name, layer]) => {
    const isScaled = layer.alpha === null && layer.down.name.includes('lora_down');
    return [name, isScaled ? { ...layer, alpha: 1 } : layer] as const;
  });
  return { ...lora, layers: new Map(layers), diffs: new Map() };
}

/** A base tensor with LoRAs merged in, float32, by what bakes models. */
export function mergedTensor(base: Checkpoint, name: string, loras: readonly AppliedLora[]): Float32Array {
  const plan = planBake(base, { precision: 'F32', search: false, loras, metadata: {}, source: '' });
  const reader = new SlabReader();
  try {
    const { slabs } = plan.tensors.find((tensor) => tensor.name === name)!;
    const bytes = Buffer.concat(slabs.map((slab) => reader.bake(slab).data));
    return new Float32Array(new Uint8Array(bytes).buffer);
  } finally {
    reader.close();
  }
}
