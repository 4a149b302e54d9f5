import { mkdirSync, readdirSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import type { AssetRecord } from '../../src-main/core/contract/records.ts';
import type { EventPayload } from '../../src-main/core/contract/api.ts';
import { until } from '../core/small-studio.ts';
import {
  codeOf,
  colourOfIndex,
  countingVideo,
  distance,
  flat,
  indexOfColour,
  run,
  withFfmpeg,
  type Rgb,
} from '../media/support.ts';
import { sampleBytes, sha256 } from '../support/project.ts';
import { bytesOf, makeProject, open, root, type OpenedStudio } from './media-studio.ts';

const at = (...names: string[]): string => join(root, 'sources', ...names);

/** A PNG of one colour. */
async function picture(path: string, colour: Rgb, width = 64, height = 48): Promise<string> {
  await sharp(flat(colour, width, height), { raw: { width, height, channels: 3 } })
    .png()
    .toFile(path);
  return path;
}

/** A folder of pictures, each in the colour of its number. */
async function sequence(path: string, count: number): Promise<string> {
  await mkdir(path, { recursive: true });
  for (let n = 0; n < count; n++) await picture(join(path, `shot-${n + 1}.png`), colourOfIndex(n));
  return path;
}

/** Names of all files below a folder of the store. */
function stored(studio: OpenedStudio): string[] {
  const files = readdirSync(studio.studio.context.media.folder, { recursive: true, withFileTypes: true });
  return files.filter((entry) => entry.isFile() && entry.name !== 'pusa-media.json').map(({ name }) => name);
}

/** The colour in the middle of each of so many frames side by side. */
async function frameColours(webp: Uint8Array, frames: number): Promise<number[]> {
  const { data, info } = await sharp(webp).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return Array.from({ length: frames }, (_, frame) => {
    const x = Math.floor(((frame + 0.5) / frames) * info.width);
    const place = (Math.floor(info.height / 2) * info.width + x) * 3;
    return indexOfColour([data[place]!, data[place + 1]!, data[place + 2]!]);
  });
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += 10_000) yield bytes.subarray(start, start + 10_000);
}

beforeAll(() => {
  mkdirSync(at(), { recursive: true });
});

