import type { z } from 'zod';

/**
 * One method of a contract. Schemas hold no transforms and no defaults, so that both ends see the same value.
 * `upload` and `download`: binary streams that go with the call, to the server and from it.
 */
export interface MethodSpec {
  readonly input: z.ZodType;
  readonly output: z.ZodType;
  /** Whether it changes anything: writers run one after the other. */
  readonly writes: boolean;
  readonly upload?: true;
  readonly download?: true;
  /** Its input names a file or folder of the studio's machine, by a path the person chose. */
  readonly namesPath?: true;
  /** Values (see `parseBounded`) an output may hold, where the channel's default does not do. */
  readonly maxOutputValues?: number;
}

/** One event. A lossy one is left out for a client that is slow to read; the next one makes up for it. */
export interface EventSpec {
  readonly payload: z.ZodType;
  readonly lossy: boolean;
}

/** Everything two ends of a channel agree on. Method names have the form `domain.verb`. */
export interface Contract {
  /** Raised whenever a method or event changes its meaning or shape. */
  readonly version: number;
  readonly methods: Readonly<Record<string, MethodSpec>>;
  readonly events: Readonly<Record<string, EventSpec>>;
}

export type MethodOf<C extends Contract> = keyof C['methods'] & string;
export type EventOf<C extends Contract> = keyof C['events'] & string;
export type InputOf<C extends Contract, M extends MethodOf<C>> = z.infer<C['methods'][M]['input']>;
export type OutputOf<C extends Contract, M extends MethodOf<C>> = z.infer<C['methods'][M]['output']>;
export type PayloadOf<C extends Contract, E extends EventOf<C>> = z.infer<C['events'][E]['payload']>;

/** Bytes in pieces of any size. */
export type Bytes = AsyncIterable<Uint8Array>;

/** What a download method gives: its output first, its bytes as they are read. */
export interface Download<Output> {
  readonly output: Output;
  readonly body: Bytes;
}

/** What a method gives: its output, with the bytes where it is a download. */
export type ResultOf<C extends Contract, M extends MethodOf<C>> = C['methods'][M] extends {
  readonly download: true;
}
  ? Download<OutputOf<C, M>>
  : OutputOf<C, M>;
