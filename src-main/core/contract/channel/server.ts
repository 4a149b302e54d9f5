import { PusaError } from '../../errors.ts';
import { describeFlaw, parseBounded } from '../parse.ts';
import type {
  Bytes,
  Contract,
  EventOf,
  InputOf,
  MethodOf,
  MethodSpec,
  PayloadOf,
  ResultOf,
} from './contract.ts';
import { cancelled, connectionClosed, toErrorRecord, violation } from './errors.ts';
import { serverLimits, type ChannelLimits } from './limits.ts';
import { callIdOf, clientMessageSchema, type ClientMessage, type ServerMessage } from './messages.ts';
import { ByteReceiver, ByteSender } from './streams.ts';
import type { Transport } from './transport.ts';

/** What a handler is told beside its input. */
export interface CallContext {
  /** Aborted when nobody waits any more: cancelled, or the connection is gone. */
  readonly signal: AbortSignal;
  /** The bytes that come with an upload method; without any for the others. Read once. */
  readonly upload: Bytes;
}

/** The studio's side of a contract: a function for each method. */
export type Handlers<C extends Contract> = {
  readonly [M in MethodOf<C>]: (
    input: InputOf<C, M>,
    context: CallContext,
  ) => ResultOf<C, M> | Promise<ResultOf<C, M>>;
};

export interface ServerOptions<C extends Contract> {
  readonly limits?: Partial<ChannelLimits>;
  /** Default true; false refuses the methods whose input names a path. */
  readonly allowPaths?: boolean;
  /** The first listener of an event came, or the last one went. */
  readonly onWatch?: (event: EventOf<C>, watched: boolean) => void;
  /** For the log: an error that crosses loses its cause. */
  readonly onError?: (error: unknown, method: string) => void;
}

/** One connection, from the end that answers. */
export interface ChannelServer<C extends Contract> {
  /**
   * Tells the client, if it listens to that event.
   * @throws PusaError CONTRACT_VIOLATION when the payload is not what the contract says
   */
  emit<E extends EventOf<C>>(event: E, payload: PayloadOf<C, E>): void;
  watches(event: EventOf<C>): boolean;
  /** Says why (default: the studio closes), then hangs up. Open calls are aborted. */
  close(error?: PusaError): void;
  /** Settles when the connection is gone and every handler has ended. */
  readonly closed: Promise<void>;
}

/** Values of any message: the method's own limit is checked afterwards. */
const maxMessageValues = 1_000_000;

type AnyHandler = (input: unknown, context: CallContext) => unknown;

/** A call under way. */
interface OpenCall {
  readonly abort: AbortController;
  readonly upload: ByteReceiver;
  readonly download: ByteSender;
  readonly spec: MethodSpec;
}

/**
 * Answers the calls of one client. Whatever the client sends, nothing is thrown: a message that is not understood is
 * answered with CONTRACT_VIOLATION, and after a number of them the server hangs up.
 */
export function createServer<C extends Contract>(
  contract: C,
  transport: Transport,
  handlers: Handlers<C>,
  options: ServerOptions<C> = {},
): ChannelServer<C> {
  const connection = new ServerConnection(contract, transport, handlers, {
    limits: { ...serverLimits, ...options.limits },
    allowPaths: options.allowPaths ?? true,
    onWatch: (event, watched) => options.onWatch?.(event, watched),
    onError: (error, method) => options.onError?.(error, method),
  });
  return {
    emit: (event, payload) => connection.emit(event, payload),
    watches: (event) => connection.watched.has(event),
    close: (error = connectionClosed()) => connection.hangUp(error),
    closed: connection.closed,
  };
}

interface Settings {
  readonly limits: ChannelLimits;
  readonly allowPaths: boolean;
  readonly onWatch: (event: string, watched: boolean) => void;
  readonly onError: (error: unknown, method: string) => void;
}

