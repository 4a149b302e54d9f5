import { relative, sep } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import type { FileWeight, WeightSource } from '../onnx/weights.ts';
import type { Checkpoint, TensorEntry } from '../weights/checkpoint.ts';
import { loraScale, type Lora } from '../weights/lora.ts';
import type { AttachedLora } from './adapters.ts';

/** Weights in files below a folder. */
export type FolderWeights = WeightSource & { readonly folder: string };

/**
 * The tensors of a checkpoint in place, for graphs that point into its files.
 * @param folder one that all files of the checkpoint lie below
 */
export function checkpointWeights(checkpoint: Checkpoint, folder: string): FolderWeights {
  return {
    folder,
    entry(name) {
      const tensor = checkpoint.entries.get(name);
      return tensor === undefined ? undefined : inPlace(tensor, folder);
    },
  };
}

/**
 * LoRAs beside a network's weights, used in place: their files lie below the same folder.
 * @param base the network's own weights
 * @returns a source with the tensors of both, and what the graphs apply
 */
export function attachLoras(
  base: FolderWeights,
  files: readonly { readonly lora: Lora; readonly strength: AttachedLora['strength'] }[],
): { weights: FolderWeights; loras: readonly AttachedLora[] } {
  const added = new Map<string, TensorEntry>();
  const loras = files.map(({ lora, strength }, index) => {
    const put = (entry: TensorEntry): string => {
      const name = `lora ${index}: ${entry.name}`;
      added.set(name, entry);
      return name;
    };
    const layers = new Map(
      [...lora.layers].map(([layer, low]) => [
        layer,
        { down: put(low.down), up: put(low.up), scale: loraScale(low) },
      ]),
    );
    const diffs = new Map(
      [...lora.diffs].map(([target, name]) => [target, put(lora.checkpoint.entries.get(name)!)]),
    );
    return { strength, layers, diffs };
  });
  const weights: FolderWeights = {
    folder: base.folder,
    entry(name) {
      const tensor = added.get(name);
      return tensor === undefined ? base.entry(name) : inPlace(tensor, base.folder);
    },
  };
  return { weights, loras };
}

function inPlace({ name, dtype, shape, file, offset, bytes }: TensorEntry, folder: string): FileWeight {
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
    throw new PusaError(
      'CHECKPOINT_INVALID',
      `${name} is stored as ${dtype}, which cannot be used without converting it.`,
      'Import the model again, so that it is converted.',
    );
  }
  return { dtype, shape, file: relative(folder, file).split(sep).join('/'), offset, length: bytes };
}
