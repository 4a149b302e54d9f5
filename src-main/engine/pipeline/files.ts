import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { PusaError, toPusaError } from '../../core/errors.ts';

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
