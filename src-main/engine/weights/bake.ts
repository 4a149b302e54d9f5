import { open, rename, rm } from 'node:fs/promises';
import { PusaError, toPusaError } from '../../core/errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { Dtype } from './dtypes.ts';
import type { TensorFormat } from './formats.ts';
import { mergedTensor, type AppliedLora } from './lora.ts';
import { safetensorsHeader, toBfloat16 } from './write-safetensors.ts';

/** Number formats that a matrix can be baked to. */
export const precisions = ['F32', 'F16', 'BF16'] as const;
export type Precision = (typeof precisions)[number];

export interface BakeOptions {
  /** Of matrices and kernels; norms, biases and modulation stay float32. */
  readonly precision: Precision;
  /** Merged in: W + strength · scale · B · A, in float32 before rounding (spec §2). */
  readonly loras?: readonly AppliedLora[];
  readonly metadata?: Readonly<Record<string, string>>;
  /** Called with the bytes written so far and in all. */
  readonly onBytes?: (done: number, total: number) => void;
  readonly signal?: AbortSignal | undefined;
}

const half = 65_504;

/**
 * Writes a checkpoint's tensors anew as one safetensors file, tensor by tensor: never more than one of them is in
 * memory. Under another name first: an interrupted bake leaves nothing that could be taken for a model.
 * @throws PusaError CHECKPOINT_INVALID, DISK_FULL, WRITE_FAILED, CANCELLED
 */
export async function bakeCheckpoint(
  checkpoint: Checkpoint,
  path: string,
  { precision, loras = [], metadata = {}, onBytes, signal }: BakeOptions,
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
      for (const { name, convert } of tensors) {
        if (signal?.aborted === true) throw cancelled();
        const data =
          convert === null
            ? await checkpoint.readBytes(name)
            : encode(await mergedTensor(checkpoint, name, loras), convert);
        await file.writeFile(data);
        onBytes?.((done += data.length), total);
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

function isWhole(format: TensorFormat): format is Dtype {
  return format === 'BOOL' || /^[UI]\d+$/.test(format);
}

function encode(values: Float32Array, dtype: Precision): Uint8Array {
  if (dtype === 'BF16') return toBfloat16(values);
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  // What is too large for float16 becomes its largest number, not infinity.
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Math.abs(value) > half) values[i] = value > 0 ? half : -half;
  }
  return new Uint8Array(new Float16Array(values).buffer);
}

function cancelled(): PusaError {
  return new PusaError(
    'CANCELLED',
    'Converting the model was cancelled.',
    'Start it again when you want it.',
  );
}
