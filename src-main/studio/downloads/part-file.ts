import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { writeWhole } from '../../files/durable.ts';
import { lockFolder } from '../../engine/pipeline/lock.ts';

/** So many bytes are flushed to the disk and remembered by their hash at a time. */
const pieceBytes = 16 * 2 ** 20;
const readBytes = 4 * 2 ** 20;
const mostNotes = 1_000_000;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** What is known of a half-downloaded file, beside it as `….part.json`. */
const notesSchema = z.strictObject({
  version: z.literal(1),
  /** Of the file on the server that the bytes are of. */
  etag: z.string().max(600).nullable(),
  total: z.int().min(0).nullable(),
  sha256: sha256.nullable(),
  /** SHA-256 of each whole piece on the disk. */
  pieces: z.array(sha256).max(mostNotes),
});
type Notes = z.infer<typeof notesSchema>;
export type Identity = Pick<Notes, 'etag' | 'total' | 'sha256'>;

const noNotes: Notes = { version: 1, etag: null, total: null, sha256: null, pieces: [] };

const partEnding = '.part';
const notesEnding = '.part.json';
const lockEnding = '.part.lock';

/** Bytes that an interrupted download of a file left; 0 where there are none. */
export async function partBytesOf(path: string): Promise<number> {
  return stat(`${path}${partEnding}`).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Removes what an interrupted download left. @returns the bytes it freed */
export async function removePart(path: string): Promise<number> {
  const bytes = await partBytesOf(path);
  for (const ending of [notesEnding, partEnding]) await rm(`${path}${ending}`, { force: true });
  return bytes;
}

/**
 * A file that is being downloaded: `….part` until it is whole and proven. Bytes are hashed as they are written, whole
 * pieces are flushed and noted, so that after a power cut what the disk lost is known from what it kept.
 */
export class PartFile {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #unlock: () => Promise<void>;
  #notes: Notes;
  #length = 0;
  #hash: Hash = createHash('sha256');
  #piece: Hash = createHash('sha256');
  #resumed = false;
  /** Hashes of pieces that are written but not flushed. */
  #fresh: string[] = [];

  private constructor(path: string, handle: FileHandle, unlock: () => Promise<void>, notes: Notes) {
    this.path = path;
    this.#handle = handle;
    this.#unlock = unlock;
    this.#notes = notes;
  }

  /**
   * Opens what there is of a file, or begins it; reads what is there to go on hashing.
   * @param onBytes told of bytes read
   * @throws PusaError DOWNLOAD_FAILED while another process downloads it; DISK_FULL, WRITE_FAILED, the signal's reason
   */
  static async open(
    path: string,
    signal: AbortSignal,
    onBytes?: (done: number, total: number) => void,
  ): Promise<PartFile> {
    try {
      await mkdir(dirname(path), { recursive: true });
    } catch (thrown) {
      throw toPusaError(thrown);
    }
    const unlock = await lockFolder(`${path}${lockEnding}`).catch((thrown: unknown) => {
      if (toPusaError(thrown).code !== 'JOB_BUSY') throw thrown;
      throw new PusaError(
        'DOWNLOAD_FAILED',
        'Another program of Pusa Studio is downloading the same file.',
        'Wait until it has finished, or end it, and try again.',
      );
    });
    let handle: FileHandle | null = null;
    try {
      const notes = await readNotes(path);
      handle = await open(`${path}${partEnding}`, constants.O_RDWR | constants.O_CREAT);
      const part = new PartFile(path, handle, unlock, notes ?? noNotes);
      // Nobody knows what bytes without notes are of.
      if (notes === null) await part.restart(noNotes);
      else await part.#readBack(signal, onBytes);
      return part;
    } catch (thrown) {
      await handle?.close();
      await unlock();
      if (signal.aborted) throw thrown;
      throw toPusaError(thrown);
    }
  }

  /** Bytes that are there. */
  get length(): number {
    return this.#length;
  }

  /** What file on the server the bytes are of. */
  get identity(): Identity {
    return this.#notes;
  }

  /** Whether some of it was there when it was opened, or bytes came by more than one answer. */
  get isPieced(): boolean {
    return this.#resumed;
  }

  /** Bytes come by a new answer from here on. */
  noteSeam(): void {
    if (this.#length > 0) this.#resumed = true;
  }

  /** Keeps what is there and learns more about it. */
  async identify(identity: Identity): Promise<void> {
    const { etag, total, sha256: hash } = identity;
    const known = this.#notes;
    if (known.etag === etag && known.total === total && known.sha256 === hash) return;
    await this.#note({ ...known, etag, total, sha256: hash });
  }

  /** Throws away what is there. */
  async restart(identity: Identity): Promise<void> {
    await this.#handle.truncate(0);
    this.#length = 0;
    this.#resumed = false;
    this.#hash = createHash('sha256');
    this.#piece = createHash('sha256');
    const { etag, total, sha256: hash } = identity;
    await this.#note({ version: 1, etag, total, sha256: hash, pieces: [] });
  }

  /** @throws the system's error: the disk may be full */
  async append(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.byteLength) {
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.byteLength - at, this.#length);
      this.#take(bytes.subarray(at, at + bytesWritten));
      at += bytesWritten;
    }
    if (this.#fresh.length > 0) await this.#flush();
  }

  /** SHA-256 of all bytes so far. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Flushes and gives it its name. */
  async finish(): Promise<void> {
    await this.#handle.sync();
    await this.#handle.close();
    await rename(`${this.path}${partEnding}`, this.path);
    await rm(`${this.path}${notesEnding}`, { force: true });
    await this.#unlock();
  }

  /** Closes it; what is there stays. */
  async close(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
    await this.#unlock();
  }

  /** Counts and hashes bytes that are on the disk. */
  #take(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    let at = 0;
    while (at < bytes.byteLength) {
      const room = pieceBytes - (this.#length % pieceBytes);
      const some = bytes.subarray(at, at + room);
      this.#piece.update(some);
      at += some.byteLength;
      this.#length += some.byteLength;
      if (this.#length % pieceBytes !== 0) continue;
      this.#fresh.push(this.#piece.digest('hex'));
      this.#piece = createHash('sha256');
    }
  }

  async #flush(): Promise<void> {
    await this.#handle.datasync();
    const fresh = this.#fresh;
    this.#fresh = [];
    await this.#note({ ...this.#notes, pieces: [...this.#notes.pieces, ...fresh] });
  }

  async #note(notes: Notes): Promise<void> {
    await writeWhole(`${this.path}${notesEnding}`, [Buffer.from(JSON.stringify(notes))]);
    this.#notes = notes;
  }

  /** Hashes what is there, up to the first piece that is not what was written. */
  async #readBack(signal: AbortSignal, onBytes?: (done: number, total: number) => void): Promise<void> {
    const { size } = await this.#handle.stat();
    const noted = this.#notes.pieces;
    const buffer = Buffer.allocUnsafe(readBytes);
    const good: string[] = [];
    while (this.#length < size) {
      signal.throwIfAborted();
      const { bytesRead } = await this.#handle.read(buffer, 0, readBytes, this.#length);
      if (bytesRead === 0) break;
      this.#take(buffer.subarray(0, bytesRead));
      onBytes?.(this.#length, size);
      const read = this.#fresh.shift();
      if (read === undefined) continue;
      const expected = noted[good.length];
      if (expected !== undefined && expected !== read) {
        await this.#cut(good);
        return;
      }
      good.push(read);
    }
    this.#resumed = this.#length > 0;
    if (good.length !== noted.length) await this.#note({ ...this.#notes, pieces: good });
  }

  /** Keeps the good pieces only and hashes those again. */
  async #cut(good: readonly string[]): Promise<void> {
    await this.#handle.truncate(good.length * pieceBytes);
    this.#length = 0;
    this.#fresh = [];
    this.#hash = createHash('sha256');
    this.#piece = createHash('sha256');
    await this.#note({ ...this.#notes, pieces: [...good] });
    await this.#readBack(new AbortController().signal);
  }
}

async function readNotes(path: string): Promise<Notes | null> {
  try {
    const { size } = await stat(`${path}${notesEnding}`);
    if (size > 128 * 2 ** 20) return null;
    const text = await readFile(`${path}${notesEnding}`, 'utf8');
    return notesSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
