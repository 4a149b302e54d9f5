import { PusaError } from '../../errors.ts';
import { violation } from './errors.ts';
import { decodeFrame, encodeFrame } from './frames.ts';

/** What a transport tells its end of the channel. */
export interface TransportListener {
  onMessage(message: unknown): void;
  /** Something arrived that is no message: too large, or torn. */
  onFault(error: PusaError): void;
  /** Called once; nothing comes after it. */
  onClose(): void;
}

/** A line that carries messages whole and in order: structured-cloneable values with binary in them. */
export interface Transport {
  /** @throws PusaError CONTRACT_VIOLATION when the message is too large to be sent */
  send(message: object): void;
  /** Called once. */
  listen(listener: TransportListener): void;
  close(): void;
  /** Bytes given to `send` that have not left yet; left out where it cannot be known. */
  backlog?(): number;
}

/** A MessagePort of a browser, of `node:worker_threads`, or of Electron behind two lines of adapter. */
export interface PortLike {
  postMessage(message: unknown): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: 'close' | 'messageerror', listener: () => void): void;
  start?(): void;
  close(): void;
}

/** Something like a WebSocket: binary messages whose bounds are kept. */
export interface ByteSocket {
  send(bytes: Uint8Array): void;
  /** What is not a Uint8Array is refused. */
  onMessage(listener: (data: unknown) => void): void;
  onClose(listener: () => void): void;
  close(): void;
  bufferedBytes?(): number;
}

/** Bytes of a message, received and sent: what this end takes, and what the other does. */
export interface MessageBytes {
  readonly receive: number;
  readonly send: number;
}

/** Messages as they are, over a port; their size is estimated, see {@link exceeds}. */
export function portTransport(port: PortLike, limits: MessageBytes): Transport {
  return {
    send(message) {
      if (exceeds(message, limits.send)) throw violation('A message is too large.');
      port.postMessage(message);
    },
    listen(listener) {
      port.addEventListener('message', ({ data }) => {
        if (exceeds(data, limits.receive)) listener.onFault(violation('A message is too large.'));
        else listener.onMessage(data);
      });
      port.addEventListener('messageerror', () =>
        listener.onFault(violation('A message could not be read.')),
      );
      port.addEventListener('close', () => listener.onClose());
      port.start?.();
    },
    close: () => port.close(),
  };
}

/** Messages as frames of bytes, over a socket. */
export function socketTransport(socket: ByteSocket, limits: MessageBytes): Transport {
  return {
    send: (message) => socket.send(encodeFrame(message, limits.send)),
    listen(listener) {
      socket.onMessage((data) => {
        let message: unknown;
        try {
          if (!(data instanceof Uint8Array)) throw violation('A message is not binary.');
          message = decodeFrame(data, limits.receive);
        } catch (thrown) {
          if (!(thrown instanceof PusaError)) throw thrown;
          listener.onFault(thrown);
          return;
        }
        listener.onMessage(message);
      });
      socket.onClose(() => listener.onClose());
    },
    close: () => socket.close(),
    ...(socket.bufferedBytes === undefined ? {} : { backlog: () => socket.bufferedBytes!() }),
  };
}

/**
 * True when a value takes more than about `limit` bytes: two for each character, eight for each other value, binary
 * as it is. Looks no further than that, however deep or circular it is.
 */
export function exceeds(value: unknown, limit: number): boolean {
  const open: unknown[] = [value];
  let bytes = 0;
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === 'string') bytes += 2 * next.length;
    else if (ArrayBuffer.isView(next) || next instanceof ArrayBuffer) bytes += next.byteLength;
    else if (typeof next === 'object' && next !== null) {
      if (next instanceof Map || next instanceof Set) bytes += 16 * next.size;
      const children: readonly unknown[] = Array.isArray(next) ? next : Object.values(next);
      bytes += 8 * children.length;
      if (bytes > limit) return true;
      if (!Array.isArray(next)) for (const key of Object.keys(next)) bytes += 2 * key.length;
      for (const child of children) open.push(child);
    }
    bytes += 8;
    if (bytes > limit) return true;
  }
  return false;
}
