import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Job, Progress, Take } from '../../core/contract/job.ts';
import type { Note } from '../../core/contract/note.ts';
import type { Cost, JobRecord, TakeRecord } from '../../core/contract/records.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { JobFolder } from '../../engine/pipeline/job-folder.ts';
import type { Preview } from '../../engine/protocol.ts';
import type { ModelPackage } from '../../engine/weights/package.ts';
import { removeJob, renderJob } from '../render.ts';
import type { Notice, StudioContext } from '../context.ts';
import type { Forecasts } from './forecast.ts';
import { finishOf } from './jobs-folder.ts';
import type { QueueMemory } from './jobs-state.ts';
import { findUsableModel } from './models.ts';

/** Why a running job is stopped. `close`: the studio ends, and the job goes on at its next start. */
export type Stop = 'pause' | 'cancel' | 'close' | 'removed';

/** What is told when the engine ended in the midst of a job. */
const restarted = new PusaError(
  'ENGINE_RESTARTED',
  'The engine ended unexpectedly and was started again.',
  'There is nothing to do: the job goes on from its last finished step.',
);

/** Milliseconds between two progress events, and between two writes of the progress into the library. */
const pace = { events: 100, records: 10_000 } as const;

/** One job while it runs. */
export class JobRun {
  readonly jobId: string;
  readonly #context: StudioContext;
  readonly #memory: QueueMemory;
  readonly #forecasts: Forecasts;
  readonly #startedAt = performance.now();
  /** Sentences told. */
  readonly #notes = new Set<string>();
  readonly #abort = new AbortController();
  #stop: Stop | null = null;
  #keep = false;
  #progress: Progress | null = null;
  #told = 0;
  #written = 0;

  constructor(context: StudioContext, memory: QueueMemory, forecasts: Forecasts, jobId: string) {
    this.#context = context;
    this.#memory = memory;
    this.#forecasts = forecasts;
    this.jobId = jobId;
  }

