import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { ModelTask } from '../../core/contract/api/model-work.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import type { StudioContext } from '../context.ts';
import { StateFile } from '../state-file.ts';
import {
  keptTasksSchema,
  type KeptTask,
  type KeptTasks,
  type TaskProgress,
  type TaskRequest,
  type TaskRunner,
} from './requests.ts';
import { Speed } from './speed.ts';

/** Progress is told no more often than this. */
const tellEveryMs = 250;
/** Tasks that are over are forgotten from the oldest on beyond this. */
const mostOver = 100;

type State = ModelTask['state'];
/** Downloads wait for the network, all else for the disk and the processor: one of each at a time. */
type Lane = 'network' | 'machine';

interface Entry extends KeptTask {
  running: { readonly abort: AbortController; readonly ended: Promise<void>; after: State | null } | null;
}

/** Long operations on models, one after the other, kept over restarts. */
export class ModelTasks {
  readonly #file: StateFile<KeptTasks>;
  readonly #runner: TaskRunner;
  readonly #context: Pick<StudioContext, 'emit' | 'log'>;
  readonly #entries: Entry[] = [];
  #closing = false;

  private constructor(
    file: StateFile<KeptTasks>,
    runner: TaskRunner,
    context: Pick<StudioContext, 'emit' | 'log'>,
  ) {
    this.#file = file;
    this.#runner = runner;
    this.#context = context;
  }

  /** Takes up what an earlier studio left: downloads wait again, the others say that they were cut off. */
  static async open(
    dataFolder: string,
    runner: TaskRunner,
    context: Pick<StudioContext, 'emit' | 'log'>,
  ): Promise<ModelTasks> {
    const file = await StateFile.open<KeptTasks>(
      join(dataFolder, 'model-tasks.json'),
      keptTasksSchema,
      { version: 1, tasks: [] },
      (reason) => context.log(reason),
    );
    const tasks = new ModelTasks(file, runner, context);
    for (const { task, request } of file.value.tasks) {
      tasks.#entries.push({ task: takenUp(task), request, running: null });
    }
    return tasks;
  }

  /** Starts what waits. */
  begin(): void {
    this.#pump();
  }

  list(): ModelTask[] {
    return this.#entries.map(({ task }) => task);
  }

  /** What the task at a place of the list was asked to do. */
  requestAt(index: number): TaskRequest | undefined {
    return this.#entries[index]?.request;
  }

  /** Requests of tasks that are not over. */
  open(): TaskRequest[] {
    return this.#entries.filter(({ task }) => !isOver(task.state)).map(({ request }) => request);
  }

  /** @returns the task's id; it waits, or runs already */
  async add(request: TaskRequest, label: string): Promise<string> {
    this.#requireOpen();
    const task: ModelTask = {
      id: randomUUID(),
      kind: request.kind,
      label: label.slice(0, 200),
      phase: null,
      done: 0,
      total: null,
      bytesPerSecond: null,
      state: 'waiting',
      canPause: request.kind === 'download' || request.kind === 'bake',
      error: null,
      entry: request.kind === 'download' ? request.entry : null,
      model: null,
      createdAt: new Date().toISOString(),
      finishedAt: null,
    };
    this.#entries.push({ task, request, running: null });
    await this.#keep();
    this.#tell(task);
    this.#pump();
    return task.id;
  }

  /** @throws PusaError RECORD_NOT_FOUND, RECORD_INVALID where it cannot be paused */
  async pause(id: string): Promise<void> {
    const entry = this.#find(id);
    if (!entry.task.canPause || isOver(entry.task.state)) {
      throw new PusaError(
        'RECORD_INVALID',
        `“${entry.task.label}” cannot be paused.`,
        'Let it finish, or cancel it.',
      );
    }
    await this.#end(entry, 'paused');
  }

  /** @throws PusaError RECORD_NOT_FOUND */
  async resume(id: string): Promise<void> {
    this.#requireOpen();
    const entry = this.#find(id);
    if (entry.task.state === 'waiting' || entry.task.state === 'running' || entry.task.state === 'done')
      return;
    await this.#change(entry, { state: 'waiting', error: null, finishedAt: null });
    this.#pump();
  }

  /** @returns bytes that were freed. @throws PusaError RECORD_NOT_FOUND */
  async cancel(id: string, removeParts: boolean): Promise<number> {
    const entry = this.#find(id);
    if (entry.task.state !== 'done') await this.#end(entry, 'cancelled');
    if (!removeParts || entry.task.state === 'done') return 0;
    const bytes = await this.#runner.clear(entry.request);
    await this.#change(entry, { done: 0, total: null });
    return bytes;
  }

  /** @throws PusaError RECORD_NOT_FOUND, RECORD_INVALID while it is not over */
  async dismiss(id: string): Promise<void> {
    const entry = this.#find(id);
    if (!isOver(entry.task.state)) {
      throw new PusaError('RECORD_INVALID', `“${entry.task.label}” is not over yet.`, 'Cancel it first.');
    }
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    await this.#keep();
    this.#context.emit('models.changed', {});
  }

