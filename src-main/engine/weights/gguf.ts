import { resolve } from 'node:path';
import { clip, invalid, type Checkpoint, type TensorEntry } from './checkpoint.ts';
import { unitOf, type TensorFormat } from './formats.ts';
import { openFiles, withFile, type FileHeader, type OpenedFile } from './tensor-files.ts';

export const ggufMagic = 0x46554747;
const maxHeaderBytes = 256 * 1024 * 1024;
const firstRead = 1024 * 1024;
const maxTensors = 100_000;
const maxRank = 8;
const defaultAlignment = 32;
/** Tools that fold more than four dimensions into fewer keep the true shape under this key. */
const originalShape = 'comfy.gguf.orig_shape.';

/** Number formats by their number in the file; others are refused by name. */
const formats: Readonly<Record<number, TensorFormat>> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  6: 'Q5_0',
  8: 'Q8_0',
  12: 'Q4_K',
  13: 'Q5_K',
  14: 'Q6_K',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  30: 'BF16',
};
const unreadFormats: Readonly<Record<number, string>> = {
  3: 'Q4_1',
  7: 'Q5_1',
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
};

/**
 * Opens a GGUF file, version 3, little-endian. Shapes are given in the order of PyTorch (GGUF stores them reversed).
 * @throws PusaError FILE_NOT_FOUND, FILE_EMPTY, CHECKPOINT_INVALID
 */
export async function openGguf(path: string): Promise<Checkpoint> {
  const absolute = resolve(path);
  const header = await withFile(absolute, async (file) => {
    // The header does not say how long it is: read more until it fits.
    for (let length = Math.min(firstRead, file.size); ; length = Math.min(4 * length, file.size)) {
      try {
        return parse(file, new Cursor(absolute, await file.read(0, length)));
      } catch (thrown) {
        if (!(thrown instanceof EndOfBytes)) throw thrown;
        if (length === file.size) throw invalid(absolute, 'it ends inside its header');
        if (length >= maxHeaderBytes) throw invalid(absolute, 'its header is longer than any model needs');
      }
    }
  });
  return openFiles(absolute, [header]);
}

class EndOfBytes extends Error {}

