import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { EventPayload, Output } from '../../src-main/core/contract/api.ts';
import type { Range } from '../../src-main/core/contract/project.ts';
import type { JobRecord, JobState } from '../../src-main/core/contract/records.ts';
import { newRange } from '../../src-main/core/presets/defaults.ts';
import { root } from '../support/places.ts';
import { connectStudio, type Connected } from './connect.ts';

/** A picture to begin from. */
export const picture = join(root, 'resources/samples/media/green-cube.png');

/** A connected studio, with what it has told so far. */
export interface Window extends Connected {
  readonly progress: EventPayload<'jobs.progress'>[];
  readonly queue: EventPayload<'jobs.queue'>[];
  readonly notices: EventPayload<'notices.posted'>[];
  readonly edited: EventPayload<'projects.edited'>[];
}

export function freshFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'pusa-jobs-'));
}

export function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}

/** Opens the studio of a data folder as the window does; it computes on the processor, which every machine has. */
export async function openWindow(dataFolder: string): Promise<Window> {
  const connected = await connectStudio(dataFolder);
  const { client } = connected;
  const seen = { progress: [], queue: [], notices: [], edited: [] } as Pick<
    Window,
    'progress' | 'queue' | 'notices' | 'edited'
  >;
  client.on('jobs.progress', (payload) => seen.progress.push(payload));
  client.on('jobs.queue', (payload) => seen.queue.push(payload));
  client.on('notices.posted', (payload) => seen.notices.push(payload));
  client.on('projects.edited', (payload) => seen.edited.push(payload));
  await client.api.settings.set({ provider: 'cpu' });
  return { ...connected, ...seen };
}

/** A range of the starter model's size that takes a second or two. */
export function quickRange(id: string, change: Partial<Range> = {}): Range {
  const range = newRange({ id, frames: 17, recommended: { steps: 2, cfg: 1, shift: 3, loraStrength: 1 } });
  return { ...range, prompt: 'A green cube moves to the right.', negativePrompt: '', ...change };
}

/** A project with ranges, and where wanted a picture at its beginning. @returns its id */
export async function projectWith(
  { call }: Window,
  ranges: readonly Range[],
  withPicture = false,
): Promise<string> {
  const { project } = await call.projects.create({ name: 'Test', width: 96, height: 96, fps: 8 });
  const added = withPicture ? await call.assets.import({ path: picture }) : null;
  await call.projects.edit({
    projectId: project.id,
    label: 'Begin',
    commands: [
      ...(added === null
        ? []
        : [
            { type: 'addAssets' as const, assets: [plain(added.asset)] },
            {
              type: 'addClip' as const,
              clip: {
                id: 'picture',
                assetId: added.asset.id,
                track: 0,
                start: 0,
                frames: 1,
                sourceStart: 0,
                fit: 'crop' as const,
              },
            },
          ]),
      ...ranges.map((range) => ({ type: 'addRange' as const, range })),
    ],
  });
  return project.id;
}

function plain(asset: Output<'assets.get'>) {
  const { id, kind, name, hash, bytes, width, height, fps, duration } = asset;
  return { id, kind, name, hash, bytes, width, height, fps, duration };
}

/** Waits until a job has one of these states. */
export async function untilJob(
  { studio }: Window,
  jobId: string,
  states: readonly JobState[] = ['done', 'failed', 'cancelled', 'paused'],
): Promise<JobRecord> {
  const { store } = studio.context;
  return new Promise((resolve) => {
    const stop = store.onChange(() => look());
    const look = (): void => {
      const job = store.get('jobs', jobId);
      if (job === null || !states.includes(job.state)) return;
      stop();
      resolve(job);
    };
    look();
  });
}

/** The take a finished job made. */
export async function takeOf(window: Window, jobId: string): Promise<Output<'takes.get'>> {
  const job = await untilJob(window, jobId);
  expect([job.state, job.error]).toEqual(['done', null]);
  const { items } = await window.call.takes.list({ cursor: null, limit: 200, sort: 'created' });
  for (const { id } of items) {
    const take = await window.call.takes.get({ takeId: id });
    if (take.jobId === jobId) return take;
  }
  throw new Error(`Job ${jobId} made no take.`);
}
