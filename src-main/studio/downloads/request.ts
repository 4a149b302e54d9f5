import { setTimeout as delay } from 'node:timers/promises';
import { PusaError } from '../../core/errors.ts';
import { addressOf, mayAsk, pageOf, type ModelServer, type RemoteFile } from './address.ts';

/** How patient a download is. Times in milliseconds. */
export interface Patience {
  /** Nothing at all comes for so long: the connection is given up and tried again. */
  readonly stallMs: number;
  /** Waits before trying again, one after the other; without any progress in between, the last try's failure stands. */
  readonly retryMs: readonly number[];
  /** A server that asks to wait is obeyed up to this. */
  readonly longestWaitMs: number;
}

export const patience: Patience = {
  stallMs: 60_000,
  retryMs: [1000, 2000, 5000, 15_000, 30_000, 60_000, 120_000],
  longestWaitMs: 10 * 60_000,
};

const mostRedirects = 10;

/** What a server says of a file. */
export interface RemoteFacts {
  /** Bytes of the whole file; null where the answer does not tell. */
  readonly total: number | null;
  /** SHA-256 in hex, where the server keeps large files by it. */
  readonly sha256: string | null;
  /** A strong ETag of the bytes that are sent; null where there is none. */
  readonly etag: string | null;
}

export interface Answer {
  readonly response: Response;
  readonly facts: RemoteFacts;
}

/** A failure that may pass: tried again. `afterMs`: the server said when. */
export class Passing extends Error {
  readonly error: PusaError;
  readonly afterMs: number | null;

  constructor(error: PusaError, afterMs: number | null = null) {
    super(error.message);
    this.error = error;
    this.afterMs = afterMs;
  }
}

