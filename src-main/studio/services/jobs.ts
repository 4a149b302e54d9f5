import { join } from 'node:path';
import type { Input, Output } from '../../core/contract/api.ts';
import type { JobDetails, Sweep } from '../../core/contract/api/jobs.ts';
import type { Project, Range } from '../../core/contract/project.ts';
import { PusaError } from '../../core/errors.ts';
import { planRange } from '../../core/plan/range.ts';
import type { JobChange } from '../../core/plan/replan.ts';
import { preflight } from '../../core/timeline/preflight.ts';
import { textPasses } from '../../engine/pipeline/stages/text.ts';
import type { StudioContext } from '../context.ts';
import type { HandlersOf } from '../handlers.ts';
import { readJob, sourcesOf } from './jobs-folder.ts';
import { listJobs } from './jobs-order.ts';
import type { JobQueue } from './jobs-queue.ts';
import type { JobKind } from './jobs-state.ts';
import { findUsableModel } from './models.ts';

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
    'jobs.forecast': (input) => forecast(context, queue, input),
    'jobs.enqueue': async ({ projectId, rangeId, place }) => {
      const wanted = rangeOf(context, projectId, rangeId);
      return { jobs: await queue.add({ ...wanted, place, changes: [{}] }) };
    },
    'jobs.batch': async ({ projectId, rangeId, sweep }) => {
      const wanted = rangeOf(context, projectId, rangeId);
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

/** @throws PusaError RECORD_NOT_FOUND, EDIT_INVALID */
function rangeOf(
  { store }: Pick<StudioContext, 'store'>,
  projectId: string,
  rangeId: string,
): { project: Project; range: Range } {
  const project = store.require('projects', projectId);
  const range = project.ranges.find(({ id }) => id === rangeId);
  if (range !== undefined) return { project, range };
  throw new PusaError(
    'EDIT_INVALID',
    'This range is not on the timeline any more.',
    'Choose another range, or undo its removal.',
  );
}

/**
 * What a range costs: units of work times what each took here before. How much memory it needs is known only to the
 * engine, once it has the model open, so nothing is said about it.
 */
async function forecast(
  context: StudioContext,
  { memory }: JobQueue,
  { projectId, rangeId }: Input<'jobs.forecast'>,
): Promise<Output<'jobs.forecast'>> {
  const wanted = rangeOf(context, projectId, rangeId);
  const { range } = wanted;
  const project = sourcesOf(context.store, wanted.project, range);
  const { manifest } = await findUsableModel(context, range.model);
  const { cells, sources, plan } = planRange(project, range);
  const { width, height } = project;
  const { cfg } = range.sampler;
  const kind: JobKind = { model: manifest, width, height, frames: plan.frames, cfg };
  const rates = memory.rates(kind, context.settings().provider);
  const encoded = sources.passes.reduce((sum, pass) => sum + pass.dropCells + pass.cells, 0);
  const seconds =
    rates.denoise === undefined
      ? null
      : plan.steps * rates.denoise +
        textPasses(cfg) * (rates.text ?? 0) +
        encoded * (rates.sources ?? 0) +
        plan.cells.length * (rates.decode ?? 0);
  const warnings = preflight({ project, range, cells, sources, trainedFrames: manifest.native.frames });
  return {
    seconds,
    memoryBytes: null,
    warnings: warnings.slice(0, 1000).map(({ code, text, values }) => ({
      code,
      text: text.slice(0, 1000),
      values: { ...values },
    })),
  };
}
