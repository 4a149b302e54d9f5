import { PusaError, toPusaError } from '../../core/errors.ts';
import type { ModelServer, RemoteFile } from './address.ts';
import { PartFile, type Identity } from './part-file.ts';
import {
  ask,
  contentRange,
  nameOf,
  Passing,
  patience as usualPatience,
  refused,
  unreachable,
  wait,
  type Answer,
  type Patience,
} from './request.ts';

/** A file to download and what is known of it beforehand. */
export interface WantedFile extends RemoteFile {
  readonly bytes: number | null;
  readonly sha256: string | null;
}

/** A file that is whole and proven. */
export interface DownloadedFile {
  readonly path: string;
  readonly bytes: number;
  /** Of the bytes on the disk. */
  readonly sha256: string;
}

export interface DownloadOptions {
  readonly signal: AbortSignal;
  /** Bytes that are on the disk, and in all where that is known; falls when a file has to be begun anew. */
  readonly onBytes?: (done: number, total: number | null) => void;
  /** A sentence about what is happening that a person may wonder at. */
  readonly onNote?: (sentence: string) => void;
  readonly patience?: Patience;
}

/**
 * Downloads a file to a path, going on from what an earlier call left beside it as `….part`. What is there stays,
 * whatever happens, unless the server has another file now or the bytes are not what they should be.
 * @throws PusaError DOWNLOAD_FAILED (try again), DOWNLOAD_REFUSED, DOWNLOAD_DAMAGED, DISK_FULL, WRITE_FAILED, CANCELLED
 */
export async function downloadFile(
  server: ModelServer,
  file: WantedFile,
  path: string,
  options: DownloadOptions,
): Promise<DownloadedFile> {
  try {
    const part = await PartFile.open(path, options.signal, (done) => options.onBytes?.(done, file.bytes));
    try {
      return await new Download(server, file, part, options).run();
    } catch (thrown) {
      await part.close();
      throw thrown;
    }
  } catch (thrown) {
    if (options.signal.aborted) throw stopped();
    throw toPusaError(thrown);
  }
}

function stopped(): PusaError {
  return new PusaError(
    'CANCELLED',
    'The download was stopped.',
    'Resume it when you want; what is downloaded stays.',
  );
}

class Download {
  readonly #server: ModelServer;
  readonly #file: WantedFile;
  readonly #part: PartFile;
  readonly #options: DownloadOptions;
  readonly #patience: Patience;
  #damages = 0;
  #restarts = 0;

  constructor(server: ModelServer, file: WantedFile, part: PartFile, options: DownloadOptions) {
    this.#server = server;
    this.#file = file;
    this.#part = part;
    this.#options = options;
    this.#patience = options.patience ?? usualPatience;
  }

