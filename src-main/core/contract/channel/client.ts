import { PusaError, toPusaError } from '../../errors.ts';
import { describeFlaw, parseBounded } from '../parse.ts';
import type {
  Contract,
  Download,
  EventOf,
  InputOf,
  MethodOf,
  MethodSpec,
  PayloadOf,
  ResultOf,
} from './contract.ts';
import { cancelled, connectionClosed, fromErrorRecord, violation } from './errors.ts';
import { clientLimits, type ChannelLimits } from './limits.ts';
import { answerIdOf, serverMessageSchema, type ClientMessage, type ServerMessage } from './messages.ts';
import { ByteReceiver, ByteSender } from './streams.ts';
import type { Transport } from './transport.ts';

export interface CallOptions {
  /** Aborted: the call fails with CANCELLED at once, its work and its streams stop. */
  readonly signal?: AbortSignal | undefined;
}

export interface UploadOptions extends CallOptions {
  /** Read only as fast as the studio takes it; closed when the call ends before it does. */
  readonly upload: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** Values of any message: the method's own limit is checked afterwards. */
const maxMessageValues = 10_000_000;

type OptionsOf<C extends Contract, M extends MethodOf<C>> = C['methods'][M] extends { readonly upload: true }
  ? [options: UploadOptions]
  : [options?: CallOptions];

/** One method as a function. It rejects with a PusaError, also with those of the studio. */
export type Caller<C extends Contract, M extends MethodOf<C>> = (
  input: InputOf<C, M>,
  ...options: OptionsOf<C, M>
) => Promise<ResultOf<C, M>>;

/** `client.api.projects.create(…)`: an object for each domain, a function for each of its methods. */
export type ApiOf<C extends Contract> = {
  readonly [D in MethodOf<C> extends `${infer Domain}.${string}` ? Domain : never]: {
    readonly [M in MethodOf<C> as M extends `${D}.${infer Verb}` ? Verb : never]: Caller<C, M>;
  };
};

export interface ClientOptions {
  readonly limits?: Partial<ChannelLimits>;
  /** For the log: what the server said it did not understand, and listeners that threw. */
  readonly onError?: (error: unknown) => void;
}

/** One connection, from the end that asks. */
export interface ChannelClient<C extends Contract> {
  readonly api: ApiOf<C>;
  call<M extends MethodOf<C>>(
    method: M,
    input: InputOf<C, M>,
    ...options: OptionsOf<C, M>
  ): Promise<ResultOf<C, M>>;
  /** @returns what ends the listening */
  on<E extends EventOf<C>>(event: E, listener: (payload: PayloadOf<C, E>) => void): () => void;
  /** Hangs up. Whatever is open fails with CONNECTION_CLOSED. */
  close(): void;
  /** Settles with the reason when the connection is gone. */
  readonly closed: Promise<PusaError>;
}

/**
 * The studio as its contract describes it, at the far end of a transport. A body of a download is read to its end or
 * left (`break`, `return`): until then it keeps its place among the open calls.
 */
export function createClient<C extends Contract>(
  contract: C,
  transport: Transport,
  options: ClientOptions = {},
): ChannelClient<C> {
  const connection = new ClientConnection(
    contract,
    transport,
    { ...clientLimits, ...options.limits },
    (error) => options.onError?.(error),
  );
  const call = (method: string, input: unknown, more: Partial<UploadOptions> = {}): Promise<unknown> =>
    connection.call(method, input, more);
  const api: Record<string, Record<string, unknown>> = {};
  for (const method of Object.keys(contract.methods)) {
    const dot = method.indexOf('.');
    const domain = (api[method.slice(0, dot)] ??= {});
    domain[method.slice(dot + 1)] = (input: unknown, more?: Partial<UploadOptions>) =>
      call(method, input, more);
  }
  // The types follow from the contract, which is what every value is checked against.
  return {
    api: api as unknown as ApiOf<C>,
    call: call as ChannelClient<C>['call'],
    on: (event, listener) => connection.on(event, listener as (payload: unknown) => void),
    close: () => connection.close(connectionClosed()),
    closed: connection.closed,
  };
}

/** What a call wants to know of its connection. */
interface Settle {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Nothing of the call is left: its signal need not be listened to. */
  readonly release: () => void;
}

/** A call from its sending to the end of its streams. */
interface OpenCall extends Settle {
  readonly method: string;
  readonly isDownload: boolean;
  readonly sender: ByteSender;
  readonly receiver: ByteReceiver;
  /** The result is there and the body under way. */
  answered: boolean;
}

/** A call that has no place yet. */
interface WaitingCall {
  readonly start: () => void;
  readonly fail: (error: PusaError) => void;
}

class ClientConnection {
  readonly closed: Promise<PusaError>;
  private readonly contract: Contract;
  private readonly transport: Transport;
  private readonly limits: ChannelLimits;
  private readonly onError: (error: unknown) => void;
  private readonly calls = new Map<number, OpenCall>();
  private readonly waiting = new Set<WaitingCall>();
  private readonly listeners = new Map<string, Set<(payload: unknown) => void>>();
  private settleClosed!: (reason: PusaError) => void;
  private goneFor: PusaError | null = null;
  private lastId = 0;

