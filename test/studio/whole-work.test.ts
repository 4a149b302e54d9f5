import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import type { Output } from '../../src-main/core/contract/api.ts';
import type { Asset, Project } from '../../src-main/core/contract/project.ts';
import type { TakeRecord } from '../../src-main/core/contract/records.ts';
import { probeMedia } from '../../src-main/media/probe.ts';
import { takeOfFile } from '../../src-main/studio/read-take.ts';
import { withFfmpeg } from '../media/support.ts';
import { root } from '../support/places.ts';
import { freshFolder, openWindow, quickRange, removeFolder, takeOf, type Window } from './generating.ts';

const samples = join(root, 'resources/samples/media');
const folders: string[] = [];
const windows: Window[] = [];
afterAll(async () => {
  for (const window of windows) await window.close();
  for (const folder of folders) await removeFolder(folder);
});

/** A studio with an empty library. */
async function newStudio(): Promise<Window> {
  folders.push(await freshFolder());
  const window = await openWindow(folders.at(-1)!);
  windows.push(window);
  return window;
}

/** What a window puts into a project of an asset of the library. */
function plain({ importedAt, original, state, ...asset }: Output<'assets.get'>): Asset {
  expect([importedAt.length, state, original === null]).toEqual([24, 'present', false]);
  return asset;
}

async function takesOf({ call }: Window, projectId: string): Promise<TakeRecord[]> {
  const { items } = await call.takes.list({ projectId, cursor: null, limit: 200, sort: 'created' });
  return Promise.all(items.map(({ id }) => call.takes.get({ takeId: id })));
}

async function hashOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of body) hash.update(piece);
  return hash.digest('hex');
}

/** SHA-256 of all media of a project and its takes, as the studio gives them out. */
async function mediaOf({ call }: Window, project: Project, takes: readonly TakeRecord[]): Promise<string[]> {
  const assets = project.assets.map(async ({ id }) => hashOf((await call.assets.read({ assetId: id })).body));
  const videos = takes.map(async ({ id }) => hashOf((await call.takes.read({ takeId: id })).body));
  return Promise.all([...assets, ...videos]);
}