  /** Stops what runs; it is taken up again when the studio opens the next time. */
  async close(): Promise<void> {
    this.#closing = true;
    const running = this.#entries.flatMap(({ running: one }) => (one === null ? [] : [one]));
    for (const { abort } of running) abort.abort();
    await Promise.all(running.map(({ ended }) => ended));
  }

  #requireOpen(): void {
    if (!this.#closing) return;
    throw new PusaError('CANCELLED', 'The studio is closing.', 'Start it again when it is open.');
  }

  #find(id: string): Entry {
    const entry = this.#entries.find(({ task }) => task.id === id);
    if (entry !== undefined) return entry;
    throw new PusaError('RECORD_NOT_FOUND', 'This task is not there any more.', 'Look at the list again.');
  }

  async #end(entry: Entry, state: 'paused' | 'cancelled'): Promise<void> {
    const { running } = entry;
    if (running === null) {
      await this.#change(entry, { state, error: null, finishedAt: state === 'cancelled' ? now() : null });
      return;
    }
    running.after = state;
    running.abort.abort();
    await running.ended;
  }

  #pump(): void {
    if (this.#closing) return;
    for (const lane of ['network', 'machine'] as const) {
      if (this.#entries.some((entry) => entry.running !== null && laneOf(entry.request) === lane)) continue;
      const next = this.#entries.find(
        ({ task, request, running }) =>
          task.state === 'waiting' && running === null && laneOf(request) === lane,
      );
      if (next !== undefined) this.#start(next);
    }
  }

  #start(entry: Entry): void {
    const abort = new AbortController();
    const run = async (): Promise<void> => {
      // After this turn, so that `running` is set.
      await Promise.resolve();
      let after: Partial<ModelTask>;
      try {
        await this.#change(entry, { state: 'running', error: null, bytesPerSecond: null });
        const model = await this.#runner.run(entry.request, abort.signal, this.#reporter(entry));
        after = { state: 'done', model, phase: null, error: null, finishedAt: now() };
      } catch (thrown) {
        after = this.#closing
          ? { state: 'running' }
          : abort.signal.aborted
            ? { state: entry.running?.after ?? 'cancelled', finishedAt: now() }
            : { state: 'failed', error: errorOf(thrown), finishedAt: now() };
        if (after.state === 'paused') after.finishedAt = null;
        if (after.state === 'failed' && after.error?.code === 'INTERNAL') this.#context.log(thrown);
      }
      entry.running = null;
      await this.#change(entry, { ...after, bytesPerSecond: null }).catch((thrown: unknown) =>
        this.#context.log(thrown),
      );
      this.#pump();
    };
    entry.running = { abort, ended: run(), after: null };
  }

  #reporter(entry: Entry): (progress: TaskProgress) => void {
    const speed = new Speed();
    let told = -Infinity;
    let timer: NodeJS.Timeout | null = null;
    const tell = (): void => {
      timer = null;
      told = performance.now();
      if (entry.running !== null && entry.task.state === 'running') {
        this.#context.emit('models.task', { task: entry.task });
      }
    };
    return ({ phase, done, total }) => {
      const bytesPerSecond = speed.at(phase.kind, done);
      const isNew = phase.kind !== entry.task.phase?.kind;
      entry.task = { ...entry.task, phase, done, total, bytesPerSecond };
      if (timer !== null) {
        if (!isNew) return;
        clearTimeout(timer);
      }
      const wait = told + tellEveryMs - performance.now();
      // A new phase is told at once, however short it is, and the last figure before a silence too.
      if (isNew || wait <= 0) tell();
      else timer = setTimeout(tell, wait);
    };
  }

  async #change(entry: Entry, change: Partial<ModelTask>): Promise<void> {
    entry.task = { ...entry.task, ...change };
    this.#tell(entry.task);
    await this.#keep();
  }

  #tell(task: ModelTask): void {
    this.#context.emit('models.task', { task });
    this.#context.emit('models.changed', {});
  }

  async #keep(): Promise<void> {
    const over = this.#entries.filter(({ task }) => isOver(task.state));
    for (const old of over.slice(0, Math.max(0, over.length - mostOver))) {
      this.#entries.splice(this.#entries.indexOf(old), 1);
    }
    const tasks = this.#entries.map(({ task, request }) => ({ task, request }));
    await this.#file.change(() => ({ version: 1, tasks }));
  }
}

function laneOf(request: TaskRequest): Lane {
  return request.kind === 'download' ? 'network' : 'machine';
}

function isOver(state: State): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}

function takenUp(task: ModelTask): ModelTask {
  if (task.state !== 'running') return task;
  if (task.kind === 'download') return { ...task, state: 'waiting', bytesPerSecond: null };
  return {
    ...task,
    state: 'failed',
    bytesPerSecond: null,
    finishedAt: now(),
    error: {
      code: 'CANCELLED',
      message: 'Pusa Studio was closed before this was finished.',
      remedy: task.kind === 'bake' ? 'Resume it: what is baked already stays.' : 'Start it again.',
    },
  };
}

function errorOf(thrown: unknown): NonNullable<ModelTask['error']> {
  const { code, message, remedy } = toPusaError(thrown);
  return { code, message, remedy };
}

function now(): string {
  return new Date().toISOString();
}
