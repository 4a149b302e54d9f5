import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Job } from '../../src-main/core/contract/job.ts';
import type { JobRecord } from '../../src-main/core/contract/records.ts';
import { planRange } from '../../src-main/core/plan/range.ts';
import { probeMedia } from '../../src-main/media/probe.ts';
import { takeOfFile } from '../../src-main/studio/read-take.ts';
import { assetOfRecord } from '../../src-main/studio/services/asset-intake.ts';
import { root } from '../support/places.ts';
import {
  freshFolder,
  openWindow,
  projectWith,
  quickRange,
  removeFolder,
  takeOf,
  untilJob,
  type Window,
} from './generating.ts';

let folder: string;
let window: Window;
let projectId: string;

const long = quickRange('long', { sampler: { ...quickRange('x').sampler, steps: 200 } });
const guided = quickRange('guided', { marks: [{ frame: 0, kind: 'fixed' }] });

beforeAll(async () => {
  folder = await freshFolder();
  window = await openWindow(folder);
  projectId = await projectWith(window, [guided, quickRange('free'), long], true);
});
afterAll(async () => {
  await window.close();
  await removeFolder(folder);
});

const page = { cursor: null, limit: 200 };
const folderOf = (id: string): string => join(folder, 'jobs', id);
function frozen(id: string): Job {
  return JSON.parse(readFileSync(join(folderOf(id), 'job.json'), 'utf8')) as Job;
}
async function enqueue(rangeId: string, place: 'next' | 'last' = 'last'): Promise<JobRecord> {
  const { jobs } = await window.call.jobs.enqueue({ projectId, rangeId, place });
  return jobs[0]!;
}
async function waiting(): Promise<string[]> {
  const { items } = await window.call.jobs.list({ ...page, states: ['waiting', 'paused'] });
  return items.map(({ id }) => id);
}
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}
/** Waits until a running job has saved so many steps. */
function stepsOf(id: string, count: number): Promise<void> {
  return until(() => {
    if (!existsSync(folderOf(id))) throw new Error('The job is over already.');
    const steps = readdirSync(folderOf(id)).map((name) => /^step-(\d+)\.bin$/.exec(name)?.[1]);
    return steps.some((step) => Number(step ?? 0) >= count);
  });
}

