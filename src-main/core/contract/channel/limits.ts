/** What one connection may cost. Everything here is per connection. */
export interface ChannelLimits {
  /** Calls open at once, streams included. A client keeps more of them waiting; a server refuses them. */
  readonly openCalls: number;
  /** Calls a client keeps waiting for a free place. */
  readonly waitingCalls: number;
  /** Values of an input, and of an output where its method says nothing else (see `parseBounded`). */
  readonly inputValues: number;
  readonly outputValues: number;
  /** Messages that are not understood before a server hangs up. */
  readonly faults: number;
  /** Bytes waiting in the transport from which lossy events are left out. */
  readonly lossyBacklog: number;
  /** Bytes waiting in the transport at which a server hangs up: the client does not read. */
  readonly maxBacklog: number;
}

const requestBytes = 2 * 2 ** 20;
const answerBytes = 64 * 2 ** 20;

/**
 * Bytes of the largest message each end of a transport takes and sends: what clients say is small, their files are
 * streams; an answer may hold a whole project.
 */
export const messageBytes = {
  server: { receive: requestBytes, send: answerBytes },
  client: { receive: answerBytes, send: requestBytes },
} as const;

/** Of the end that serves. */
export const serverLimits: ChannelLimits = {
  openCalls: 256,
  waitingCalls: 0,
  inputValues: 50_000,
  outputValues: 1_000_000,
  faults: 16,
  lossyBacklog: 2 * 2 ** 20,
  maxBacklog: 128 * 2 ** 20,
};

/** Of the end that asks. */
export const clientLimits: ChannelLimits = {
  ...serverLimits,
  openCalls: 64,
  waitingCalls: 10_000,
};

/** Both ends must agree on these, so they are no settings. */
export const streams = {
  /** What may be under way in one stream, as {@link chunkCost} counts. */
  window: 2 ** 20,
  /** Bytes of the largest piece. */
  chunkBytes: 128 * 2 ** 10,
  /** Added to the cost of every piece, so that tiny ones cannot pile up either. */
  overhead: 512,
} as const;

/** What a piece of a stream takes of its window. */
export function chunkCost(bytes: number): number {
  return bytes + streams.overhead;
}
