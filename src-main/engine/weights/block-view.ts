import { clip, invalid, type Checkpoint, type TensorEntry } from './checkpoint.ts';
import { dequantiseRows, type BlockLayout } from './quantise.ts';

/** Names of the two tensors that a quantised matrix is stored as in a file that this application baked. */
export const packedEnding = '#packed';
export const scalesEnding = '#scales';

/**
 * A view of a checkpoint in which a pair `name#packed` [rows, blocks, bytes] and `name#scales` [rows, blocks] is one
 * matrix `name` [rows, columns] with `blocks` set; reading it gives what it stands for. The size of a block is that of
 * the file's metadata (`pusa.block_size`); 8 or 4 bits follow from the bytes. Without such pairs, it is the same
 * checkpoint. The view shares its files: close either of the two.
 * @throws PusaError CHECKPOINT_INVALID
 */
export function withBlocks(checkpoint: Checkpoint): Checkpoint {
  const names = [...checkpoint.entries.keys()];
  if (!names.some((name) => name.endsWith(packedEnding) || name.endsWith(scalesEnding))) return checkpoint;
  const stated = checkpoint.metadata['pusa.block_size'] ?? '';
  const blockSize = /^\d{2,4}$/.test(stated) ? Number(stated) : 0;
  const entries = new Map<string, TensorEntry>();
  for (const [name, entry] of checkpoint.entries) {
    if (name.endsWith(scalesEnding)) {
      if (checkpoint.entries.has(`${name.slice(0, -scalesEnding.length)}${packedEnding}`)) continue;
      throw invalid(checkpoint.path, `"${clip(name)}" has no numbers`);
    }
    if (!name.endsWith(packedEnding)) {
      entries.set(name, entry);
      continue;
    }
    const plain = name.slice(0, -packedEnding.length);
    const scales = checkpoint.entries.get(`${plain}${scalesEnding}`);
    const [rows = 0, blocks = 0, bytes = 0] = entry.shape;
    const bits = (bytes * 8) / blockSize;
    const fits =
      (bits === 8 || bits === 4) &&
      entry.shape.length === 3 &&
      entry.dtype === 'U8' &&
      scales?.dtype === 'F32' &&
      scales.shape.length === 2 &&
      scales.shape[0] === rows &&
      scales.shape[1] === blocks &&
      !checkpoint.entries.has(plain);
    if (!fits)
      throw invalid(checkpoint.path, `"${clip(plain)}" is not stored as blocks of numbers and scales`);
    entries.set(plain, { ...entry, shape: [rows, blocks * blockSize], blocks: { bits, blockSize, scales } });
  }
  return {
    ...checkpoint,
    entries,
    async read(name, span) {
      const layout: (BlockLayout & { readonly scales: TensorEntry }) | undefined = entries.get(name)?.blocks;
      if (layout === undefined) return checkpoint.read(name, span);
      const packed = await checkpoint.readBytes(`${name}${packedEnding}`);
      const values = dequantiseRows(packed, await checkpoint.read(`${name}${scalesEnding}`), layout);
      return span === undefined ? values : values.subarray(span.first, span.first + span.count);
    },
    readBytes: (name) =>
      checkpoint.readBytes(entries.get(name)?.blocks === undefined ? name : `${name}${packedEnding}`),
    close: () => checkpoint.close(),
  };
}
