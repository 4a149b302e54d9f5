import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import { messageBytes, socketTransport, type ByteSocket, type Transport } from '../core/contract/channel.ts';
import { PusaError } from '../core/errors.ts';

/** One window's connection, as far as the server ends it. */
export interface Connection {
  /** Says why, then hangs up. */
  close(error?: PusaError): void;
  /** Settles when it is gone and nothing it asked for is under way. */
  readonly closed: Promise<void>;
}

/** Answers a window that connected: the studio's `connect`. */
export type Connect = (transport: Transport) => Connection;

export interface SocketLimits {
  /** Open at once; another is refused. */
  readonly sockets: number;
  /** Milliseconds between two questions whether the other end still answers; one that is not answered ends it. */
  readonly heartbeatMs: number;
  /** Bytes waiting to be read by the other end at which it is given up. */
  readonly backlog: number;
  /** Milliseconds that a closing connection gets to end by itself; ten times that for what it asked for. */
  readonly graceMs: number;
}

export const socketLimits: SocketLimits = {
  sockets: 32,
  heartbeatMs: 20_000,
  backlog: 128 * 2 ** 20,
  graceMs: 1000,
};

/**
 * WebSockets of windows, each with the studio at its other end. Messages are frames of the contract; a longer one than
 * the studio takes ends its connection before it is read.
 */
export class Sockets {
  private readonly server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: messageBytes.server.receive,
    // Previews and pixels do not shrink, and inflating is work an attacker could give us.
    perMessageDeflate: false,
  });
  private readonly connect: Connect;
  private readonly limits: SocketLimits;
  private readonly open = new Map<WebSocket, Connection>();
  private readonly silent = new Set<WebSocket>();
  private readonly heartbeat: NodeJS.Timeout;
  private isClosing = false;

  constructor(connect: Connect, limits: Partial<SocketLimits> = {}) {
    this.connect = connect;
    this.limits = { ...socketLimits, ...limits };
    this.heartbeat = setInterval(() => this.ask(), this.limits.heartbeatMs).unref();
  }

  /** Takes an upgrade that the guard has let pass. @returns false when there is no place left */
  accept(incoming: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    if (this.isClosing || this.open.size >= this.limits.sockets) return false;
    this.server.handleUpgrade(incoming, socket, head, (opened) => this.serve(opened));
    return true;
  }

  /** Tells every window why, and waits until all connections have ended. */
  async close(reason: PusaError): Promise<void> {
    this.isClosing = true;
    clearInterval(this.heartbeat);
    const ending = [...this.open];
    for (const [, connection] of ending) connection.close(reason);
    const timer = setTimeout(() => {
      for (const [socket] of ending) socket.terminate();
    }, this.limits.graceMs);
    const ended = Promise.all(ending.map(([, { closed }]) => closed));
    await Promise.race([ended, delay(10 * this.limits.graceMs, undefined, { ref: false })]);
    clearTimeout(timer);
    this.server.close();
  }

  private serve(socket: WebSocket): void {
    // Its close follows; what a foreign frame did wrong is of no interest.
    socket.on('error', () => undefined);
    socket.on('pong', () => this.silent.delete(socket));
    socket.on('ping', () => this.dropIfClogged(socket));
    socket.on('close', () => {
      this.open.delete(socket);
      this.silent.delete(socket);
    });
    const bytes: ByteSocket = {
      send(message) {
        if (socket.readyState === socket.OPEN) socket.send(message);
      },
      onMessage: (listener) =>
        socket.on('message', (data: RawData, isBinary) => listener(isBinary ? data : null)),
      onClose: (listener) => socket.on('close', () => listener()),
      close: () => {
        if (socket.bufferedAmount > this.limits.backlog) socket.terminate();
        else socket.close(1000);
      },
      bufferedBytes: () => socket.bufferedAmount,
    };
    this.open.set(socket, this.connect(socketTransport(bytes, messageBytes.server)));
  }

  /** Ends who did not answer the last question or does not read, and asks the others. */
  private ask(): void {
    for (const socket of this.open.keys()) {
      if (this.silent.has(socket)) socket.terminate();
      else if (!this.dropIfClogged(socket)) {
        this.silent.add(socket);
        socket.ping();
      }
    }
  }

  private dropIfClogged(socket: WebSocket): boolean {
    if (socket.bufferedAmount <= this.limits.backlog) return false;
    socket.terminate();
    return true;
  }
}

/** What windows are told when the application stops. */
export function stopped(): PusaError {
  return new PusaError(
    'CONNECTION_CLOSED',
    'Pusa Studio was stopped.',
    'Start it again and open the new link; everything is saved, and a job that ran goes on.',
  );
}
