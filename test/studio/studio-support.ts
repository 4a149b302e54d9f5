import { randomBytes } from 'node:crypto';
import Database from 'better-sqlite3';
import sharp from 'sharp';
import { afterAll, afterEach, expect } from 'vitest';
import type { Asset, Project } from '../../src-main/core/contract/project.ts';
import type { TakeRecord } from '../../src-main/core/contract/records.ts';
import { newRange } from '../../src-main/core/presets/defaults.ts';
import { sampleTake } from '../support/project.ts';
import { freshFolder, openWindow, removeFolder, type Window } from './generating.ts';

const folders: string[] = [];
const windows: Window[] = [];
afterEach(async () => {
  for (const window of windows.splice(0)) await window.close();
});
afterAll(async () => {
  for (const folder of folders) await removeFolder(folder);
});

export async function newFolder(): Promise<string> {
  folders.push(await freshFolder());
  return folders.at(-1)!;
}

export async function openIn(folder: string): Promise<Window> {
  const window = await openWindow(folder);
  windows.push(window);
  return window;
}

export async function close(window: Window): Promise<void> {
  windows.splice(windows.indexOf(window), 1);
  await window.close();
}

/** Imports a picture of its own that no other is like. */
export async function importPicture({ call }: Window, name = 'noise.png'): Promise<Asset> {
  const side = 24;
  const raw = { width: side, height: side, channels: 3 } as const;
  const png = await sharp(randomBytes(side * side * 3), { raw })
    .png()
    .toBuffer();
  const { importedAt, original, state, ...asset } = (await call.assets.upload({ name }, { upload: [png] }))
    .asset;
  expect([importedAt.length, original, state]).toEqual([24, null, 'present']);
  return asset;
}

/** A project with a picture on its timeline and a range. */
export async function makeProject(window: Window, name: string): Promise<Project> {
  const { project } = await window.call.projects.create({ name, width: 64, height: 48, fps: 16 });
  const asset = await importPicture(window);
  await window.call.projects.edit({
    projectId: project.id,
    label: 'Begin',
    commands: [
      { type: 'addAssets', assets: [asset] },
      {
        type: 'addClip',
        clip: {
          id: 'clip',
          assetId: asset.id,
          track: 0,
          start: 0,
          frames: 5,
          sourceStart: 0,
          fit: 'crop',
        },
      },
      { type: 'addRange', range: newRange({ id: 'range-1', frames: 17 }) },
    ],
  });
  return (await window.call.projects.open({ projectId: project.id })).project;
}

/** A take as a finished job leaves it. */
export async function addTake(
  { studio }: Window,
  projectId: string,
  id: string,
  more: Partial<TakeRecord>,
): Promise<void> {
  const { media, store } = studio.context;
  await media.import(
    (function* () {
      yield randomBytes(5000);
    })() as unknown as AsyncIterable<Uint8Array>,
    {
      record: async ({ hash }) => {
        await store.transact(null, 'Keep a take', (edit) =>
          edit.put('takes', {
            ...sampleTake(),
            id,
            projectId,
            rangeId: 'range-1',
            fileHash: hash,
            rating: 0,
            tags: [],
            promotedClipId: null,
            ...more,
          }),
        );
      },
    },
  );
}

export function takesIn({ studio }: Window, projectId: string): TakeRecord[] {
  const { store } = studio.context;
  return store.lists
    .takes({ limit: 100, projectId })
    .items.map(({ id }) => store.require('takes', id))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Number of the page where a table or an index of a database begins. */
export function pageOf(path: string, name: string): number {
  const database = new Database(path, { readonly: true });
  try {
    const find = database.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').pluck();
    return Number(find.get(name));
  } finally {
    database.close();
  }
}

export async function read(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}