describe('importing', () => {
  it('takes in pictures and sequences, each bytes once', async () => {
    const studio = await open('pictures');
    const { assets } = studio.api;
    const red = await picture(at('red.png'), colourOfIndex(3), 120, 80);
    const bytes = await readFile(red);
    const first = await assets.import({ path: red });
    expect(first).toMatchObject({
      known: false,
      asset: {
        kind: 'image',
        name: 'red.png',
        hash: sha256(bytes),
        bytes: bytes.length,
        width: 120,
        height: 80,
        fps: 0,
        duration: 0,
        state: 'present',
        original: { path: red, size: bytes.length },
      },
    });
    await copyFile(red, at('copy.png'));
    expect(await assets.import({ path: at('copy.png') })).toEqual({ known: true, asset: first.asset });
    const green = await picture(at('green.png'), colourOfIndex(5), 400, 400);
    const both = await Promise.all([assets.import({ path: green }), assets.import({ path: green })]);
    expect(both.map(({ known }) => known).sort()).toEqual([false, true]);
    expect(both[0].asset).toEqual(both[1].asset);
    await assets.collectUnused({ assetIds: [both[0].asset.id] });
    const uploaded = await assets.upload({ name: 'again' }, { upload: piecesOf(bytes) });
    expect(uploaded).toEqual({ known: true, asset: first.asset });

    const other = await sharp(flat(colourOfIndex(7), 32, 32), { raw: { width: 32, height: 32, channels: 3 } })
      .jpeg()
      .toBuffer();
    // A name is a label: it says nothing about the kind, and leads nowhere.
    const { asset } = await assets.upload({ name: '../../etc/clip.mp4' }, { upload: piecesOf(other) });
    expect(asset).toMatchObject({ kind: 'image', name: '../../etc/clip.mp4', original: null, width: 32 });

    const folder = await sequence(at('shots'), 12);
    const whole = await assets.import({ path: folder, sequenceFps: 24 });
    expect(whole.asset).toMatchObject({ kind: 'sequence', name: 'shots', fps: 24, duration: 0.5, width: 64 });
    const pattern = await assets.import({ path: join(folder, 'shot-%d.png'), sequenceFps: 24 });
    expect(pattern).toEqual({ known: true, asset: whole.asset });

    const names = (items: readonly { name: string }[]): string[] => items.map(({ name }) => name);
    const list = (input: object): Promise<string[]> =>
      assets.list({ cursor: null, limit: 50, sort: 'imported', ...input }).then(({ items }) => names(items));
    expect(await list({})).toEqual(['shots', '../../etc/clip.mp4', 'red.png']);
    expect(await list({ kind: 'image', sort: 'name' })).toEqual(['../../etc/clip.mp4', 'red.png']);
    const largest = (await assets.list({ cursor: null, limit: 50, sort: 'bytes' })).items;
    expect(largest.map((each) => each.bytes)).toEqual(
      largest.map((each) => each.bytes).toSorted((a, b) => b - a),
    );
    const pages: string[] = [];
    for (let cursor: string | null = null; ;) {
      const page: Awaited<ReturnType<typeof assets.list>> = await assets.list({
        cursor,
        limit: 1,
        sort: 'bytes',
      });
      pages.push(...names(page.items));
      expect(page.total).toBe(3);
      cursor = page.next;
      if (cursor === null) break;
    }
    expect(pages).toEqual(names(largest));
    expect((await assets.rename({ assetId: asset.id, name: 'Wand' })).name).toBe('Wand');
    expect((await assets.get({ assetId: asset.id })).name).toBe('Wand');
    expect(stored(studio)).toHaveLength(2 + 12);
  });

  withFfmpeg('knows a video by its content, its turn and its length', async () => {
    const { api, client } = await open('videos');
    const turned = at('turned.mp4');
    countingVideo(at('plain.mp4'), { frames: 20, fps: 10, width: 64, height: 48 });
    run(['-i', at('plain.mp4'), '-c', 'copy', '-metadata:s:v', 'rotate=90', turned]);
    await rename(turned, at('turned.dat'));
    const told: EventPayload<'tasks.progress'>[] = [];
    client.on('tasks.progress', (progress) => told.push(progress));
    const { asset } = await api.assets.import({ path: at('turned.dat'), task: 'import-1' });
    expect(asset).toMatchObject({
      kind: 'video',
      name: 'turned.dat',
      width: 48,
      height: 64,
      fps: 10,
      duration: 2,
    });
    expect(await api.assets.probe({ assetId: asset.id })).toEqual({
      codec: 'h264',
      rotation: 270,
      flip: false,
      hasAudio: false,
    });
    expect(told.at(-1)).toEqual({ task: 'import-1', done: asset.bytes, total: asset.bytes, unit: 'bytes' });
  });

  it('refuses what is no medium or broken, and keeps nothing of it', async () => {
    const studio = await open('refused');
    const { assets } = studio.api;
    const png = await readFile(await picture(at('whole.png'), colourOfIndex(9), 300, 200));
    const cases = [
      [Buffer.from('only a text\n'), 'MEDIA_UNSUPPORTED'],
      [png.subarray(0, png.length - 200), 'MEDIA_UNREADABLE'],
      [Buffer.concat([Buffer.from('....ftypisom'), sampleBytes(5000, 1)]), 'MEDIA_UNREADABLE'],
      [Buffer.alloc(0), 'FILE_EMPTY'],
    ] as const;
    for (const [bytes, code] of cases) {
      await writeFile(at('odd'), bytes);
      expect(await codeOf(assets.import({ path: at('odd') }))).toBe(code);
      expect(await codeOf(assets.upload({ name: 'clip.mp4' }, { upload: piecesOf(bytes) }))).toBe(code);
    }
    expect(await codeOf(assets.import({ path: at('not-there.png') }))).toBe('FILE_NOT_FOUND');
    await mkdir(at('empty'));
    expect(await codeOf(assets.import({ path: at('empty') }))).toBe('MEDIA_UNSUPPORTED');
    const stop = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let n = 0; ; n++) {
        if (n === 20) stop.abort();
        yield await Promise.resolve(sampleBytes(50_000, n));
      }
    }
    const endlessUpload = assets.upload({ name: 'x' }, { upload: endless(), signal: stop.signal });
    expect(await codeOf(endlessUpload)).toBe('CANCELLED');
    expect((await assets.list({ cursor: null, limit: 10, sort: 'name' })).total).toBe(0);
    await expect.poll(() => stored(studio), { timeout: 60_000 }).toEqual([]);
  });
});

