import { join } from 'node:path';
import type { JobDetails, Sweep } from '../../core/contract/api/jobs.ts';
import type { JobChange } from '../../core/plan/replan.ts';
import type { StudioContext } from '../context.ts';
import type { HandlersOf } from '../handlers.ts';
import { readJob } from './jobs-folder.ts';
import { listJobs } from './jobs-order.ts';
import type { JobQueue } from './jobs-queue.ts';
import { wantedRange } from './jobs-wanted.ts';

/** The queue as the contract has it. */
export function jobsHandlers(context: StudioContext, queue: JobQueue): HandlersOf<'jobs'> {
  const { store } = context;
  return {
    'jobs.list': (query) => listJobs(store, query),
    'jobs.get': ({ jobId }) => store.require('jobs', jobId),
    'jobs.details': async ({ jobIds }) => {
      const details: JobDetails[] = [];
      for (const id of new Set(jobIds)) {
        const found = await detailsOf(context, id);
        if (found !== null) details.push(found);
      }
      return { details };
    },
    'jobs.status': () => queue.status(),
    'jobs.forecast': (input) => queue.forecasts.ofRange(input),
    'jobs.enqueue': async ({ place, ...input }) => {
      const wanted = await wantedRange(context, input);
      return { jobs: await queue.add({ ...wanted, place, changes: [{}] }) };
    },
    'jobs.batch': async ({ sweep, ...input }) => {
      const wanted = await wantedRange(context, input);
      return { jobs: await queue.add({ ...wanted, place: 'last', changes: changesOf(sweep) }) };
    },
    'jobs.reorder': ({ jobId, before }) => queue.reorder(jobId, before),
    'jobs.edit': ({ jobId, ...change }) => queue.edit(jobId, change),
    'jobs.pause': async ({ jobIds }) => {
      await queue.pause(jobIds);
      return {};
    },
    'jobs.resume': async ({ jobIds }) => {
      await queue.resume(jobIds);
      return {};
    },
    'jobs.cancel': async ({ jobIds }) => {
      await queue.cancel(jobIds);
      return {};
    },
    'jobs.keep': ({ jobId }) => {
      queue.keep(jobId);
      return {};
    },
    'jobs.retry': ({ jobId }) => queue.retry(jobId),
    'jobs.duplicate': ({ jobId, seed }) =>
      queue.duplicate(jobId, seed === undefined ? {} : { sampler: { seed } }),
    'jobs.remove': async ({ jobIds }) => {
      await queue.remove(jobIds);
      return {};
    },
    'jobs.setQueuePaused': async ({ paused }) => {
      await queue.setPaused(paused);
      return {};
    },
  };
}

/** What a job was frozen with; of one that is done, what its take says. */
async function detailsOf({ store, folders }: StudioContext, jobId: string): Promise<JobDetails | null> {
  const record = store.get('jobs', jobId);
  if (record === null) return null;
  const job =
    record.state === 'done'
      ? store.lists.takeOfJob(record)
      : await readJob(join(folders.jobs, jobId)).catch(() => null);
  if (job === null) return null;
  const { prompt, negativePrompt, sampler, width, height, fps, plan, model } = job;
  return { jobId, prompt, negativePrompt, sampler, width, height, fps, frames: plan.frames, model: model.id };
}

function changesOf(sweep: Sweep): JobChange[] {
  return sweep.values.map((value) => ({ sampler: { [sweep.over]: value } }));
}