  async run(): Promise<DownloadedFile> {
    await this.#dropOther();
    for (let failures = 0; ;) {
      const before = this.#part.length;
      try {
        if (!this.#isWhole()) await this.#receive();
        const done = await this.#finish();
        if (done !== null) return done;
        failures = 0;
      } catch (thrown) {
        this.#options.signal.throwIfAborted();
        if (!(thrown instanceof Passing)) throw thrown;
        // Whatever came counts as progress: patience begins anew.
        failures = this.#part.length > before ? 1 : failures + 1;
        const pause = this.#patience.retryMs[failures - 1];
        if (pause === undefined) throw thrown.error;
        const asked = thrown.afterMs ?? 0;
        if (asked > this.#patience.longestWaitMs) throw thrown.error;
        const ms = Math.max(pause, asked);
        this.#note(`${thrown.error.message} Trying again in ${Math.ceil(ms / 1000)} s.`);
        await wait(ms, this.#options.signal);
      }
    }
  }

  /** Bytes of another file than the one that is wanted are of no use. */
  async #dropOther(): Promise<void> {
    const { total, sha256 } = this.#part.identity;
    const { bytes, sha256: wanted } = this.#file;
    const isOther =
      (bytes !== null && total !== null && total !== bytes) ||
      (bytes !== null && this.#part.length > bytes) ||
      (wanted !== null && sha256 !== null && sha256 !== wanted);
    if (isOther)
      await this.#startOver('What was downloaded earlier is of another version; it is begun anew.');
  }

  #isWhole(): boolean {
    const total = this.#file.bytes ?? this.#part.identity.total;
    return total !== null && this.#part.length === total;
  }

  async #startOver(why: string | null, identity: Identity = noIdentity): Promise<void> {
    if (this.#part.length > 0) {
      if (why !== null) this.#note(why);
      if (++this.#restarts > mostRestarts) {
        throw new PusaError(
          'DOWNLOAD_DAMAGED',
          `"${nameOf(this.#file.path)}" keeps changing on the server.`,
          'Try again later, or choose another mirror in the settings.',
        );
      }
    }
    await this.#part.restart(identity);
    this.#tell();
  }

  /** Asks for what is missing and writes what comes. @throws Passing where the answer broke off */
  async #receive(): Promise<void> {
    const stall = new Stall(this.#options.signal, this.#patience.stallMs);
    try {
      const have = this.#part.length;
      const { etag } = this.#part.identity;
      const answer = await ask(this.#server, this.#file, {
        method: 'GET',
        signal: stall.signal,
        headers: {
          ...(have > 0 ? { range: `bytes=${have}-` } : {}),
          ...(have > 0 && etag !== null ? { 'if-range': etag } : {}),
        },
      });
      stall.rest();
      const skip = await this.#prepare(answer, have);
      if (skip !== null) await this.#write(answer, skip, stall);
    } catch (thrown) {
      if (stall.isStalled) throw new Passing(unreachable(this.#file, null, thrown));
      throw thrown;
    } finally {
      stall.end();
    }
  }

  /**
   * Compares an answer with what is there.
   * @returns bytes of the answer that are there already; null where there is nothing to read
   */
  async #prepare({ response, facts }: Answer, have: number): Promise<number | null> {
    const known = this.#part.identity;
    const range = contentRange(response.headers.get('content-range'));
    this.#checkSize(facts.total);
    const identity: Identity = {
      etag: facts.etag,
      total: facts.total ?? this.#file.bytes,
      sha256: facts.sha256 ?? this.#file.sha256,
    };
    const isSame =
      (known.total === null || facts.total === null || known.total === facts.total) &&
      (known.sha256 !== null && facts.sha256 !== null
        ? known.sha256 === facts.sha256
        : known.etag === null || facts.etag === null || known.etag === facts.etag);
    if (response.status === 416) {
      await response.body?.cancel();
      if (isSame && range?.total === have && have > 0) {
        await this.#part.identify({ ...identity, etag: known.etag, total: have });
        return null;
      }
      await this.#startOver(changedSentence);
      throw new Passing(
        refused(this.#file, 'the server does not give it from its beginning', 'Try again later.'),
      );
    }
    if (response.status === 206) {
      if (isSame && range?.from === have) {
        this.#part.noteSeam();
        await this.#part.identify({ ...identity, etag: facts.etag ?? known.etag });
        return 0;
      }
      await response.body?.cancel();
      await this.#startOver(isSame ? 'The server sent another part than asked for.' : changedSentence);
      throw new Passing(
        refused(this.#file, 'the server sends other parts of it than it is asked for', 'Try another mirror.'),
      );
    }
    // The whole file. If it is surely the same, the server only knows no ranges: what is here is passed over.
    const proven =
      (known.sha256 !== null && known.sha256 === facts.sha256) ||
      (known.etag !== null && known.etag === facts.etag);
    if (have > 0 && isSame && proven) {
      this.#part.noteSeam();
      await this.#part.identify(identity);
      return have;
    }
    if (have > 0) await this.#startOver(changedSentence, identity);
    else await this.#part.identify(identity);
    return 0;
  }

  /** @throws PusaError DOWNLOAD_DAMAGED when the server has a file of another size than the known one */
  #checkSize(total: number | null): void {
    const { bytes, path } = this.#file;
    if (bytes === null || total === null || bytes === total) return;
    throw new PusaError(
      'DOWNLOAD_DAMAGED',
      `"${nameOf(path)}" is another file on the server than the known one: ${total} bytes instead of ${bytes}.`,
      'Its publisher may have replaced it; try another mirror, or look for a newer version of Pusa Studio.',
    );
  }

  async #write({ response }: Answer, skip: number, stall: Stall): Promise<void> {
    const limit = this.#file.bytes ?? this.#part.identity.total;
    let toSkip = skip;
    const body = response.body as AsyncIterable<Uint8Array> | null;
    if (body === null) return;
    const pieces = body[Symbol.asyncIterator]();
    try {
      for (;;) {
        stall.await();
        const next = await pieces.next().catch((thrown: unknown) => {
          throw new Passing(unreachable(this.#file, null, thrown));
        });
        stall.rest();
        this.#options.signal.throwIfAborted();
        if (next.done === true) break;
        const piece = next.value.subarray(Math.min(toSkip, next.value.byteLength));
        toSkip -= next.value.byteLength - piece.byteLength;
        if (limit !== null && this.#part.length + piece.byteLength > limit) {
          // More than there should be: the hash tells whether what belongs to it is right.
          await this.#part.append(piece.subarray(0, limit - this.#part.length));
          this.#tell();
          return;
        }
        await this.#part.append(piece);
        this.#tell();
      }
    } finally {
      await pieces.return?.().catch(() => undefined);
    }
    if (limit !== null && this.#part.length < limit)
      throw new Passing(unreachable(this.#file, null, 'short'));
    if (limit === null) await this.#part.identify({ ...this.#part.identity, total: this.#part.length });
  }

  /** @returns null where it came damaged and is begun anew */
  async #finish(): Promise<DownloadedFile | null> {
    const found = this.#part.digest();
    const wanted = this.#file.sha256 ?? this.#part.identity.sha256;
    const { length: bytes, path } = this.#part;
    if (wanted === null || wanted === found) {
      await this.#part.finish();
      return { path, bytes, sha256: found };
    }
    const mayHelp = this.#part.isPieced && this.#damages++ === 0;
    await this.#startOver(
      mayHelp ? `"${nameOf(this.#file.path)}" did not come as it should; it is begun anew.` : null,
    );
    if (mayHelp) return null;
    throw new PusaError(
      'DOWNLOAD_DAMAGED',
      `"${nameOf(this.#file.path)}" came in another state than its publisher states (SHA-256 ${found.slice(0, 8)}… instead of ${wanted.slice(0, 8)}…).`,
      'Try again later, or choose another mirror in the settings.',
    );
  }

  #tell(): void {
    this.#options.onBytes?.(this.#part.length, this.#file.bytes ?? this.#part.identity.total);
  }

  #note(sentence: string): void {
    this.#options.onNote?.(sentence);
  }
}

/** A file that has to be begun anew more often than this is given up. */
const mostRestarts = 3;
const noIdentity: Identity = { etag: null, total: null, sha256: null };
const changedSentence = 'The file has changed on the server since it was begun; it is downloaded anew.';

/** Ends a request when nothing comes for too long; time in which nothing is waited for does not count. */
class Stall {
  readonly signal: AbortSignal;
  readonly #own = new AbortController();
  readonly #ms: number;
  #timer: NodeJS.Timeout | null = null;
  isStalled = false;

  constructor(signal: AbortSignal, ms: number) {
    this.signal = AbortSignal.any([signal, this.#own.signal]);
    this.#ms = ms;
    this.await();
  }

  await(): void {
    this.rest();
    this.#timer = setTimeout(() => {
      this.isStalled = true;
      this.#own.abort();
    }, this.#ms);
  }

  rest(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  end(): void {
    this.rest();
    this.#own.abort();
  }
}
