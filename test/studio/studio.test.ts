import { randomBytes } from 'node:crypto';
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Project } from '../../src-main/core/contract/project.ts';
import { changeProject } from '../../src-main/core/edit/diff.ts';
import { readPusaFile, writePusaFile, type PusaFileContents } from '../../src-main/library/pusa-file.ts';
import { codeOf } from '../library/media-support.ts';
import { root } from '../support/places.ts';
import type { Window } from './generating.ts';
import { newFolder, openIn, makeProject, addTake, takesIn, read } from './studio-support.ts';

/** What a file without media holds, to be written again. */
async function contentsOf(path: string): Promise<PusaFileContents> {
  const file = await readPusaFile(path);
  file.close();
  const { project, settings } = file;
  return { project, settings, media: [], takes: [] };
}

describe('projects', () => {
  it('are edited in steps that every window hears of, a gesture being one step', async () => {
    const window = await openIn(await newFolder());
    const { call, edited } = window;
    const project = await makeProject(window, 'Drag');
    const projectId = project.id;
    const move = (x: number, gesture?: string) =>
      call.projects.edit({
        projectId,
        label: `Move to ${x}`,
        commands: [{ type: 'slipClip', clipId: 'clip', sourceStart: x }],
        ...(gesture === undefined ? {} : { gesture }),
      });
    const at = async (): Promise<[number, string | null, string | null]> => {
      const { project: now, steps } = await call.projects.open({ projectId });
      return [now.clips[0]!.sourceStart, steps.undo, steps.redo];
    };
    const undo = () => call.projects.undo({ projectId });
    await move(1, 'drag-1');
    await move(2, 'drag-1');
    await move(3, 'drag-1');
    await move(4, 'drag-2');
    await move(5);
    expect(await at()).toEqual([5, 'Move to 5', null]);
    await undo();
    expect(await at()).toEqual([4, 'Move to 4', 'Move to 5']);
    await undo();
    expect(await at()).toEqual([3, 'Move to 1', 'Move to 4']);
    await undo();
    expect(await at()).toEqual([0, 'Begin', 'Move to 1']);
    await call.projects.redo({ projectId });
    expect(await at()).toEqual([3, 'Move to 1', 'Move to 4']);
    // After undoing, the same gesture begins another step.
    await move(6, 'drag-1');
    await move(7, 'drag-1');
    // And not across a step of another kind.
    await call.projects.edit({ projectId, label: 'Name', commands: [{ type: 'setName', name: 'Dragged' }] });
    await move(8, 'drag-1');
    expect(await at()).toEqual([8, 'Move to 8', null]);
    await undo();
    await undo();
    await undo();
    expect(await at()).toEqual([3, 'Move to 1', 'Move to 6']);
    expect(await codeOf(call.projects.redo({ projectId: 'nobody' }))).toBe('UNDO_IMPOSSIBLE');

    // What the windows were told makes the project of the one before.
    const mine = edited.filter((one) => one.projectId === projectId);
    expect(mine.map(({ revision }) => revision)).toEqual(mine.map((_, index) => index + 1));
    const begun: Project = { ...project, assets: [], clips: [], ranges: [] };
    const { project: now, revision } = await call.projects.open({ projectId });
    expect(mine.reduce((old, { change }) => changeProject(old, change), begun)).toEqual(now);
    expect(revision).toBe(mine.length);
    // An asset the library does not have cannot come in.
    const stranger = { ...project.assets[0]!, id: 'stranger', hash: 'ab'.repeat(32) };
    const add = call.projects.edit({
      projectId,
      label: 'Add',
      commands: [{ type: 'addAssets', assets: [stranger] }],
    });
    expect(await codeOf(add)).toBe('EDIT_INVALID');
  });

  it('are listed, found, duplicated, put into the trash and removed with their takes', async () => {
    const folder = await newFolder();
    const window = await openIn(folder);
    const { call, studio } = window;
    const harbour = await makeProject(window, 'Harbour 港口');
    const alps = await makeProject(window, 'Alps');
    await addTake(window, harbour.id, 'take-a', { rating: 3, tags: ['night'] });
    await addTake(window, harbour.id, 'take-b', {});
    const list = async (sort: 'modified' | 'created' | 'name', trashed = false) =>
      (await call.projects.list({ cursor: null, limit: 10, trashed, sort })).items.map(({ name }) => name);
    expect(await list('created')).toEqual(['Alps', 'Harbour 港口']);
    expect(await list('name')).toEqual(['Alps', 'Harbour 港口']);
    await call.projects.edit({
      projectId: harbour.id,
      label: 'Prompt',
      commands: [{ type: 'setPrompt', rangeId: 'range-1', prompt: '船在黄昏回家' }],
    });
    expect(await list('modified')).toEqual(['Harbour 港口', 'Alps']);
    expect((await call.projects.search({ text: '黄昏', limit: 10 })).hits).toMatchObject([
      { kind: 'prompt', projectId: harbour.id },
    ]);

    const copy = await call.projects.duplicate({ projectId: harbour.id, name: 'Harbour, again' });
    const { project: copied } = await call.projects.open(copy);
    const { project: original } = await call.projects.open({ projectId: harbour.id });
    expect({ ...copied, id: '', name: '', createdAt: '', modifiedAt: '' }).toEqual({
      ...original,
      id: '',
      name: '',
      createdAt: '',
      modifiedAt: '',
    });
    const [old, own] = [takesIn(window, harbour.id), takesIn(window, copy.projectId)];
    expect(own.map(({ fileHash }) => fileHash).sort()).toEqual(old.map(({ fileHash }) => fileHash).sort());

    expect(await codeOf(call.projects.remove({ projectIds: [harbour.id] }))).toBe('RECORD_INVALID');
    await call.projects.trash({ projectIds: [harbour.id, alps.id] });
    expect([await list('name'), await list('name', true)]).toEqual([
      ['Harbour, again'],
      ['Alps', 'Harbour 港口'],
    ]);
    expect((await call.projects.search({ text: 'alps', limit: 10 })).hits).toEqual([]);
    await call.projects.restore({ projectIds: [alps.id] });
    await call.projects.remove({ projectIds: [harbour.id] });
    expect(await codeOf(call.projects.open({ projectId: harbour.id }))).toBe('RECORD_NOT_FOUND');
    // The copy still shows the same videos; without it they go too, and pictures stay until they are collected.
    const { media } = studio.context;
    expect(await media.has(old[0]!.fileHash)).toBe(true);
    await call.projects.trash({ projectIds: [copy.projectId] });
    await call.projects.remove({ projectIds: [copy.projectId] });
    expect([await media.has(old[0]!.fileHash), await media.has(original.assets[0]!.hash)]).toEqual([
      false,
      true,
    ]);
    expect((await call.projects.create({ name: 'Of the default model' })).project).toMatchObject({
      width: 96,
      height: 96,
      fps: 8,
    });
  });
});

