import { basename } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import type { TensorFormat } from './formats.ts';

/** One tensor of a checkpoint: where its bytes lie, so that a graph can point at them in place. */
export interface TensorEntry {
  /** Name inside the file. */
  readonly name: string;
  readonly dtype: TensorFormat;
  readonly shape: readonly number[];
  /** Absolute path. */
  readonly file: string;
  /** Absolute byte offset in the file. */
  readonly offset: number;
  readonly bytes: number;
  /** Set where the tensor is a matrix in 8 or 4 bits; the entry itself is then where its packed codes lie. */
  readonly blocks?: {
    readonly bits: 8 | 4;
    readonly blockSize: number;
    /** float32 [rows, columns / blockSize] */
    readonly scales: TensorEntry;
  };
}

/** Some of a tensor's values, counted row by row. Both are whole blocks where the format has blocks (at most 256). */
export interface Span {
  readonly first: number;
  readonly count: number;
}

/** An open checkpoint. Keys of `entries` are what `read` takes; a renamed view has keys other than the file's names. */
export interface Checkpoint {
  /** The path it was opened by. */
  readonly path: string;
  /** Every file it consists of, absolute. */
  readonly files: readonly string[];
  /** What the file says of itself as text: safetensors' `__metadata__`, the scalars of a GGUF header. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly entries: ReadonlyMap<string, TensorEntry>;
  /** @returns the tensor's values, or some of them, as float32, row-major; integers and narrower floats are converted. */
  read(name: string, span?: Span): Promise<Float32Array>;
  /** @returns the tensor's bytes as they stand in the file. */
  readBytes(name: string): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Whether graphs can use a tensor where it lies; what cannot is converted at import. */
export function isInPlace({ dtype, blocks }: Pick<TensorEntry, 'dtype' | 'blocks'>): boolean {
  return blocks !== undefined || dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
}

/** The refusal of a checkpoint; `what` continues the sentence after a colon. @param remedy default: that of a damaged file */
export function invalid(
  file: string,
  what: string,
  remedy = 'Download the file again, and check its size against the page you took it from.',
): PusaError {
  return new PusaError('CHECKPOINT_INVALID', `"${basename(file)}" cannot be used: ${what}.`, remedy);
}

/** Names come from the file: shorten what goes into a sentence. */
export function clip(name: string): string {
  return name.length <= 80 ? name : `${name.slice(0, 77)}…`;
}
