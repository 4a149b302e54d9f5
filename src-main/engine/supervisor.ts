import { phases, type Progress } from '../core/contract/job.ts';
import type { Note } from '../core/contract/note.ts';
import { PusaError } from '../core/errors.ts';
import type { Rates, Result } from './pipeline/result.ts';
import {
  checkVersion,
  deviceLostCode,
  parseEngineMessage,
  protocolVersion,
  type EngineMessage,
  type HostMessage,
  type Preview,
} from './protocol.ts';
import { providerNames } from './runtime/failures.ts';
import type { MemoryPlace } from './runtime/memory-place.ts';
import type { DeviceReport, Measurement } from './runtime/report.ts';
import type { Provider } from './runtime/runtime.ts';
import { nodeFork, type EngineChild, type EngineExit, type ForkEngine } from './transport.ts';

export interface SupervisorOptions {
  /** The engine's entry file: `out/main/engine.js`, or `src-main/engine/process.ts` under a Node that strips types. */
  readonly entry: string;
  /** How to start it; default a Node child process. */
  readonly fork?: ForkEngine;
  /** Where the engine keeps what it finds out about this machine's devices; default: it finds out at each start. */
  readonly memory?: MemoryPlace;
  /** What the engine says about its work, and what its process prints. */
  readonly onLog?: (text: string) => void;
  /** Milliseconds between asking an engine to cancel and ending it. */
  readonly graceMs?: number;
  /** Milliseconds to wait before each restart; as many restarts without progress in between are tried. */
  readonly backoffMs?: readonly number[];
}

export interface RenderOptions {
  readonly onProgress?: (progress: Progress) => void;
  readonly onPreview?: (preview: Preview) => void;
  /** What is done otherwise than asked, such as a smaller plan after the memory ran out, at once. */
  readonly onNote?: (note: Note) => void;
  /** The engine ended in the midst of it and is started again. */
  readonly onRestart?: () => void;
  /** Aborting cancels: softly between two segments, and by ending the engine when that takes too long. */
  readonly signal?: AbortSignal;
  /** This device or an error; default the best that works. */
  readonly provider?: Provider | null;
  /** `rates` of an earlier result of the same model and size, for an ETA from the start. */
  readonly rates?: Rates;
}

/** Starts the engine when it is needed, watches it, restarts it after a crash. Requests run one after another. */
export interface Supervisor {
  /** Process id of the running engine, if any. */
  readonly pid: number | undefined;
  /** @param options.fresh measures anew what is known, also providers that ended the engine before; default false */
  report(options?: { readonly fresh?: boolean }): Promise<DeviceReport>;
  measure(provider: Provider): Promise<Measurement>;
  /**
   * Runs or resumes the job of a folder. After a crash of the engine the job goes on from its last saved step.
   * @throws PusaError of the job; ENGINE_CRASHED when the engine keeps ending without progress; CANCELLED
   */
  render(jobFolder: string, packageFolder: string, options?: RenderOptions): Promise<Result>;
  /** Stops the running render and keeps what there is; it then resolves with a partial result. */
  keep(): void;
  /** Ends the engine. What runs is cancelled; finished steps are kept. */
  close(): Promise<void>;
}

export function createSupervisor(options: SupervisorOptions): Supervisor {
  return new EngineSupervisor(options);
}

const outputKept = 4000;
const defaultGraceMs = 5000;
/** The last two attempts at one place are made with smaller plans. */
const defaultBackoffMs = [250, 1000, 1000];

type Refusals = Extract<HostMessage, { type: 'render' }>['avoid'];
type Answer = Extract<EngineMessage, { type: 'done' | 'reported' | 'measured' }>;
type Outcome =
  | { readonly kind: 'answer'; readonly message: Answer }
  | { readonly kind: 'failed'; readonly error: PusaError }
  | {
      readonly kind: 'ended';
      readonly exit: EngineExit;
      /** The provider it was starting. */
      readonly trying: Provider | null;
      readonly output: string;
    };

/** What is done otherwise after the engine ended. */
interface Attempt {
  readonly avoid: Refusals;
  readonly smallerTiles: boolean;
  readonly smallerPlan: boolean;
}

interface Request {
  readonly id: number;
  /** Makes the message anew for each attempt: what to avoid may have grown. */
  message(attempt: Attempt): HostMessage;
  readonly onNote?: (note: Note) => void;
  readonly onProgress?: (progress: Progress) => void;
  readonly onPreview?: (preview: Preview) => void;
  readonly onRestart?: () => void;
  readonly signal?: AbortSignal | undefined;
  keep: boolean;
}

