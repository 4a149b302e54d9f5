import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as it came. */
export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly authorization: string | undefined;
}

/** Answers one request by itself. @returns false to let the server answer as usual */
export type Mischief = (request: IncomingMessage, response: ServerResponse, times: number) => boolean;

/** A server that answers like huggingface.co for a few files, and does what a test wants it to. */
export interface ModelServerStub {
  readonly base: string;
  /** By `/owner/name/resolve/main/path`. */
  readonly files: Map<string, Uint8Array>;
  readonly asked: Asked[];
  /** Asked before the usual answer. */
  mischief: Mischief | null;
  /** Whether large files' hashes are told, as Hugging Face does. */
  tellsHashes: boolean;
  put(repository: string, path: string, bytes: Uint8Array): void;
  close(): Promise<void>;
}

export async function serveModels(): Promise<ModelServerStub> {
  const files = new Map<string, Uint8Array>();
  const asked: Asked[] = [];
  const times = new Map<string, number>();
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    const { range, authorization } = request.headers;
    const ifRange = request.headers['if-range'];
    asked.push({
      method: request.method ?? '',
      url,
      range,
      ifRange: typeof ifRange === 'string' ? ifRange : undefined,
      authorization,
    });
    const count = (times.get(url) ?? 0) + 1;
    times.set(url, count);
    if (stub.mischief?.(request, response, count) === true) return;
    const bytes = files.get(url);
    if (bytes === undefined) response.writeHead(404).end();
    else answer(request, response, bytes, stub.tellsHashes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stub: ModelServerStub = {
    base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    asked,
    mischief: null,
    tellsHashes: true,
    put(repository, path, bytes) {
      files.set(`/${repository}/resolve/main/${path}`, bytes);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return stub;
}

/** ETag of bytes: strong. */
export function etagOf(bytes: Uint8Array): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}

/** The usual answer: whole, or the range that was asked for if the file is still the same. */
export function answer(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Uint8Array,
  tellsHashes = true,
): void {
  const etag = etagOf(bytes);
  const headers: Record<string, string | number> = { etag, 'accept-ranges': 'bytes' };
  if (tellsHashes) {
    headers['x-linked-etag'] = `"${createHash('sha256').update(bytes).digest('hex')}"`;
    headers['x-linked-size'] = bytes.byteLength;
  }
  const match = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const ifRange = request.headers['if-range'];
  if (match !== null && (ifRange === undefined || ifRange === etag)) {
    const from = Number(match[1]);
    if (from >= bytes.byteLength) {
      response.writeHead(416, { ...headers, 'content-range': `bytes */${bytes.byteLength}` }).end();
      return;
    }
    const part = bytes.subarray(from);
    response.writeHead(206, {
      ...headers,
      'content-range': `bytes ${from}-${bytes.byteLength - 1}/${bytes.byteLength}`,
      'content-length': part.byteLength,
    });
    response.end(request.method === 'HEAD' ? undefined : part);
    return;
  }
  response.writeHead(200, { ...headers, 'content-length': bytes.byteLength });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

/**
 * Sends the head of the usual answer and so many bytes of its body, then breaks the connection.
 * @param bytesAt how many bytes the other side has on its disk: only when those came is the connection broken
 */
export function dropAfter(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Uint8Array,
  count: number,
  bytesAt: () => Promise<number>,
  tellsHashes = true,
): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const headers: Record<string, string | number> = { etag: etagOf(bytes) };
  if (tellsHashes) {
    headers['x-linked-etag'] = `"${createHash('sha256').update(bytes).digest('hex')}"`;
    headers['x-linked-size'] = bytes.byteLength;
  }
  const part = bytes.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    ...headers,
    'content-length': part.byteLength,
    ...(from > 0 ? { 'content-range': `bytes ${from}-${bytes.byteLength - 1}/${bytes.byteLength}` } : {}),
  });
  response.write(part.subarray(0, count));
  const watch = setInterval(() => {
    void bytesAt().then((there) => {
      if (there < from + count && !response.destroyed) return;
      clearInterval(watch);
      response.destroy();
    });
  }, 5);
}
