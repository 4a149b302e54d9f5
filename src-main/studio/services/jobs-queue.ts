import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { EventPayload } from '../../core/contract/api.ts';
import type { Job } from '../../core/contract/job.ts';
import type { Project, Range } from '../../core/contract/project.ts';
import type { JobRecord } from '../../core/contract/records.ts';
import { PusaError } from '../../core/errors.ts';
import { rangeOfTake, type JobChange } from '../../core/plan/replan.ts';
import type { Edit, StoreChange } from '../../library/store.ts';
import type { StudioContext } from '../context.ts';
import { holdsJob } from '../render.ts';
import { Forecasts } from './forecast.ts';
import {
  changeJob,
  copyJob,
  forgetDeaths,
  freezeRange,
  noteDeath,
  readJob,
  requireFrozen,
  sweepJobs,
} from './jobs-folder.ts';
import { overStates, placeFor, queueOf, queueStates, reorderJob } from './jobs-order.ts';
import { JobRun } from './jobs-run.ts';
import { QueueMemory } from './jobs-state.ts';
import { findUsableModel } from './models.ts';

/** A job that the process died with so often without coming further is not tried again by itself. */
const mostDeaths = 3;

/** A range of a project, to be frozen. */
export interface Wanted {
  readonly project: Project;
  readonly range: Range;
  readonly place: 'next' | 'last';
  /** A job for each, alike but for these changes. */
  readonly changes: readonly JobChange[];
}

/**
 * The queue of jobs. Its order and states are records of the library, what is to be done lies frozen in a folder for
 * each job: both outlast the process, and so does the work done so far. One job runs at a time.
 */
export class JobQueue {
  /** Whether the queue is paused, and what was measured. */
  readonly memory: QueueMemory;
  readonly forecasts: Forecasts;
  readonly #context: StudioContext;
  /** The job that runs, and its end. */
  #running: { readonly run: JobRun; readonly ended: Promise<void> } | null = null;
  /** Jobs whose folders are being changed: they are not started meanwhile. */
  readonly #held = new Set<string>();
  /** Jobs that are being frozen. */
  readonly #entering = new Set<Promise<unknown>>();
  readonly #unsubscribe: () => void;
  #told = '';
  /** Something is wrong that the next job would meet too: none is started until a person does something. */
  #isStalled = false;
  #isClosed = false;

  private constructor(context: StudioContext, memory: QueueMemory) {
    this.#context = context;
    this.memory = memory;
    this.forecasts = new Forecasts(context, memory);
    this.#unsubscribe = context.store.onChange((change) => this.#hear(change));
  }

  /**
   * Opens the queue, tidies up what an end of the process left behind, and goes on with the jobs.
   * @throws PusaError WRITE_FAILED, DISK_FULL, LIBRARY_DAMAGED
   */
  static async open(context: StudioContext): Promise<JobQueue> {
    const queue = new JobQueue(context, await QueueMemory.open(context));
    await queue.#recover();
    queue.#tell();
    queue.#pump();
    return queue;
  }