describe('project files', () => {
  it('bring a project with its media and takes into another library, exactly', async () => {
    const window = await openIn(await newFolder());
    const folder = await newFolder();
    const project = await makeProject(window, 'Harbour');
    const projectId = project.id;
    await addTake(window, projectId, 'take-a', { rating: 5, tags: ['night', '夜'] });
    await addTake(window, projectId, 'take-b', { promotedClipId: 'clip' });
    const path = join(folder, 'harbour.pusa');
    const { call } = window;
    expect(await codeOf(call.files.save({ projectId, media: true, takes: 'all' }))).toBe('FILE_NOT_FOUND');
    const saved = await call.files.saveAs({
      projectId,
      path: join(folder, 'harbour'),
      media: true,
      takes: 'all',
    });
    expect(saved).toEqual({ path, bytes: (await stat(path)).size });
    expect((await call.projects.open({ projectId })).pusaPath).toBe(path);
    await call.files.save({ projectId, media: true, takes: 'all' });

    // What else stands in a file stays there when it is opened and saved, under another name too.
    const settings = { 'view.zoom': 2, 'view.note': '剪辑' };
    await writePusaFile(path, { ...(await contentsOf(path)), settings });
    await call.files.save({ projectId, media: true, takes: 'all' });

    const other = await openIn(await newFolder());
    const opened = await other.call.files.open({ path });
    expect([opened.project, opened.pusaPath]).toEqual([project, path]);
    const elsewhere = join(folder, 'elsewhere.pusa');
    await other.call.files.saveAs({ projectId, path: elsewhere, media: false, takes: 'none' });
    expect((await contentsOf(elsewhere)).settings).toEqual(settings);
    await other.call.files.open({ path });
    expect(takesIn(other, projectId)).toEqual(takesIn(window, projectId));
    for (const hash of window.studio.context.store.mediaHashes())
      expect(await other.studio.context.media.verify(hash)).toBe('sound');
    // Saved from there it is the same file, bytes and all; by download and upload, too.
    const download = await other.call.files.download({ projectId, media: true, takes: 'all' });
    const bytes = await read(download.body);
    expect(bytes.length).toBe(download.output.bytes);
    const third = await openIn(await newFolder());
    const uploaded = await third.call.files.upload({}, { upload: [bytes] });
    expect([uploaded.project, uploaded.pusaPath]).toEqual([project, null]);
    expect(takesIn(third, projectId)).toEqual(takesIn(window, projectId));

    // Without media and with the promoted take only: the picture is known to be missing, and comes with the next file.
    const small = join(folder, 'small.pusa');
    await call.files.saveAs({ projectId, path: small, media: false, takes: 'promoted' });
    const fourth = await openIn(await newFolder());
    expect((await fourth.call.files.open({ path: small })).project).toEqual(project);
    expect(takesIn(fourth, projectId).map(({ id }) => id)).toEqual(['take-b']);
    const assetId = project.assets[0]!.id;
    expect((await fourth.call.assets.get({ assetId })).state).toBe('missing');
    await fourth.call.files.open({ path });
    expect((await fourth.call.assets.get({ assetId })).state).toBe('present');
    expect(takesIn(fourth, projectId)).toEqual(takesIn(window, projectId));
  });

  it('that are opened again open what is there; another version becomes a copy', async () => {
    const window = await openIn(await newFolder());
    const other = await openIn(await newFolder());
    const folder = await newFolder();
    const { id: projectId } = await makeProject(window, 'Original');
    const path = join(folder, 'shared.pusa');
    const rename = (in_: Window, name: string) =>
      in_.call.projects.edit({ projectId, label: 'Name', commands: [{ type: 'setName', name }] });
    const all = { media: true, takes: 'all' } as const;
    await window.call.files.saveAs({ projectId, path, ...all });
    expect((await window.call.files.open({ path })).project.id).toBe(projectId);
    // Edited here since: that is the newer one.
    await rename(window, 'Edited');
    expect((await window.call.files.open({ path })).project.name).toBe('Edited');
    // In the trash: it comes out of it.
    await window.call.projects.trash({ projectIds: [projectId] });
    expect(await window.call.files.open({ path })).toMatchObject({
      trashedAt: null,
      project: { id: projectId },
    });
    expect(window.notices).toEqual([]);
    // Changed elsewhere: a copy, and the file is the copy's from now on.
    await other.call.files.open({ path });
    await rename(other, 'Elsewhere');
    await other.call.files.save({ projectId, ...all });
    const copy = await window.call.files.open({ path });
    expect([copy.project.name, copy.pusaPath]).toEqual(['Elsewhere (2)', path]);
    expect(copy.project.id).not.toBe(projectId);
    expect(window.notices).toMatchObject([{ level: 'info', projectId: copy.project.id }]);
    expect(await window.call.projects.open({ projectId })).toMatchObject({
      pusaPath: null,
      project: { name: 'Edited' },
    });
    // Both show the one picture there is.
    const { items } = await window.call.assets.list({ cursor: null, limit: 10, sort: 'name' });
    expect(items.map(({ id }) => id)).toEqual([copy.project.assets[0]!.id]);
  });

  it('lose no edit made while they are opened, come in once, and are not saved over each other', async () => {
    const [window, folder] = [await openIn(await newFolder()), await newFolder()];
    const { call } = window;
    const { id: projectId } = await makeProject(window, 'Harbour');
    for (const id of ['a', 'b', 'c']) await addTake(window, projectId, id, {});
    const path = join(folder, 'harbour.pusa');
    const all = { media: true, takes: 'all' } as const;
    await call.files.saveAs({ projectId, path, ...all });
    // The takes go, so that opening takes a while.
    await call.takes.delete({ takeIds: ['a', 'b', 'c'] });
    const opening = call.files.open({ path });
    const names: string[] = [];
    const edited = async (): Promise<'edited'> => {
      const name = `Edit ${names.push('')}`;
      await call.projects.edit({ projectId, label: 'Name', commands: [{ type: 'setName', name }] });
      names[names.length - 1] = name;
      return 'edited';
    };
    while ((await Promise.race([opening, edited()])) === 'edited');
    await edited();
    expect((await opening).project.id).toBe(projectId);
    expect((await call.projects.open({ projectId })).project.name).toBe(names.at(-1));
    expect(takesIn(window, projectId)).toHaveLength(3);

    const other = await openIn(await newFolder());
    const twice = await Promise.all([other.call.files.open({ path }), other.call.files.open({ path })]);
    expect(twice.map(({ project }) => project.id)).toEqual([projectId, projectId]);
    const { items } = await other.call.projects.list({
      cursor: null,
      limit: 9,
      trashed: false,
      sort: 'name',
    });
    expect(items).toHaveLength(1);
    expect(takesIn(other, projectId)).toHaveLength(3);

    const { project: second } = await call.projects.create({ name: 'Second' });
    await call.files.saveAs({ projectId: second.id, path, ...all });
    await expect(call.files.save({ projectId, ...all })).rejects.toMatchObject({ code: 'WRITE_FAILED' });
    expect((await contentsOf(path)).project.id).toBe(second.id);
    await call.files.save({ projectId: second.id, ...all });
  });

  it('from another person keep their assets apart from those of the same id', async () => {
    const window = await openIn(await newFolder());
    const samples = join(root, 'resources/samples');
    const projects: Project[] = [];
    for (const name of ['first.pusa', 'keyframes.pusa', 'transition.pusa'])
      projects.push((await window.call.files.open({ path: join(samples, name) })).project);
    const { store, media } = window.studio.context;
    for (const project of projects) {
      for (const { id, hash, bytes } of project.assets) {
        expect(store.require('assets', id)).toMatchObject({ hash, bytes, state: 'present' });
        expect(await media.has(hash)).toBe(true);
      }
      for (const { assetId } of project.clips) expect(project.assets.map(({ id }) => id)).toContain(assetId);
    }
    expect((await window.call.files.open({ path: join(samples, 'keyframes.pusa') })).project).toEqual(
      projects[1],
    );
  });

  it('that are broken, foreign or in the wrong place are refused, and nothing of them stays', async () => {
    const folder = await newFolder();
    const window = await openIn(folder);
    const { call, studio } = window;
    const elsewhere = await newFolder();
    const broken = join(elsewhere, 'broken.pusa');
    const bytes = await readFile(join(root, 'resources/samples/first.pusa'));
    // A picture that is not the one its hash says. A page that SQLite does not use any more may hold it again.
    for (let at = bytes.indexOf('IDAT'); at >= 0; at = bytes.indexOf('IDAT', at + 1)) {
      bytes.fill(0, at + 50, at + 60);
    }
    await writeFile(broken, bytes);
    expect(await codeOf(call.files.open({ path: broken }))).toBe('PROJECT_INVALID');
    await truncate(broken, 5000);
    expect(await codeOf(call.files.open({ path: broken }))).toBe('PROJECT_INVALID');
    await writeFile(broken, '<html>');
    expect(await codeOf(call.files.open({ path: broken }))).toBe('PROJECT_INVALID');
    expect(await codeOf(call.files.upload({}, { upload: [randomBytes(1000)] }))).toBe('PROJECT_INVALID');
    expect(await codeOf(call.files.open({ path: 'relative.pusa' }))).toBe('FILE_NOT_FOUND');
    const { total } = await call.projects.list({ cursor: null, limit: 1, trashed: false, sort: 'name' });
    expect(total).toBe(0);
    expect([await readdir(studio.context.folders.temporary)]).toEqual([[]]);

    const { id: projectId } = await makeProject(window, 'Mine');
    const saveTo = (path: string) => call.files.saveAs({ projectId, path, media: false, takes: 'none' });
    for (const path of [join(folder, 'library.sqlite'), join(studio.context.media.folder, 'ab', 'x.pusa')])
      expect(await codeOf(saveTo(path))).toBe('WRITE_FAILED');
    expect(await codeOf(saveTo(join(elsewhere, 'none', 'x.pusa')))).toBe('WRITE_FAILED');
    await saveTo(join(elsewhere, '..hidden.pusa'));
  });
});
