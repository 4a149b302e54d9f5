import { readFileSync } from 'node:fs';
import { parseHeader } from '../../src-main/engine/weights/safetensors-header.ts';

/** A tensor of a golden case: float32 or int32, row-major. */
export interface GoldenTensor {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
}

/** The tensors of one file by name. */
export interface GoldenTensors {
  readonly names: readonly string[];
  has(name: string): boolean;
  get(name: string): GoldenTensor;
  /** The numbers of a float32 tensor. */
  f32(name: string): Float32Array;
  /** The numbers of an int32 tensor. */
  i32(name: string): Int32Array;
}

/** Reads the float32 and int32 tensors of a safetensors file of a golden case into memory. */
export function readTensors(path: string): GoldenTensors {
  const file = readFileSync(path);
  const dataStart = 8 + Number(file.readBigUInt64LE(0));
  const { entries } = parseHeader(path, file.subarray(8, dataStart), dataStart, file.length);
  const get = (name: string): GoldenTensor => {
    const entry = entries.get(name);
    if (entry === undefined) throw new Error(`${path} has no tensor ${name}.`);
    // A copy, because a typed array has to start at a multiple of its element size.
    const bytes = Uint8Array.from(file.subarray(entry.offset, entry.offset + entry.bytes)).buffer;
    if (entry.dtype === 'F32') return { data: new Float32Array(bytes), shape: entry.shape };
    if (entry.dtype === 'I32') return { data: new Int32Array(bytes), shape: entry.shape };
    throw new Error(`${path}: ${name} has the type ${entry.dtype}.`);
  };
  return {
    names: [...entries.keys()],
    has: (name) => entries.has(name),
    get,
    f32(name) {
      const { data } = get(name);
      if (!(data instanceof Float32Array)) throw new Error(`${path}: ${name} is not float32.`);
      return data;
    },
    i32(name) {
      const { data } = get(name);
      if (!(data instanceof Int32Array)) throw new Error(`${path}: ${name} is not int32.`);
      return data;
    },
  };
}
