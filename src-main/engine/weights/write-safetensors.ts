import { open } from 'node:fs/promises';
import { dtypeBytes, type Dtype } from './dtypes.ts';

/** A tensor to write: `bytes` little-endian in `dtype`, or float32 values. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Uint8Array | Float32Array;
}

/**
 * Writes a safetensors file, tensors in the order given, the data section aligned to 64 bytes (so that a mapped float
 * is aligned too).
 * @throws RangeError when a tensor's bytes do not match its shape and format
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const list = [...tensors];
  for (const { name, dtype, shape, data } of list) {
    const bytes = tensorBytes(dtype, shape);
    if (data.byteLength !== bytes)
      throw new RangeError(`${name}: ${data.byteLength} bytes, shape needs ${bytes}`);
  }
  const { header } = safetensorsHeader(list, metadata);
  const file = await open(path, 'w');
  try {
    await file.writeFile(header);
    for (const { data } of list)
      await file.writeFile(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  } finally {
    await file.close();
  }
}

/**
 * What stands before the tensors of a safetensors file, padded to 64 bytes.
 * @param tensors in the order in which their bytes follow
 * @returns the header, and the bytes of all tensors together
 */
export function safetensorsHeader(
  tensors: Iterable<Omit<TensorToWrite, 'data'>>,
  metadata: Readonly<Record<string, string>>,
): { header: Uint8Array<ArrayBuffer>; bytes: number } {
  const entries: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) entries['__metadata__'] = metadata;
  let at = 0;
  for (const { name, dtype, shape } of tensors) {
    const end = at + tensorBytes(dtype, shape);
    entries[name] = { dtype, shape, data_offsets: [at, end] };
    at = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(entries));
  const padded = Math.ceil((8 + json.length) / 64) * 64 - 8;
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return { header, bytes: at };
}

function tensorBytes(dtype: Dtype, shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1) * dtypeBytes[dtype];
}

/** Largest finite float16. */
const halfMost = 65_504;

/**
 * Numbers as little-endian bytes. What is too large for float16 becomes its largest number, not infinity.
 * @param values may be changed
 */
export function encodeNumbers<B extends ArrayBufferLike>(
  values: Float32Array<B>,
  dtype: 'F32' | 'F16' | 'BF16',
): Uint8Array<B | ArrayBuffer> {
  if (dtype === 'BF16') return toBfloat16(values);
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Math.abs(value) > halfMost) values[i] = value > 0 ? halfMost : -halfMost;
  }
  return new Uint8Array(new Float16Array(values).buffer);
}

/** float32 values as bfloat16 bytes, rounded to nearest even. */
export function toBfloat16(values: Float32Array): Uint8Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    const nan = (word & 0x7fffffff) > 0x7f800000;
    halves[i] = nan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(halves.buffer);
}