class EngineSupervisor implements Supervisor {
  readonly #options: SupervisorOptions;
  readonly #fork: ForkEngine;
  readonly #backoffMs: readonly number[];
  #engine: RunningEngine | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #current: Request | null = null;
  #avoid: Refusals = [];
  #lastId = 0;
  #closed = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#fork = options.fork ?? nodeFork();
    this.#backoffMs = options.backoffMs ?? defaultBackoffMs;
  }

  get pid(): number | undefined {
    return this.#engine?.pid;
  }

  async report({ fresh = false }: { readonly fresh?: boolean } = {}): Promise<DeviceReport> {
    const id = ++this.#lastId;
    if (fresh) this.#avoid = [];
    const answer = await this.#enqueue({
      id,
      keep: false,
      // Once a driver has ended the engine, what was measured before that stands.
      message: ({ avoid }) => ({ type: 'report', id, avoid, fresh: fresh && avoid.length === 0 }),
    });
    if (answer.type !== 'reported') throw unexpected(answer);
    return answer.report;
  }

  async measure(provider: Provider): Promise<Measurement> {
    const id = ++this.#lastId;
    const answer = await this.#enqueue({
      id,
      keep: false,
      message: ({ avoid }) => ({ type: 'measure', id, provider, avoid }),
    });
    if (answer.type !== 'measured') throw unexpected(answer);
    return answer.measurement;
  }

  async render(jobFolder: string, packageFolder: string, options: RenderOptions = {}): Promise<Result> {
    const id = ++this.#lastId;
    const { provider = null, rates = {}, onProgress, onPreview, onNote, onRestart, signal } = options;
    const answer = await this.#enqueue({
      id,
      keep: false,
      signal,
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(onPreview === undefined ? {} : { onPreview }),
      ...(onNote === undefined ? {} : { onNote }),
      ...(onRestart === undefined ? {} : { onRestart }),
      message: ({ avoid, smallerTiles, smallerPlan }) => ({
        type: 'render',
        id,
        jobFolder,
        packageFolder,
        provider,
        avoid,
        rates,
        smallerTiles,
        smallerPlan,
        previews: onPreview !== undefined,
      }),
    });
    if (answer.type !== 'done') throw unexpected(answer);
    return answer.result;
  }

  keep(): void {
    const request = this.#current;
    if (request === null) return;
    request.keep = true;
    this.#engine?.send({ type: 'keep', id: request.id });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#engine?.end();
    await this.#queue.catch(() => undefined);
  }

  /** Waits for its turn, then runs. */
  #enqueue(request: Request): Promise<Answer> {
    const turn = this.#queue.then(
      () => this.#run(request),
      () => this.#run(request),
    );
    this.#queue = turn;
    return turn;
  }

  async #run(request: Request): Promise<Answer> {
    this.#current = request;
    const reached = new Reached();
    let crashes = 0;
    try {
      for (;;) {
        this.#throwIfOver(request);
        const again = crashes > 1;
        const outcome = await this.#ask(request, reached, {
          avoid: this.#avoid,
          smallerTiles: again && reached.inCodec,
          smallerPlan: again && !reached.inCodec,
        });
        if (outcome.kind === 'answer') return outcome.message;
        if (outcome.kind === 'failed') throw outcome.error;
        this.#throwIfOver(request);
        const { exit, trying, output } = outcome;
        if (trying !== null && !this.#avoid.some(({ provider }) => provider === trying)) {
          this.#avoid = [
            ...this.#avoid,
            {
              provider: trying,
              reason: `The driver of ${providerNames[trying]} ended the engine while it started.`,
            },
          ];
          continue;
        }
        crashes = reached.advanced() ? 1 : crashes + 1;
        if (crashes > this.#backoffMs.length) throw crashed(crashes, exit, output);
        this.#options.onLog?.(`The engine ended (${describeExit(exit)}); it is started again.`);
        request.onRestart?.();
        await pause(this.#backoffMs[crashes - 1]!, request.signal);
      }
    } finally {
      this.#current = null;
    }
  }

  #throwIfOver(request: Request): void {
    if (!this.#closed && request.signal?.aborted !== true) return;
    throw new PusaError(
      'CANCELLED',
      'The job was cancelled.',
      'Finished steps are kept; resume it to go on.',
    );
  }

  /** One attempt: sends the request and waits until it is answered or the engine ends. */
  async #ask(request: Request, reached: Reached, attempt: Attempt): Promise<Outcome> {
    if (this.#engine === null || this.#engine.exit !== null) {
      this.#engine = new RunningEngine(
        this.#fork(this.#options.entry),
        this.#options.memory ?? null,
        this.#options.onLog,
      );
    }
    const engine = this.#engine;
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const fail = (error: PusaError): void => resolve({ kind: 'failed', error });

    engine.onEnd = (exit) => resolve({ kind: 'ended', exit, trying: engine.trying, output: engine.output });
    engine.onMistake = (error) => {
      fail(error);
      this.#engine = null;
      void engine.end();
    };
    engine.onMessage = (message) => {
      if ('id' in message && message.id !== request.id && message.id !== null) return;
      switch (message.type) {
        case 'progress':
          reached.note(message.progress);
          request.onProgress?.(message.progress);
          break;
        case 'preview':
          request.onPreview?.(message);
          break;
        case 'note':
          request.onNote?.(message.note);
          break;
        case 'done':
        case 'reported':
        case 'measured':
          resolve({ kind: 'answer', message });
          break;
        case 'failed':
          fail(new PusaError(message.error.code, message.error.message, message.error.remedy));
          break;
        case 'hello':
        case 'trying':
        case 'log':
          break;
      }
    };
    let timer: NodeJS.Timeout | undefined;
    const cancel = (): void => {
      engine.send({ type: 'cancel', id: request.id });
      timer = setTimeout(() => void engine.end(), this.#options.graceMs ?? defaultGraceMs);
    };
    request.signal?.addEventListener('abort', cancel, { once: true });
    engine.send(request.message(attempt));
    if (request.keep) engine.send({ type: 'keep', id: request.id });
    try {
      if (engine.exit !== null) engine.onEnd(engine.exit);
      return await promise;
    } finally {
      clearTimeout(timer);
      request.signal?.removeEventListener('abort', cancel);
      engine.quiet();
    }
  }
}