describe('looking', () => {
  it('reads bytes from any place', async () => {
    const { api } = await open('reading');
    const path = await picture(at('read.png'), colourOfIndex(40), 200, 200);
    const bytes = await readFile(path);
    const { asset } = await api.assets.import({ path });
    const total = bytes.length;
    const cases = [
      [{}, 0, total],
      [{ from: 10 }, 10, total],
      [{ from: 10, bytes: 25 }, 10, 35],
      [{ from: total - 5, bytes: 100 }, total - 5, total],
      [{ from: total + 5 }, total, total],
    ] as const;
    for (const [range, from, to] of cases) {
      const { output, body } = await api.assets.read({ assetId: asset.id, ...range });
      expect(output).toEqual({ from, bytes: to - from, total });
      expect(sha256(await bytesOf(body))).toBe(sha256(bytes.subarray(from, to)));
    }
    expect(await codeOf(api.assets.read({ assetId: 'nobody' }))).toBe('RECORD_NOT_FOUND');
  });

  withFfmpeg('draws the frame or the frames asked for', async () => {
    const { api } = await open('looking');
    const video = await api.assets.import({ path: countingVideo(at('count.mp4'), { frames: 40, fps: 10 }) });
    const shots = await api.assets.import({ path: await sequence(at('strip'), 8), sequenceFps: 4 });
    for (const [assetId, seconds, expected] of [
      [video.asset.id, 0, 0],
      [video.asset.id, 2.35, 23],
      [video.asset.id, 99, 39],
      [video.asset.id, undefined, 4],
      [shots.asset.id, 1.3, 5],
    ] as const) {
      const { output, body } = await api.assets.thumbnail({
        assetId,
        size: 32,
        ...(seconds === undefined ? {} : { at: seconds }),
      });
      expect(output).toEqual({ mime: 'image/webp', width: 32, height: 24 });
      expect(await frameColours(await bytesOf(body), 1)).toEqual([expected]);
    }
    const strip = { assetId: video.asset.id, from: 1, to: 3, frames: 5, height: 24 };
    const { output, body } = await api.assets.filmstrip(strip);
    expect(output).toEqual({ mime: 'image/webp', width: 5 * 32, height: 24, frames: 5 });
    expect(await frameColours(await bytesOf(body), 5)).toEqual([12, 16, 20, 24, 28]);
    const turnedRound = await api.assets.filmstrip({ ...strip, from: 3, to: 1 });
    expect(sha256(await bytesOf(turnedRound.body))).toBe(
      sha256(await bytesOf((await api.assets.filmstrip(strip)).body)),
    );
    // One row, no longer than a picture can be.
    const wide = await api.assets.filmstrip({
      assetId: shots.asset.id,
      from: 0,
      to: 2,
      frames: 64,
      height: 512,
    });
    expect(wide.output).toMatchObject({ frames: 23, height: 512 });
    expect(wide.output.width).toBe(23 * 683);
    await bytesOf(wide.body);
  });
});

