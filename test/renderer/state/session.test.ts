import sharp from 'sharp';
import { flushSync } from 'svelte';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import type { Edited } from '../../../src-main/core/contract/api/projects.ts';
import type { Clip } from '../../../src-main/core/contract/project.ts';
import { defaultSampler } from '../../../src-main/core/presets/defaults.ts';
import { assetOf } from '../../../src-renderer/src/state/drag.svelte.ts';
import { Session } from '../../../src-renderer/src/state/session.svelte.ts';
import { until } from '../../core/small-studio.ts';
import { assetRecord, hashOf, takeRecord } from '../../library/support.ts';
import { follow } from './follow.svelte.ts';
import { TestStudio } from './studio.ts';

let studio: TestStudio;
let session: Session;
beforeEach(async () => {
  studio = await TestStudio.open();
  session = studio.session();
  await session.start();
  session.show(await session.client.api.projects.create({ name: 'Harbour', width: 96, height: 96, fps: 8 }));
});
afterEach(() => studio.close());

const addRange = (id: string, start = 0): Command => ({
  type: 'addRange',
  range: {
    id,
    start,
    frames: 17,
    preset: null,
    prompt: '',
    negativePrompt: '',
    marks: [],
    interpolation: { curve: 'linear', peak: 1 },
    sampler: { ...defaultSampler, seed: 1 },
    model: null,
    keepOriginalPixels: true,
  },
});
const prompt = (rangeId: string, text: string): Command => ({ type: 'setPrompt', rangeId, prompt: text });

