import { closeSync, openSync, readSync } from 'node:fs';
import { clip, invalid, type TensorEntry } from './checkpoint.ts';
import { decodeUnits, unitOf } from './formats.ts';
import { addLowRank } from './low-rank.ts';
import { quantiseRows, roomForValues, type BlockLayout, type SquaredError } from './quantise.ts';
import { encodeNumbers } from './write-safetensors.ts';

/** What rows of a tensor become: numbers one by one, or blocks. `search`: see {@link quantiseRows}. */
export type SlabTarget =
  | { readonly kind: 'numbers'; readonly dtype: 'F32' | 'F16' | 'BF16' }
  | { readonly kind: 'bytes' }
  | ({ readonly kind: 'blocks'; readonly search: boolean } & BlockLayout);

/** What is added to a tensor before it is rounded: factor · up · down, or factor · diff. */
export type Change =
  | {
      readonly factor: number;
      readonly rank: number;
      /** [rows of the tensor, rank] */
      readonly up: TensorEntry;
      /** [rank, columns of the tensor] */
      readonly down: TensorEntry;
    }
  | { readonly factor: number; readonly diff: TensorEntry };

/** Some rows of one tensor, to be read, changed and rounded. Plain data: it crosses threads. */
export interface Slab {
  readonly entry: TensorEntry;
  readonly columns: number;
  readonly firstRow: number;
  readonly rows: number;
  readonly changes: readonly Change[];
  readonly target: SlabTarget;
}

/** A slab's bytes as they go into the file; `scales` of blocks only. */
export interface BakedSlab {
  readonly data: Uint8Array<ArrayBuffer>;
  readonly scales: Uint8Array<ArrayBuffer> | null;
  /** Of blocks only: what rounding cost. */
  readonly error: SquaredError | null;
}

/** Low-rank matrices that stay in memory: those of one layer, for a few LoRAs. */
const remembered = 4;

/** Reads tensors of files for one thread; files stay open between slabs. */
export class SlabReader {
  readonly #files = new Map<string, number>();
  readonly #matrices = new Map<string, Float32Array>();
  /** Bytes that are about to become numbers. */
  #raw = new Uint8Array(0);

  /** @throws PusaError CHECKPOINT_INVALID; what the file system throws */
  bake(slab: Slab): BakedSlab {
    const { entry, columns, firstRow, rows, target } = slab;
    const bytesOnly = target.kind === 'bytes' || (target.kind === 'numbers' && target.dtype === entry.dtype);
    if (bytesOnly && slab.changes.length === 0) {
      return { data: this.#bytes(entry, firstRow * columns, rows * columns), scales: null, error: null };
    }
    const count = rows * columns;
    const values = target.kind === 'blocks' ? roomForValues(count) : new Float32Array(count);
    this.#fill(values, entry, firstRow * columns);
    for (const change of slab.changes) this.#apply(change, values, slab);
    if (target.kind === 'blocks') {
      const { packed, scales, error } = quantiseRows(values, columns, target, target.search);
      if (!Number.isFinite(error.size)) {
        throw invalid(entry.file, `"${clip(entry.name)}" holds numbers that are not finite`);
      }
      return { data: packed, scales: new Uint8Array(scales.buffer), error };
    }
    return {
      data: encodeNumbers(values, target.kind === 'bytes' ? 'F32' : target.dtype),
      scales: null,
      error: null,
    };
  }

  close(): void {
    for (const file of this.#files.values()) closeSync(file);
    this.#files.clear();
    this.#matrices.clear();
  }

  #apply(change: Change, values: Float32Array, { columns, firstRow, rows }: Slab): void {
    if ('diff' in change) {
      const diff = this.#values(change.diff, firstRow * columns, rows * columns);
      for (let i = 0; i < values.length; i++) values[i]! += change.factor * diff[i]!;
      return;
    }
    const { up, rank, factor } = change;
    addLowRank(
      values,
      this.#values(up, firstRow * rank, rows * rank),
      this.#matrix(change.down),
      rank,
      factor,
    );
  }

  /** A whole matrix that the next slabs of the same tensor need too. */
  #matrix(entry: TensorEntry): Float32Array {
    const key = `${entry.offset} ${entry.file}`;
    let matrix = this.#matrices.get(key);
    if (matrix === undefined) {
      matrix = this.#values(
        entry,
        0,
        entry.shape.reduce((product, side) => product * side, 1),
      );
      for (const oldest of [...this.#matrices.keys()].slice(0, this.#matrices.size - remembered + 1))
        this.#matrices.delete(oldest);
      this.#matrices.set(key, matrix);
    }
    return matrix;
  }

  #values(entry: TensorEntry, first: number, count: number): Float32Array<ArrayBuffer> {
    const values = new Float32Array(count);
    this.#fill(values, entry, first);
    return values;
  }

  /** Reads a tensor's numbers from `first` on. */
  #fill(values: Float32Array, entry: TensorEntry, first: number): void {
    if (entry.dtype === 'F32') {
      this.#read(entry, first, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      return;
    }
    const unit = unitOf(entry.dtype);
    const bytes = (values.length / unit.values) * unit.bytes;
    if (this.#raw.length < bytes) this.#raw = new Uint8Array(bytes);
    const raw = this.#raw.subarray(0, bytes);
    this.#read(entry, first, raw);
    decodeUnits(entry.dtype, raw, values, 0);
  }

  #bytes(entry: TensorEntry, first: number, count: number): Uint8Array<ArrayBuffer> {
    const unit = unitOf(entry.dtype);
    const bytes = new Uint8Array((count / unit.values) * unit.bytes);
    this.#read(entry, first, bytes);
    return bytes;
  }

  #read(entry: TensorEntry, first: number, bytes: Uint8Array): void {
    const unit = unitOf(entry.dtype);
    const start = (first / unit.values) * unit.bytes;
    if (!Number.isInteger(start) || start + bytes.length > entry.bytes) {
      throw invalid(entry.file, `"${clip(entry.name)}" is not cut at its rows`);
    }
    let file = this.#files.get(entry.file);
    if (file === undefined) this.#files.set(entry.file, (file = openSync(entry.file, 'r')));
    for (let done = 0; done < bytes.length;) {
      const read = readSync(file, bytes, done, bytes.length - done, entry.offset + start + done);
      if (read === 0) throw invalid(entry.file, `it ends inside the tensor "${clip(entry.name)}"`);
      done += read;
    }
  }
}
