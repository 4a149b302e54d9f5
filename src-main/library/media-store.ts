import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, realpath, rm } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { PusaError } from '../core/errors.ts';
import { hashFile } from '../media/asset.ts';
import {
  findEntry,
  incomingName,
  isHash,
  listEntries,
  listFans,
  orAborted,
  readPieces,
  readRange,
  removeEntry,
  storeError,
  throwIfAborted,
  type Entry,
} from './media-files.ts';
import {
  readMarker,
  readyMarker,
  removeUnfinishedMarkers,
  requireEmpty,
  writeMarker,
} from './media-marker.ts';
import {
  commitMove,
  copyMissing,
  dropRemoved,
  finishMove,
  makeIncoming,
  prepareMove,
  withdrawMove,
  type CopyWatch,
} from './media-move.ts';
import {
  differs,
  freeBytes,
  openParts,
  publish,
  streamed,
  tooLittleSpace,
  writeParts,
} from './media-receive.ts';
import { missingFolder, settle } from './media-settle.ts';
import type { Imported, ImportOptions, OpenOptions, Swept } from './media-types.ts';

interface Hold {
  holders: number;
  isNew: boolean;
  isRecorded: boolean;
}

/**
 * Opens the media store in a folder, or makes one in a folder that is empty or not there (see {@link OpenOptions}).
 * A move that was committed but not tidied up is finished, and the store is then where it was moved to. One process
 * at a time may have a store open: the library's lock sees to that.
 * @throws PusaError MEDIA_FOLDER_MISSING, MEDIA_FOLDER_INVALID (another store's, not empty), WRITE_FAILED, DISK_FULL
 */
export async function openMediaStore(folder: string, given: OpenOptions = {}): Promise<MediaStore> {
  try {
    if (!isAbsolute(folder)) throw new TypeError('A media folder is given as an absolute path.');
    if (given.id === undefined) await mkdir(folder, { recursive: true });
    const { at, marker } = await locate(folder, given);
    return new MediaStore(at, marker.id, marker.to ?? null, given.remember);
  } catch (thrown) {
    if (thrown instanceof TypeError) throw thrown;
    const error = storeError(folder, thrown);
    const { id, mayBeAbsent, remember } = given;
    if (mayBeAbsent !== true || id === undefined || error.code !== 'MEDIA_FOLDER_MISSING') throw error;
    return new MediaStore(folder, id, null, remember, error);
  }
}

/** Finds the folder in use and makes it ready. */
async function locate(folder: string, given: OpenOptions): ReturnType<typeof settle> {
  const real = await realpath(folder).catch(() => folder);
  const settled = await settle(real, await readMarker(real), { ...given, hops: 8 });
  await makeIncoming(settled.at);
  await removeUnfinishedMarkers(settled.at);
  return settled;
}

/** Content-addressed media: a medium is known by the SHA-256 of its bytes and by nothing else. */
export class MediaStore {
  /** The store's own identity, kept when it moves; a library remembers it to know its media again. */
  readonly id: string;
  #folder: string;
  #interruptedMove: string | null;
  readonly #remember: OpenOptions['remember'];
  readonly #holds = new Map<string, Hold>();
  readonly #unfinished = new Set<string>();
  readonly #imports = new Set<Promise<unknown>>();
  /** Everything that gives or takes a name, one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  /** Closed to imports while a move switches folders. */
  #gate: Promise<void> | null = null;
  #isMoving = false;
  #absence: PusaError | null;
  /** Told when the folder is another one, gone, or back. */
  onFolder: () => void = () => undefined;

  /** Use {@link openMediaStore}. */
  constructor(
    folder: string,
    id: string,
    interruptedMove: string | null,
    remember: OpenOptions['remember'],
    absence: PusaError | null = null,
  ) {
    this.#absence = absence;
    this.#folder = folder;
    this.id = id;
    this.#interruptedMove = interruptedMove;
    this.#remember = remember;
  }

  /** Real path of the folder in use. */
  get folder(): string {
    return this.#folder;
  }

  /** Why there are no media, as while their disk is not connected: everything but finding them is refused with it. */
  get absence(): PusaError | null {
    return this.#absence;
  }

