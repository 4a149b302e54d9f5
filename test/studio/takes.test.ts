import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Output } from '../../src-main/core/contract/api.ts';
import type { Bytes } from '../../src-main/core/contract/channel.ts';
import type { Job } from '../../src-main/core/contract/job.ts';
import type { Project, Range } from '../../src-main/core/contract/project.ts';
import { changeProject } from '../../src-main/core/edit/diff.ts';
import { planRange } from '../../src-main/core/plan/range.ts';
import { JobFolder, readFrames } from '../../src-main/engine/pipeline/job-folder.ts';
import { openSource } from '../../src-main/media/frames.ts';
import { finishOf } from '../../src-main/studio/services/jobs-folder.ts';
import { findUsableModel } from '../../src-main/studio/services/models.ts';
import {
  freshFolder,
  openWindow,
  projectWith,
  quickRange,
  removeFolder,
  takeOf,
  type Window,
} from './generating.ts';

type Take = Output<'takes.get'>;

let folder: string;
let window: Window;
let projectId: string;
let first: Take;
let second: Take;

const held = quickRange('held', { marks: [{ frame: 0, kind: 'interpolated', m: 0.2 }] });

beforeAll(async () => {
  folder = await freshFolder();
  window = await openWindow(folder);
  projectId = await projectWith(window, [held], true);
  const { jobs } = await window.call.jobs.batch({
    projectId,
    rangeId: 'held',
    sweep: { over: 'seed', values: [1, 2] },
  });
  first = await takeOf(window, jobs[0]!.id);
  second = await takeOf(window, jobs[1]!.id);
});
afterAll(async () => {
  await window.close();
  await removeFolder(folder);
});

async function bytesOf(body: Bytes): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}
async function projectNow(): Promise<Project> {
  return (await window.call.projects.open({ projectId })).project;
}
async function rangeNow(id: string): Promise<Range> {
  return (await projectNow()).ranges.find((range) => range.id === id)!;
}
const all = { cursor: null, limit: 200 };
const idsOf = (page: Output<'takes.list'>): string[] => page.items.map(({ id }) => id);