  /** Stops it; a pause waits for the end of the step it is at, which is then not lost. */
  stop(why: Stop): void {
    // What a person asked for first stands, but a pause can become a cancel.
    const isStronger = why === 'removed' || (why === 'cancel' && this.#stop === 'pause');
    if (this.#stop === null || isStronger) this.#stop = why;
    if (why !== 'pause' || this.#progress?.phase !== 'denoise') this.#abort.abort();
  }

  /** Takes a pause back that has not taken hold yet. */
  goOn(): void {
    if (this.#stop === 'pause' && !this.#abort.signal.aborted) this.#stop = null;
  }

  /** Ends it with a take of what there is. */
  keep(): void {
    this.#keep = true;
    // Before its first word the engine may still be at work on another request.
    if (this.#progress !== null) this.#context.supervisor.keep();
  }

  /**
   * Runs it to its end, whatever that is; the record says which.
   * @returns `stuck` when it ended as it began, without anybody having asked for that
   * @throws PusaError when the library cannot be written
   */
  async run(): Promise<'over' | 'stuck'> {
    const { store } = this.#context;
    const { value: isStarted } = await store.transact(null, 'Start a job', (edit) => {
      const job = edit.get('jobs', this.jobId);
      if (job?.state !== 'waiting') return false;
      const startedAt = new Date().toISOString();
      edit.put('jobs', {
        ...job,
        state: 'running',
        attempt: job.attempt + 1,
        startedAt,
        finishedAt: null,
        error: null,
      });
      return true;
    });
    if (!isStarted) return 'over';
    const output = join(this.#context.folders.temporary, `${randomUUID()}.mp4`);
    try {
      await this.#render(output);
      await removeJob(this.#folder).catch((thrown: unknown) => this.#context.log(thrown));
      return 'over';
    } catch (thrown) {
      const error = toPusaError(thrown);
      await this.#settle(error);
      return error.code === 'CANCELLED' && this.#stop === null ? 'stuck' : 'over';
    } finally {
      await rm(output, { force: true }).catch((thrown: unknown) => this.#context.log(thrown));
    }
  }

  get #folder(): string {
    return join(this.#context.folders.jobs, this.jobId);
  }

  async #render(output: string): Promise<void> {
    const context = this.#context;
    const folder = await JobFolder.open(this.#folder);
    const { job } = folder;
    const kind = { ...job, frames: job.plan.frames, cfg: job.sampler.cfg };
    const { provider, previews } = context.settings();
    const model = await findUsableModel(context, job.model.id);
    const finish = await finishOf(folder);
    await this.#forecast(model, job);
    const rendered = await renderJob(context.supervisor, this.#folder, model.folder, output, {
      onProgress: (progress) => this.#note(progress),
      onNote: (note) => this.#tellNote(note),
      onRestart: () => this.#post('warning', restarted),
      ...(previews
        ? {
            onPreview: (preview: Preview) => {
              if (context.watched('jobs.preview')) {
                context.emit('jobs.preview', { jobId: this.jobId, ...pictureOf(preview) });
              }
            },
          }
        : {}),
      ...(finish === null ? {} : { finish }),
      signal: this.#abort.signal,
      provider,
      rates: this.#memory.rates(kind, provider),
    });
    await this.#keepTake(output, rendered.take, rendered.peakBytes);
    await this.#memory
      .keepRates(kind, provider, rendered.rates)
      .catch((thrown: unknown) => this.#context.log(thrown));
    // Those of an earlier run of the same job too.
    for (const note of rendered.notes) this.#tellNote(note);
  }

  /** The take's file, its record and the end of its job: all of them or none. */
  async #keepTake(output: string, take: Take, peakBytes: number | null): Promise<void> {
    const { media, store } = this.#context;
    await media.import(output, {
      signal: this.#abort.signal,
      record: async ({ hash }) => {
        await store.transact(null, 'Keep a take', (edit) => {
          const { projectId, rangeId, ...job } = edit.require('jobs', this.jobId);
          edit.put('takes', { ...take, ...unrated, id: randomUUID(), projectId, rangeId, fileHash: hash });
          edit.put('jobs', {
            ...job,
            projectId,
            rangeId,
            state: 'done',
            finishedAt: new Date().toISOString(),
            progress: this.#progress,
            error: null,
            ...this.#costOf(job, peakBytes),
          });
        });
      },
    });
  }

  /** Notes what the job is expected to cost: of one that goes on, what it was expected to when it began. */
  async #forecast(model: ModelPackage, job: Job): Promise<void> {
    const { seconds, plan } = await this.#forecasts.ofJob(model, job);
    const forecast: Cost = { seconds, memoryBytes: plan?.peakBytes ?? null };
    await this.#change('Note a forecast', (record) =>
      record.cost === undefined ? { ...record, cost: { forecast, actual: null } } : record,
    );
  }

  /** What it cost in the end; the seconds of a job that was interrupted say nothing. */
  #costOf({ cost, attempt }: Pick<JobRecord, 'cost' | 'attempt'>, memoryBytes: number | null) {
    if (cost === undefined) return {};
    const seconds = attempt === 1 ? (performance.now() - this.#startedAt) / 1000 : null;
    this.#context.log(describeCost(this.jobId, cost.forecast, { seconds, memoryBytes }));
    return { cost: { ...cost, actual: { seconds, memoryBytes } } };
  }

  /** Says at once what is done otherwise than asked, and keeps it with the job. */
  #tellNote(note: Note): void {
    if (this.#notes.has(note.text)) return;
    this.#notes.add(note.text);
    const { text: message, ...coded } = note;
    this.#post('warning', { ...coded, message, remedy: null });
    this.#change('Note what happened', ({ notes = [], ...job }) => ({
      ...job,
      notes: notes.some(({ text }) => text === message) ? notes : [...notes, note].slice(-20),
    })).catch((thrown: unknown) => this.#context.log(thrown));
  }

  async #change(label: string, change: (job: JobRecord) => JobRecord): Promise<void> {
    await this.#context.store.transact(null, label, (edit) => {
      const job = edit.get('jobs', this.jobId);
      if (job !== null) edit.put('jobs', change(job));
    });
  }