  constructor(
    contract: Contract,
    transport: Transport,
    limits: ChannelLimits,
    onError: (error: unknown) => void,
  ) {
    this.contract = contract;
    this.transport = transport;
    this.limits = limits;
    this.onError = onError;
    this.closed = new Promise((resolve) => (this.settleClosed = resolve));
    transport.listen({
      onMessage: (message) => this.receive(message),
      onFault: (error) => this.close(error),
      onClose: () => this.end(connectionClosed()),
    });
    this.send({ type: 'hello', version: contract.version });
  }

  async call(method: string, input: unknown, { signal, upload }: Partial<UploadOptions>): Promise<unknown> {
    const spec = Object.hasOwn(this.contract.methods, method) ? this.contract.methods[method] : undefined;
    if (spec === undefined) throw violation(`There is no method "${method}".`);
    const parsed = parseBounded(spec.input, input, this.limits.inputValues);
    if (!parsed.ok) throw violation(describeFlaw(`The input of "${method}"`, parsed.flaw));
    if ((spec.upload === true) !== (upload !== undefined)) {
      throw violation(`The method "${method}" ${spec.upload === true ? 'needs' : 'takes no'} bytes.`);
    }
    if (signal?.aborted === true) throw cancelled();
    if (this.goneFor !== null) throw this.goneFor;
    return new Promise((resolve, reject) => {
      let id: number | null = null;
      const onAbort = (): void => {
        if (id === null) waiting.fail(cancelled());
        else this.cancel(id, cancelled());
      };
      const release = (): void => {
        this.waiting.delete(waiting);
        signal?.removeEventListener('abort', onAbort);
      };
      const waiting: WaitingCall = {
        start: () => {
          this.waiting.delete(waiting);
          id = this.open(method, spec, parsed.value, upload, { resolve, reject, release });
        },
        fail: (error) => {
          release();
          reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort);
      if (this.calls.size < this.limits.openCalls) waiting.start();
      else if (this.waiting.size < this.limits.waitingCalls) this.waiting.add(waiting);
      else waiting.fail(violation('Too many requests are waiting.'));
    });
  }

  on(event: string, listener: (payload: unknown) => void): () => void {
    if (!Object.hasOwn(this.contract.events, event)) throw violation(`There is no event "${event}".`);
    let all = this.listeners.get(event);
    if (all === undefined) {
      all = new Set();
      this.listeners.set(event, all);
      this.send({ type: 'watch', event });
    }
    // The same function given twice listens twice.
    const own = (payload: unknown): void => listener(payload);
    all.add(own);
    return () => {
      if (!all.delete(own) || all.size > 0) return;
      this.listeners.delete(event);
      this.send({ type: 'unwatch', event });
    };
  }

  close(reason: PusaError): void {
    if (this.goneFor !== null) return;
    this.transport.close();
    this.end(reason);
  }

  private end(reason: PusaError): void {
    if (this.goneFor !== null) return;
    this.goneFor = reason;
    for (const id of [...this.calls.keys()]) this.settle(id, reason);
    for (const { fail } of [...this.waiting]) fail(reason);
    this.settleClosed(reason);
  }

  /** Sends a call. @returns its number */
  private open(
    method: string,
    spec: MethodSpec,
    input: unknown,
    upload: UploadOptions['upload'] | undefined,
    settle: Settle,
  ): number {
    const id = ++this.lastId;
    const call: OpenCall = {
      ...settle,
      method,
      isDownload: spec.download === true,
      sender: new ByteSender((bytes) => this.send({ type: 'chunk', id, bytes })),
      receiver: new ByteReceiver({
        grant: (cost) => this.send({ type: 'credit', id, cost }),
        abandon: () => this.cancel(id, cancelled()),
      }),
      answered: false,
    };
    this.calls.set(id, call);
    try {
      this.send({ type: 'call', id, method, input });
    } catch (thrown) {
      this.settle(id, toPusaError(thrown));
      return id;
    }
    if (upload !== undefined) void this.upload(id, call, upload);
    return id;
  }

  private async upload(id: number, call: OpenCall, source: UploadOptions['upload']): Promise<void> {
    try {
      if (await call.sender.pump(source)) this.send({ type: 'end', id });
    } catch (thrown) {
      this.cancel(id, toPusaError(thrown));
    }
  }

  /** Ends an open call from this side. */
  private cancel(id: number, error: PusaError): void {
    if (!this.calls.has(id)) return;
    this.send({ type: 'cancel', id });
    this.settle(id, error);
  }

  /** Takes a call off, with an error or, after its last message, without. */
  private settle(id: number, error: PusaError | null): void {
    const call = this.calls.get(id);
    if (call === undefined) return;
    this.calls.delete(id);
    call.release();
    call.sender.stop();
    if (error === null) call.receiver.end();
    else {
      call.receiver.fail(error);
      if (!call.answered) call.reject(error);
    }
    const [next] = this.waiting;
    if (this.goneFor === null) next?.start();
  }

  private receive(raw: unknown): void {
    if (this.goneFor !== null) return;
    const parsed = parseBounded(serverMessageSchema, raw, maxMessageValues);
    try {
      if (parsed.ok) this.obey(parsed.value);
      else this.blame(answerIdOf(raw), violation(describeFlaw('A message', parsed.flaw)));
    } catch (thrown) {
      if (!(thrown instanceof PusaError)) throw thrown;
      this.close(thrown);
    }
  }

  /** An answer that is not understood ends its call; what belongs to none ends the connection. */
  private blame(id: number | null, error: PusaError): void {
    if (id === null || id > this.lastId) this.close(error);
    else this.cancel(id, error);
  }

  private obey(message: ServerMessage): void {
    switch (message.type) {
      case 'bye':
        this.close(fromErrorRecord(message.error));
        return;
      case 'refused':
        this.onError(fromErrorRecord(message.error));
        return;
      case 'event':
        this.tell(message.event, message.payload);
        return;
      case 'result':
      case 'failed':
      case 'chunk':
      case 'end':
      case 'credit':
        this.pass(message);
    }
  }

  /** A message that belongs to a call. One for a call that was cancelled crossed the news on the way. */
  private pass(message: Exclude<ServerMessage, { type: 'bye' | 'refused' | 'event' }>): void {
    const { id } = message;
    if (id > this.lastId) throw violation(`There was no call ${id}.`);
    const call = this.calls.get(id);
    if (call === undefined) return;
    switch (message.type) {
      case 'failed':
        this.settle(id, fromErrorRecord(message.error));
        return;
      case 'credit':
        call.sender.grant(message.cost);
        return;
      case 'result':
        this.answer(id, call, message.output);
        return;
      case 'chunk':
      case 'end':
        if (!call.answered) throw violation('Bytes came before their answer.');
        if (message.type === 'end') this.settle(id, null);
        else call.receiver.push(message.bytes);
    }
  }

  private answer(id: number, call: OpenCall, output: unknown): void {
    if (call.answered) throw violation('An answer came twice.');
    const spec = this.contract.methods[call.method]!;
    const parsed = parseBounded(spec.output, output, spec.maxOutputValues ?? this.limits.outputValues);
    if (!parsed.ok) {
      this.cancel(id, violation(describeFlaw(`The output of "${call.method}"`, parsed.flaw)));
      return;
    }
    call.answered = true;
    if (call.isDownload) {
      call.resolve({ output: parsed.value, body: call.receiver } satisfies Download<unknown>);
      return;
    }
    call.resolve(parsed.value);
    this.settle(id, null);
  }

  private tell(event: string, payload: unknown): void {
    const spec = Object.hasOwn(this.contract.events, event) ? this.contract.events[event] : undefined;
    if (spec === undefined) throw violation(`There is no event "${event}".`);
    const parsed = parseBounded(spec.payload, payload, this.limits.outputValues);
    if (!parsed.ok) throw violation(describeFlaw(`The event "${event}"`, parsed.flaw));
    for (const listener of [...(this.listeners.get(event) ?? [])]) {
      try {
        listener(parsed.value);
      } catch (thrown) {
        // One listener's fault is not the others'.
        this.onError(thrown);
      }
    }
  }

  private send(message: ClientMessage): void {
    if (this.goneFor === null) this.transport.send(message);
  }
}