describe('takes', () => {
  it('are listed, rated, tagged and read', async () => {
    const newest = [second.id, first.id];
    expect(idsOf(await window.call.takes.list({ ...all, projectId, sort: 'created' }))).toEqual(newest);
    expect(await window.call.takes.rate({ takeId: first.id, rating: 4 })).toMatchObject({
      id: first.id,
      rating: 4,
    });
    const tagged = await window.call.takes.setTags({ takeId: first.id, tags: ['keep', '好'] });
    expect(tagged).toMatchObject({ tags: ['keep', '好'], rating: 4 });
    expect(idsOf(await window.call.takes.list({ ...all, sort: 'rating' }))).toEqual([first.id, second.id]);
    const best = await window.call.takes.list({ cursor: null, limit: 1, sort: 'rating' });
    const rest = await window.call.takes.list({ cursor: best.next, limit: 1, sort: 'rating' });
    expect([...idsOf(best), ...idsOf(rest), rest.next]).toEqual([first.id, second.id, null]);
    expect(idsOf(await window.call.takes.list({ ...all, minRating: 1, sort: 'created' }))).toEqual([
      first.id,
    ]);
    expect(idsOf(await window.call.takes.list({ ...all, tag: '好', sort: 'created' }))).toEqual([first.id]);
    expect((await window.call.projects.open({ projectId })).steps.undo).toBe('Begin');

    const video = await readFile(await window.studio.context.media.path(first.fileHash));
    const whole = await window.call.takes.read({ takeId: first.id });
    expect(whole.output).toEqual({ from: 0, bytes: video.length, total: video.length });
    expect(await bytesOf(whole.body)).toEqual(video);
    const part = await window.call.takes.read({ takeId: first.id, from: video.length - 10, bytes: 100 });
    expect(part.output).toEqual({ from: video.length - 10, bytes: 10, total: video.length });
    expect(await bytesOf(part.body)).toEqual(video.subarray(-10));

    for (const more of [{}, { frame: 16 }]) {
      const picture = await window.call.takes.thumbnail({ takeId: first.id, size: 48, ...more });
      const { width, height, format } = await sharp(await bytesOf(picture.body)).metadata();
      expect([width, height, format]).toEqual([48, 48, 'webp']);
      expect(picture.output).toEqual({ mime: 'image/webp', width: 48, height: 48 });
    }
    await expect(
      window.call.takes.thumbnail({ takeId: first.id, size: 48, frame: 17 }),
    ).rejects.toMatchObject({
      code: 'EDIT_INVALID',
    });
  });

  it('go onto an open track above what lies there, and never onto a locked one', async () => {
    const commands = [1, 2].map((track) => ({
      type: 'setTrack' as const,
      track,
      locked: track === 1,
      hidden: track === 2,
    }));
    await window.call.projects.edit({ projectId, label: 'Close', commands });
    await expect(
      window.call.takes.promote({ takeId: second.id, clipId: 'open', track: 1 }),
    ).rejects.toMatchObject({ code: 'TRACK_LOCKED' });
    await window.call.takes.promote({ takeId: second.id, clipId: 'open', track: null });
    expect((await projectNow()).clips.find(({ id }) => id === 'open')?.track).toBe(3);
    await window.call.projects.undo({ projectId });
    expect((await projectNow()).tracks).toEqual(commands.map(({ type: _, ...track }) => track));
    await window.call.projects.undo({ projectId });
    expect(await projectNow()).not.toHaveProperty('tracks');
  });

  it('go onto the timeline and come back from it by undoing', async () => {
    const before = await projectNow();
    const edited = await window.call.takes.promote({ takeId: second.id, clipId: 'shown', track: 3 });
    const after = await projectNow();
    expect(changeProject(before, edited.change)).toEqual(after);
    expect(edited.steps.undo).toBe('Put a take on the timeline');
    const clip = after.clips.find(({ id }) => id === 'shown')!;
    expect(clip).toMatchObject({ track: 3, start: 0, frames: 17, sourceStart: 0 });
    const asset = after.assets.find(({ id }) => id === clip.assetId)!;
    expect(asset).toMatchObject({
      hash: second.fileHash,
      kind: 'video',
      fps: 8,
      width: 96,
      duration: 17 / 8,
    });
    expect(await window.call.assets.get({ assetId: asset.id })).toMatchObject({ state: 'present' });
    expect((await window.call.takes.get({ takeId: second.id })).promotedClipId).toBe('shown');
    const { id, rangeId, fileHash } = second;
    expect(await window.call.takes.inMedia({ projectId })).toEqual({
      takes: [{ id, projectId, rangeId, fileHash, promotedClipId: 'shown' }],
    });
    await expect(
      window.call.takes.promote({ takeId: second.id, clipId: 'again', track: 3 }),
    ).rejects.toMatchObject({ code: 'EDIT_INVALID' });
    await expect(window.call.takes.delete({ takeIds: [first.id, second.id] })).rejects.toMatchObject({
      code: 'EDIT_INVALID',
    });

    await window.call.projects.undo({ projectId });
    expect((await window.call.takes.get({ takeId: second.id })).promotedClipId).toBeNull();
    expect((await projectNow()).clips.map(({ id }) => id)).toEqual(['picture']);
    await window.call.takes.delete({ takeIds: [second.id] });
    await expect(window.call.takes.get({ takeId: second.id })).rejects.toMatchObject({
      code: 'RECORD_NOT_FOUND',
    });
    await window.call.projects.undo({ projectId });
    expect(await window.call.takes.get({ takeId: second.id })).toMatchObject({ fileHash: second.fileHash });
    expect(window.edited.length).toBeGreaterThan(0);
  });

  it('give their settings back to their range, or to a new one', async () => {
    const { plan } = first;
    await window.call.projects.edit({
      projectId,
      label: 'Change',
      commands: [
        { type: 'setPrompt', rangeId: 'held', prompt: 'Something else.' },
        { type: 'clearCells', rangeId: 'held', first: 0, last: 4 },
        { type: 'setSampler', rangeId: 'held', sampler: { steps: 9, seed: 77 } },
        { type: 'resizeRange', rangeId: 'held', frames: 9 },
      ],
    });
    await window.call.takes.recreate({ takeId: first.id, rangeId: 'unused' });
    expect(planRange(await projectNow(), await rangeNow('held')).plan).toEqual(plan);
    expect(await rangeNow('held')).toMatchObject({
      prompt: first.prompt,
      sampler: first.sampler,
      frames: 17,
    });

    await window.call.projects.edit({
      projectId,
      label: 'Remove',
      commands: [{ type: 'removeRange', rangeId: 'held' }],
    });
    await expect(
      window.call.takes.promote({ takeId: first.id, clipId: 'c', track: 1 }),
    ).rejects.toMatchObject({ code: 'EDIT_INVALID' });
    await window.call.takes.recreate({ takeId: first.id, rangeId: 'new' });
    expect(planRange(await projectNow(), await rangeNow('new')).plan).toEqual(plan);
    expect((await window.call.takes.get({ takeId: first.id })).rangeId).toBe('new');
    for (let step = 0; step < 4; step++) await window.call.projects.undo({ projectId });
    expect((await projectNow()).ranges).toMatchObject([{ id: 'held', prompt: held.prompt }]);
    expect((await window.call.takes.get({ takeId: first.id })).rangeId).toBe('held');
  });
});

