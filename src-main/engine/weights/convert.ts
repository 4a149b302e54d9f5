import { open, rename, rm } from 'node:fs/promises';
import { PusaError, toPusaError } from '../../core/errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import { isDtype, type Dtype } from './dtypes.ts';
import type { TensorFormat } from './formats.ts';
import { encodeNumbers, safetensorsHeader } from './write-safetensors.ts';

export interface ConvertOptions {
  /** Of matrices and kernels; norms, biases and modulation become float32. */
  readonly precision: 'F32' | 'F16' | 'BF16';
  readonly metadata?: Readonly<Record<string, string>>;
  /** Called with the bytes written so far and in all. */
  readonly onBytes?: (done: number, total: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Values that are converted at once, a multiple of every block: an embedding of T5 alone has a thousand million. */
const pieceValues = 2 ** 20;

/**
 * Writes a checkpoint's tensors anew as one safetensors file, piece by piece. Under another name first: an interrupted
 * conversion leaves nothing that could be taken for a model.
 * @throws PusaError CHECKPOINT_INVALID, DISK_FULL, WRITE_FAILED, CANCELLED
 */
export async function convertCheckpoint(
  checkpoint: Checkpoint,
  path: string,
  { precision, metadata = {}, onBytes, signal }: ConvertOptions,
): Promise<void> {
  const tensors = [...checkpoint.entries].map(([name, { shape, dtype }]) => {
    // Bytes and counts are no weights: a tokenizer, for instance.
    if (isWhole(dtype)) return { name, shape, dtype, convert: null };
    // Wide are those that are few and that rounding hurts most (spec §1.2, plain fp8).
    const wide = shape.filter((side) => side > 1).length < 2 || /modulation|norm/.test(name);
    const convert = wide ? 'F32' : precision;
    return { name, shape, dtype: convert, convert };
  });
  const { header, bytes: total } = safetensorsHeader(tensors, metadata);
  const part = `${path}.part`;
  try {
    const file = await open(part, 'w');
    try {
      await file.writeFile(header);
      let done = 0;
      const write = async (data: Uint8Array): Promise<void> => {
        if (signal?.aborted === true) throw cancelled();
        await file.writeFile(data);
        onBytes?.((done += data.length), total);
      };
      for (const { name, shape, convert } of tensors) {
        if (convert === null) {
          await write(await checkpoint.readBytes(name));
          continue;
        }
        const values = shape.reduce((product, side) => product * side, 1);
        for (let first = 0; first < values; first += pieceValues) {
          const count = Math.min(pieceValues, values - first);
          await write(encodeNumbers(await checkpoint.read(name, { first, count }), convert));
        }
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (thrown) {
    await rm(part, { force: true });
    throw toPusaError(thrown);
  }
}

/** Bytes that {@link convertCheckpoint} writes in float16, but for the few tensors that become wider. */
export function convertedBytes({ entries }: Pick<Checkpoint, 'entries'>): number {
  let values = 0;
  for (const { shape } of entries.values()) values += shape.reduce((product, side) => product * side, 1);
  return 2 * values;
}

function isWhole(format: TensorFormat): format is Dtype {
  return isDtype(format) && (format === 'BOOL' || /^[UI]\d+$/.test(format));
}

function cancelled(): PusaError {
  return new PusaError(
    'CANCELLED',
    'Converting the model was cancelled.',
    'Start it again when you want it.',
  );
}
