import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Output } from '../../src-main/core/contract/api.ts';
import type { Job } from '../../src-main/core/contract/job.ts';
import type { AssetRecord, ProjectRecord, TakeRecord } from '../../src-main/core/contract/records.ts';
import type { HistoryLabels } from '../../src-main/library/history.ts';
import { findUsableModel } from '../../src-main/studio/services/models.ts';
import { root } from '../support/places.ts';
import { takeOf, untilJob } from './generating.ts';
import { close, newFolder, openIn } from './studio-support.ts';

/**
 * A data folder as an earlier version left it when it was closed in the midst of a job (`library-v1`: the sources of
 * commit 11448fb). It has a project with a take on its timeline, one in the trash, and three jobs: `done`, `begun` with
 * steps it saved, and `starter`, which waits and was frozen for a bundled model that has been replaced since.
 */
const fixture = join(root, 'test/fixtures/library-v1');

interface Expected {
  readonly projectId: string;
  readonly trashed: string;
  readonly record: ProjectRecord;
  readonly asset: AssetRecord;
  readonly take: TakeRecord;
  readonly labels: HistoryLabels;
  readonly jobs: Readonly<Record<'done' | 'begun' | 'starter', string>>;
}
const expected = JSON.parse(readFileSync(join(fixture, 'expected.json'), 'utf8')) as Expected;

/** The earlier version's folder at a place of its own, with the model its jobs were made for. */
async function leftBehind(): Promise<string> {
  const folder = await newFolder();
  await cp(join(fixture, 'data'), folder, { recursive: true });
  await cp(join(root, 'test/fixtures/models/test-pattern'), join(folder, 'models/test-pattern'), {
    recursive: true,
  });
  const path = join(folder, 'library.json');
  const place = JSON.parse(await readFile(path, 'utf8')) as { media: { folder: string } };
  place.media.folder = join(folder, 'media');
  await writeFile(path, JSON.stringify(place));
  return folder;
}

describe('after an upgrade', () => {
  it('everything an earlier version kept is there, and can be undone as before', async () => {
    const window = await openIn(await leftBehind());
    const { call, studio } = window;
    const { projectId, record, take, asset, labels } = expected;
    await studio.settled();
    expect(await call.library.status({})).toMatchObject({ endedUncleanly: false, mediaMissing: false });
    const { trashedAt, pusaPath, ...project } = record;
    expect(await call.projects.open({ projectId })).toMatchObject({
      project,
      trashedAt,
      pusaPath,
      steps: { undo: labels.undo[0], redo: null },
    });
    expect(await call.takes.get({ takeId: take.id })).toEqual(take);
    expect(await call.assets.get({ assetId: asset.id })).toEqual(asset);
    const list = { cursor: null, limit: 10 };
    const trash = await call.projects.list({ ...list, trashed: true, sort: 'name' });
    expect(trash.items.map(({ id }) => id)).toEqual([expected.trashed]);
    const tagged = await call.takes.list({ ...list, tag: '最好', minRating: 4, sort: 'rating' });
    expect(tagged.items.map(({ id }) => id)).toEqual([take.id]);
    const hits = await call.projects.search({ text: '日落', limit: 50 });
    expect(new Set(hits.hits.map(({ kind }) => kind))).toEqual(new Set(['asset', 'prompt', 'take']));
    expect((await call.settings.get({})).theme).toBe('dark');

    const times = labels.undo.length;
    for (let i = 0; i < times; i++) await call.projects.undo({ projectId });
    expect((await call.projects.open({ projectId })).project.ranges).toEqual([]);
    for (let i = 0; i < times; i++) await call.projects.redo({ projectId });
    expect((await call.projects.open({ projectId })).project).toEqual(project);
  });

  it('a job goes on from the steps it had saved, and one for another model says why it does not', async () => {
    const folder = await leftBehind();
    const { begun, starter } = expected.jobs;
    const saved = (): number[] =>
      readdirSync(join(folder, 'jobs', begun)).flatMap((name) => {
        const step = /^step-(\d+)\.bin$/.exec(name)?.[1];
        return step === undefined ? [] : [Number(step)];
      });
    const reached = Math.max(...saved());
    expect(reached).toBeGreaterThan(1);
    const job = JSON.parse(await readFile(join(folder, 'jobs', begun, 'job.json'), 'utf8')) as Job;
    const window = await openIn(folder);
    const { call } = window;
    expect(await call.jobs.status({})).toEqual({ running: [], waiting: 2, paused: true });
    await call.jobs.setQueuePaused({ paused: false });

    const take = await takeOf(window, begun);
    expect(take).toMatchObject({ plan: job.plan, sampler: job.sampler, model: job.model, partial: false });
    const told = window.progress.filter(({ jobId }) => jobId === begun);
    const first = told.find(({ progress }) => progress.phase === 'denoise')!;
    expect(first.progress.done).toBeGreaterThanOrEqual(reached);
    expect((await call.jobs.get({ jobId: begun })).attempt).toBe(2);

    const failed = await untilJob(window, starter);
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'JOB_MISMATCH' } });
    expect(failed.error!.remedy).toMatch(/^Duplicate the job/);
    // Nothing of it is lost: what was frozen is made with the model as it is now.
    expect(existsSync(join(folder, 'jobs', starter, 'job.json'))).toBe(true);
    const again = await call.jobs.duplicate({ jobId: starter });
    const { manifest } = await findUsableModel(window.studio.context, null);
    expect((await takeOf(window, again.id)).model).toEqual({ id: manifest.id, hash: manifest.hash });
  });

  it('a project file opens as it was saved', async () => {
    const window = await openIn(await newFolder());
    const opened = await window.call.files.open({ path: join(fixture, 'project.pusa') });
    const saved: Output<'projects.open'>['project'] = opened.project;
    const { name, clips, ranges, id } = expected.record;
    expect(saved).toMatchObject({ name, clips, ranges, id });
    const { items } = await window.call.takes.list({ cursor: null, limit: 10, sort: 'created' });
    expect(items).toMatchObject([{ id: expected.take.id, rating: 4, promotedClipId: 'take' }]);
    await close(window);
  });
});