describe('a job', () => {
  it('is forecast, generated, kept as a take, and forecast by what was measured', async () => {
    const before = await window.call.jobs.forecast({ projectId, rangeId: 'guided' });
    // Nothing was measured yet; what the model takes up is known from its files.
    expect([before.seconds, before.basis]).toEqual([null, null]);
    expect(before.memoryBytes).toBeGreaterThan(100e6);
    expect(before.memoryBytes).toBeLessThan(4e9);
    const job = await enqueue('guided');
    expect(job.state).toBe('waiting');
    const take = await takeOf(window, job.id);
    expect(take).toMatchObject({
      projectId,
      rangeId: 'guided',
      partial: false,
      rating: 0,
      promotedClipId: null,
    });
    expect(take.provider).toBe('cpu');
    const record = await window.call.jobs.get({ jobId: job.id });
    expect(record).toMatchObject({ state: 'done', attempt: 1, error: null });
    expect(record.finishedAt! >= record.startedAt!).toBe(true);
    // Compared afterwards: the forecast of a model this small is within half of what was held.
    const { forecast, actual } = record.cost!;
    expect(forecast.seconds).toBeNull();
    expect(actual!.seconds).toBeGreaterThan(0);
    expect(actual!.memoryBytes! / forecast.memoryBytes!).toBeGreaterThan(0.5);
    expect(actual!.memoryBytes! / forecast.memoryBytes!).toBeLessThan(1.5);

    const path = await window.studio.context.media.path(take.fileHash);
    expect(await probeMedia(path)).toMatchObject({ kind: 'video', width: 96, height: 96, fps: 8 });
    expect((await takeOfFile(path)).plan).toEqual(take.plan);
    // Once the take is safe, what it was made from goes.
    await until(() => !existsSync(folderOf(job.id)) && readdirSync(join(folder, 'temporary')).length === 0);

    const told = window.progress.filter(({ jobId }) => jobId === job.id);
    expect(told.map(({ progress }) => progress.phase)).toEqual(
      expect.arrayContaining(['denoise', 'decode', 'save']),
    );
    expect(window.queue.some(({ running }) => running.includes(job.id))).toBe(true);
    await until(() => window.queue.at(-1)?.running.length === 0);
    expect(window.queue.at(-1)).toEqual({ running: [], waiting: 0, paused: false });

    const after = await window.call.jobs.forecast({ projectId, rangeId: 'guided' });
    expect(after.basis).toBe('measured');
    expect(after.seconds).toBeGreaterThan(0);
    expect((await window.call.jobs.forecast({ projectId, rangeId: 'long' })).seconds).toBeGreaterThan(
      after.seconds!,
    );
    const { details } = await window.call.jobs.details({ jobIds: [job.id, 'gone'] });
    expect(details).toMatchObject([{ jobId: job.id, prompt: guided.prompt, frames: 17, model: 'starter' }]);
  });

  it('is told beforehand where its sources differ in colour', async () => {
    const flat = (background: string) =>
      sharp({ create: { width: 96, height: 96, channels: 3, background } })
        .png()
        .toBuffer();
    const marks = [0, 16].map((frame) => ({ frame, kind: 'fixed' as const }));
    const mixed = await projectWith(window, [quickRange('mixed', { marks })]);
    for (const [index, colour] of ['#f0e0d0', '#102030'].entries()) {
      const { asset } = await window.call.assets.upload(
        { name: `${colour}.png` },
        { upload: [await flat(colour)] },
      );
      const clip = {
        id: `c${index}`,
        assetId: asset.id,
        track: 0,
        start: index * 13,
        frames: index === 0 ? 1 : 4,
      };
      await window.call.projects.edit({
        projectId: mixed,
        label: 'Add',
        commands: [
          { type: 'addAssets', assets: [assetOfRecord(asset)] },
          { type: 'addClip', clip: { ...clip, sourceStart: 0, fit: 'crop' } },
        ],
      });
    }
    const { warnings } = await window.call.jobs.forecast({ projectId: mixed, rangeId: 'mixed' });
    expect(warnings.find(({ code }) => code === 'COLOUR_MISMATCH')?.values).toMatchObject({
      name: '#f0e0d0.png',
      otherName: '#102030.png',
    });
  });

  it('does not change with its project, and is refused before anything is made', async () => {
    await window.call.jobs.setQueuePaused({ paused: true });
    const { project } = await window.call.projects.open({ projectId });
    const plan = planRange(
      project,
      project.ranges.find(({ id }) => id === 'guided')!,
    ).plan;
    const job = await enqueue('guided');
    await window.call.projects.edit({
      projectId,
      label: 'Prompt',
      commands: [
        { type: 'setPrompt', rangeId: 'guided', prompt: 'Something else.' },
        { type: 'removeClips', clipIds: ['picture'] },
      ],
    });
    expect(frozen(job.id)).toMatchObject({ prompt: guided.prompt });
    expect(frozen(job.id).plan).toEqual(plan);
    // Now frame 0 is fixed, but nothing lies under it.
    await expect(enqueue('guided')).rejects.toMatchObject({ code: 'FIXED_WITHOUT_SOURCE' });
    await expect(enqueue('none')).rejects.toMatchObject({ code: 'EDIT_INVALID' });
    expect(readdirSync(join(folder, 'jobs'))).toEqual([job.id]);
    await window.call.projects.undo({ projectId });
    await window.call.jobs.cancel({ jobIds: [job.id] });
    await window.call.jobs.remove({ jobIds: [job.id] });
    await expect(window.call.jobs.get({ jobId: job.id })).rejects.toMatchObject({ code: 'RECORD_NOT_FOUND' });
    await window.call.jobs.setQueuePaused({ paused: false });
  });
});