describe('a chain of ranges', () => {
  it('goes on from a frame of a take, which is put on the timeline with it', async () => {
    const wanted = { takeId: first.id, fromFrame: 16, frames: 17, rangeId: 'further', clipId: 'first' };
    await expect(window.call.takes.extend({ ...wanted, overlap: 5 })).rejects.toMatchObject({
      code: 'EDIT_INVALID',
    });
    await expect(window.call.takes.extend({ ...wanted, fromFrame: 17, overlap: 2 })).rejects.toMatchObject({
      code: 'EDIT_INVALID',
    });
    await expect(window.call.takes.extend({ ...wanted, fromFrame: 3, overlap: 2 })).rejects.toMatchObject({
      code: 'EDIT_INVALID',
    });
    await window.call.takes.extend({ ...wanted, overlap: 3 });
    const range = await rangeNow('further');
    expect(range).toMatchObject({ start: 8, frames: 17, preset: 'extend', prompt: first.prompt });
    expect(range.sampler).toEqual({ ...first.sampler, seed: first.sampler.seed + 1 });
    const { cells, coverage } = planRange(await projectNow(), range);
    expect(cells.map(({ m }) => m)).toEqual([0, 0.3, 0.4, 1, 1]);
    expect(coverage.slice(0, 10).map((seen) => [seen?.clipId, seen?.clipFrame])).toEqual([
      ...Array.from({ length: 9 }, (_, i) => ['first', 8 + i]),
      [undefined, undefined],
    ]);
    expect((await projectNow()).clips.find(({ id }) => id === 'first')).toMatchObject({ track: 1, start: 0 });
    // One step, both of them.
    await window.call.projects.undo({ projectId });
    expect((await projectNow()).clips.map(({ id }) => id)).toEqual(['picture']);
    expect((await window.call.takes.get({ takeId: first.id })).promotedClipId).toBeNull();
    await window.call.projects.redo({ projectId });
  });

  it('joins its take to the one before: less of a jump, and the same colours', async () => {
    await window.call.jobs.setQueuePaused({ paused: true });
    const { jobs } = await window.call.jobs.enqueue({ projectId, rangeId: 'further', place: 'last' });
    const copy = join(folder, 'copy');
    await cp(join(folder, 'jobs', jobs[0]!.id), copy, { recursive: true });
    await window.call.jobs.setQueuePaused({ paused: false });
    const take = await takeOf(window, jobs[0]!.id);

    // The same job once more, with its frames as they come from the model.
    const { supervisor, media } = window.studio.context;
    const model = await findUsableModel(window.studio.context, null);
    const result = await supervisor.render(copy, model.folder, { provider: 'cpu' });
    const raw = (): AsyncIterable<Uint8Array> => readFrames(copy, result);
    const finish = await finishOf(await JobFolder.open(copy));
    const [made, joined] = [await framesOf(raw()), await framesOf(finish!(raw))];
    const source = await openSource(await media.path(first.fileHash));
    const times = Array.from({ length: 9 }, (_, i) => (8 + i) / 8);
    const there = await framesOf(source.frames(times, { width: 96, height: 96 }, 'crop'));

    // Frame 0 is fixed: it is the former take's own.
    expect(difference(joined[0]!, there[0]!)).toBe(0);
    for (let frame = 1; frame < 9; frame++) {
      expect(difference(joined[frame]!, there[frame]!)).toBeLessThan(difference(made[frame]!, there[frame]!));
    }
    expect(difference(joined[1]!, joined[0]!)).toBeLessThan(difference(made[1]!, made[0]!));
    const far = (frames: readonly Uint8Array[]): number =>
      Math.max(...[0, 1, 2].map((c) => Math.abs(mean(frames.slice(1, 9), c) - mean(there.slice(1), c))));
    expect(far(joined)).toBeLessThan(far(made));

    // The take shows what was joined, as far as its encoding lets it.
    const shown = await openSource(await media.path(take.fileHash));
    const video = await framesOf(
      shown.frames(
        Array.from({ length: 17 }, (_, i) => i / 8),
        { width: 96, height: 96 },
        'crop',
      ),
    );
    const apart = (frames: readonly Uint8Array[]): number =>
      video.reduce((sum, frame, i) => sum + difference(frame, frames[i]!), 0);
    expect(apart(joined)).toBeLessThan(apart(made));

    // Generated again, a range starts from what it started from, although its own take lies above that now.
    await window.call.takes.promote({ takeId: take.id, clipId: 'second', track: 9 });
    await window.call.jobs.setQueuePaused({ paused: true });
    const frozenAgain = async (rangeId: string): Promise<unknown> => {
      const [job] = (await window.call.jobs.enqueue({ projectId, rangeId, place: 'last' })).jobs;
      const text = await readFile(join(folder, 'jobs', job!.id, 'job.json'), 'utf8');
      await window.call.jobs.cancel({ jobIds: [job!.id] });
      return (JSON.parse(text) as Job).sources;
    };
    const { sources } = (await JobFolder.open(copy)).job;
    expect(await frozenAgain('further')).toEqual(sources);
    expect(await frozenAgain('held')).toMatchObject([{ frameCount: 1, cells: 1 }]);
    await window.call.jobs.setQueuePaused({ paused: false });

    // And so on, from the end of that.
    await window.call.takes.extend({
      takeId: take.id,
      fromFrame: 16,
      frames: 17,
      overlap: 2,
      rangeId: 'last',
      clipId: 'second',
    });
    expect(await rangeNow('last')).toMatchObject({ start: 20, frames: 17 });
    const { coverage } = planRange(await projectNow(), await rangeNow('last'));
    expect(coverage.slice(0, 6).map((seen) => seen?.clipId)).toEqual([
      ...Array<string>(5).fill('second'),
      undefined,
    ]);
  });
});

async function framesOf(frames: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const list: Uint8Array[] = [];
  for await (const frame of frames) list.push(Uint8Array.from(frame));
  return list;
}

/** Mean absolute difference, of 255. */
function difference(a: Uint8Array, b: Uint8Array): number {
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;
}

function mean(frames: readonly Uint8Array[], channel: number): number {
  let sum = 0;
  let count = 0;
  for (const frame of frames) {
    for (let i = channel; i < frame.length; i += 3) {
      sum += frame[i]!;
      count++;
    }
  }
  return sum / count;
}