class ServerConnection {
  readonly watched = new Set<string>();
  readonly closed: Promise<void>;
  private readonly contract: Contract;
  private readonly transport: Transport;
  private readonly handlers: Readonly<Record<string, AnyHandler>>;
  private readonly settings: Settings;
  private readonly calls = new Map<number, OpenCall>();
  private settleClosed!: () => void;
  private greeted = false;
  private gone = false;
  private lastId = 0;
  private faults = 0;

  constructor(contract: Contract, transport: Transport, handlers: object, settings: Settings) {
    this.contract = contract;
    this.transport = transport;
    this.handlers = handlers as Readonly<Record<string, AnyHandler>>;
    this.settings = settings;
    this.closed = new Promise((resolve) => (this.settleClosed = resolve));
    transport.listen({
      onMessage: (message) => this.receive(message),
      onFault: (error) => this.refuse(error),
      onClose: () => this.end(),
    });
  }

  emit(event: string, payload: unknown): void {
    const spec = Object.hasOwn(this.contract.events, event) ? this.contract.events[event] : undefined;
    if (spec === undefined) throw violation(`There is no event "${event}".`);
    const parsed = parseBounded(spec.payload, payload, this.settings.limits.outputValues);
    if (!parsed.ok) throw violation(describeFlaw(`The event "${event}"`, parsed.flaw));
    if (this.gone || !this.watched.has(event)) return;
    if (spec.lossy && (this.transport.backlog?.() ?? 0) > this.settings.limits.lossyBacklog) return;
    this.send({ type: 'event', event, payload: parsed.value });
  }

  hangUp(error: PusaError): void {
    if (this.gone) return;
    this.send({ type: 'bye', error: toErrorRecord(error) });
    this.transport.close();
    this.end();
  }

  private end(): void {
    if (this.gone) return;
    this.gone = true;
    for (const call of this.calls.values()) stop(call, connectionClosed());
    for (const event of this.watched) this.settings.onWatch(event, false);
    this.watched.clear();
    if (this.calls.size === 0) this.settleClosed();
  }

  private receive(raw: unknown): void {
    if (this.gone) return;
    const parsed = parseBounded(clientMessageSchema, raw, maxMessageValues);
    if (!parsed.ok) {
      this.refuse(violation(describeFlaw('A message', parsed.flaw)), callIdOf(raw));
      return;
    }
    try {
      this.obey(parsed.value);
    } catch (thrown) {
      if (!(thrown instanceof PusaError)) throw thrown;
      this.refuse(thrown);
    }
  }

  private obey(message: ClientMessage): void {
    if (message.type === 'hello') {
      this.greet(message.version);
      return;
    }
    if (!this.greeted) throw violation('The first message is no greeting.');
    switch (message.type) {
      case 'call':
        this.open(message.id, message.method, message.input);
        return;
      case 'watch':
      case 'unwatch':
        this.watch(message.event, message.type === 'watch');
        return;
      case 'cancel':
      case 'chunk':
      case 'end':
      case 'credit':
        this.pass(message);
    }
  }

  private greet(version: number): void {
    if (this.greeted) throw violation('The greeting came twice.');
    if (version !== this.contract.version) {
      this.hangUp(
        violation(
          `The window and the studio are of different versions (${version} and ${this.contract.version}).`,
        ),
      );
      return;
    }
    this.greeted = true;
  }

  private watch(event: string, on: boolean): void {
    if (!Object.hasOwn(this.contract.events, event)) throw violation(`There is no event "${event}".`);
    if (this.watched.has(event) === on) return;
    if (on) this.watched.add(event);
    else this.watched.delete(event);
    this.settings.onWatch(event, on);
  }

  /** A message that belongs to a call. One for a call that has ended crossed its answer on the way. */
  private pass(message: Extract<ClientMessage, { type: 'cancel' | 'chunk' | 'end' | 'credit' }>): void {
    if (message.id > this.lastId) throw violation(`There is no call ${message.id}.`);
    const call = this.calls.get(message.id);
    if (call === undefined) return;
    switch (message.type) {
      case 'cancel':
        stop(call, cancelled());
        return;
      case 'credit':
        call.download.grant(message.cost);
        return;
      case 'chunk':
        if (call.spec.upload !== true) throw violation('The method takes no bytes.');
        call.upload.push(message.bytes);
        return;
      case 'end':
        if (call.spec.upload !== true) throw violation('The method takes no bytes.');
        call.upload.end();
    }
  }