describe('the queue', () => {
  it('can be a draft: half the size and fewer steps, forecast as such, and so again when it is done once more', async () => {
    await window.call.jobs.setQueuePaused({ paused: true });
    const whole = await window.call.jobs.forecast({ projectId, rangeId: 'long' });
    const quick = await window.call.jobs.forecast({ projectId, rangeId: 'long', draft: true });
    expect(quick.seconds).toBeLessThan(whole.seconds!);
    expect(quick.memoryBytes).toBeLessThan(whole.memoryBytes!);
    const { jobs } = await window.call.jobs.enqueue({
      projectId,
      rangeId: 'long',
      place: 'last',
      draft: true,
    });
    const { jobs: batch } = await window.call.jobs.batch({
      projectId,
      rangeId: 'long',
      sweep: { over: 'seed', values: [1, 2] },
      draft: true,
    });
    const copy = await window.call.jobs.duplicate({ jobId: jobs[0]!.id, seed: 3 });
    const all = [...jobs, ...batch, copy].map(({ id }) => id);
    const { details } = await window.call.jobs.details({ jobIds: all });
    const { project } = await window.call.projects.open({ projectId });
    const { sampler } = project.ranges.find(({ id }) => id === 'long')!;
    expect(details).toHaveLength(4);
    for (const job of details) {
      expect([job.width, job.height]).toEqual([48, 48]);
      expect(job.sampler.steps).toBeLessThan(sampler.steps);
      expect(job.frames).toBe(17);
    }
    await window.call.jobs.cancel({ jobIds: all });
    await window.call.jobs.setQueuePaused({ paused: false });
  });

  it('holds batches, keeps its order, and can be changed while it waits', async () => {
    await window.call.jobs.setQueuePaused({ paused: true });
    const { total: before } = await window.call.jobs.list({ cursor: null, limit: 1, projectId });
    const { jobs } = await window.call.jobs.batch({
      projectId,
      rangeId: 'guided',
      sweep: { over: 'steps', values: [1, 2, 3] },
    });
    expect(jobs.map(({ id }) => frozen(id).plan.steps)).toEqual([1, 2, 3]);
    expect(jobs.map(({ id }) => frozen(id).plan.timesteps.length)).toEqual([1, 2, 3]);
    const { jobs: seeds } = await window.call.jobs.batch({
      projectId,
      rangeId: 'guided',
      sweep: { over: 'seed', values: [7, 8] },
    });
    expect(seeds.map(({ id }) => frozen(id).sampler.seed)).toEqual([7, 8]);
    const [a, b, c, d, e] = [...jobs, ...seeds].map(({ id }) => id) as [
      string,
      string,
      string,
      string,
      string,
    ];
    expect(await waiting()).toEqual([a, b, c, d, e]);
    await window.call.jobs.reorder({ jobId: d, before: b });
    await window.call.jobs.reorder({ jobId: a, before: null });
    expect(await waiting()).toEqual([d, b, c, e, a]);
    // Until the numbers between two places are used up.
    for (let i = 0; i < 70; i++) {
      await window.call.jobs.reorder({ jobId: i % 2 === 0 ? c : b, before: i % 2 === 0 ? b : c });
    }
    expect(await waiting()).toEqual([d, b, c, e, a]);
    const first = await enqueue('free', 'next');
    expect((await waiting())[0]).toBe(first.id);

    await window.call.jobs.edit({ jobId: b, prompt: 'A new prompt.', sampler: { steps: 4, shift: 2 } });
    const edited = frozen(b);
    expect([edited.prompt, edited.sampler.steps, edited.plan.steps]).toEqual(['A new prompt.', 4, 4]);
    const { project } = await window.call.projects.open({ projectId });
    const range = project.ranges.find(({ id }) => id === 'guided')!;
    const wanted = planRange(project, { ...range, sampler: { ...range.sampler, steps: 4, shift: 2 } }).plan;
    expect(edited.plan).toEqual(wanted);
    await expect(window.call.jobs.edit({ jobId: b, sampler: { solver: 'unipc' } })).rejects.toMatchObject({
      code: 'SAMPLER_INVALID',
    });

    // Pages go through the queue, then the history, with nothing twice and nothing left out.
    const all: string[] = [];
    let cursor: string | null = null;
    do {
      const one: { items: JobRecord[]; next: string | null; total: number } = await window.call.jobs.list({
        cursor,
        limit: 2,
        projectId,
      });
      all.push(...one.items.map(({ id }) => id));
      expect(one.total).toBe(before + 6);
      cursor = one.next;
    } while (cursor !== null);
    expect(all.slice(0, 6)).toEqual([first.id, d, b, c, e, a]);
    expect(new Set(all).size).toBe(before + 6);

    const copy = await window.call.jobs.duplicate({ jobId: b, seed: 99 });
    expect(frozen(copy.id)).toMatchObject({
      id: copy.id,
      prompt: 'A new prompt.',
      sampler: { seed: 99, steps: 4 },
    });
    expect(readFileSync(join(folderOf(copy.id), 'sources/0.rgb'))).toEqual(
      readFileSync(join(folderOf(b), 'sources/0.rgb')),
    );
    await window.call.jobs.cancel({ jobIds: [a, b, c, d, e, first.id] });
    await expect(window.call.jobs.remove({ jobIds: [a, copy.id] })).rejects.toMatchObject({
      code: 'JOB_BUSY',
    });
    await window.call.jobs.remove({ jobIds: [a, b, c, d, e, first.id] });
    await window.call.jobs.setQueuePaused({ paused: false });
    // Its pixels are its own, although they were shared.
    const take = await takeOf(window, copy.id);
    expect([take.sampler.seed, take.prompt]).toEqual([99, 'A new prompt.']);

    const again = await window.call.jobs.duplicate({ jobId: copy.id, seed: 100 });
    const second = await takeOf(window, again.id);
    expect(second.sampler.seed).toBe(100);
    expect(second.plan).toEqual(take.plan);
  });

  it('pauses a job at the end of a step, goes on from there, and keeps what there is', async () => {
    const job = await enqueue('long');
    await stepsOf(job.id, 1);
    await window.call.jobs.pause({ jobIds: [job.id] });
    const paused = await untilJob(window, job.id);
    expect(paused.state).toBe('paused');
    expect(paused.progress).toMatchObject({ phase: 'denoise', total: 200 });
    const done = paused.progress!.done;
    expect(readdirSync(folderOf(job.id))).toContain(`step-${done}.bin`);
    expect(done).toBeLessThan(200);
    window.progress.length = 0;
    await window.call.jobs.resume({ jobIds: [job.id] });
    await stepsOf(job.id, done + 1);
    await window.call.jobs.keep({ jobId: job.id });
    const take = await takeOf(window, job.id);
    expect(take.partial).toBe(true);
    const begun = window.progress.find(({ progress }) => progress.phase === 'denoise')!;
    expect(begun.progress.done).toBeGreaterThanOrEqual(done);
    expect((await window.call.jobs.get({ jobId: job.id })).attempt).toBe(2);
    await expect(window.call.jobs.keep({ jobId: job.id })).rejects.toMatchObject({ code: 'EDIT_INVALID' });
  });

  it('cancels a running job, and retries it from the step it kept', async () => {
    const job = await enqueue('long');
    await stepsOf(job.id, 2);
    // The second wish is the stronger one.
    await window.call.jobs.pause({ jobIds: [job.id] });
    await window.call.jobs.cancel({ jobIds: [job.id] });
    await window.call.jobs.pause({ jobIds: [job.id] });
    expect((await untilJob(window, job.id, ['cancelled', 'done'])).state).toBe('cancelled');
    await window.call.jobs.setQueuePaused({ paused: true });
    expect((await window.call.jobs.retry({ jobId: job.id })).state).toBe('waiting');
    expect(readdirSync(folderOf(job.id)).some((name) => name.startsWith('step-'))).toBe(true);
    // Another prompt makes another job: its steps are dropped.
    await window.call.jobs.edit({ jobId: job.id, prompt: 'Another.', sampler: { steps: 2 } });
    expect(readdirSync(folderOf(job.id)).sort()).toEqual(['job.json', 'sources']);
    await expect(window.call.jobs.retry({ jobId: job.id })).rejects.toMatchObject({ code: 'EDIT_INVALID' });
    await window.call.jobs.setQueuePaused({ paused: false });
    expect((await takeOf(window, job.id)).prompt).toBe('Another.');
  });

  it('shows previews to those who watch', async () => {
    const previews: { jobId: string; cells: number }[] = [];
    const stop = window.client.on('jobs.preview', (preview) => previews.push(preview));
    const job = await enqueue('free');
    await takeOf(window, job.id);
    stop();
    expect(previews.map(({ jobId, cells }) => [jobId, cells])).toEqual([
      [job.id, 5],
      [job.id, 5],
    ]);
  });

  it('says what is wrong with a job, and does it again when that is mended', async () => {
    const models = join(folder, 'models');
    await mkdir(models);
    await cp(join(root, 'resources/models/starter'), join(models, 'own'), { recursive: true });
    const manifest = join(models, 'own/manifest.json');
    const text = await readFile(manifest, 'utf8');
    await writeFile(manifest, text.replace(/"id": "starter"/, '"id": "own"'));
    await window.call.projects.edit({
      projectId,
      label: 'Model',
      commands: [{ type: 'setModel', rangeId: 'free', model: 'own' }],
    });
    await window.call.jobs.setQueuePaused({ paused: true });
    const job = await enqueue('free');
    await rename(join(models, 'own'), join(folder, 'away'));
    await window.call.jobs.setQueuePaused({ paused: false });
    const failed = await untilJob(window, job.id);
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'MODEL_NOT_FOUND' } });
    expect(failed.error!.remedy).toContain('starter');
    await until(() => window.notices.length > 0);
    expect(window.notices.at(-1)).toMatchObject({
      level: 'error',
      code: 'MODEL_NOT_FOUND',
      jobId: job.id,
      projectId,
    });
    await rename(join(folder, 'away'), join(models, 'own'));
    await window.call.jobs.retry({ jobId: job.id });
    expect((await takeOf(window, job.id)).model.id).toBe('own');
    await rm(models, { recursive: true });

    // A job of a later version.
    await window.call.jobs.setQueuePaused({ paused: true });
    const later = await enqueue('guided');
    writeFileSync(join(folderOf(later.id), 'job.json'), JSON.stringify({ ...frozen(later.id), version: 2 }));
    await window.call.jobs.setQueuePaused({ paused: false });
    expect(await untilJob(window, later.id)).toMatchObject({
      state: 'failed',
      error: { code: 'JOB_INVALID' },
    });
    await rm(folderOf(later.id), { recursive: true });
    await expect(window.call.jobs.retry({ jobId: later.id })).rejects.toMatchObject({ code: 'JOB_INVALID' });
  });
});