describe('missing media', () => {
  it('are found out at the start and linked again, by hash or by hand', async () => {
    const before = await open('missing');
    const { api: first } = before;
    const colours = [1, 2, 3, 4, 5];
    const paths = await Promise.all(
      colours.map((n) => picture(at(`lost-${n}.png`), colourOfIndex(n), 64 + n, 48)),
    );
    const made = [];
    for (const path of paths) made.push((await first.assets.import({ path })).asset);
    const shots = (await first.assets.import({ path: await sequence(at('lost'), 3) })).asset;
    const [a, b, c, d, e] = made as [AssetRecord, AssetRecord, AssetRecord, AssetRecord, AssetRecord];
    const projectId = await makeProject(before, {}, [
      { asset: a, start: 0, frames: 4 },
      { asset: b, start: 4, frames: 4 },
    ]);
    const { media } = before.studio.context;
    const gone = [a, b, c, e, shots];
    for (const { hash } of gone) await rm(await media.path(hash), { recursive: true });
    await before.close();

    const { api, studio } = await open('missing');
    const missing = async (): Promise<string[]> =>
      (await api.assets.missing({ cursor: null, limit: 50 })).items.map(({ id }) => id).sort();
    // After an orderly stop they are looked for beside the work.
    await expect.poll(missing, { timeout: 60_000 }).toEqual(gone.map(({ id }) => id).sort());
    expect((await api.assets.get({ assetId: d.id })).state).toBe('present');
    expect(await codeOf(api.assets.thumbnail({ assetId: a.id, size: 32 }))).toBe('FILE_NOT_FOUND');

    // Importing it again is linking it again.
    const again = await api.assets.import({ path: paths[4]! });
    expect(again).toMatchObject({ known: true, asset: { id: e.id, state: 'present' } });

    // By hand, the very file: another one is refused unless it is wanted.
    const relink = (assetId: string, path: string, accept: 'same' | 'any') =>
      api.assets.relink({ assetId, path, accept });
    expect(await codeOf(relink(a.id, paths[1]!, 'same'))).toBe('MEDIA_DIFFERS');
    expect(await relink(a.id, paths[0]!, 'same')).toMatchObject({ id: a.id, hash: a.hash, state: 'present' });
    const blue = await picture(at('blue.png'), colourOfIndex(20), 90, 60);
    const replaced = await relink(b.id, blue, 'any');
    expect(replaced).toMatchObject({ id: b.id, state: 'present', width: 90, height: 60 });
    expect(replaced.hash).toBe(sha256(await readFile(blue)));
    const { project } = await api.projects.open({ projectId });
    expect(project.assets.map(({ hash }) => hash)).toEqual([a.hash, replaced.hash]);
    expect(project.clips.map(({ assetId }) => assetId)).toEqual([a.id, b.id]);

    // In a folder, under other names, sequences too.
    await mkdir(at('archive', 'deep', 'frames'), { recursive: true });
    await copyFile(paths[2]!, at('archive', 'deep', 'renamed'));
    for (const name of readdirSync(at('lost'))) {
      await copyFile(at('lost', name), at('archive', 'deep', 'frames', name));
    }
    expect(await missing()).toEqual([c.id, shots.id].sort());
    const { found, stillMissing } = await api.assets.relinkFolder({ path: at('archive') });
    expect([found.toSorted(), stillMissing]).toEqual([[c.id, shots.id].sort(), 0]);
    expect(await missing()).toEqual([]);
    expect(await studio.context.media.verify(shots.hash)).toBe('sound');
  });

  it('may be replaced by something the library has', async () => {
    const studio = await open('replaced');
    const { api } = studio;
    const [one, two] = [
      (await api.assets.import({ path: await picture(at('one.png'), colourOfIndex(1)) })).asset,
      (await api.assets.import({ path: await picture(at('two.png'), colourOfIndex(2)) })).asset,
    ];
    const projectId = await makeProject(studio, {}, [
      { asset: one, start: 0, frames: 4 },
      { asset: two, start: 4, frames: 4 },
    ]);
    const linked = await api.assets.relink({ assetId: one.id, path: at('two.png'), accept: 'any' });
    expect(linked).toEqual(two);
    expect(await codeOf(api.assets.get({ assetId: one.id }))).toBe('RECORD_NOT_FOUND');
    const { project } = await api.projects.open({ projectId });
    expect(project.assets.map(({ id }) => id)).toEqual([two.id]);
    expect(project.clips.map(({ assetId }) => assetId)).toEqual([two.id, two.id]);
  });
});

