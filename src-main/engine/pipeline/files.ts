import { createHash, type Hash } from 'node:crypto';
import { open, rename, rm, readdir, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PusaError, toPusaError } from '../../core/errors.ts';

/** Ending of a file that is still being written; what a crash leaves behind of it is removed on opening. */
const unfinished = '.tmp';

/**
 * Writes a file so that it is either whole or not there: into a temporary file, flushed to the disk, then renamed.
 * @throws PusaError DISK_FULL or WRITE_FAILED; the temporary file is removed and an older file stays as it was
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
    // A write may take fewer bytes than it was given; on a full disk the next one then fails.
    let at = 0;
    while (at < bytes.byteLength) {
      const { bytesWritten } = await this.handle.write(bytes, at, bytes.byteLength - at, this.length + at);
      at += bytesWritten;
    }
    this.hash.update(bytes);
    this.length += bytes.byteLength;
  }

  /** Flushes and renames. @returns the SHA-256 of the content in hex */
  async finish(): Promise<string> {
    await this.handle.sync();
    await this.handle.close();
    await rename(this.path + unfinished, this.path);
    await flushFolder(dirname(this.path));
    return this.hash.digest('hex');
  }

  /** Closes and removes what was written; never throws, so that the first error is the one that is told. */
  async abandon(): Promise<void> {
    await this.handle.close().catch(() => undefined);
    await rm(this.path + unfinished, { force: true }).catch(() => undefined);
  }
}

/** Removes what interrupted writes left in a folder. */
export async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.endsWith(unfinished)) await rm(join(folder, name), { force: true });
  }
}

/** SHA-256 of a file in hex and its size, read in pieces; null when the file is missing. */
export async function hashFile(path: string): Promise<{ sha256: string; bytes: number } | null> {
  const handle = await openForReading(path);
  if (handle === null) return null;
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(1 << 20);
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, bytes);
      if (bytesRead === 0) return { sha256: hash.digest('hex'), bytes };
      hash.update(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

/** Opens a file, or returns null when it is missing. */
export async function openForReading(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch (thrown) {
    const error = toPusaError(thrown);
    if (error.code === 'FILE_NOT_FOUND') return null;
    throw new PusaError('WRITE_FAILED', `A file of the job cannot be read: ${path}.`, error.remedy, {
      cause: thrown,
    });
  }
}

/** Reads exactly `length` bytes from `position`, or returns null when the file ends before. */
export async function readExactly(
  handle: FileHandle,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const bytes = new Uint8Array(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await handle.read(bytes, at, Math.min(length - at, 1 << 30), position + at);
    if (bytesRead === 0) return null;
    at += bytesRead;
  }
  return bytes;
}

/** Makes a rename last through a power cut. Windows cannot open folders and does not need it. */
async function flushFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
