import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import type { Tensor } from '../networks.ts';
import type { WeightSource } from '../onnx/weights.ts';
import { decodeValues, dtypeBytes } from '../weights/dtypes.ts';

/**
 * Rows of a large table [rows, width], read one by one from its file: UMT5's vocabulary takes 4 GB, a prompt needs a
 * few hundred rows of it.
 * @throws CHECKPOINT_INCOMPLETE without the table, CHECKPOINT_INVALID when it is not [rows, width] or ends early,
 * TOKENIZER_INVALID when an index is outside of it
 */
export async function embeddingRows(
  weights: WeightSource,
  name: string,
  indices: Int32Array,
  [rows, width]: readonly [rows: number, width: number],
): Promise<Tensor> {
  const entry = weights.entry(name);
  if (entry === undefined) {
    throw new PusaError(
      'CHECKPOINT_INCOMPLETE',
      `The model has no tensor named ${name}.`,
      'Import the model again from complete files.',
    );
  }
  if ('packed' in entry || entry.shape.join() !== `${rows},${width}`) {
    throw new PusaError(
      'CHECKPOINT_INVALID',
      `${name} is ${entry.dtype} [${entry.shape.join(', ')}] where floats [${rows}, ${width}] belong.`,
      'Import the model again from intact files.',
    );
  }
  const outside = indices.find((index) => index < 0 || index >= rows);
  if (outside !== undefined) {
    throw new PusaError(
      'TOKENIZER_INVALID',
      `The tokenizer made the token ${outside}, and the text encoder knows ${rows} of them.`,
      'Import the tokenizer that belongs to the text encoder.',
    );
  }
  const data = new Float32Array(indices.length * width);
  const shape = [indices.length, width];
  if ('data' in entry) {
    indices.forEach((index, at) =>
      data.set(entry.data.subarray(index * width, (index + 1) * width), at * width),
    );
    return { data, shape };
  }
  const bytes = new Uint8Array(width * dtypeBytes[entry.dtype]);
  const file = await open(join(weights.folder ?? '', entry.file), 'r');
  try {
    for (const [at, index] of indices.entries()) {
      const { bytesRead } = await file.read(bytes, 0, bytes.length, entry.offset + index * bytes.length);
      if (bytesRead !== bytes.length) {
        throw new PusaError(
          'CHECKPOINT_INVALID',
          `The file of the model ends inside ${name}.`,
          'Import the model again from intact files.',
        );
      }
      decodeValues(entry.dtype, bytes, data, at * width);
    }
  } finally {
    await file.close();
  }
  return { data, shape };
}
