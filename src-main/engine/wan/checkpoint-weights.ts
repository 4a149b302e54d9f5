import { realpathSync } from 'node:fs';
import { dirname, relative, sep } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import type { FileWeight, QuantisedWeight, WeightLocation, WeightSource } from '../onnx/weights.ts';
import type { Checkpoint, TensorEntry } from '../weights/checkpoint.ts';
import { loraScale, type Lora } from '../weights/lora.ts';
import type { AttachedLora } from './adapters.ts';

/** Weights in files below a folder. */
export type FolderWeights = WeightSource & { readonly folder: string };

/**
 * The nearest folder that all files of some checkpoints lie below, links resolved: graphs cannot point out of it.
 * @throws PusaError MODEL_CANNOT where they lie on different drives
 */
export function commonFolder(checkpoints: readonly Checkpoint[]): string {
  const folders = checkpoints.flatMap(({ files }) => files.map((file) => dirname(realpathSync(file))));
  let common = folders[0] ?? '';
  for (const folder of folders) {
    while (folder !== common && !folder.startsWith(common.endsWith(sep) ? common : common + sep)) {
      const above = dirname(common);
      if (above === common) {
        throw new PusaError(
          'MODEL_CANNOT',
          'The diffusion model and its LoRA lie on different drives.',
          'Put them on one drive, or bake the LoRA into the model.',
        );
      }
      common = above;
    }
  }
  return common;
}

/**
 * The tensors of a checkpoint in place, for graphs that point into its files.
 * @param folder one that all files of the checkpoint lie below
 */
export function checkpointWeights(checkpoint: Checkpoint, folder: string): FolderWeights {
  const place = placesBelow(folder);
  return {
    folder,
    entry(name) {
      const tensor = checkpoint.entries.get(name);
      return tensor === undefined ? undefined : inPlace(tensor, place);
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
  const place = placesBelow(base.folder);
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
      return tensor === undefined ? base.entry(name) : inPlace(tensor, place);
    },
  };
  return { weights, loras };
}

/** Ways from a folder to files, links resolved, each looked up once. */
function placesBelow(folder: string): (file: string) => string {
  const known = new Map<string, string>();
  const root = realpathSync(folder);
  return (file) => {
    const way = known.get(file) ?? relative(root, realpathSync(file)).split(sep).join('/');
    known.set(file, way);
    return way;
  };
}

function inPlace(entry: TensorEntry, place: (file: string) => string): FileWeight | QuantisedWeight {
  const { name, dtype, shape, blocks } = entry;
  const locate = ({ file, offset, bytes }: TensorEntry): WeightLocation => ({
    file: place(file),
    offset,
    length: bytes,
  });
  if (blocks !== undefined) {
    const [rows = 0, columns = 0] = shape;
    return {
      dtype: blocks.bits === 8 ? 'Q8' : 'Q4',
      shape: [rows, columns],
      blockSize: blocks.blockSize,
      packed: locate(entry),
      scales: locate(blocks.scales),
    };
  }
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
    throw new PusaError(
      'CHECKPOINT_INVALID',
      `${name} is stored as ${dtype}, which cannot be used without converting it.`,
      'Import the model again, so that it is converted.',
    );
  }
  return { dtype, shape, ...locate(entry) };
}
