import { createHash, type Hash } from 'node:crypto';
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { toPusaError } from '../core/errors.ts';

/**
 * Writing that outlasts a power cut. A file's name says that it is whole: it is written under another one, flushed to
 * the disk, then renamed, and the folder is flushed so that the rename lasts.
 */

/** Ending of a file that is still being written; {@link removeUnfinished} takes what a crash leaves behind of it. */
const unfinished = '.tmp';

/**
 * Writes a file so that it is either whole or not there.
 * @throws PusaError DISK_FULL or WRITE_FAILED; what was written is removed and an older file stays as it was
 */
export async function writeWhole(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  const file = await WholeFile.create(path);
  try {
    for (const chunk of chunks) await file.append(chunk);
    await file.finish();
  } catch (thrown) {
    await file.abandon();
    throw toPusaError(thrown);
  }
}

/** A file that grows piece by piece and appears under its name only when {@link finish} has flushed it. */
export class WholeFile {
  private readonly path: string;
  private readonly handle: FileHandle;
  private readonly hash: Hash = createHash('sha256');
  /** Bytes written so far. */
  length = 0;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.handle = handle;
  }

  static async create(path: string): Promise<WholeFile> {
    try {
      return new WholeFile(path, await open(path + unfinished, 'w'));
    } catch (thrown) {
      throw toPusaError(thrown);
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    await writeAt(this.handle, bytes, this.length);
    this.hash.update(bytes);
    this.length += bytes.byteLength;
  }

  /** Flushes and renames. @returns the SHA-256 of the content in hex */
  async finish(): Promise<string> {
    await this.handle.sync();
    await this.handle.close();
    await place(this.path + unfinished, this.path);
    return this.hash.digest('hex');
  }

  /** Closes and removes what was written; never throws, so that the first error is the one that is told. */
  async abandon(): Promise<void> {
    await this.handle.close().catch(() => undefined);
    await rm(this.path + unfinished, { force: true }).catch(() => undefined);
  }
}

/** Removes what interrupted writes of {@link WholeFile} left in a folder. */
export async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.endsWith(unfinished)) await rm(join(folder, name), { force: true });
  }
}

/**
 * Writes a new file, flushed; nothing that stands at the path is touched. The caller removes it after an error.
 * @param hash takes the bytes too
 * @returns its length
 * @throws errors of the system, and what `pieces` throws
 */
export async function writeNew(
  path: string,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  hash?: Hash,
  onPiece: (bytes: number) => void = () => undefined,
): Promise<number> {
  // "wx" neither overwrites nor follows a link.
  const handle = await open(path, 'wx');
  try {
    let length = 0;
    for await (const piece of pieces) {
      await writeAt(handle, piece, length);
      hash?.update(piece);
      length += piece.byteLength;
      onPiece(piece.byteLength);
    }
    await handle.sync();
    return length;
  } finally {
    await handle.close();
  }
}

/** Gives a flushed file or folder its name, in the place of a file that has it, so that it lasts. */
export async function place(temporary: string, path: string): Promise<void> {
  await rename(temporary, path);
  await flushFolder(dirname(path));
}

/** Brings a file's bytes to the disk, before its name says that it is whole. */
export async function flushFile(path: string): Promise<void> {
  await flush(path, 'r+');
}

/** Makes what was renamed or removed in a folder last. Windows cannot open folders and does not need it. */
export async function flushFolder(folder: string): Promise<void> {
  if (process.platform !== 'win32') await flush(folder, 'r');
}

/** {@link flushFile} for those who cannot wait. */
export function flushFileSync(path: string): void {
  flushSync(path, 'r+');
}

/** {@link flushFolder} for those who cannot wait. */
export function flushFolderSync(folder: string): void {
  if (process.platform !== 'win32') flushSync(folder, 'r');
}

/** A write may take fewer bytes than it was given; on a full disk the next one then fails. */
async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    at += (await handle.write(bytes, at, bytes.byteLength - at, position + at)).bytesWritten;
  }
}

async function flush(path: string, flags: 'r' | 'r+'): Promise<void> {
  const handle = await open(path, flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function flushSync(path: string, flags: 'r' | 'r+'): void {
  const handle = openSync(path, flags);
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