describe('unused media', () => {
  it('are listed with their bytes and removed on request, never those in use', async () => {
    const studio = await open('unused');
    const { api } = studio;
    const assets = [];
    for (const n of [1, 2, 3, 4]) {
      const path = await picture(at(`unused-${n}.png`), colourOfIndex(n + 30), 100 + n, 50);
      assets.push((await api.assets.import({ path })).asset);
    }
    const [used, undone, third, fourth] = assets as [AssetRecord, AssetRecord, AssetRecord, AssetRecord];
    await makeProject(studio, {}, [{ asset: used, start: 0, frames: 4 }]);
    const other = await makeProject(studio, {}, [{ asset: undone, start: 0, frames: 4 }]);
    await api.projects.undo({ projectId: other });

    const list = await api.assets.unusedMedia({ cursor: null, limit: 1 });
    expect([list.total, list.bytes]).toEqual([2, third.bytes + fourth.bytes]);
    const rest = await api.assets.unusedMedia({ cursor: list.next, limit: 50 });
    const ids = [...list.items, ...rest.items].map(({ id }) => id).sort();
    expect(ids).toEqual([third.id, fourth.id].sort());

    for (const inUse of [used, undone]) {
      const collect = api.assets.collectUnused({ assetIds: [third.id, inUse.id] });
      expect(await codeOf(collect)).toBe('EDIT_INVALID');
    }
    await bytesOf((await api.assets.thumbnail({ assetId: third.id, size: 64 })).body);
    const drawn = (): number => readdirSync(join(studio.studio.context.folders.cache, 'thumbnails')).length;
    expect(drawn()).toBe(2);
    const removed = await api.assets.collectUnused({ assetIds: [third.id, third.id] });
    expect(removed).toEqual({ assets: 1, bytes: third.bytes });
    expect(drawn()).toBe(0);
    expect(await api.assets.collectUnused({})).toEqual({ assets: 1, bytes: fourth.bytes });
    expect(await api.assets.collectUnused({})).toEqual({ assets: 0, bytes: 0 });
    expect(stored(studio).sort()).toEqual([used.hash, undone.hash].sort());
    await api.projects.redo({ projectId: other });
    expect((await api.assets.get({ assetId: undone.id })).state).toBe('present');
  });
});

describe('the media folder', () => {
  it('can be moved, and is found there at the next start', async () => {
    const before = await open('moving');
    const path = await picture(at('moved.png'), colourOfIndex(11));
    const { asset } = await before.api.assets.import({ path });
    const target = join(root, 'elsewhere');
    const own = before.studio.context.folders.data;
    expect(await codeOf(before.api.assets.moveStore({ path: at() }))).toBe('MEDIA_FOLDER_INVALID');
    const told: string[] = [];
    before.client.on('library.changed', ({ mediaFolder }) => told.push(mediaFolder));
    await before.api.assets.moveStore({ path: target });
    await until(() => told.includes(target));
    await before.close();
    const { api, studio } = await open('moving');
    expect(studio.context.media.folder).toBe(target);
    expect(studio.context.folders.data).toBe(own);
    const { body } = await api.assets.read({ assetId: asset.id });
    expect(sha256(await bytesOf(body))).toBe(asset.hash);
  });
});

