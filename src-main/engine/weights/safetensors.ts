import { open, stat, type FileHandle } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { clip, invalid, type Checkpoint, type TensorEntry } from './checkpoint.ts';
import { decodeValues, dtypeBytes } from './dtypes.ts';
import { parseHeader } from './safetensors-header.ts';
import { readShardIndex } from './shard-index.ts';

export type { Checkpoint, TensorEntry } from './checkpoint.ts';

/** The format's own limit on the header. */
const maxHeaderBytes = 100_000_000;
/** Reads are cut into pieces: one system call moves at most 2 GiB, and conversion needs no second whole copy. */
const pieceBytes = 8 * 1024 * 1024;

/**
 * Opens a `.safetensors` file, or a `.safetensors.index.json` with all its shards. Everything the header says is
 * checked against the file before anything is allocated by it.
 * @throws PusaError FILE_NOT_FOUND, FILE_EMPTY, CHECKPOINT_INVALID
 */
export async function openSafetensors(path: string): Promise<Checkpoint> {
  const absolute = resolve(path);
  return absolute.endsWith('.json')
    ? openSharded(absolute)
    : openFiles(absolute, [await readHeader(absolute)]);
}

interface FileHeader {
  readonly file: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly entries: ReadonlyMap<string, TensorEntry>;
}

async function openSharded(indexPath: string): Promise<Checkpoint> {
  const index = await readShardIndex(indexPath);
  const headers: FileHeader[] = [];
  for (const [file, names] of index.shards) {
    const header = await readHeader(file);
    for (const name of names) {
      if (!header.entries.has(name)) {
        throw invalid(
          indexPath,
          `its index says that ${basename(file)} holds "${clip(name)}", but it does not`,
        );
      }
    }
    for (const name of header.entries.keys()) {
      if (!names.has(name)) {
        throw invalid(
          indexPath,
          `${basename(file)} holds "${clip(name)}", which the index does not expect there`,
        );
      }
    }
    headers.push(header);
  }
  return openFiles(indexPath, headers);
}

function openFiles(path: string, headers: readonly FileHeader[]): Checkpoint {
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
    async read(name) {
      const entry = entryOf(name);
      const handle = await handleOf(entry.file);
      const size = dtypeBytes[entry.dtype];
      const values = new Float32Array(entry.bytes / size);
      if (entry.dtype === 'F32') {
        await fill(handle, new Uint8Array(values.buffer), entry);
        return values;
      }
      const piece = new Uint8Array(Math.min(pieceBytes, entry.bytes));
      for (let at = 0; at < entry.bytes; at += piece.length) {
        const part = piece.subarray(0, Math.min(piece.length, entry.bytes - at));
        await fill(handle, part, entry, at);
        decodeValues(entry.dtype, part, values, at / size);
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

async function readHeader(file: string): Promise<FileHeader> {
  let handle: FileHandle;
  let size: number;
  try {
    const status = await stat(file);
    if (!status.isFile()) throw invalid(file, 'it is not a file');
    size = status.size;
    handle = await open(file, 'r');
  } catch (thrown) {
    throw toPusaError(thrown);
  }
  try {
    if (size === 0) {
      throw new PusaError('FILE_EMPTY', `"${basename(file)}" is empty.`, 'Download the file again.');
    }
    if (size < 10) throw invalid(file, 'it is too short to be a safetensors file');
    const prefix = new Uint8Array(8);
    await handle.read(prefix, 0, 8, 0);
    const length = new DataView(prefix.buffer).getBigUint64(0, true);
    if (length > BigInt(maxHeaderBytes)) {
      throw invalid(file, `its header claims ${length.toString()} bytes, more than the format allows`);
    }
    const headerBytes = Number(length);
    if (headerBytes < 2 || 8 + headerBytes > size) {
      throw invalid(file, `its header claims ${headerBytes} bytes of a file of ${size}`);
    }
    const text = new Uint8Array(headerBytes);
    for (let done = 0; done < headerBytes;) {
      const { bytesRead } = await handle.read(text, done, headerBytes - done, 8 + done);
      if (bytesRead === 0) throw invalid(file, 'it ends inside its header');
      done += bytesRead;
    }
    return parseHeader(file, text, 8 + headerBytes, size);
  } finally {
    await handle.close();
  }
}