describe('after the end of the process', () => {
  it('goes on by itself after a close, with its order and whether it was paused', async () => {
    const job = await enqueue('long');
    const next = await enqueue('guided');
    await stepsOf(job.id, 1);
    await window.close();
    // Left behind by a process that died while it froze.
    await mkdir(folderOf('left-behind'));
    window = await openWindow(folder);
    expect(existsSync(folderOf('left-behind'))).toBe(false);
    const running = await untilJob(window, job.id, ['running', 'done']);
    expect(running.attempt).toBe(2);
    await window.call.jobs.cancel({ jobIds: [job.id, next.id] });
    await untilJob(window, job.id);
    await window.call.jobs.setQueuePaused({ paused: true });
    await window.close();
    window = await openWindow(folder);
    const still = await enqueue('guided');
    await window.call.jobs.forecast({ projectId, rangeId: 'guided' }).then(({ seconds }) => {
      expect(seconds).toBeGreaterThan(0);
    });
    expect((await window.call.jobs.get({ jobId: still.id })).state).toBe('waiting');
    await window.call.jobs.cancel({ jobIds: [still.id] });
    await window.call.jobs.setQueuePaused({ paused: false });
  });

  it('goes on after a kill, and gives a job up that ends the process three times at one place', async () => {
    await window.call.jobs.setQueuePaused({ paused: true });
    const job = await enqueue('long');
    await window.call.jobs.setQueuePaused({ paused: false });
    await stepsOf(job.id, 1);
    await window.close();
    const killed = await killAtWork();
    expect(killed).toBe('running');
    const reached = Math.max(
      ...readdirSync(folderOf(job.id)).map((name) => Number(/^step-(\d+)/.exec(name)?.[1] ?? 0)),
    );
    expect(reached).toBeGreaterThan(0);
    window = await openWindow(folder);
    const running = await untilJob(window, job.id, ['running', 'done', 'failed']);
    expect(running).toMatchObject({ attempt: 3 });
    await stepsOf(job.id, reached + 1);
    await window.call.jobs.pause({ jobIds: [job.id] });
    await untilJob(window, job.id);

    // It dies again and again, and now without coming further.
    await window.call.jobs.setQueuePaused({ paused: true });
    const states: string[] = [];
    for (let death = 1; death <= 3; death++) {
      await window.studio.context.store.transact(null, 'Die', (edit) => {
        edit.update('jobs', job.id, (record) => ({ ...record, state: 'running' }));
      });
      await window.close();
      window = await openWindow(folder);
      states.push((await window.call.jobs.get({ jobId: job.id })).state);
    }
    expect(states).toEqual(['waiting', 'waiting', 'failed']);
    expect((await window.call.jobs.get({ jobId: job.id })).error).toMatchObject({ code: 'ENGINE_CRASHED' });
    expect((await window.call.jobs.retry({ jobId: job.id })).state).toBe('waiting');
  });
});

/** Lets another process work on the queue and kills it in the middle. @returns the state it last told */
async function killAtWork(): Promise<string> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'jobs-child.ts'), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let state = '';
  await new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = text.trim().split('\n');
      state = lines.findLast((line) => line !== 'step') ?? state;
      if (state === 'running' && lines.includes('step')) resolve();
    });
    child.on('exit', () => resolve());
  });
  child.kill('SIGKILL');
  await new Promise((resolve) =>
    child.exitCode === null && child.signalCode === null ? child.on('exit', resolve) : resolve(null),
  );
  return state;
}
