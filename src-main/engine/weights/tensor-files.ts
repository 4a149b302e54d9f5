import { open, stat, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { clip, invalid, type Checkpoint, type TensorEntry } from './checkpoint.ts';
import { decodeUnits, unitOf } from './formats.ts';

/** Reads are cut into pieces: one system call moves at most 2 GiB, and conversion needs no second whole copy. */
const pieceBytes = 8 * 1024 * 1024;

/** What the header of one file says. */
export interface FileHeader {
  readonly file: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly entries: ReadonlyMap<string, TensorEntry>;
}

/**
 * A checkpoint of files whose headers are known. Each file is opened when one of its tensors is read.
 * @param path what the checkpoint was opened by
 */
export function openFiles(path: string, headers: readonly FileHeader[]): Checkpoint {
  const entries = new Map<string, TensorEntry>();
  const metadata: Record<string, string> = {};
  for (const header of headers) {
    for (const [name, entry] of header.entries) entries.set(name, entry);
    for (const [key, value] of Object.entries(header.metadata)) metadata[key] ??= value;
  }
  const handles = new Map<string, Promise<FileHandle>>();
  const handleOf = (file: string): Promise<FileHandle> => {
    let handle = handles.get(file);
    if (handle === undefined) handles.set(file, (handle = open(file, 'r')));
    return handle;
  };
  const entryOf = (name: string): TensorEntry => {
    const entry = entries.get(name);
    if (entry === undefined) throw invalid(path, `it has no tensor "${clip(name)}"`);
    return entry;
  };
  return {
    path,
    files: headers.map((header) => header.file),
    metadata,
    entries,
    async read(name, span) {
      const entry = entryOf(name);
      const handle = await handleOf(entry.file);
      const unit = unitOf(entry.dtype);
      const all = (entry.bytes / unit.bytes) * unit.values;
      const { first, count } = span ?? { first: 0, count: all };
      if (first % unit.values !== 0 || count % unit.values !== 0 || first < 0 || first + count > all) {
        throw new RangeError(`${clip(name)} has no values ${first} to ${first + count}`);
      }
      const values = new Float32Array(count);
      const start = (first / unit.values) * unit.bytes;
      const bytes = (count / unit.values) * unit.bytes;
      if (entry.dtype === 'F32') {
        await fill(handle, new Uint8Array(values.buffer), entry, start);
        return values;
      }
      const size = Math.min(Math.floor(pieceBytes / unit.bytes) * unit.bytes, bytes);
      const piece = new Uint8Array(size);
      for (let at = 0; at < bytes; at += size) {
        const part = piece.subarray(0, Math.min(size, bytes - at));
        await fill(handle, part, entry, start + at);
        decodeUnits(entry.dtype, part, values, (at / unit.bytes) * unit.values);
      }
      return values;
    },
    async readBytes(name) {
      const entry = entryOf(name);
      const bytes = new Uint8Array(entry.bytes);
      await fill(await handleOf(entry.file), bytes, entry);
      return bytes;
    },
    async close() {
      const opened = [...handles.values()];
      handles.clear();
      for (const handle of opened) await (await handle).close();
    },
  };
}

/** Reads `target.length` bytes of a tensor from `skip` bytes on; a file that shrank meanwhile is refused. */
async function fill(handle: FileHandle, target: Uint8Array, entry: TensorEntry, skip = 0): Promise<void> {
  for (let done = 0; done < target.length;) {
    const length = Math.min(pieceBytes, target.length - done);
    const { bytesRead } = await handle.read(target, done, length, entry.offset + skip + done);
    if (bytesRead === 0) throw invalid(entry.file, `it ends inside the tensor "${clip(entry.name)}"`);
    done += bytesRead;
  }
}

/** A file that is being looked at: whatever is asked of it lies inside it. */
export interface OpenedFile {
  readonly path: string;
  readonly size: number;
  /** @throws PusaError CHECKPOINT_INVALID when the file ends before */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/**
 * Opens a checkpoint file to read its header, and closes it again.
 * @throws PusaError FILE_NOT_FOUND, FILE_EMPTY, CHECKPOINT_INVALID, and what `look` throws
 */
export async function withFile<T>(path: string, look: (file: OpenedFile) => Promise<T>): Promise<T> {
  let handle: FileHandle;
  let size: number;
  try {
    const status = await stat(path);
    if (!status.isFile()) throw invalid(path, 'it is not a file');
    size = status.size;
    handle = await open(path, 'r');
  } catch (thrown) {
    throw toPusaError(thrown);
  }
  try {
    if (size === 0) {
      throw new PusaError('FILE_EMPTY', `"${basename(path)}" is empty.`, 'Download the file again.');
    }
    return await look({
      path,
      size,
      async read(offset, length) {
        if (offset < 0 || length < 0 || offset + length > size) throw invalid(path, 'it ends too early');
        const bytes = new Uint8Array(length);
        for (let done = 0; done < length;) {
          const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
          if (bytesRead === 0) throw invalid(path, 'it ends inside its header');
          done += bytesRead;
        }
        return bytes;
      },
    });
  } finally {
    await handle.close();
  }
}