  private open(id: number, method: string, input: unknown): void {
    if (id <= this.lastId) throw violation(`The call number ${id} was used before.`);
    this.lastId = id;
    const spec = Object.hasOwn(this.contract.methods, method) ? this.contract.methods[method] : undefined;
    if (spec === undefined) {
      this.refuse(violation('There is no method of that name.'), id);
      return;
    }
    if (spec.namesPath === true && !this.settings.allowPaths) {
      this.refuse(violation('Files of this machine cannot be named over this connection.'), id);
      return;
    }
    if (this.calls.size >= this.settings.limits.openCalls) {
      this.fail(id, violation('Too many requests are open at once.'));
      return;
    }
    const parsed = parseBounded(spec.input, input, this.settings.limits.inputValues);
    if (!parsed.ok) {
      this.refuse(violation(describeFlaw(`The input of "${method}"`, parsed.flaw)), id);
      return;
    }
    const call: OpenCall = {
      abort: new AbortController(),
      upload: new ByteReceiver({
        grant: (cost) => this.send({ type: 'credit', id, cost }),
        abandon: () => undefined,
      }),
      download: new ByteSender((bytes) => this.send({ type: 'chunk', id, bytes })),
      spec,
    };
    if (spec.upload !== true) call.upload.end();
    this.calls.set(id, call);
    void this.run(id, method, call, parsed.value);
  }

  private async run(id: number, method: string, call: OpenCall, input: unknown): Promise<void> {
    try {
      const result = await this.handlers[method]!(input, { signal: call.abort.signal, upload: call.upload });
      const isDownload = call.spec.download === true;
      const { output, body } = isDownload
        ? (result as { output: unknown; body: Bytes })
        : { output: result, body: null };
      try {
        call.abort.signal.throwIfAborted();
        const maxValues = call.spec.maxOutputValues ?? this.settings.limits.outputValues;
        const parsed = parseBounded(call.spec.output, output, maxValues);
        if (!parsed.ok) throw violation(describeFlaw(`The output of "${method}"`, parsed.flaw));
        this.send({ type: 'result', id, output: parsed.value });
      } catch (thrown) {
        // Never started, the body would keep its file open.
        if (body !== null) await body[Symbol.asyncIterator]().return?.(undefined);
        throw thrown;
      }
      if (body !== null && (await call.download.pump(body))) this.send({ type: 'end', id });
    } catch (thrown) {
      // A cancelled call fails as such, however its handler puts it.
      const isStopped = call.abort.signal.aborted;
      if (!isStopped) this.settings.onError(thrown, method);
      this.fail(id, isStopped ? call.abort.signal.reason : thrown);
    } finally {
      this.calls.delete(id);
      call.upload.fail(cancelled());
      if (this.gone && this.calls.size === 0) this.settleClosed();
    }
  }

  /** Answers what is not understood: to its call where it has one that is new, else on its own. */
  private refuse(error: PusaError, id: number | null = null): void {
    if (this.gone) return;
    this.faults++;
    if (this.faults > this.settings.limits.faults) {
      this.hangUp(violation('Too many messages were not understood.'));
    } else if (id !== null && id >= this.lastId && !this.calls.has(id)) {
      this.lastId = id;
      this.fail(id, error);
    } else {
      this.send({ type: 'refused', error: toErrorRecord(error) });
    }
  }

  private fail(id: number, error: unknown): void {
    this.send({ type: 'failed', id, error: toErrorRecord(error) });
  }

  private send(message: ServerMessage): void {
    if (this.gone) return;
    if ((this.transport.backlog?.() ?? 0) > this.settings.limits.maxBacklog) {
      this.transport.close();
      this.end();
      return;
    }
    this.transport.send(message);
  }
}

function stop(call: OpenCall, reason: PusaError): void {
  call.abort.abort(reason);
  call.upload.fail(reason);
  call.download.stop();
}