export interface AskOptions {
  readonly method: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * Asks for a file, following redirects. The token goes to the server's own origin and nowhere else.
 * @returns answers 200, 206 and 416
 * @throws Passing what may go better the next time; PusaError DOWNLOAD_REFUSED what will not
 */
export async function ask(
  server: ModelServer,
  file: RemoteFile,
  { method, headers = {}, signal }: AskOptions,
): Promise<Answer> {
  const own = new URL(server.base).origin;
  let url = new URL(addressOf(server, file));
  let linked: { size: number | null; sha256: string | null } = { size: null, sha256: null };
  for (let hop = 0; hop <= mostRedirects; hop++) {
    if (!mayAsk(url, server)) {
      throw refused(
        file,
        `the server sends it on to ${url.origin}, which is not encrypted`,
        'Choose another mirror in the settings.',
      );
    }
    const response = await send(url, file, {
      method,
      signal,
      redirect: 'manual',
      headers: {
        ...headers,
        // Bytes as they are: ranges and lengths count those.
        'accept-encoding': 'identity',
        'user-agent': 'pusa-studio',
        ...(server.token !== null && url.origin === own ? { authorization: `Bearer ${server.token}` } : {}),
      },
    });
    // Only the server itself is believed about the file; those it sends on to know their own bytes.
    if (url.origin === own) linked = linkedOf(response.headers) ?? linked;
    const location = response.headers.get('location');
    if (response.status >= 300 && response.status < 400 && response.status !== 304 && location !== null) {
      await response.body?.cancel();
      if (!URL.canParse(location, url.href)) throw refused(file, 'the server sends it on to nowhere', retry);
      url = new URL(location, url);
      // Where its bytes lie may not answer a question about them; what is to be known is known.
      if (method === 'HEAD' && linked.size !== null) {
        return { response, facts: { total: linked.size, sha256: linked.sha256, etag: null } };
      }
      continue;
    }
    if (response.status === 200 || response.status === 206 || response.status === 416) {
      const encoding = response.headers.get('content-encoding') ?? 'identity';
      if (encoding !== 'identity') {
        await response.body?.cancel();
        throw refused(file, `the server sends it packed as ${encoding.slice(0, 40)}`, otherMirror);
      }
      return { response, facts: factsOf(response, linked) };
    }
    await response.body?.cancel();
    throw failureOf(server, file, response);
  }
  throw refused(file, 'the server sends it on in a circle', otherMirror);
}

const retry = 'Try again later; what is downloaded stays.';
const otherMirror = 'Try again later, or choose another mirror in the settings.';

async function send(url: URL, file: RemoteFile, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (thrown) {
    if (init.signal?.aborted === true) throw thrown;
    throw new Passing(unreachable(file, url, thrown));
  }
}

/** A connection that could not be made or broke. */
export function unreachable({ path }: RemoteFile, url: URL | null, cause: unknown): PusaError {
  const where = url === null ? 'the server' : url.host;
  return new PusaError(
    'DOWNLOAD_FAILED',
    `"${nameOf(path)}" could not be downloaded: ${where} does not answer, or the connection broke.`,
    'Check the network, then resume: what is downloaded stays.',
    { cause },
  );
}

function failureOf(server: ModelServer, file: RemoteFile, response: Response): Error {
  const { status } = response;
  const page = pageOf(server, file);
  if (status === 401 || status === 403) {
    return refused(
      file,
      server.token === null ? 'its publisher asks who you are' : 'its publisher does not let you have it',
      server.token === null
        ? `Open ${page}, accept the licence there, and enter your access token in the settings.`
        : `Open ${page} and accept the licence there; then check that the access token in the settings may read it.`,
    );
  }
  if (status === 404 || status === 410) {
    return refused(
      file,
      'it is not there',
      `Look at ${page}: it may have been moved or renamed. A mirror may not have it.`,
    );
  }
  if (status === 429 || status === 503) {
    const after = retryAfter(response.headers.get('retry-after'));
    return new Passing(
      new PusaError(
        'DOWNLOAD_FAILED',
        `"${nameOf(file.path)}" could not be downloaded: the server is busy and asks to wait.`,
        'Resume in some minutes; with an access token in the settings it lets more through.',
      ),
      after,
    );
  }
  const error = new PusaError(
    'DOWNLOAD_FAILED',
    `"${nameOf(file.path)}" could not be downloaded: the server answered ${status}.`,
    otherMirror,
  );
  return status >= 500 || status === 408 || status === 425 ? new Passing(error) : error;
}

/** The refusal of a file; `what` continues the sentence after a colon. */
export function refused({ path }: RemoteFile, what: string, remedy: string): PusaError {
  return new PusaError('DOWNLOAD_REFUSED', `"${nameOf(path)}" cannot be downloaded: ${what}.`, remedy);
}

/** The last part of a path. */
export function nameOf(path: string): string {
  return path.split('/').at(-1) ?? path;
}

/** Seconds or a date. @returns milliseconds from now; null where it says neither */
export function retryAfter(text: string | null, now = Date.now()): number | null {
  if (text === null) return null;
  if (/^\s*\d{1,9}\s*$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}

/** `x-linked-*`: size and hash of a large file, on the answer that sends on to its bytes. */
function linkedOf(headers: Headers): { size: number | null; sha256: string | null } | null {
  const etag = headers.get('x-linked-etag');
  const size = headers.get('x-linked-size');
  if (etag === null && size === null) return null;
  return { size: wholeNumber(size), sha256: /^"?([0-9a-f]{64})"?$/.exec(etag ?? '')?.[1] ?? null };
}

function factsOf(
  { status, headers }: Response,
  linked: { size: number | null; sha256: string | null },
): RemoteFacts {
  const range = contentRange(headers.get('content-range'));
  const length = status === 200 ? wholeNumber(headers.get('content-length')) : null;
  const etag = headers.get('etag');
  return {
    total: linked.size ?? range?.total ?? length,
    sha256: linked.sha256,
    // A weak one may stand for other bytes that mean the same.
    etag: etag !== null && /^"[^"]{1,500}"$/.test(etag) ? etag : null,
  };
}

/** `bytes 5-9/10`, and of a refused range `bytes * /10`. */
export function contentRange(text: string | null): { from: number | null; total: number | null } | null {
  const match = /^bytes (?:(\d{1,15})-(\d{1,15})|\*)\/(\d{1,15}|\*)$/.exec(text ?? '');
  if (match === null) return null;
  return { from: wholeNumber(match[1] ?? null), total: wholeNumber(match[3] ?? null) };
}

function wholeNumber(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** Waits, but not longer than the signal. @throws the signal's reason */
export async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
  signal.throwIfAborted();
}
