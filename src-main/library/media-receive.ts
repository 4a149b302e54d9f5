import { createHash } from 'node:crypto';
import { mkdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { formatBytes } from '../core/units.ts';
import { PusaError } from '../core/errors.ts';
import { flushFolder, writeNew } from '../files/durable.ts';
import { listSequence } from '../media/sequence.ts';
import { cannotOpen } from '../media/sniff.ts';
import { abortable, findEntry, partName, placeOf, readPieces, removeEntry, stats } from './media-files.ts';

/** One file of a medium to be written; `name` is null when the medium is that one file. */
export interface Part {
  readonly name: string | null;
  readonly pieces: AsyncIterable<Uint8Array>;
}

/** A source's parts, and its bytes in all where that is known before reading. */
export interface Source {
  readonly parts: readonly Part[];
  readonly total: number | null;
}

/**
 * The parts of a file, or of a sequence given by its folder or pattern. A sequence of one picture is that picture.
 * @throws PusaError FILE_NOT_FOUND, MEDIA_UNREADABLE, MEDIA_UNSUPPORTED
 */
export async function openParts(path: string, signal: AbortSignal | undefined): Promise<Source> {
  const files = (await listSequence(path)) ?? [path];
  let total = 0;
  for (const file of files) {
    total += (
      await stat(file).catch((cause: unknown) => {
        throw cannotOpen(file, cause);
      })
    ).size;
  }
  const parts = files.map((file, index) => ({
    name: files.length === 1 ? null : partName(index + 1, file),
    pieces: readSource(file, signal),
  }));
  return { parts, total };
}

/** Bytes as they come, from a network or another file. */
export function streamed(pieces: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): Source {
  return { parts: [{ name: null, pieces: abortable(pieces, signal) }], total: null };
}

async function* readSource(path: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void> {
  try {
    // What a person points to may be a link; only inside the store there are none.
    yield* readPieces(path, { follow: true, signal });
  } catch (thrown) {
    throw thrown instanceof PusaError ? thrown : cannotOpen(path, thrown);
  }
}

/**
 * Writes a medium under a temporary path, flushed to the disk.
 * @returns the SHA-256 in hex of all bytes in order, and their number
 */
export async function writeParts(
  temporary: string,
  parts: Iterable<Part>,
  onPiece?: (bytes: number) => void,
): Promise<{ hash: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  let isFolder = false;
  for (const { name, pieces } of parts) {
    if (name !== null && !isFolder) {
      await mkdir(temporary);
      isFolder = true;
    }
    bytes += await writeNew(name === null ? temporary : join(temporary, name), pieces, hash, onPiece);
  }
  if (isFolder) await flushFolder(temporary);
  return { hash: hash.digest('hex'), bytes };
}

/**
 * Gives a finished medium its name. One of the same hash and length that is there already stays; anything else in
 * the place gives way. Not to be called twice at once for one store.
 * @returns false if it was there already, and the temporary one is removed
 * @throws PusaError MEDIA_FOLDER_INVALID (a link or a file stands where a folder of the store belongs)
 */
export async function publish(
  folder: string,
  temporary: string,
  hash: string,
  bytes: number,
): Promise<boolean> {
  const { fan, path } = placeOf(folder, hash);
  const isThere = (await findEntry(folder, hash))?.bytes === bytes;
  if (isThere) {
    await rm(temporary, { recursive: true, force: true });
  } else {
    if ((await stats(fan)) === null) {
      await mkdir(fan);
      await flushFolder(folder);
    }
    if (!(await stats(fan))?.isDirectory()) {
      throw new PusaError(
        'MEDIA_FOLDER_INVALID',
        `In the media folder, “${fan}” is a link or a file where a folder belongs.`,
        'Remove it and try again.',
      );
    }
    if ((await stats(path)) !== null) await removeEntry(folder, hash);
    await rename(temporary, path);
  }
  // Also for one that was there: its name may have been given a moment before a power cut.
  await flushFolder(fan);
  return !isThere;
}

/** Bytes that can still be written to a folder's disk. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** The error for media that cannot fit, told before anything is written. */
export function tooLittleSpace(folder: string, needed: number, free: number): PusaError {
  return new PusaError(
    'DISK_FULL',
    `The disk of “${folder}” has ${formatBytes(free)} left, and ${formatBytes(needed)} are needed.`,
    'Free some space or choose another disk, and try again; nothing was written.',
  );
}

/** The error for a file that is not the one looked for; `path` is null where it has no name. */
export function differs(path: string | null): PusaError {
  return new PusaError(
    'MEDIA_DIFFERS',
    `${path === null ? 'The file' : `“${basename(path)}”`} is not the missing file: its content differs.`,
    'Choose the original file, or add this one as a new asset and use it instead.',
  );
}