describe('a session of a window', () => {
  it('shows an edit at once and counts it as unsaved until the studio has it', async () => {
    const edit = session.edit('Add a range', [addRange('one')]);
    expect(session.project?.ranges).toHaveLength(1);
    expect(session.unsaved).toBe(1);
    expect(session.steps.undo).toBeNull();

    expect(await edit).toBe(true);
    expect(session.unsaved).toBe(0);
    expect(session.steps).toEqual({ undo: 'Add a range', redo: null });
    const { project } = await session.client.api.projects.open({ projectId: session.project!.id });
    expect(session.project).toEqual(project);
  });

  it('takes back what is no edit at all, and says why', async () => {
    const before = session.project;
    expect(await session.edit('Move', [prompt('nowhere', 'x')])).toBe(false);
    expect(session.project).toBe(before);
    expect(session.toasts.at(-1)).toMatchObject({ level: 'error', code: 'EDIT_INVALID' });
    expect(session.toasts.at(-1)?.remedy).not.toBe('');
  });

  it('takes back only what the studio refuses: the edits after it stay', async () => {
    await session.edit('Add', [addRange('one')]);
    // The label is longer than the contract allows, which the window's own copy does not mind.
    const refused = session.edit('x'.repeat(201), [{ type: 'setName', name: 'Refused' }]);
    const kept = session.edit('Prompt', [prompt('one', 'boats')]);
    expect(session.project).toMatchObject({ name: 'Refused' });

    expect(await Promise.all([refused, kept])).toEqual([false, true]);
    expect(session.project).toMatchObject({ name: 'Harbour', ranges: [{ prompt: 'boats' }] });
    expect(session.unsaved).toBe(0);
  });

  it('undoes and redoes by name, a gesture as one step', async () => {
    await session.edit('Add', [addRange('one')]);
    for (const text of ['b', 'bo', 'boats'])
      void session.edit('Type', [prompt('one', text)], { gesture: 'typing' });
    await session.settled();
    expect(session.steps).toEqual({ undo: 'Type', redo: null });

    await session.undo();
    expect(session.project?.ranges[0]?.prompt).toBe('');
    expect(session.steps).toEqual({ undo: 'Add', redo: 'Type' });
    await session.redo();
    expect(session.project?.ranges[0]?.prompt).toBe('boats');
  });

  it('never lays an edit over itself when its event comes before its answer', async () => {
    const picture = sharp({ create: { width: 8, height: 8, channels: 3, background: 'teal' } }).png();
    const { asset } = await session.client.api.assets.upload(
      { name: 'teal.png' },
      { upload: [await picture.toBuffer()] },
    );
    const clip: Clip = {
      id: 'clip',
      assetId: asset.id,
      track: 0,
      start: 0,
      frames: 4,
      sourceStart: 0,
      fit: 'crop',
    };
    await session.edit('Add', [
      { type: 'addAssets', assets: [assetOf(asset)] },
      { type: 'addClip', clip },
    ]);
    const starts: (number | undefined)[] = [];
    const stop = follow(() => void starts.push(session.project?.clips[0]?.start));
    const move: Command = { type: 'moveClips', clipIds: [clip.id], byFrames: 8, byTracks: 0 };
    await session.edit('Move', [move]);
    await Promise.all([session.edit('Move', [move]), session.edit('Move', [move])]);
    flushSync();
    stop();
    expect(starts.filter((start, index) => start !== starts[index - 1])).toEqual([0, 8, 24]);
  });

  it('follows another window, and reads anew what it missed', async () => {
    const other = studio.session();
    await other.open(session.project!.id);
    await other.edit('Add', [addRange('one')]);
    await until(() => session.project?.ranges.length === 1);
    expect(session.steps.undo).toBe('Add');

    // An event from further on than the next one: what lies between was missed.
    await other.edit('Prompt', [prompt('one', 'boats')]);
    await until(() => session.project?.ranges[0]?.prompt === 'boats');
    const projectId = session.project!.id;
    const ahead: Edited = {
      projectId,
      revision: 1_000,
      change: { fields: { name: 'Not what the studio has' } },
      steps: { undo: null, redo: null },
    };
    session.accept(ahead);
    session.accept({ ...ahead, projectId: 'another' });
    await until(() => session.steps.undo === 'Prompt');
    expect(session.project?.name).toBe('Harbour');
  });

  it('shows the first range that is left when the one it showed goes', async () => {
    await session.edit('Add', [addRange('one'), addRange('two', 40)]);
    session.showRange('two');
    expect(session.range?.start).toBe(40);
    await session.edit('Remove', [{ type: 'removeRange', rangeId: 'two' }]);
    expect(session.rangeId).toBe('one');
  });

  it('knows the takes on the timeline and of the range that is shown, however many came after them', async () => {
    const { store } = studio.studio.context;
    const projectId = session.project!.id;
    const hash = hashOf('old');
    await session.edit('Ranges', [addRange('many'), addRange('few', 40)]);
    const asset = assetRecord('asset', { hash });
    await store.transact(null, 'takes', (edit) => {
      edit.put('assets', asset);
      edit.put(
        'takes',
        takeRecord('old', projectId, { rangeId: 'few', fileHash: hash, promotedClipId: 'c' }),
      );
      for (let i = 0; i < 210; i++) {
        const createdAt = new Date(Date.UTC(2027, 0, 1) + i).toISOString();
        edit.put('takes', takeRecord(`new-${i}`, projectId, { rangeId: 'many', createdAt }));
      }
    });
    // Another range is chosen while they are read, before it is known that there are more.
    const reading = session.readTakes();
    session.showRange('few');
    await reading;
    expect(session.takes).toHaveLength(201);
    session.showRange('many');
    await until(() => session.takes.length === 200);
    expect(session.shownTakes).toEqual([]);
    session.showRange('few');
    await until(() => session.takes.length === 201);
    expect(session.takeId).toBe('old');

    await session.edit('Asset', [{ type: 'addAssets', assets: [assetOf(asset)] }]);
    await until(() => session.shownTakes.length === 1);
    const shown = { id: 'old', projectId, rangeId: 'few', fileHash: hash, promotedClipId: 'c' };
    expect(session.shownTakes).toEqual([shown]);
    const before = session.shownTakes;
    await session.readTakes();
    expect(session.shownTakes).toBe(before);
    await session.undo();
    await until(() => session.shownTakes.length === 0);
  });

  it('keeps at most five messages', () => {
    for (let i = 0; i < 8; i++) session.tell('info', `message ${i}`);
    expect(session.toasts.map(({ message }) => message)).toEqual([3, 4, 5, 6, 7].map((i) => `message ${i}`));
    session.dismiss(session.toasts[0]!.id);
    expect(session.toasts).toHaveLength(4);
  });

  it('goes on where it was when the line was lost', async () => {
    let isBack!: () => void;
    const back = new Promise<void>((resolve) => (isBack = resolve));
    let lines = 0;
    const connection = studio.connection(async () => {
      if (++lines > 1) await back;
      return studio.dial();
    });
    const lost = new Session(connection);
    await lost.open(session.project!.id);
    await lost.edit('Add', [addRange('one')]);
    studio.hangUp();
    await until(() => connection.status === 'lost');
    expect(await lost.edit('Prompt', [prompt('one', 'never sent')])).toBe(false);
    expect(lost.project?.ranges[0]?.prompt).toBe('');

    const other = studio.session();
    await other.open(lost.project!.id);
    await other.edit('Rename', [{ type: 'setName', name: 'Changed meanwhile' }]);
    isBack();
    await until(() => connection.status === 'open');
    expect(lost.project?.name).toBe('Harbour');
    await lost.resume();
    expect(lost.project?.name).toBe('Changed meanwhile');

    // What it listened to, it listens to on the new line too.
    await other.edit('Prompt', [prompt('one', 'boats')]);
    await until(() => lost.project?.ranges[0]?.prompt === 'boats');
  });
});
