import type { Provider } from '../../core/contract/device.ts';
import type { ModelNeeds, WeightBytes } from '../../core/plan/memory.ts';
import { patch } from '../wan/dit-config.ts';
import { decoderNeeds } from '../wan/vae.ts';
import type { Checkpoint } from './checkpoint.ts';
import { expertsOf } from './manifest.ts';
import type { ModelPackage } from './package.ts';

/**
 * Reads from a package's headers what its networks take up in memory on a provider.
 * @throws PusaError CHECKPOINT_INVALID, FILE_NOT_FOUND
 */
export async function readModelNeeds(modelPackage: ModelPackage, provider: Provider): Promise<ModelNeeds> {
  const { manifest } = modelPackage;
  const [dit, text] = [await modelPackage.openDit(), await modelPackage.openTextEncoder()];
  const loras = (await modelPackage.openLoras()).map(({ checkpoint }) => checkpoint);
  try {
    const { dim, ffnDim, heads, layers, textLength } = manifest.dit.config;
    const network = byBlock([dit], provider);
    // Names inside a LoRA are its maker's: it is spread over the blocks.
    const apart = byBlock(loras, provider);
    const all = plus(apart.rest, times(apart.block, apart.blocks));
    return {
      network: { dim, ffnDim, heads, layers, textLength, patch },
      experts: expertsOf(manifest).length,
      block: { ...plus(network.block, times(all, 1 / layers)), loading: packedAnew(dit) / layers },
      rest: network.rest,
      text: textNeeds(text, provider, manifest.textEncoder.config),
      vae: decoderNeeds(manifest.vae.config),
    };
  } finally {
    for (const checkpoint of [dit, text, ...loras]) await checkpoint.close();
  }
}

/** On the CPU float32 stays in its file, quantised weights are packed anew; all else is turned into float32. */
export function weightBytes(
  { dtype, shape, blocks, bytes }: CheckpointEntry,
  provider: Provider,
): WeightBytes {
  if (blocks !== undefined) {
    return { loaded: bytes + blocks.scales.bytes, mapped: 0 };
  }
  const wide = 4 * shape.reduce((product, side) => product * side, 1);
  return provider === 'cpu' && dtype === 'F32' ? { loaded: 0, mapped: wide } : { loaded: wide, mapped: 0 };
}

type CheckpointEntry = Checkpoint['entries'] extends ReadonlyMap<string, infer E> ? E : never;

/** Bytes of quantised weights. */
function packedAnew({ entries }: Checkpoint): number {
  let bytes = 0;
  for (const entry of entries.values()) if (entry.blocks !== undefined) bytes += entry.bytes;
  return bytes;
}

/** The largest block, how many there are, and what is in none of them. */
function byBlock(
  checkpoints: readonly Checkpoint[],
  provider: Provider,
): { readonly block: WeightBytes; readonly blocks: number; readonly rest: WeightBytes } {
  const blocks = new Map<string, WeightBytes>();
  let rest: WeightBytes = { loaded: 0, mapped: 0 };
  for (const { entries } of checkpoints) {
    for (const [name, entry] of entries) {
      const bytes = weightBytes(entry, provider);
      const key = /^blocks\.(\d+)\./.exec(name)?.[1];
      if (key === undefined) rest = plus(rest, bytes);
      else blocks.set(key, plus(blocks.get(key) ?? { loaded: 0, mapped: 0 }, bytes));
    }
  }
  const largest = [...blocks.values()].reduce(
    (most, bytes) => ({
      loaded: Math.max(most.loaded, bytes.loaded),
      mapped: Math.max(most.mapped, bytes.mapped),
    }),
    { loaded: 0, mapped: 0 },
  );
  return { block: largest, blocks: blocks.size, rest };
}

function textNeeds(
  checkpoint: Checkpoint,
  provider: Provider,
  { dim, ffnDim, heads, layers }: Omit<ModelNeeds['text'], 'layer'>,
): ModelNeeds['text'] {
  // The table of embeddings is read row by row and never loaded.
  return { layer: byBlock([checkpoint], provider).block, layers, dim, ffnDim, heads };
}

function plus(a: WeightBytes, b: WeightBytes): WeightBytes {
  return { loaded: a.loaded + b.loaded, mapped: a.mapped + b.mapped };
}

function times(a: WeightBytes, factor: number): WeightBytes {
  return { loaded: a.loaded * factor, mapped: a.mapped * factor };
}