  /** What becomes of a job that did not come to its end. */
  async #settle(error: PusaError): Promise<void> {
    const { store } = this.#context;
    if (this.#stop === 'removed') return;
    const isStopped = error.code === 'CANCELLED';
    if (!isStopped) this.#context.log(error);
    try {
      await store.transact(null, 'End a job', (edit) => {
        const job = edit.get('jobs', this.jobId);
        if (job?.state !== 'running') return;
        edit.put('jobs', {
          ...job,
          progress: this.#progress ?? job.progress,
          ...this.#end(error, isStopped),
        });
      });
    } finally {
      // Also where the record cannot be written, as on a full disk: a person is to know why nothing goes on.
      if (!isStopped) this.#post('error', error);
    }
  }

  #end(error: PusaError, isStopped: boolean): Pick<JobRecord, 'state' | 'finishedAt' | 'error'> {
    const finishedAt = new Date().toISOString();
    if (!isStopped) {
      const { code, message, remedy } = error;
      return { state: 'failed', finishedAt, error: { code, message, remedy } };
    }
    if (this.#stop === 'cancel') return { state: 'cancelled', finishedAt, error: null };
    return { state: this.#stop === 'pause' ? 'paused' : 'waiting', finishedAt: null, error: null };
  }

  #note(progress: Progress): void {
    const before = this.#progress;
    const isFirst = before === null;
    const isNewPhase = before?.phase !== progress.phase;
    const isNewUnit = isNewPhase || before.done !== progress.done;
    this.#progress = progress;
    if (isFirst && this.#keep) this.#context.supervisor.keep();
    // A step counts as done when it is saved.
    if (this.#stop === 'pause' && isNewUnit) this.#abort.abort();
    const now = performance.now();
    if (isNewPhase || now - this.#told >= pace.events || progress.done === progress.total) {
      this.#told = now;
      this.#context.emit('jobs.progress', { jobId: this.jobId, progress });
    }
    if (isNewPhase || (isNewUnit && now - this.#written >= pace.records)) {
      this.#written = now;
      this.#write(progress);
    }
  }

  /** The progress goes into the record now and then: enough for a list and for the next start. */
  #write(progress: Progress): void {
    this.#context.store
      .transact(null, 'Note progress', (edit) => {
        const job = edit.get('jobs', this.jobId);
        if (job?.state === 'running') edit.put('jobs', { ...job, progress });
      })
      .catch((thrown: unknown) => this.#context.log(thrown));
  }

  #post(level: Notice['level'], { code, message, remedy, values = {} }: Omit<Notice, 'level'>): void {
    const projectId = this.#context.store.get('jobs', this.jobId)?.projectId ?? null;
    this.#context.notify({ level, code, values, message, remedy, projectId, jobId: this.jobId });
  }
}

/** A line for the log: how good the forecast was. */
function describeCost(jobId: string, forecast: Cost, actual: Cost): string {
  const seconds = (value: number | null): string => (value === null ? 'unknown' : `${value.toFixed(1)} s`);
  const memory = (value: number | null): string =>
    value === null ? 'unknown' : `${(value / 2 ** 30).toFixed(2)} GB`;
  return (
    `Job ${jobId}: forecast ${seconds(forecast.seconds)} and ${memory(forecast.memoryBytes)}, ` +
    `in fact ${seconds(actual.seconds)} and ${memory(actual.memoryBytes)}.`
  );
}

const unrated: Pick<TakeRecord, 'rating' | 'tags' | 'promotedClipId'> = {
  rating: 0,
  tags: [],
  promotedClipId: null,
};

/** A preview without what only the engine's line needs. */
function pictureOf({ cells, width, height, rgb }: Preview): Preview {
  return { cells, width, height, rgb };
}