  /** What `jobs.queue` tells. */
  status(): EventPayload<'jobs.queue'> {
    const queue = queueOf(this.#context.store);
    return {
      running: queue.filter(({ state }) => state === 'running').map(({ id }) => id),
      waiting: queue.filter(({ state }) => state === 'waiting').length,
      paused: this.memory.paused,
    };
  }

  /**
   * Freezes a range, once for each change, and appends the jobs.
   * @throws PusaError of the plan, the media, the model; DISK_FULL: then there is none of them
   */
  async add({ project, range, place, changes }: Wanted): Promise<JobRecord[]> {
    const { manifest } = await findUsableModel(this.#context, range.model);
    const ids = changes.map(() => randomUUID());
    const first = this.#folder(ids[0]!);
    return this.#enter(project.id, range.id, ids, place, async () => {
      await freezeRange(this.#context, project, range, manifest, first, ids[0]!);
      for (const [index, id] of ids.entries()) {
        if (index > 0) await copyJob(first, this.#folder(id), id, changes[index]!);
      }
      await changeJob(first, changes[0]!);
    });
  }

  /**
   * The same job once more, with its model as that is now. When its take was made, what was frozen for it was removed:
   * then its range is frozen with the take's settings.
   * @throws PusaError JOB_INVALID when that is gone too; of the plan, the media, the model; DISK_FULL
   */
  async duplicate(jobId: string, change: JobChange): Promise<JobRecord> {
    const { store } = this.#context;
    const job = store.require('jobs', jobId);
    const from = this.#folder(jobId);
    const id = randomUUID();
    const take = store.lists.takeOfJob(job);
    const project = store.require('projects', job.projectId);
    const range = project.ranges.find((one) => one.id === job.rangeId);
    // Of a job that is done it may be about to be removed.
    const gone = job.state === 'done' || !(await holdsJob(from));
    if (gone && take !== null && range !== undefined) {
      // At the take's own size: it may have been a draft, or the project's may have been changed since.
      const { width, height } = take;
      const again = { project: { ...project, width, height }, range: rangeOfTake(range, take) };
      return (await this.add({ ...again, place: 'last', changes: [change] }))[0]!;
    }
    await requireFrozen(from);
    const copy = async (): Promise<void> =>
      copyJob(from, this.#folder(id), id, change, await this.#modelNow(from));
    return (await this.#enter(job.projectId, job.rangeId, [id], 'last', copy))[0]!;
  }

  /** @throws PusaError EDIT_INVALID */
  async reorder(jobId: string, before: string | null): Promise<JobRecord> {
    const { store } = this.#context;
    const { value } = await store.transact(null, 'Reorder jobs', (edit) =>
      reorderJob(store, edit, jobId, before),
    );
    return value;
  }

  /** Changes a job that waits; steps it has are dropped. @throws PusaError JOB_BUSY, SAMPLER_INVALID, JOB_INVALID */
  async edit(jobId: string, change: JobChange): Promise<JobRecord> {
    const { store } = this.#context;
    if (this.#held.has(jobId)) throw notWaiting();
    this.#held.add(jobId);
    try {
      const { state } = store.require('jobs', jobId);
      if (state !== 'waiting' && state !== 'paused') throw notWaiting();
      await changeJob(this.#folder(jobId), change);
      const { value } = await store.transact(null, 'Edit a job', (edit) =>
        edit.update('jobs', jobId, (job) => ({ ...job, progress: null })),
      );
      return value;
    } finally {
      this.#held.delete(jobId);
      this.#pump();
    }
  }

  async pause(jobIds: readonly string[]): Promise<void> {
    await this.#change('Pause jobs', jobIds, (job) =>
      job.state === 'waiting' ? { ...job, state: 'paused' } : job,
    );
    this.#forRunning(jobIds, (run) => run.stop('pause'));
  }

  async resume(jobIds: readonly string[]): Promise<void> {
    this.#forRunning(jobIds, (run) => run.goOn());
    await this.#change('Resume jobs', jobIds, (job) =>
      job.state === 'paused' ? { ...job, state: 'waiting' } : job,
    );
    await this.#wake();
  }

  async cancel(jobIds: readonly string[]): Promise<void> {
    const finishedAt = new Date().toISOString();
    await this.#change('Cancel jobs', jobIds, (job) =>
      job.state === 'waiting' || job.state === 'paused' ? { ...job, state: 'cancelled', finishedAt } : job,
    );
    this.#forRunning(jobIds, (run) => run.stop('cancel'));
  }

  /** @throws PusaError EDIT_INVALID for a job that does not run */
  keep(jobId: string): void {
    const { state } = this.#context.store.require('jobs', jobId);
    if (state !== 'running' || this.#running?.run.jobId !== jobId) {
      throw new PusaError(
        'EDIT_INVALID',
        'This job is not running, so there is nothing to keep.',
        'Resume it, or generate again.',
      );
    }
    this.#running.run.keep();
  }

  /** @throws PusaError EDIT_INVALID for a job that neither failed nor was cancelled; JOB_INVALID */
  async retry(jobId: string): Promise<JobRecord> {
    const { store } = this.#context;
    const folder = this.#folder(jobId);
    store.require('jobs', jobId);
    await requireFrozen(folder);
    await forgetDeaths(folder);
    const { value } = await store.transact(null, 'Retry a job', (edit) => {
      const { state } = edit.require('jobs', jobId);
      if (state !== 'failed' && state !== 'cancelled') {
        throw new PusaError(
          'EDIT_INVALID',
          'Only a job that failed or was cancelled is tried again.',
          'Duplicate it to make another take.',
        );
      }
      const position = placeFor(store, 'last');
      return edit.update('jobs', jobId, (job) => ({
        ...job,
        state: 'waiting',
        position,
        finishedAt: null,
        error: null,
      }));
    });
    await this.#wake();
    return value;
  }

  /** @throws PusaError JOB_BUSY for one that is still in the queue: then none is removed */
  async remove(jobIds: readonly string[]): Promise<void> {
    await this.#context.store.transact(null, 'Remove jobs', (edit) => {
      for (const id of new Set(jobIds)) {
        if (!overStates.includes(edit.require('jobs', id).state)) {
          throw new PusaError('JOB_BUSY', 'A job is still in the queue.', 'Cancel it, then remove it.');
        }
        edit.remove('jobs', id);
      }
    });
  }

  async setPaused(paused: boolean): Promise<void> {
    await this.memory.setPaused(paused);
    this.#tell();
    if (!paused) await this.#wake();
  }

  /** Stops what runs; it goes on when the queue is opened next. Jobs that are being frozen still come into it. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#running?.run.stop('close');
    await this.#running?.ended;
    await Promise.allSettled(this.#entering);
    this.#unsubscribe();
  }

  /** The package that a frozen job names: another one since, where an upgrade brought a better one; else as frozen. */
  async #modelNow(folder: string): Promise<Job['model']> {
    const { model } = await readJob(folder);
    return findUsableModel(this.#context, model.id).then(
      ({ manifest: { id, hash } }) => ({ id, hash }),
      () => model,
    );
  }

