import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, realpath, rm, rmdir } from 'node:fs/promises';
import { basename, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { PusaError } from '../core/errors.ts';
import { flushFolder } from '../files/durable.ts';
import {
  abortable,
  findEntry,
  incomingName,
  listEntries,
  readPieces,
  removeEntry,
  storeError,
  systemCode,
  throwIfAborted,
  type Entry,
} from './media-files.ts';
import {
  markerName,
  readMarker,
  readyMarker,
  removeUnfinishedMarkers,
  requireEmpty,
  writeMarker,
} from './media-marker.ts';
import { freeBytes, publish, tooLittleSpace, writeParts } from './media-receive.ts';

/**
 * The steps of moving a store, in order: prepare (markers on both sides), copy, commit (the old folder's marker says
 * "moved": from this one write on the new folder is the store), tidy up (the old files go). A process that ends
 * between or inside steps leaves one whole store, and the step can be done again.
 */

/**
 * Checks the new folder and marks both.
 * @returns the new folder's real path
 * @throws PusaError MEDIA_FOLDER_INVALID (inside the other, holds something else), WRITE_FAILED
 */
export async function prepareMove(from: string, id: string, target: string): Promise<string> {
  const invalid = (reason: string): PusaError =>
    new PusaError(
      'MEDIA_FOLDER_INVALID',
      `The media cannot be moved to “${target}”: ${reason}.`,
      'Choose an empty folder elsewhere.',
    );
  if (!isAbsolute(target)) throw invalid('it is not a whole path');
  if (contains(from, resolve(target))) throw invalid('it is the media folder itself or lies inside it');
  const made = await mkdir(target, { recursive: true });
  const to = await realpath(target);
  if (contains(from, to) || contains(to, from)) {
    if (made !== undefined) await rmdir(to);
    throw invalid('one of the two folders lies inside the other');
  }
  const marker = await readMarker(to);
  const resumes = marker?.state === 'receiving' && marker.id === id && marker.from === from;
  const wasHere = marker?.state === 'moved' && marker.id === id;
  if (marker === null) await requireEmpty(to);
  else if (!resumes && !wasHere) throw invalid('it is the media folder of another library');
  await writeMarker(from, readyMarker(id, { to }));
  await writeMarker(to, { format: 'pusa-media', version: 1, id, state: 'receiving', from });
  await makeIncoming(to);
  return to;
}

/** What copying reports. */
export interface CopyWatch {
  /** Bytes copied so far and in all. */
  readonly onBytes?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Copies what the new folder lacks; each copy is read back before it gets its name.
 * @returns hashes of media whose bytes are not what their name says: copied as they are, since nothing is to be lost
 * @throws PusaError CANCELLED, DISK_FULL, WRITE_FAILED (a copy that reads back differently)
 */
export async function copyMissing(
  from: string,
  to: string,
  { onBytes = () => undefined, signal }: CopyWatch = {},
): Promise<string[]> {
  const missing: { hash: string; entry: Entry }[] = [];
  let total = 0;
  let done = 0;
  for (const hash of (await listEntries(from)).hashes) {
    throwIfAborted(signal);
    const entry = await findEntry(from, hash);
    // A folder with something foreign in it is no medium; it stays where it is.
    if (entry === null) continue;
    total += entry.bytes;
    if ((await findEntry(to, hash))?.bytes === entry.bytes) done += entry.bytes;
    else missing.push({ hash, entry });
  }
  const free = await freeBytes(to);
  if (total - done > free) throw tooLittleSpace(to, total - done, free);
  const damaged: string[] = [];
  onBytes(done, total);
  for (const { hash, entry } of missing) {
    const temporary = join(to, incomingName, randomUUID());
    const parts = entry.parts.map(({ path }) => ({
      name: path === entry.path ? null : basename(path),
      pieces: abortable(readPieces(path), signal),
    }));
    try {
      const copy = await writeParts(temporary, parts, (bytes) => onBytes((done += bytes), total));
      await checkCopy(temporary, entry, copy.hash, signal);
      if (copy.hash !== hash) damaged.push(hash);
      await publish(to, temporary, hash, copy.bytes);
    } catch (thrown) {
      // What was removed meanwhile need not be copied.
      if (systemCode(thrown) !== 'ENOENT' || (await findEntry(from, hash)) !== null) throw thrown;
      await rm(temporary, { recursive: true, force: true });
    }
  }
  return damaged;
}

/** Removes from the copy what has been removed from the store since. */
export async function dropRemoved(from: string, to: string): Promise<void> {
  const kept = new Set((await listEntries(from)).hashes);
  for (const hash of (await listEntries(to)).hashes) if (!kept.has(hash)) await removeEntry(to, hash);
}

/**
 * The moment of the move.
 * @throws PusaError MEDIA_FOLDER_MISSING if the old folder is not what it was, as when its disk is gone: then what it
 *   seems to lack was not removed
 */
export async function commitMove(from: string, id: string, to: string): Promise<void> {
  const marker = await readMarker(from);
  if (marker?.state !== 'ready' || marker.id !== id || marker.to !== to) {
    throw new PusaError(
      'MEDIA_FOLDER_MISSING',
      `The media folder “${from}” has gone while it was moved.`,
      'Connect its disk again and move the media anew.',
    );
  }
  await flushFolder(to);
  await writeMarker(from, { format: 'pusa-media', version: 1, id, state: 'moved', to });
}

/** Takes an unfinished copy back: the new folder is as before, the old one no longer points to it. */
export async function withdrawMove(from: string, id: string, to: string): Promise<void> {
  const marker = await readMarker(to).catch(() => null);
  if (marker?.state === 'receiving' && marker.id === id && marker.from === from) {
    await removeMedia(to, () => Promise.resolve(true));
    await removeMarker(to);
  } else if (marker === null && (await isReachable(to))) {
    // Ended before its first marker: an empty folder.
    await removeUnfinishedMarkers(to);
    await rmdir(to).catch(() => undefined);
  }
  await writeMarker(from, readyMarker(id));
}

/**
 * After the commit: makes the new folder a store in its own right and removes the old files that it has too. What
 * cannot be removed now (open elsewhere, disk not connected) is tried again when the store is next opened.
 * @param remember keeps the new folder for the next start; the old folder's sign to it stays until that is done
 */
export async function finishMove(
  from: string,
  id: string,
  to: string,
  remember: ((folder: string) => void | Promise<void>) | undefined,
): Promise<void> {
  await makeIncoming(to);
  await writeMarker(to, readyMarker(id, { from }));
  await remember?.(to);
  let old: Awaited<ReturnType<typeof readMarker>>;
  try {
    old = await readMarker(from);
    if (old?.state === 'moved' && old.id === id && old.to === to) {
      await removeMedia(from, async (hash, entry) => (await findEntry(to, hash))?.bytes === entry?.bytes);
      if (remember !== undefined) await removeMarker(from);
    } else if (old === null && !(await isReachable(from))) {
      return;
    }
  } catch {
    return;
  }
  await writeMarker(to, readyMarker(id));
}

/** Makes the folder for what is being written, if a link or a file does not stand in its place. */
export async function makeIncoming(folder: string): Promise<void> {
  const path = join(folder, incomingName);
  await mkdir(path).catch((thrown: unknown) => {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST'))
      throw storeError(folder, thrown);
  });
  if ((await realpath(path)) !== join(await realpath(folder), incomingName)) {
    throw new PusaError(
      'MEDIA_FOLDER_INVALID',
      `In the media folder, “${path}” is a link.`,
      'Remove it and try again.',
    );
  }
}

async function checkCopy(
  copy: string,
  original: Entry,
  expected: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const hash = createHash('sha256');
  for (const { path } of original.parts) {
    const part = path === original.path ? copy : join(copy, basename(path));
    for await (const piece of readPieces(part, { signal })) hash.update(piece);
  }
  if (hash.digest('hex') === expected) return;
  throw new PusaError(
    'WRITE_FAILED',
    `The copy of “${basename(original.path)}” reads back with other bytes than were written.`,
    'Check the disk, or choose another one; the media are still whole where they were.',
  );
}

/** Removes the media that may go, what was being written, and the folders left empty. */
async function removeMedia(
  folder: string,
  mayGo: (hash: string, entry: Entry | null) => Promise<boolean>,
): Promise<void> {
  for (const hash of (await listEntries(folder)).hashes) {
    if (await mayGo(hash, await findEntry(folder, hash))) await removeEntry(folder, hash);
  }
  await rm(join(folder, incomingName), { recursive: true, force: true });
  for (const name of await readdir(folder)) {
    // Only an empty folder can be removed so; anything else stays.
    if (/^[0-9a-f]{2}$/.test(name)) await rmdir(join(folder, name)).catch(() => undefined);
  }
}

/** Removes the marker, then the folder if nothing is left in it. */
async function removeMarker(folder: string): Promise<void> {
  await removeUnfinishedMarkers(folder);
  await rm(join(folder, markerName), { force: true });
  await flushFolder(folder);
  await rmdir(folder).catch(() => undefined);
}

async function isReachable(folder: string): Promise<boolean> {
  return readdir(folder).then(
    () => true,
    () => false,
  );
}

function contains(outer: string, inner: string): boolean {
  const way = relative(outer, inner);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}
