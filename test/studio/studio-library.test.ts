import { createHash, randomBytes } from 'node:crypto';
import { cp, mkdir, open, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { api, type EventPayload } from '../../src-main/core/contract/api.ts';
import { createClient } from '../../src-main/core/contract/channel.ts';
import { openStudio } from '../../src-main/studio/studio.ts';
import { portLine } from '../core/lines.ts';
import { codeOf } from '../library/media-support.ts';
import { root } from '../support/places.ts';
import { quickRange, untilJob, type Window } from './generating.ts';
import {
  newFolder,
  openIn,
  close,
  importPicture,
  makeProject,
  addTake,
  takesIn,
  pageOf,
} from './studio-support.ts';

describe('settings, models and the machine', () => {
  it('keep what a person set, tell every window, and begin anew from a damaged file', async () => {
    const folder = await newFolder();
    const window = await openIn(folder);
    const changes: EventPayload<'settings.changed'>[] = [];
    window.client.on('settings.changed', (settings) => changes.push(settings));
    const set = await window.call.settings.set({ theme: 'dark', language: 'zh-CN' });
    expect(set).toMatchObject({ theme: 'dark', language: 'zh-CN', previews: true, provider: 'cpu' });
    await window.call.settings.set({ theme: 'dark' });
    expect(changes).toEqual([set]);
    expect(await codeOf(window.call.settings.set({ theme: 'purple' as 'dark' }))).toBe('CONTRACT_VIOLATION');
    await close(window);
    const again = await openIn(folder);
    expect(await again.call.settings.get({})).toEqual(set);
    await close(again);
    await writeFile(join(folder, 'settings.json'), '{"theme":');
    const anew = await openIn(folder);
    expect(await anew.call.settings.get({})).toMatchObject({ theme: 'system', language: 'system' });
    expect(await readdir(folder)).toContain('settings.json.damaged');
  });

  it('list bundled and own models, and why one cannot be used', async () => {
    const folder = await newFolder();
    const own = join(folder, 'models');
    await cp(join(root, 'test/fixtures/models/test-pattern'), join(own, 'test-pattern'), { recursive: true });
    await cp(join(root, 'test/fixtures/models/test-pattern'), join(own, 'broken'), { recursive: true });
    await rm(join(own, 'broken', 'vae.safetensors'));
    await mkdir(join(own, 'nothing'));
    const { call } = await openIn(folder);
    const list = async () => (await call.models.list({})).models;
    const models = await list();
    expect(
      models.map(({ id, bundled, isDefault, unusable }) => [id, bundled, isDefault, unusable === null]),
    ).toEqual([
      ['broken', false, false, false],
      ['test-pattern', false, false, true],
      ['starter', true, true, true],
    ]);
    expect(models[0]!.unusable).toContain('vae.safetensors');
    expect(models[2]).toMatchObject({ native: { width: 96, frames: 17 }, loras: [{ live: true }] });
    await call.settings.set({ defaultModel: 'test-pattern' });
    expect((await list()).find(({ isDefault }) => isDefault)?.id).toBe('test-pattern');
    expect((await call.projects.create({ name: 'Small' })).project).toMatchObject({ width: 80, height: 48 });
    const none = await call.models.countTokens({ model: null, text: '' });
    const some = await call.models.countTokens({ model: 'starter', text: 'a gold ball turns white' });
    expect([none.tokens, some.tokens > 4, some.limit]).toEqual([1, true, 32]);
    expect(await codeOf(call.models.countTokens({ model: 'absent', text: '' }))).toBe('MODEL_NOT_FOUND');
  });
});

describe('the library', () => {
  it('gets the sample projects once, the first of them on top', async () => {
    const folder = await newFolder();
    const openWith = async () => {
      const studio = await openStudio({ dataFolder: folder });
      const line = await portLine();
      studio.connect(line.server);
      return { studio, call: createClient(api, line.client).api };
    };
    const list = async (call: Window['call']) =>
      (await call.projects.list({ cursor: null, limit: 100, trashed: false, sort: 'modified' })).items;
    const first = await openWith();
    const samples = await list(first.call);
    expect([samples.length, samples[0]!.name]).toEqual([10, 'First project']);
    const opened = await first.call.projects.open({ projectId: samples[0]!.id });
    expect([opened.project.ranges.length, opened.pusaPath, opened.steps.undo]).toEqual([1, null, null]);
    const projectIds = samples.slice(1).map(({ id }) => id);
    await first.call.projects.trash({ projectIds });
    await first.call.projects.remove({ projectIds });
    await first.studio.close();
    const second = await openWith();
    expect((await list(second.call)).map(({ name }) => name)).toEqual(['First project']);
    // One studio at a time.
    expect(await codeOf(openStudio({ dataFolder: folder }))).toBe('LIBRARY_BUSY');
    await second.studio.close();
    await second.studio.close();
    expect(await codeOf(second.call.projects.create({ name: 'Late' }))).toBe('CONNECTION_CLOSED');
  });

  it('is restored from a backup while it is in use, and media that came since are not lost', async () => {
    const folder = await newFolder();
    const window = await openIn(folder);
    const { call } = window;
    const project = await makeProject(window, 'Before');
    await window.studio.context.store.backup();
    const [backup] = (await call.library.backups({})).backups;
    await call.projects.edit({
      projectId: project.id,
      label: 'Name',
      commands: [{ type: 'setName', name: 'After' }],
    });
    const late = await importPicture(window, 'late.png');
    const told: EventPayload<'records.changed'>[] = [];
    const states: string[] = [];
    window.client.on('library.changed', ({ state }) => states.push(state));
    window.client.on('records.changed', (change) => told.push(change));
    expect(await codeOf(call.library.restore({ name: '../library.sqlite' }))).toBe('FILE_NOT_FOUND');
    await window.studio.settled();
    // Edits asked for meanwhile wait, and are done in what is there then.
    const restoring = call.library.restore({ name: backup!.name });
    const meanwhile = call.projects.duplicate({ projectId: project.id, name: 'Meanwhile' });
    await restoring;
    expect((await call.projects.open(await meanwhile)).project.clips).toEqual(project.clips);
    const { project: now } = await call.projects.open({ projectId: project.id });
    expect(now).toEqual(project);
    expect(told).toContainEqual({ table: 'projects', ids: null });
    const { items } = await call.assets.list({ cursor: null, limit: 10, sort: 'imported' });
    expect(items.find(({ hash }) => hash === late.hash)).toMatchObject({
      name: `Recovered ${late.hash.slice(0, 8)}`,
      state: 'present',
    });
    await call.library.check({});
    expect(states).toEqual(expect.arrayContaining(['checking', 'sound']));
    // What was replaced is a backup, too; and everything goes on.
    expect((await call.library.backups({})).backups.length).toBeGreaterThan(1);
    expect((await call.jobs.list({ cursor: null, limit: 1 })).items).toEqual([]);
    await call.projects.edit({
      projectId: project.id,
      label: 'Name',
      commands: [{ type: 'setName', name: 'Again' }],
    });
    await close(window);
    const again = await openIn(folder);
    expect((await again.call.projects.open({ projectId: project.id })).project.name).toBe('Again');
    expect(await again.call.library.check({})).toMatchObject({ state: 'sound', endedUncleanly: false });
  });

  it('opens when it is damaged, says so, and is mended by repair or restore', async () => {
    const folder = await newFolder();
    let window = await openIn(folder);
    const project = await makeProject(window, 'Kept');
    const { id: projectId } = project;
    await addTake(window, projectId, 'take-a', { rating: 2 });
    await window.studio.context.store.backup();
    await close(window);
    const path = join(folder, 'library.sqlite');

    // A broken page that opening does not meet: the check in the background finds it.
    const page = pageOf(path, 'projects_by_creation');
    const handle = await open(path, 'r+');
    await handle.write(randomBytes(4096), 0, 4096, (page - 1) * 4096);
    await handle.close();
    window = await openIn(folder);
    const found = await window.call.library.check({});
    expect(found.state).toBe('damaged');
    expect(found.flaws.length).toBeGreaterThan(0);
    const mended = await window.call.library.repair({});
    expect(['checking', 'sound']).toContain(mended.state);
    expect((await window.call.library.check({})).state).toBe('sound');
    expect((await window.call.projects.open({ projectId })).project).toEqual(project);
    expect(takesIn(window, projectId).map(({ rating }) => rating)).toEqual([2]);
    await close(window);

    // No database any more: everything is refused with the reason, but the library can be restored.
    await writeFile(path, randomBytes(8192));
    const studio = await openStudio({ dataFolder: folder, samples: false });
    const line = await portLine();
    studio.connect(line.server);
    const { api: call } = createClient(api, line.client);
    expect(await call.library.status({})).toMatchObject({ state: 'damaged' });
    for (const refused of [
      () => call.projects.open({ projectId }),
      () => call.projects.create({ name: 'No' }),
      () => call.jobs.list({ cursor: null, limit: 1 }),
      () => call.assets.list({ cursor: null, limit: 1, sort: 'name' }),
      () => call.library.repair({}),
    ])
      expect(await codeOf(refused())).toBe('LIBRARY_DAMAGED');
    expect(await call.settings.get({})).toMatchObject({ provider: 'cpu' });
    const [backup] = (await call.library.backups({})).backups;
    await call.library.restore({ name: backup!.name });
    expect((await call.library.check({})).state).toBe('sound');
    expect((await call.projects.open({ projectId })).project).toEqual(project);
    expect((await call.projects.create({ name: 'Yes' })).project.name).toBe('Yes');
    await studio.close();
  });

  it('is mended by one at a time, and goes on with one queue', async () => {
    const window = await openIn(await newFolder());
    const { call, studio } = window;
    const { id: projectId } = await makeProject(window, 'Harbour');
    await call.jobs.setQueuePaused({ paused: true });
    await call.projects.edit({
      projectId,
      label: 'Range',
      commands: [{ type: 'addRange', range: quickRange('quick', { start: 40 }) }],
    });
    const enqueue = () => call.jobs.enqueue({ projectId, rangeId: 'quick', place: 'last' });
    const ids = [(await enqueue()).jobs[0]!.id];
    const repairs = [call.library.repair({}), call.library.repair({})];
    // Meanwhile each job is taken on for good or refused.
    const entering = Array.from({ length: 8 }, async (_, i) => {
      await delay(20 * i);
      return enqueue().then(
        ({ jobs }) => void ids.push(jobs[0]!.id),
        (thrown: unknown) => expect(thrown).toMatchObject({ code: 'LIBRARY_BUSY' }),
      );
    });
    await Promise.all([...repairs, ...entering]);
    expect((await call.jobs.status({})).waiting).toBe(ids.length);
    expect((await readdir(studio.context.folders.jobs)).sort()).toEqual([...ids].sort());
    while (ids.length < 2) ids.push((await enqueue()).jobs[0]!.id);
    await call.jobs.setQueuePaused({ paused: false });
    await untilJob(window, ids[0]!, ['running']);
    expect((await call.jobs.status({})).running).toEqual([ids[0]]);
    await call.jobs.cancel({ jobIds: ids });
    expect(await untilJob(window, ids[0]!, ['cancelled', 'done'])).toMatchObject({ attempt: 1 });
  });

  it('marks assets whose files are gone as missing, and those that are back as present', async () => {
    const folder = await newFolder();
    let window = await openIn(folder);
    const asset = await importPicture(window);
    const path = await window.studio.context.media.path(asset.hash);
    await close(window);
    const aside = join(await newFolder(), createHash('sha256').update(path).digest('hex'));
    await cp(path, aside);
    await rm(path);
    window = await openIn(folder);
    const becomes = async (state: string) => {
      while ((await window.call.assets.get({ assetId: asset.id })).state !== state) await delay(5);
    };
    await becomes('missing');
    await close(window);
    await cp(aside, path);
    window = await openIn(folder);
    await becomes('present');
    // Nothing in the media folder but what the library knows.
    expect(new Set(await window.studio.context.media.list())).toEqual(
      window.studio.context.store.mediaHashes(),
    );
  });
});
