import { constants, type Stats } from 'node:fs';
import { lstat, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { PusaError, toPusaError } from '../core/errors.ts';
import { flushFolder } from '../files/durable.ts';

/**
 * How media lie on the disk, and how bytes get there so that they stay. A medium is a file `ab/abcdef…`, named by
 * the SHA-256 of its bytes, or for a sequence of pictures a folder of that name with the pictures as `000001.png` and
 * so on; its bytes are then those of its pictures one after the other. Links are never followed.
 */

/** Folder inside the store for what is still being written: on the same disk, so that it can be renamed into place. */
export const incomingName = '.pusa-incoming';
const hashPattern = /^[0-9a-f]{64}$/;
const fanPattern = /^[0-9a-f]{2}$/;
const partPattern = /^\d{6}\.[a-z]{3,4}$/;
/** Bytes read at once. */
const pieceBytes = 2 ** 20;

/** A medium as it lies in a store: its files in order. */
export interface Entry {
  readonly path: string;
  readonly bytes: number;
  readonly parts: readonly { readonly path: string; readonly bytes: number }[];
}

/** Whether a value is a SHA-256 in hex, as media are named; nothing else ever becomes part of a path. */
export function isHash(value: unknown): value is string {
  return typeof value === 'string' && hashPattern.test(value);
}

/** Where the medium of a hash lies, or would. */
export function placeOf(folder: string, hash: string): { readonly fan: string; readonly path: string } {
  if (!isHash(hash)) throw new TypeError('A medium is named by 64 hexadecimal digits.');
  const fan = join(folder, hash.slice(0, 2));
  return { fan, path: join(fan, hash) };
}

/** The medium of a hash, or null where there is none (a link in its place is none). */
export async function findEntry(folder: string, hash: string): Promise<Entry | null> {
  const { fan, path } = placeOf(folder, hash);
  if (!(await stats(fan))?.isDirectory()) return null;
  const info = await stats(path);
  if (info?.isFile()) return { path, bytes: info.size, parts: [{ path, bytes: info.size }] };
  if (!info?.isDirectory()) return null;
  const parts: { path: string; bytes: number }[] = [];
  for (const name of (await readdir(path)).sort()) {
    const part = join(path, name);
    const found = await stats(part);
    if (!partPattern.test(name) || !found?.isFile()) return null;
    parts.push({ path: part, bytes: found.size });
  }
  return { path, parts, bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Names of a store's media, and of links that stand where media would. What else lies there is not ours. */
export interface Entries {
  readonly hashes: string[];
  readonly links: string[];
}

/** What lies in a store, or in one of its folders: `prefix` is then its name, the first two digits of its hashes. */
export async function listEntries(folder: string, prefix?: string): Promise<Entries> {
  const entries: Entries = { hashes: [], links: [] };
  for (const fan of await listFans(folder)) {
    if (prefix !== undefined && fan !== prefix) continue;
    for (const entry of await readdir(join(folder, fan), { withFileTypes: true })) {
      if (!isHash(entry.name) || !entry.name.startsWith(fan)) continue;
      (entry.isFile() || entry.isDirectory() ? entries.hashes : entries.links).push(entry.name);
    }
  }
  return entries;
}

/** Names of the folders of a store, each with the media of one beginning. */
export async function listFans(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory() && fanPattern.test(entry.name))
    .map(({ name }) => name);
}

/** Removes a medium, or whatever stands in its place; a link is removed, not what it points to. */
export async function removeEntry(folder: string, hash: string): Promise<void> {
  const { fan, path } = placeOf(folder, hash);
  if (!(await stats(fan))?.isDirectory()) return;
  if ((await stats(path))?.isDirectory()) {
    // Out of the way first: a sequence is there whole or not at all, even if the process ends now.
    const doomed = join(folder, incomingName, `removed-${hash}`);
    await rm(doomed, { recursive: true, force: true });
    await rename(path, doomed);
    await rm(doomed, { recursive: true, force: true });
  } else {
    await rm(path, { force: true });
  }
  await flushFolder(fan);
}

/** Name of the n-th picture (from 1) of a sequence; the ending is only there for listing and says nothing. */
export function partName(number: number, original: string): string {
  const ending = extname(original).toLowerCase();
  const known = ['.png', '.jpg', '.jpeg', '.webp', '.avif', '.tif', '.tiff'].includes(ending);
  return `${String(number).padStart(6, '0')}${known ? ending : '.png'}`;
}

/**
 * Bytes of a file, refusing one that changes while it is read. Each piece is only valid until the next is asked for.
 * @param options.follow whether the path may be a link
 * @throws PusaError MEDIA_UNSUPPORTED (no regular file), MEDIA_UNREADABLE (changes meanwhile), CANCELLED; errors of
 *   the system as they are
 */
export async function* readPieces(
  path: string,
  { follow = false, signal }: { readonly follow?: boolean; readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<Uint8Array, void> {
  const handle = await openFile(path, follow);
  try {
    const before = await handle.stat({ bigint: true });
    const buffer = Buffer.allocUnsafe(pieceBytes);
    let at = 0;
    for (;;) {
      throwIfAborted(signal);
      const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, at);
      if (bytesRead === 0) break;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    const after = await handle.stat({ bigint: true });
    if (BigInt(at) !== before.size || after.size !== before.size || after.mtimeNs !== before.mtimeNs) {
      throw new PusaError(
        'MEDIA_UNREADABLE',
        `“${basename(path)}” changed while it was read.`,
        'Wait until the program that writes it has finished, and try again.',
      );
    }
  } finally {
    await handle.close();
  }
}

/** Opens a regular file for reading. A pipe would make others wait for ever, a device has no end. */
export async function openFile(path: string, follow: boolean): Promise<FileHandle> {
  // Windows has neither flag.
  const { O_RDONLY, O_NONBLOCK = 0, O_NOFOLLOW = 0 } = constants as Partial<typeof constants>;
  const handle = await open(path, (O_RDONLY ?? 0) | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW));
  try {
    if ((await handle.stat()).isFile()) return handle;
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
  await handle.close();
  throw new PusaError(
    'MEDIA_UNSUPPORTED',
    `“${basename(path)}” is not a file.`,
    'Choose a picture, a video or a folder of pictures.',
  );
}

/** Bytes `start` up to but without `end` of a file, in pieces of their own. @throws PusaError CANCELLED */
export async function* readRange(
  path: string,
  start: number,
  end: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void> {
  const handle = await openFile(path, false);
  try {
    for (let at = start; at < end;) {
      throwIfAborted(signal);
      const piece = new Uint8Array(Math.min(pieceBytes, end - at));
      const { bytesRead } = await handle.read(piece, 0, piece.byteLength, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}

/** What stands at a path, links not followed; null for nothing. */
export async function stats(path: string): Promise<Stats | null> {
  try {
    return await lstat(path);
  } catch (thrown) {
    if (systemCode(thrown) === 'ENOENT' || systemCode(thrown) === 'ENOTDIR') return null;
    throw thrown;
  }
}

/** Passes pieces on until a signal says stop, even while the next piece is being waited for. */
export async function* abortable(
  pieces: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void> {
  if (signal === undefined) {
    yield* pieces;
    return;
  }
  const iterator = pieces[Symbol.asyncIterator]();
  let isFinished = false;
  try {
    for (;;) {
      const waiting = iterator.next();
      // Once the signal has spoken, nobody else hears how this ends.
      waiting.catch(() => undefined);
      const next = await orAborted(waiting, signal);
      isFinished = next.done === true;
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Not waited for: a source that hangs would hang here as well.
    if (!isFinished) iterator.return?.().catch(() => undefined);
  }
}

/** Waits for work, but no longer once a signal says stop. @throws PusaError CANCELLED */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  throwIfAborted(signal);
  let stop: () => void = () => undefined;
  const stopped = new Promise<void>((done) => {
    stop = done;
  });
  signal.addEventListener('abort', stop);
  try {
    const first = await Promise.race([work.then((value) => ({ value })), stopped]);
    throwIfAborted(signal);
    return (first as { value: T }).value;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** @throws PusaError CANCELLED */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new PusaError(
    'CANCELLED',
    'The work on the media was cancelled.',
    'Start it again when you want it.',
    {
      cause: signal.reason,
    },
  );
}

/** An error met while writing to a store, as a sentence that names the folder. */
export function storeError(folder: string, thrown: unknown): PusaError {
  const code = systemCode(thrown);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new PusaError(
      'DISK_FULL',
      `The disk of the media folder “${folder}” is full.`,
      'Free some space or move the media folder to another disk, and try again; nothing was lost.',
      { cause: thrown },
    );
  }
  if (code === 'EFBIG') {
    return new PusaError(
      'WRITE_FAILED',
      `The file is too large for the disk of the media folder “${folder}”.`,
      'Move the media folder to a disk with another format (FAT32 ends at 4 GB).',
      { cause: thrown },
    );
  }
  const error = toPusaError(thrown);
  if (error.code !== 'INTERNAL' || code === undefined) return error;
  return new PusaError(
    'WRITE_FAILED',
    `The media folder “${folder}” cannot be used (${code}).`,
    'Check that its disk is connected and in order, and try again.',
    { cause: thrown },
  );
}

/** The code of an error of the operating system, such as ENOENT. */
export function systemCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || thrown instanceof PusaError || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}