/** An engine process with the line to it validated. */
class RunningEngine {
  readonly #child: EngineChild;
  readonly #ended: Promise<EngineExit>;
  #output = '';
  /** How it ended; null while it runs. */
  exit: EngineExit | null = null;
  /** The provider it is starting, if any. */
  trying: Provider | null = null;
  onMessage: (message: EngineMessage) => void = () => undefined;
  onMistake: (error: PusaError) => void = () => undefined;
  onEnd: (exit: EngineExit) => void = () => undefined;

  constructor(child: EngineChild, memory: MemoryPlace | null, onLog?: (text: string) => void) {
    this.#child = child;
    child.onOutput((text) => {
      this.#output = (this.#output + text).slice(-outputKept);
      onLog?.(text);
    });
    child.onMessage((value) => this.#receive(value, onLog));
    const { promise, resolve } = Promise.withResolvers<EngineExit>();
    this.#ended = promise;
    child.onExit((exit) => {
      this.exit = exit;
      resolve(exit);
      this.onEnd(exit);
    });
    this.send({ type: 'hello', protocol: protocolVersion, memory });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The last of what the process printed. */
  get output(): string {
    return this.#output;
  }

  send(message: HostMessage): void {
    if (this.exit === null) this.#child.send(message);
  }

  /** No request listens any more. */
  quiet(): void {
    this.onMessage = () => undefined;
    this.onMistake = () => undefined;
    this.onEnd = () => undefined;
  }

  async end(): Promise<void> {
    if (this.exit === null) this.#child.kill();
    await this.#ended;
  }

  #receive(value: unknown, onLog?: (text: string) => void): void {
    try {
      const message = parseEngineMessage(value);
      if (message.type === 'hello') checkVersion(message.protocol);
      if (message.type === 'trying') this.trying = message.provider;
      if (message.type === 'log') onLog?.(message.text);
      this.onMessage(message);
    } catch (thrown) {
      if (!(thrown instanceof PusaError)) throw thrown;
      this.onMistake(thrown);
    }
  }
}

/** How far a request has come, over all attempts: a crash after new progress does not count against it. */
class Reached {
  private best = -1;
  private bestAtCrash = -1;
  private phase: Progress['phase'] = 'load';

  /** Whether the autoencoder was at work, whose memory depends on its tiles. */
  get inCodec(): boolean {
    return this.phase === 'sources' || this.phase === 'decode';
  }

  note({ phase, done }: Progress): void {
    this.phase = phase;
    this.best = Math.max(this.best, phases.indexOf(phase) * 1e9 + done);
  }

  /** Asked at a crash: whether there was progress since the last one. */
  advanced(): boolean {
    const advanced = this.best > this.bestAtCrash;
    this.bestAtCrash = this.best;
    return advanced;
  }
}

function crashed(times: number, exit: EngineExit, output: string): PusaError {
  const memory = exit.signal === 'SIGKILL' ? ', most likely because the memory ran out' : '';
  return new PusaError(
    'ENGINE_CRASHED',
    `The engine ended ${times} times in a row without progress (${describeExit(exit)})${memory}.`,
    'Finished steps are kept: choose a smaller size or another device, close other programs, and try again.',
    { cause: new Error(output) },
  );
}

function describeExit({ code, signal }: EngineExit): string {
  if (signal !== null) return signal;
  if (code === deviceLostCode) return 'the graphics processor stopped answering';
  return code === null ? 'it could not be started' : `exit code ${code}`;
}

function unexpected(answer: Answer): PusaError {
  return new PusaError(
    'ENGINE_PROTOCOL',
    `The engine gave an answer to another question (${answer.type}).`,
    'Start the application again; if it happens twice, report it with the log.',
  );
}

/** Waits, or less long when cancelled. */
function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', over);
      resolve();
    };
    const timer = setTimeout(over, milliseconds);
    signal?.addEventListener('abort', over);
    if (signal?.aborted === true) over();
  });
}