/** Reads one value after the other. */
class Cursor {
  readonly path: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(path: string, bytes: Uint8Array) {
    this.path = path;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u32(): number {
    return this.#view.getUint32(this.skip(4), true);
  }

  /** @throws PusaError CHECKPOINT_INVALID beyond 2⁵³ */
  u64(): number {
    const value = this.#view.getBigUint64(this.skip(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw invalid(this.path, 'its header holds an absurd number');
    return Number(value);
  }

  text(): string {
    const length = this.u64();
    const from = this.skip(length);
    return new TextDecoder().decode(this.#bytes.subarray(from, from + length));
  }

  /** A scalar of a metadata type as text, or null for what is not kept. */
  scalar(type: number): string {
    const view = this.#view;
    switch (type) {
      case 0:
        return String(view.getUint8(this.skip(1)));
      case 1:
        return String(view.getInt8(this.skip(1)));
      case 2:
        return String(view.getUint16(this.skip(2), true));
      case 3:
        return String(view.getInt16(this.skip(2), true));
      case 4:
        return String(this.u32());
      case 5:
        return String(view.getInt32(this.skip(4), true));
      case 6:
        return String(view.getFloat32(this.skip(4), true));
      case 7:
        return String(view.getUint8(this.skip(1)) !== 0);
      case 8:
        return this.text();
      case 10:
        return view.getBigUint64(this.skip(8), true).toString();
      case 11:
        return view.getBigInt64(this.skip(8), true).toString();
      case 12:
        return String(view.getFloat64(this.skip(8), true));
      default:
        throw invalid(this.path, `its header has a value of the unknown type ${type}`);
    }
  }

  /** @returns where the skipped bytes begin */
  skip(bytes: number): number {
    const from = this.at;
    if (bytes > this.#bytes.length - from) throw new EndOfBytes();
    this.at += bytes;
    return from;
  }
}

function parse(file: OpenedFile, cursor: Cursor): FileHeader {
  const { path } = file;
  if (cursor.u32() !== ggufMagic) throw invalid(path, 'it is not a GGUF file');
  const version = cursor.u32();
  if (version !== 3) {
    throw invalid(
      path,
      `it is GGUF version ${version}`,
      'Take a newer file of the same model, of version 3.',
    );
  }
  const tensors = cursor.u64();
  const values = cursor.u64();
  if (tensors > maxTensors || values > maxTensors) {
    throw invalid(path, `its header claims ${tensors} tensors and ${values} values`);
  }
  const { metadata, lists } = readMetadata(cursor, values);
  const found = Array.from({ length: tensors }, () => readTensor(cursor));
  const alignment = Number(metadata['general.alignment'] ?? defaultAlignment);
  if (!Number.isInteger(alignment) || alignment < 1 || alignment > 1 << 20) {
    throw invalid(path, 'its alignment is impossible');
  }
  const dataStart = Math.ceil(cursor.at / alignment) * alignment;
  const entries = new Map<string, TensorEntry>();
  for (const { name, shape: stored, format, offset } of found) {
    const shown = clip(name);
    const count = stored.reduce((product, side) => product * side, 1);
    const unit = unitOf(format);
    const bytes = (count / unit.values) * unit.bytes;
    if (!Number.isSafeInteger(count) || (stored.at(-1) ?? 1) % unit.values !== 0) {
      throw invalid(path, `"${shown}" has the shape [${stored.join(', ')}], which ${format} cannot hold`);
    }
    if (offset % alignment !== 0 || dataStart + offset + bytes > file.size) {
      throw invalid(path, `"${shown}" lies outside the file; it is damaged or was not downloaded whole`);
    }
    const original = lists.get(originalShape + name);
    const shape = original?.reduce((product, side) => product * side, 1) === count ? original : stored;
    if (entries.has(name)) throw invalid(path, `it holds "${shown}" twice`);
    entries.set(name, { name, dtype: format, shape, file: path, offset: dataStart + offset, bytes });
  }
  if (entries.size === 0) throw invalid(path, 'there is no tensor in it');
  let end = 0;
  for (const { name, offset, bytes } of [...entries.values()].sort((a, b) => a.offset - b.offset)) {
    if (offset < end) throw invalid(path, `"${clip(name)}" lies over another tensor`);
    end = offset + bytes;
  }
  return { file: path, metadata, entries };
}

/** Scalars are kept as text, short lists of integers as numbers; long lists (vocabularies) are passed over. */
function readMetadata(
  cursor: Cursor,
  values: number,
): { metadata: Record<string, string>; lists: Map<string, number[]> } {
  const metadata: Record<string, string> = {};
  const lists = new Map<string, number[]>();
  for (let i = 0; i < values; i++) {
    const key = cursor.text();
    const type = cursor.u32();
    if (type !== 9) {
      metadata[key] = cursor.scalar(type);
      continue;
    }
    const itemType = cursor.u32();
    const length = cursor.u64();
    const items: number[] = [];
    for (let item = 0; item < length; item++) {
      const value = cursor.scalar(itemType);
      if (length <= 8) items.push(Number(value));
    }
    if (items.length > 0 && items.every((item) => Number.isSafeInteger(item) && item > 0)) {
      lists.set(key, items);
    }
  }
  return { metadata, lists };
}

function readTensor(cursor: Cursor): {
  name: string;
  shape: number[];
  format: TensorFormat;
  offset: number;
} {
  const name = cursor.text();
  const rank = cursor.u32();
  if (name === '' || name.length > 1024 || rank > maxRank) {
    throw invalid(cursor.path, `its entry for "${clip(name)}" is impossible`);
  }
  const shape = Array.from({ length: rank }, () => cursor.u64()).reverse();
  const type = cursor.u32();
  const format = formats[type];
  if (format === undefined) {
    const known = unreadFormats[type] ?? `format ${type}`;
    throw invalid(
      cursor.path,
      `"${clip(name)}" in it is stored as ${known}, which Pusa Studio does not read`,
      'Take the Q4_K_M, Q5_K_M, Q6_K or Q8_0 file from the same page.',
    );
  }
  return { name, shape, format, offset: cursor.u64() };
}
