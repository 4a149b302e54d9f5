import type { PusaError } from '../../errors.ts';
import { violation } from './errors.ts';
import { chunkCost, streams } from './limits.ts';

/** What a {@link ByteReceiver} asks of its channel. */
export interface ReceiverHost {
  /** The consumer took this much: the other end may send as much again. */
  grant(cost: number): void;
  /** The consumer went away before the end. */
  abandon(): void;
}

/**
 * The receiving end of a stream: bytes wait here until they are read, never more than one window of them. Read by one
 * consumer, once.
 */
export class ByteReceiver implements AsyncIterable<Uint8Array> {
  private readonly host: ReceiverHost;
  private readonly queue: Uint8Array[] = [];
  private held = 0;
  /** Taken by the consumer and not yet granted again: told in larger sums. */
  private owed = 0;
  private ended = false;
  private error: PusaError | null = null;
  private wake: (() => void) | null = null;

  constructor(host: ReceiverHost) {
    this.host = host;
  }

  /** Cost of what waits or is not granted again yet; never above the window. */
  get outstanding(): number {
    return this.held + this.owed;
  }

  /** @throws PusaError CONTRACT_VIOLATION when the other end sends more than it was granted, or after the end */
  push(bytes: Uint8Array): void {
    if (this.error !== null) return;
    if (this.ended) throw violation('A stream went on after its end.');
    const cost = chunkCost(bytes.byteLength);
    if (this.outstanding + cost > streams.window)
      throw violation('A stream came faster than it was asked for.');
    this.held += cost;
    this.queue.push(bytes);
    this.signal();
  }

  end(): void {
    this.ended = true;
    this.signal();
  }

  /** Ends the stream with an error; what waits is dropped. */
  fail(error: PusaError): void {
    if (this.error !== null || (this.ended && this.queue.length === 0)) return;
    this.error = error;
    this.queue.length = 0;
    this.held = 0;
    this.signal();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (;;) {
        const bytes = this.queue.shift();
        if (bytes !== undefined) {
          this.take(chunkCost(bytes.byteLength));
          yield bytes;
        } else if (this.error !== null) throw this.error;
        else if (this.ended) return;
        else await new Promise<void>((resolve) => (this.wake = resolve));
      }
    } finally {
      if (!this.ended && this.error === null) this.host.abandon();
    }
  }

  private take(cost: number): void {
    this.held -= cost;
    this.owed += cost;
    if (this.ended || (this.queue.length > 0 && this.owed < streams.window / 4)) return;
    const { owed } = this;
    this.owed = 0;
    this.host.grant(owed);
  }

  private signal(): void {
    this.wake?.();
    this.wake = null;
  }
}

/** The sending end: passes a source on in pieces, and waits where the other end does not read. */
export class ByteSender {
  private readonly send: (bytes: Uint8Array) => void;
  private left: number = streams.window;
  private stopped = false;
  private wake: (() => void) | null = null;

  constructor(send: (bytes: Uint8Array) => void) {
    this.send = send;
  }

  /** @throws PusaError CONTRACT_VIOLATION when more is granted than was sent */
  grant(cost: number): void {
    if (this.left + cost > streams.window) throw violation('A stream was asked for more than it can be.');
    this.left += cost;
    this.signal();
  }

  /** Ends {@link pump} soon, without an error. */
  stop(): void {
    this.stopped = true;
    this.signal();
  }

  /**
   * Sends all of a source.
   * @returns whether it came to its end; false when it was stopped
   * @throws what the source throws
   */
  async pump(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<boolean> {
    for await (const bytes of source) {
      for (let at = 0; at < bytes.byteLength;) {
        const length = Math.min(streams.chunkBytes, bytes.byteLength - at);
        while (!this.stopped && this.left < chunkCost(length)) {
          await new Promise<void>((resolve) => (this.wake = resolve));
        }
        // Leaving the loop closes the source.
        if (this.isStopped()) return false;
        this.left -= chunkCost(length);
        // A copy: a clone of a view would take the whole buffer behind it along.
        this.send(new Uint8Array(bytes.subarray(at, at + length)));
        at += length;
      }
      if (this.isStopped()) return false;
    }
    return !this.stopped;
  }

  private isStopped(): boolean {
    return this.stopped;
  }

  private signal(): void {
    this.wake?.();
    this.wake = null;
  }
}