describe('media that are not there when the studio opens', () => {
  it('are told of, refused, and found where they are now', async () => {
    const before = await open('unplugged');
    const path = await picture(at('unplugged.png'), colourOfIndex(12));
    const { asset } = await before.api.assets.import({ path });
    const projectId = await makeProject(before, {}, [{ asset, start: 0, frames: 5 }]);
    const { folder } = before.studio.context.media;
    await before.close();
    const elsewhere = join(root, 'unplugged-elsewhere');
    await rename(folder, elsewhere);

    // Everything else goes on; nothing is marked as missing, or saved without what cannot be read.
    const { api, client, studio } = await open('unplugged');
    await studio.settled();
    expect(await api.library.status({})).toMatchObject({ mediaMissing: true, mediaFolder: folder });
    expect((await api.assets.get({ assetId: asset.id })).state).toBe('present');
    const name = [{ type: 'setName', name: 'Still there' }] as const;
    await api.projects.edit({ projectId, label: 'Name', commands: [...name] });
    const file = join(root, 'unplugged.pusa');
    const refused = [
      api.assets.import({ path }),
      api.assets.read({ assetId: asset.id }),
      api.assets.moveStore({ path: join(root, 'nowhere') }),
      api.files.saveAs({ projectId, path: file, media: true, takes: 'none' }),
      api.library.findMedia({ path: root, isNew: false }),
    ];
    const codes = await Promise.all(refused.map((work) => codeOf(work)));
    expect(new Set(codes)).toEqual(new Set(['MEDIA_FOLDER_MISSING']));
    expect(await codeOf(api.library.findMedia({ path: root, isNew: true }))).toBe('MEDIA_FOLDER_INVALID');

    const told: boolean[] = [];
    client.on('library.changed', ({ mediaMissing }) => told.push(mediaMissing));
    const status = await api.library.findMedia({ path: elsewhere, isNew: false });
    expect(status).toMatchObject({ mediaMissing: false, mediaFolder: elsewhere });
    await until(() => told.includes(false));
    const { body } = await api.assets.read({ assetId: asset.id });
    expect(sha256(await bytesOf(body))).toBe(asset.hash);
    expect(await codeOf(api.library.findMedia({ path: elsewhere, isNew: false }))).toBe(
      'MEDIA_FOLDER_INVALID',
    );

    // Gone while the studio is open: told by the first who asks, and back by itself.
    await rename(elsewhere, folder);
    expect(await codeOf(api.assets.import({ path }))).toBe('MEDIA_FOLDER_MISSING');
    expect((await api.library.status({})).mediaMissing).toBe(true);
    await rename(folder, elsewhere);
    expect((await api.library.status({})).mediaMissing).toBe(false);
    await api.assets.import({ path });

    // Lost for good: a new folder, and what is missing is said.
    await rename(elsewhere, folder);
    expect((await api.library.status({})).mediaMissing).toBe(true);
    const empty = join(root, 'unplugged-new');
    await mkdir(empty);
    await api.library.findMedia({ path: empty, isNew: true });
    await studio.settled();
    expect((await api.assets.get({ assetId: asset.id })).state).toBe('missing');
    await api.assets.relink({ assetId: asset.id, path, accept: 'same' });
    expect((await api.assets.get({ assetId: asset.id })).state).toBe('present');
  });
});

describe('a project file', () => {
  it('carries sequences of pictures into an empty library', async () => {
    const from = await open('sending');
    const { asset } = await from.api.assets.import({ path: await sequence(at('sent'), 9), sequenceFps: 12 });
    const projectId = await makeProject(from, {}, [{ asset, start: 0, frames: 9 }]);
    const file = join(root, 'sent.pusa');
    await from.api.files.saveAs({ projectId, path: file, media: true, takes: 'none' });
    const to = await open('receiving');
    const { project } = await to.api.files.open({ path: file });
    expect(project).toEqual((await from.api.projects.open({ projectId })).project);
    const { media } = to.studio.context;
    expect(await media.verify(asset.hash)).toBe('sound');
    expect(await media.parts(asset.hash)).toHaveLength(9);
    const { body } = await to.api.assets.thumbnail({ assetId: asset.id, size: 64, at: 7.2 / 12 });
    const { data } = await sharp(await bytesOf(body))
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect(distance([data[0]!, data[1]!, data[2]!], colourOfIndex(7))).toBeLessThan(8);
  });
});