  #folder(jobId: string): string {
    return join(this.#context.folders.jobs, jobId);
  }

  /** Makes the folders of new jobs, then all their records; without the one there is not the other. */
  async #enter(
    projectId: string,
    rangeId: string,
    ids: readonly string[],
    place: 'next' | 'last',
    freeze: () => Promise<void>,
  ): Promise<JobRecord[]> {
    if (this.#isClosed) {
      throw new PusaError('LIBRARY_BUSY', 'The library is being closed.', 'Wait a moment and try again.');
    }
    const { store } = this.#context;
    const making = async (): Promise<JobRecord[]> => {
      try {
        await freeze();
        const { value } = await store.transact(null, 'Add jobs', (edit) => {
          edit.require('projects', projectId);
          return ids.map((id) => enter(edit, { id, projectId, rangeId, position: placeFor(store, place) }));
        });
        return value;
      } catch (thrown) {
        for (const id of ids) await rm(this.#folder(id), { recursive: true, force: true });
        throw thrown;
      }
    };
    const entering = making();
    this.#entering.add(entering);
    const entered = await entering.finally(() => this.#entering.delete(entering));
    await this.#wake();
    return entered;
  }

  async #change(
    label: string,
    jobIds: readonly string[],
    change: (job: JobRecord) => JobRecord,
  ): Promise<void> {
    await this.#context.store.transact(null, label, (edit) => {
      for (const id of new Set(jobIds)) edit.update('jobs', id, change);
    });
  }

  #forRunning(jobIds: readonly string[], act: (run: JobRun) => void): void {
    if (this.#running !== null && jobIds.includes(this.#running.run.jobId)) act(this.#running.run);
  }

  /** A person did something: what stood still is tried again. */
  async #wake(): Promise<void> {
    this.#isStalled = false;
    if (this.#running === null) {
      // One whose end could not be written, as on a full disk.
      const orphans = this.#context.store.lists.jobs(['running']).map(({ id }) => id);
      if (orphans.length > 0) await this.#change('Resume jobs', orphans, waitingAgain);
    }
    this.#pump();
  }

  /** Starts the next job, if it is time for one. */
  #pump(): void {
    if (this.#isClosed || this.#isStalled || this.memory.paused || this.#running !== null) return;
    const { store } = this.#context;
    const log = (thrown: unknown): void => this.#context.log(thrown);
    const next = store.lists.jobs(['waiting']).find(({ id }) => !this.#held.has(id));
    if (next === undefined) return;
    const run = new JobRun(this.#context, this.memory, this.forecasts, next.id);
    const ended = run
      .run()
      .catch((thrown: unknown) => {
        log(thrown);
        return 'stuck' as const;
      })
      .then((end) => {
        this.#running = null;
        // It would begin again at once, and end in the same way.
        if (end === 'stuck') this.#isStalled = true;
        this.#pump();
      })
      .catch(log);
    this.#running = { run, ended };
  }

  #hear({ diffs }: StoreChange): void {
    const jobs = diffs.filter(({ table }) => table === 'jobs');
    if (jobs.length === 0) return;
    for (const { id, after } of jobs) {
      if (after !== null) continue;
      this.#forRunning([id], (run) => run.stop('removed'));
      void rm(this.#folder(id), { recursive: true, force: true }).catch((thrown: unknown) =>
        this.#context.log(thrown),
      );
    }
    this.#tell();
  }

  #tell(): void {
    const status = this.status();
    const text = JSON.stringify(status);
    if (text === this.#told) return;
    this.#told = text;
    this.#context.emit('jobs.queue', status);
  }

  /** After a start: folders without a job go; a job that was running when the process died waits to go on. */
  async #recover(): Promise<void> {
    const { store, folders } = this.#context;
    const needed = store.lists.jobs([...queueStates, 'failed', 'cancelled']);
    await sweepJobs(folders.jobs, new Set(needed.map(({ id }) => id)));
    for (const { id, state } of needed) {
      if (state !== 'running') continue;
      const deaths = await noteDeath(this.#folder(id));
      await this.#change('Resume a job', [id], (job) =>
        deaths < mostDeaths ? waitingAgain(job) : { ...job, ...givenUp(deaths) },
      );
    }
  }
}

function enter(edit: Edit, job: Pick<JobRecord, 'id' | 'projectId' | 'rangeId' | 'position'>): JobRecord {
  edit.put('jobs', {
    ...job,
    state: 'waiting',
    attempt: 0,
    createdAt: new Date().toISOString(),
    startedAt: null,
    finishedAt: null,
    progress: null,
    error: null,
  });
  return edit.require('jobs', job.id);
}

function waitingAgain(job: JobRecord): JobRecord {
  return job.state === 'running' ? { ...job, state: 'waiting' } : job;
}

function givenUp(times: number): Pick<JobRecord, 'state' | 'finishedAt' | 'error'> {
  return {
    state: 'failed',
    finishedAt: new Date().toISOString(),
    error: {
      code: 'ENGINE_CRASHED',
      message: `The application ended ${times} times in a row while it worked on this job, without coming further.`,
      remedy: 'Finished steps are kept: choose a smaller size or another device, and try again.',
    },
  };
}

function notWaiting(): PusaError {
  return new PusaError(
    'JOB_BUSY',
    'The job does not wait any more, so it cannot be changed.',
    'Duplicate its range with other settings and generate it again.',
  );
}
