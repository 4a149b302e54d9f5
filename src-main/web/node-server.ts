import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable, type Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { PusaError } from '../core/errors.ts';
import { failure, text, type Handler } from './answers.ts';
import { Guard, type Verdict } from './guard.ts';
import { securityHeaders } from './policy.ts';
import { Sockets, stopped, type Connect, type SocketLimits } from './sockets.ts';

/** Where windows connect. */
const socketPath = '/socket';

export interface ServerLimits {
  readonly headersMs: number;
  readonly requestMs: number;
  /** A connection over which nothing went in this time is ended: a client that never reads. */
  readonly idleMs: number;
  readonly connections: number;
  readonly bodyBytes: number;
}

const serverLimits: ServerLimits = {
  headersMs: 10_000,
  requestMs: 30_000,
  idleMs: 300_000,
  connections: 256,
  bodyBytes: 1 << 20,
};

export interface ListenOptions {
  /** Answers WebSockets; without it there are none. */
  readonly connect?: Connect;
  readonly limits?: Partial<ServerLimits>;
  readonly socketLimits?: Partial<SocketLimits>;
}

/** A running loopback server. */
export interface LoopbackServer {
  /** The one-time link. */
  readonly url: string;
  /** Tells the windows, and ends when nothing they asked for is under way. */
  close(): Promise<void>;
}

/**
 * Serves `handler` on loopback behind the {@link Guard}.
 * @param port 0 takes a free one
 * @throws PusaError USAGE where the port cannot be had
 */
export async function listen(
  handler: Handler,
  port: number,
  options: ListenOptions = {},
): Promise<LoopbackServer> {
  const limits = { ...serverLimits, ...options.limits };
  // A slow or silent client may not hold a connection for ever.
  const server = createServer({
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    connectionsCheckingInterval: Math.min(2000, limits.headersMs),
  });
  server.setTimeout(limits.idleMs);
  server.maxConnections = limits.connections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const isTaken = cause.code === 'EADDRINUSE';
      const reason = isTaken ? 'another program uses it' : 'the system does not allow it';
      const remedy = 'Choose another with --port, or leave that out for a free one.';
      reject(new PusaError('USAGE', `Port ${port} cannot be had: ${reason}.`, remedy, { cause }));
    });
    server.listen(port, '127.0.0.1', resolve);
  });
  const { port: taken } = server.address() as AddressInfo;
  const host = `127.0.0.1:${taken}`;
  const sockets = options.connect === undefined ? null : new Sockets(options.connect, options.socketLimits);
  const door = new Door(handler, new Guard(taken), host, limits.bodyBytes, sockets);
  server.on('request', (incoming, outgoing) => {
    door.answer(incoming, outgoing).catch(() => outgoing.destroy());
  });
  server.on('upgrade', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    door.upgrade(incoming, socket, head);
  });
  return {
    url: `http://${host}/?token=${door.token}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await sockets?.close(stopped());
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Lets in what the guard lets pass. */
class Door {
  private readonly handler: Handler;
  private readonly guard: Guard;
  private readonly base: string;
  private readonly maxBody: number;
  private readonly sockets: Sockets | null;
  private readonly headers: Readonly<Record<string, string>>;

  constructor(handler: Handler, guard: Guard, host: string, maxBody: number, sockets: Sockets | null) {
    this.handler = handler;
    this.guard = guard;
    this.base = `http://${host}`;
    this.maxBody = maxBody;
    this.sockets = sockets;
    const { port } = new URL(this.base);
    this.headers = securityHeaders(`ws://${host}`, `ws://localhost:${port}`);
  }

  get token(): string {
    return this.guard.oneTimeToken;
  }

  async answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { url, verdict } = this.look(incoming);
    if (url === null || verdict === null) {
      await this.send(outgoing, text(400, 'The request could not be read.'));
    } else if (verdict.kind === 'refuse') {
      await this.send(outgoing, text(403, verdict.reason));
    } else if (verdict.kind === 'enter') {
      const headers = { location: '/', 'set-cookie': verdict.cookie, 'cache-control': 'no-store' };
      await this.send(outgoing, new Response(null, { status: 303, headers }));
    } else {
      await this.pass(url, incoming, outgoing);
    }
  }

  /** A browser always says where a socket's page is from: a request that does not is no window. */
  upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const { url, verdict } = this.look(incoming);
    if (url === null || verdict === null) refuse(socket, 400, 'Bad Request');
    else if (verdict.kind !== 'pass' || incoming.headers.origin === undefined) {
      refuse(socket, 403, 'Forbidden');
    } else if (this.sockets === null || url.pathname !== socketPath) refuse(socket, 404, 'Not Found');
    else if (!this.sockets.accept(incoming, socket, head)) refuse(socket, 503, 'Service Unavailable');
  }

  private look(incoming: IncomingMessage): { url: URL | null; verdict: Verdict | null } {
    const url = URL.parse(incoming.url ?? '', this.base);
    if (url?.origin !== this.base) return { url: null, verdict: null };
    const headers = incoming.headers as Record<string, string | undefined>;
    return { url, verdict: this.guard.check({ method: incoming.method ?? 'GET', url, headers }) };
  }

  private async pass(url: URL, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const method = incoming.method ?? 'GET';
    const body = method === 'GET' || method === 'HEAD' ? null : await this.read(incoming);
    if (body === 'too-large') {
      // The rest of the body is not waited for: the connection ends with this answer.
      outgoing.setHeader('connection', 'close');
      await this.send(outgoing, text(413, 'The request is too large.'));
      return;
    }
    const gone = new AbortController();
    outgoing.once('close', () => gone.abort());
    let response: Response;
    try {
      const headers = ['range', 'if-range', 'if-none-match'].flatMap((name): [string, string][] => {
        const value = incoming.headers[name];
        return typeof value === 'string' ? [[name, value]] : [];
      });
      const request = new Request(url, {
        method,
        headers,
        signal: gone.signal,
        ...(body === null ? {} : { body }),
      });
      response = await this.handler(request);
    } catch (thrown) {
      response = failure(thrown);
    }
    await this.send(outgoing, response, method === 'HEAD');
  }

  private read(incoming: IncomingMessage): Promise<Uint8Array<ArrayBuffer> | 'too-large'> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let size = 0;
      incoming.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= this.maxBody) {
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

  private async send(outgoing: ServerResponse, response: Response, headOnly = false): Promise<void> {
    outgoing.writeHead(response.status, { ...this.headers, ...Object.fromEntries(response.headers) });
    if (response.body === null || headOnly) {
      await response.body?.cancel();
      outgoing.end();
      return;
    }
    // A reader that goes away in the middle (seeking in a video) is no error.
    await pipeline(Readable.fromWeb(response.body), outgoing).catch(() => {
      outgoing.destroy();
    });
  }
}

function refuse(socket: Duplex, status: number, reason: string): void {
  socket.end(`HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
    socket.destroy(),
  );
}