  /** Looks whether the folder is gone, or back. */
  async look(): Promise<void> {
    const isThere = (await readMarker(this.#folder).catch(() => null))?.id === this.id;
    if (isThere === (this.#absence === null)) return;
    if (isThere) return this.find(this.#folder);
    this.#absence = missingFolder(this.#folder);
    this.onFolder();
  }

  /**
   * Goes on with the media in the folder where they are now; only while they are absent.
   * @param isNew an empty folder becomes the store, and the media have to be brought in again
   * @throws PusaError MEDIA_FOLDER_MISSING (not there either), MEDIA_FOLDER_INVALID (another library's, not empty; or
   *   nothing is absent), WRITE_FAILED, DISK_FULL
   */
  async find(folder: string, isNew = false): Promise<void> {
    if (this.#absence === null) {
      throw new PusaError(
        'MEDIA_FOLDER_INVALID',
        `The library’s media are where they belong, at “${this.#folder}”.`,
        'To have them elsewhere, move them.',
      );
    }
    await this.#moving(async () => {
      try {
        if (isNew) {
          await requireEmpty(folder);
          await writeMarker(folder, readyMarker(this.id));
        }
        const { at, marker } = await locate(folder, { id: this.id });
        await this.#remember?.(at);
        this.#folder = at;
        this.#interruptedMove = marker.to ?? null;
        this.#absence = null;
      } catch (thrown) {
        throw storeError(folder, thrown);
      }
    });
    this.onFolder();
  }

  /** Where an interrupted move was going: {@link moveTo} resumes it, {@link abandonMove} takes it back. */
  get interruptedMove(): string | null {
    return this.#interruptedMove;
  }

  /**
   * Takes a medium in: a file, a folder or pattern of pictures (see `media/sequence.ts`), or bytes as they come. It is
   * there whole and flushed to the disk, or not at all. Memory does not grow with its size.
   * @throws PusaError FILE_NOT_FOUND, FILE_EMPTY, MEDIA_UNSUPPORTED (no file), MEDIA_UNREADABLE (changes while it is
   *   read), MEDIA_DIFFERS (not what `expect` says), DISK_FULL, WRITE_FAILED, CANCELLED; what `record` throws
   */
  async import(source: string | AsyncIterable<Uint8Array>, options: ImportOptions = {}): Promise<Imported> {
    while (this.#gate !== null) await this.#gate;
    const work = this.#import(source, options);
    this.#imports.add(work);
    try {
      return await work;
    } finally {
      this.#imports.delete(work);
    }
  }

  /**
   * The file of a medium, or the folder of a sequence; valid until the medium is removed or the store moved.
   * @throws PusaError FILE_NOT_FOUND
   */
  async path(hash: string): Promise<string> {
    return (await this.#entry(hash)).path;
  }

  /** Whether a medium is there. Anything but a hash is not. */
  async has(hash: string): Promise<boolean> {
    return isHash(hash) && (await findEntry(this.#there(), hash)) !== null;
  }

  /** Bytes of each picture of a sequence, in order; null for any other medium. @throws PusaError FILE_NOT_FOUND */
  async parts(hash: string): Promise<readonly number[] | null> {
    const { path, parts } = await this.#entry(hash);
    return parts[0]?.path === path ? null : parts.map(({ bytes }) => bytes);
  }

  /** Bytes of a medium. @throws PusaError FILE_NOT_FOUND */
  async size(hash: string): Promise<number> {
    return (await this.#entry(hash)).bytes;
  }

  /**
   * Bytes of a medium from `start` up to but without `end` (by default all; what lies past its end is left out); those
   * of a sequence are its pictures' one after the other. Pieces of up to 1 MiB, read as they are asked for.
   * @throws PusaError FILE_NOT_FOUND, CANCELLED; RangeError for positions that are no whole numbers from 0 on
   */
  async *read(
    hash: string,
    {
      start = 0,
      end = Number.MAX_SAFE_INTEGER,
      signal,
    }: { start?: number; end?: number; signal?: AbortSignal } = {},
  ): AsyncGenerator<Uint8Array, void> {
    if (![start, end].every((position) => Number.isSafeInteger(position) && position >= 0)) {
      throw new RangeError(`Positions ${start} to ${end} cannot be read.`);
    }
    let begin = 0;
    for (const part of (await this.#entry(hash)).parts) {
      const [from, to] = [Math.max(0, start - begin), Math.min(part.bytes, end - begin)];
      if (from < to) yield* readRange(part.path, from, to, signal);
      begin += part.bytes;
    }
  }

  /**
   * Removes a medium.
   * @returns the bytes freed; 0 if there is none, or an import has it in hand and has not recorded it yet
   */
  async remove(hash: string): Promise<number> {
    if (!isHash(hash)) return 0;
    this.#there();
    return this.#alone(() => this.#remove(hash));
  }

  /** Hashes of all media, or of those whose hashes begin with two digits, in no order. */
  async list(prefix?: string): Promise<string[]> {
    return (await listEntries(this.#there(), prefix)).hashes;
  }

  /** Bytes of all media together. */
  async bytes(): Promise<number> {
    const hashes = await this.list();
    let sum = 0;
    for (let at = 0; at < hashes.length; at += 64) {
      const batch = hashes.slice(at, at + 64).map((hash) => findEntry(this.#folder, hash));
      for (const entry of await Promise.all(batch)) sum += entry?.bytes ?? 0;
    }
    return sum;
  }

  /**
   * Removes media that no record names, and what interrupted writes left. Foreign files in the folder are not touched.
   * Others may go on meanwhile: it takes one folder after the other.
   * @param named which of some hashes records name, at that moment. Be sure that they are all: the rest is deleted.
   * @throws PusaError CANCELLED
   */
  async sweep(
    named: (hashes: readonly string[]) => ReadonlySet<string>,
    signal?: AbortSignal,
  ): Promise<Swept> {
    this.#there();
    const unfinished = await this.#alone(() => this.#removeUnfinished());
    const removed: string[] = [];
    let freedBytes = 0;
    for (const fan of await listFans(this.#folder)) {
      throwIfAborted(signal);
      await this.#alone(async () => {
        const { hashes, links } = await listEntries(this.#folder, fan);
        for (const hash of links) await removeEntry(this.#folder, hash);
        // What an import has in hand gets its record yet.
        const free = hashes.filter((hash) => !this.#holds.has(hash));
        const kept = named(free);
        for (const hash of free) {
          if (kept.has(hash)) continue;
          freedBytes += await this.#remove(hash);
          removed.push(hash);
        }
      });
    }
    return { removed, freedBytes, unfinished };
  }

  /** Reads a medium through. `damaged`: its bytes are not those it was stored with. */
  async verify(hash: string, signal?: AbortSignal): Promise<'sound' | 'damaged' | 'missing'> {
    const entry = isHash(hash) ? await findEntry(this.#there(), hash) : null;
    if (entry === null) return 'missing';
    const digest = createHash('sha256');
    for (const { path } of entry.parts) {
      for await (const piece of readPieces(path, { signal })) digest.update(piece);
    }
    return digest.digest('hex') === hash ? 'sound' : 'damaged';
  }

  /**
   * Moves all media to an empty folder: copies and reads back, switches, then removes the old files. The store stays
   * usable meanwhile. If the process ends on the way, the store is whole in one of the two folders, and the same call
   * resumes ({@link interruptedMove}); after an error or a cancel the new folder is as before.
   * @returns hashes of media that were damaged before (moved as they are)
   * @throws PusaError MEDIA_FOLDER_INVALID, DISK_FULL, WRITE_FAILED, CANCELLED
   */
  async moveTo(target: string, watch: CopyWatch = {}): Promise<{ damaged: readonly string[] }> {
    return this.#moving(async () => {
      const from = this.#there();
      if (
        this.#interruptedMove !== null &&
        this.#interruptedMove !== (await realpath(target).catch(() => null))
      ) {
        await withdrawMove(from, this.id, this.#interruptedMove);
      }
      const to = await prepareMove(from, this.id, target);
      const damaged = new Set<string>();
      let openGate: () => void = () => undefined;
      try {
        for (const hash of await copyMissing(from, to, watch)) damaged.add(hash);
        this.#gate = new Promise((open) => {
          openGate = open;
        });
        await orAborted(Promise.allSettled(this.#imports), watch.signal);
        await this.#alone(async () => {
          for (const hash of await copyMissing(from, to, watch)) damaged.add(hash);
          await dropRemoved(from, to);
          await commitMove(from, this.id, to);
          this.#folder = to;
        });
      } catch (thrown) {
        // The disk may be gone; then the next start finds the move interrupted.
        await withdrawMove(from, this.id, to).catch(() => {
          this.#interruptedMove = to;
        });
        throw storeError(to, thrown);
      } finally {
        this.#gate = null;
        openGate();
      }
      this.#interruptedMove = null;
      this.onFolder();
      await finishMove(from, this.id, to, this.#remember);
      return { damaged: [...damaged] };
    });
  }

  /** Takes an interrupted move back: removes the unfinished copy. Does nothing if there is none. */
  async abandonMove(): Promise<void> {
    await this.#moving(async () => {
      if (this.#interruptedMove === null || this.#absence !== null) return;
      await withdrawMove(this.#folder, this.id, this.#interruptedMove);
      this.#interruptedMove = null;
    });
  }

  async #import(source: string | AsyncIterable<Uint8Array>, options: ImportOptions): Promise<Imported> {
    const temporary = join(this.#there(), incomingName, randomUUID());
    this.#unfinished.add(temporary);
    try {
      const { signal } = options;
      throwIfAborted(signal);
      const { parts, total } =
        typeof source === 'string' ? await openParts(source, signal) : streamed(source, signal);
      const known =
        typeof source === 'string' ? await this.#whereSpaceIsShort(source, total ?? 0, signal) : null;
      let done = 0;
      const written =
        known ?? (await writeParts(temporary, parts, (piece) => options.onBytes?.((done += piece), total)));
      if (written.bytes === 0) {
        throw new PusaError('FILE_EMPTY', 'The file is empty.', 'Copy or download the file again.');
      }
      if (options.expect !== undefined && options.expect !== written.hash) {
        throw differs(typeof source === 'string' ? source : null);
      }
      throwIfAborted(signal);
      return await this.#record(temporary, written, options.record);
    } catch (thrown) {
      await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
      if (thrown instanceof PusaError) throw thrown;
      // Its disk may have gone meanwhile.
      await this.look();
      this.#there();
      throw storeError(this.#folder, thrown);
    } finally {
      this.#unfinished.delete(temporary);
    }
  }

  /** The medium that a file would become, if there is no room for a copy but it is in the store already. */
  async #whereSpaceIsShort(
    source: string,
    total: number,
    signal: AbortSignal | undefined,
  ): Promise<{ hash: string; bytes: number } | null> {
    const free = await freeBytes(this.#folder);
    if (total <= free) return null;
    const hash = await hashFile(source, { signal });
    if ((await findEntry(this.#folder, hash))?.bytes === total) return { hash, bytes: total };
    throw tooLittleSpace(this.#folder, total, free);
  }

  async #record(
    temporary: string,
    { hash, bytes }: { hash: string; bytes: number },
    record: ImportOptions['record'],
  ): Promise<Imported> {
    const { hold, isNew } = await this.#alone(async () => {
      const published = await publish(this.#folder, temporary, hash, bytes);
      const held = this.#holds.get(hash) ?? { holders: 0, isNew: false, isRecorded: false };
      held.holders++;
      held.isNew ||= published;
      this.#holds.set(hash, held);
      return { hold: held, isNew: published };
    });
    const imported = { hash, bytes, isNew };
    try {
      await record?.(imported);
      hold.isRecorded = true;
      return imported;
    } finally {
      await this.#alone(async () => {
        if (--hold.holders > 0) return;
        this.#holds.delete(hash);
        if (hold.isNew && !hold.isRecorded) await this.#remove(hash);
      });
    }
  }

  /** @returns how many there were */
  async #removeUnfinished(): Promise<number> {
    const incoming = join(this.#folder, incomingName);
    const left = (await readdir(incoming)).filter((name) => !this.#unfinished.has(join(incoming, name)));
    for (const name of left) await rm(join(incoming, name), { recursive: true, force: true });
    return left.length;
  }

  async #remove(hash: string): Promise<number> {
    if (this.#holds.has(hash)) return 0;
    const bytes = (await findEntry(this.#folder, hash))?.bytes ?? 0;
    await removeEntry(this.#folder, hash);
    return bytes;
  }

  /** The folder. @throws PusaError MEDIA_FOLDER_MISSING */
  #there(): string {
    if (this.#absence !== null) throw this.#absence;
    return this.#folder;
  }

  async #entry(hash: string): Promise<Entry> {
    const entry = isHash(hash) ? await findEntry(this.#there(), hash) : null;
    if (entry !== null) return entry;
    throw new PusaError(
      'FILE_NOT_FOUND',
      'The file of a picture, clip or take is not in the library’s media folder.',
      'Relink it: point to the original file or to a folder that holds it.',
    );
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #moving<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isMoving) {
      throw new PusaError(
        'WRITE_FAILED',
        'The media are being moved already.',
        'Wait until that is done, or cancel it.',
      );
    }
    this.#isMoving = true;
    try {
      return await work();
    } finally {
      this.#isMoving = false;
    }
  }
}