withFfmpeg(
  'a creator’s whole work goes through the contract, and its file brings it to another library',
  async () => {
    const window = await newStudio();
    const { call } = window;

    // A project of the model's own size, with a picture and a clip.
    const { project: begun } = await call.projects.create({ name: 'Würfel / 方块' });
    const projectId = begun.id;
    expect([begun.width, begun.height, begun.fps]).toEqual([96, 96, 8]);
    const picture = await call.assets.import({ path: join(samples, 'green-cube.png') });
    const clip = await call.assets.import({ path: join(samples, 'blue-cube.mp4') });
    expect([picture.asset.kind, clip.asset.kind, clip.known]).toEqual(['image', 'video', false]);
    expect((await call.assets.import({ path: join(samples, 'blue-cube.mp4') })).known).toBe(true);

    // Laid on the timeline and marked: the picture begins the range, the clip's frames end it.
    const place = { track: 0, sourceStart: 0, fit: 'crop' } as const;
    await call.projects.edit({
      projectId,
      label: 'Lay out',
      commands: [
        { type: 'addAssets', assets: [plain(picture.asset), plain(clip.asset)] },
        { type: 'addClip', clip: { ...place, id: 'start', assetId: picture.asset.id, start: 0, frames: 1 } },
        { type: 'addClip', clip: { ...place, id: 'end', assetId: clip.asset.id, start: 13, frames: 4 } },
        { type: 'addRange', range: quickRange('range-1') },
      ],
    });
    const paint = { type: 'paintCells', rangeId: 'range-1' } as const;
    const marked = await call.projects.edit({
      projectId,
      label: 'Mark',
      commands: [
        { ...paint, first: 0, last: 0, kind: 'fixed', m: null },
        { ...paint, first: 4, last: 4, kind: 'interpolated', m: 0.2 },
      ],
    });
    expect(marked.steps).toEqual({ undo: 'Mark', redo: null });

    // Two takes from two seeds.
    const forecast = await call.jobs.forecast({ projectId, rangeId: 'range-1' });
    expect(forecast.warnings.map(({ code }) => code)).not.toContain('NOTHING_TO_GENERATE');
    const { jobs } = await call.jobs.batch({
      projectId,
      rangeId: 'range-1',
      sweep: { over: 'seed', values: [7, 8] },
    });
    const [first, second] = [await takeOf(window, jobs[0]!.id), await takeOf(window, jobs[1]!.id)];
    expect([first.sampler.seed, second.sampler.seed]).toEqual([7, 8]);
    expect(first.fileHash).not.toBe(second.fileHash);
    const fractions = window.progress.filter(({ jobId }) => jobId === jobs[0]!.id);
    expect(fractions.length).toBeGreaterThan(0);
    await call.takes.rate({ takeId: second.id, rating: 4 });
    await call.takes.setTags({ takeId: second.id, tags: ['gut', '最好'] });

    // One is promoted and extended, the extension generated and promoted too.
    await call.takes.promote({ takeId: second.id, clipId: 'take-2', track: 1 });
    const extended = await call.takes.extend({
      takeId: second.id,
      fromFrame: 16,
      frames: 17,
      overlap: 2,
      rangeId: 'range-2',
      clipId: 'unused',
    });
    expect(extended.change.ranges?.put.map(({ id, start }) => [id, start])).toEqual([['range-2', 12]]);
    const { jobs: more } = await call.jobs.enqueue({ projectId, rangeId: 'range-2', place: 'last' });
    const third = await takeOf(window, more[0]!.id);
    await call.takes.promote({ takeId: third.id, clipId: 'take-3', track: 2 });
    const { project } = await call.projects.open({ projectId });
    expect(project.clips.map(({ id, start, frames }) => [id, start, frames])).toEqual([
      ['start', 0, 1],
      ['end', 13, 4],
      ['take-2', 0, 17],
      ['take-3', 12, 17],
    ]);

    // The film, as a file and as a stream; each tells what made it where one take did.
    const film = join(folders[0]!, '..', `${projectId}.mp4`);
    folders.push(film);
    const timeline = { what: 'timeline', projectId, audio: false } as const;
    expect((await call.exports.toPath({ export: timeline, path: film })).path).toBe(film);
    const probe = await probeMedia(film);
    expect([probe.width, probe.height, probe.fps, Math.round(probe.duration * 8)]).toEqual([96, 96, 8, 29]);
    const single = join(folders[0]!, '..', `${second.id}.mp4`);
    folders.push(single);
    await call.exports.toPath({ export: { what: 'take', takeId: second.id }, path: single });
    expect((await takeOfFile(single)).sampler.seed).toBe(8);
    const stream = await call.exports.toStream({ export: timeline, format: 'gif' });
    const gif: Uint8Array[] = [];
    for await (const piece of stream.body) gif.push(piece);
    expect(Buffer.concat(gif).toString('latin1', 0, 6)).toBe('GIF89a');

    // Into a file, and from there into an empty library: the same project, media and takes.
    const takes = await takesOf(window, projectId);
    const path = join(folders[0]!, '..', `${projectId}.pusa`);
    folders.push(path);
    const saved = await call.files.saveAs({ projectId, path, media: true, takes: 'all' });
    expect(saved.path).toBe(path);
    const other = await newStudio();
    const opened = await other.call.files.open({ path });
    expect(opened.project).toEqual(project);
    expect([opened.pusaPath, opened.trashedAt]).toEqual([path, null]);
    expect(await takesOf(other, projectId)).toEqual(takes);
    expect(takes.map(({ rating, tags, promotedClipId }) => [rating, tags, promotedClipId])).toEqual([
      [0, [], 'take-3'],
      [4, ['gut', '最好'], 'take-2'],
      [0, [], null],
    ]);
    expect(await mediaOf(other, opened.project, takes)).toEqual(await mediaOf(window, project, takes));
    const found = await other.call.projects.search({ text: '最好', limit: 10 });
    expect(found.hits.map(({ id }) => id)).toEqual([second.id]);

    // And the work goes on there.
    const { jobs: again } = await other.call.jobs.enqueue({ projectId, rangeId: 'range-1', place: 'last' });
    expect((await takeOf(other, again[0]!.id)).sampler.seed).toBe(0);
  },
);
