import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Guard } from './guard.ts';

/** Answers a request of the window: the same function for the served and the Electron application. */
export type Handler = (request: Request) => Promise<Response>;

const maxBody = 1 << 20;

/** Sent with every answer. Scripts and styles come from us alone; nothing may frame or be sniffed. */
export const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; " +
    "img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/** A running loopback server. */
export interface LoopbackServer {
  /** The one-time link. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves `handler` on loopback behind the {@link Guard}.
 * @param port 0 takes a free one
 */
export async function listen(handler: Handler, port: number): Promise<LoopbackServer> {
  const server = createServer();
  // A slow or silent client may not hold a connection for ever.
  server.headersTimeout = 10_000;
  server.requestTimeout = 30_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  const guard = new Guard((server.address() as AddressInfo).port);
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  server.on('request', (incoming, outgoing) => {
    answer(handler, guard, base, incoming, outgoing).catch(() => outgoing.destroy());
  });
  return { url: `${base}/?token=${guard.oneTimeToken}`, close: () => close(server) };
}

async function answer(
  handler: Handler,
  guard: Guard,
  base: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const url = URL.parse(incoming.url ?? '', base);
  const method = incoming.method ?? 'GET';
  const headers = incoming.headers as Record<string, string | undefined>;
  if (url?.origin !== base) {
    await send(outgoing, text(400, 'The request could not be read.'));
    return;
  }
  const verdict = guard.check({ method, url, headers });
  if (verdict.kind === 'refuse') {
    await send(outgoing, text(403, verdict.reason));
  } else if (verdict.kind === 'enter') {
    await send(
      outgoing,
      new Response(null, {
        status: 303,
        headers: { location: '/', 'set-cookie': verdict.cookie, 'cache-control': 'no-store' },
      }),
    );
  } else {
    await pass(handler, url, method, headers, incoming, outgoing);
  }
}

async function pass(
  handler: Handler,
  url: URL,
  method: string,
  headers: Record<string, string | undefined>,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const body = method === 'GET' || method === 'HEAD' ? null : await readBody(incoming);
  if (body === 'too-large') {
    // The rest of the body is not waited for: the connection ends with this answer.
    outgoing.setHeader('connection', 'close');
    await send(outgoing, text(413, 'The request is too large.'));
    return;
  }
  const range = headers['range'];
  const request = new Request(url, {
    method,
    headers: range === undefined ? {} : { range },
    ...(body === null ? {} : { body }),
  });
  await send(outgoing, await handler(request));
}

function readBody(incoming: IncomingMessage): Promise<Uint8Array<ArrayBuffer> | 'too-large'> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    incoming.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBody) {
        chunks.push(chunk);
        return;
      }
      // Paused, not destroyed: the answer must still reach the sender.
      incoming.pause().removeAllListeners('data');
      resolve('too-large');
    });
    incoming.on('end', () => resolve(new Uint8Array(Buffer.concat(chunks))));
    incoming.on('error', reject);
  });
}

async function send(outgoing: ServerResponse, response: Response): Promise<void> {
  outgoing.writeHead(response.status, { ...securityHeaders, ...Object.fromEntries(response.headers) });
  if (response.body === null) {
    outgoing.end();
    return;
  }
  // A reader that goes away in the middle (seeking in a video) is no error.
  await pipeline(Readable.fromWeb(response.body), outgoing).catch(() => {
    outgoing.destroy();
  });
}

function text(status: number, message: string): Response {
  return new Response(message, {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
  });
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
