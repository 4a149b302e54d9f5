import { connect, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { MessageChannel } from 'node:worker_threads';
import {
  messageBytes,
  portTransport,
  socketTransport,
  type ByteSocket,
  type PortLike,
  type Transport,
  type TransportListener,
} from '../../src-main/core/contract/channel.ts';

/** Two ends of one line. */
export interface Line {
  readonly client: Transport;
  readonly server: Transport;
}

/** Over a MessageChannel: messages are structured clones. */
export function portLine(): Promise<Line> {
  const { port1, port2 } = new MessageChannel();
  return Promise.resolve({
    client: portTransport(port1 as unknown as PortLike, messageBytes.client),
    server: portTransport(port2 as unknown as PortLike, messageBytes.server),
  });
}

/** Over a pair of TCP sockets on loopback: messages are frames. */
export async function socketLine(): Promise<Line> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const accepted = new Promise<Socket>((resolve) => listener.once('connection', resolve));
  const dialled = connect((listener.address() as AddressInfo).port, '127.0.0.1');
  const server = await accepted;
  listener.close();
  return {
    client: socketTransport(byteSocket(dialled), messageBytes.client),
    server: socketTransport(byteSocket(server), messageBytes.server),
  };
}

/** Keeps the bounds of messages on a stream of bytes: each is led by its length, as a WebSocket's are. */
function byteSocket(socket: Socket): ByteSocket {
  let rest: Buffer = Buffer.alloc(0);
  return {
    send(bytes) {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.byteLength);
      socket.write(length);
      socket.write(bytes);
    },
    onMessage(listener) {
      socket.on('data', (data) => {
        rest = Buffer.concat([rest, data]);
        while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32LE()) {
          const end = 4 + rest.readUInt32LE();
          const message = new Uint8Array(rest.subarray(4, end));
          rest = rest.subarray(end);
          listener(message);
        }
      });
    },
    onClose: (listener) => {
      socket.on('error', () => undefined);
      socket.on('close', () => listener());
    },
    close: () => socket.end(),
    bufferedBytes: () => socket.writableLength,
  };
}

/** A server's end whose other end is the test itself, by hand and at once. */
export interface HandLine {
  readonly transport: Transport;
  /** What the server said. */
  readonly said: Record<string, unknown>[];
  say(message: unknown): void;
  hangUp(): void;
  readonly isClosed: () => boolean;
  /** What the transport claims to have waiting. */
  backlog: number;
}

export function handLine(): HandLine {
  let listener: TransportListener | null = null;
  let closed = false;
  const line: HandLine = {
    said: [],
    backlog: 0,
    transport: {
      send: (message) => void line.said.push(message as Record<string, unknown>),
      listen: (given) => (listener = given),
      close: () => (closed = true),
      backlog: () => line.backlog,
    },
    say: (message) => listener!.onMessage(message),
    hangUp: () => listener!.onClose(),
    isClosed: () => closed,
  };
  return line;
}
