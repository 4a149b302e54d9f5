import { randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync } from 'node:fs';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import type { AssetRecord, TakeRecord } from '../../src-main/core/contract/records.ts';
import { newRange } from '../../src-main/core/presets/defaults.ts';
import { encodeTake } from '../../src-main/media/encode.ts';
import { openSource } from '../../src-main/media/frames.ts';
import { readTake } from '../../src-main/media/read-take.ts';
import { takeOfFile } from '../../src-main/studio/read-take.ts';
import { smallDisk } from '../library/media-support.ts';
import {
  all,
  codeOf,
  colourOfIndex,
  countingVideo,
  ffmpeg,
  ffprobe,
  flat,
  h264,
  indexOfColour,
  pixel,
  rawInput,
  run,
  withEnvironment,
  withFfmpeg,
  withoutFfmpeg,
} from '../media/support.ts';
import { sampleTake, sha256 } from '../support/project.ts';
import { bytesOf, loudness, makeProject, open, root, type OpenedStudio } from './media-studio.ts';

const at = (...names: string[]): string => join(root, 'files', ...names);
const size = { width: 64, height: 48 };
/** What a cancelled export has begun goes once its ffmpeg has ended. */
const patient = { timeout: 60_000 };

beforeAll(() => {
  mkdirSync(at('out'), { recursive: true });
});

async function importFile({ api }: OpenedStudio, path: string): Promise<AssetRecord> {
  return (await api.assets.import({ path })).asset;
}

async function picture(path: string, index: number, width = 64, height = 48): Promise<string> {
  await sharp(flat(colourOfIndex(index), width, height), { raw: { width, height, channels: 3 } })
    .png()
    .toFile(path);
  return path;
}

/** The index of the colour in the middle of every frame of a file; −1 for black. */
async function indexesIn(path: string, fps: number): Promise<number[]> {
  const source = await openSource(path, { sequenceFps: fps });
  const { frames, duration, width, height } = source.probe;
  const count = frames ?? Math.round(duration * fps);
  const times = Array.from({ length: count }, (_, n) => n / fps);
  return (await all(source.frames(times, { width, height }, 'stretch'))).map((frame) => {
    const seen = pixel(frame, width, height);
    return Math.max(...seen) < 14 ? -1 : indexOfColour(seen);
  });
}

/** A video of one colour whose sound is silence with a tone in between. */
function beeping(path: string, seconds: number, tone: readonly [number, number], index = 60): string {
  const frames = Math.round(seconds * 16);
  const raw = Buffer.concat(Array.from({ length: frames }, () => flat(colourOfIndex(index), 64, 48)));
  const wave = `aevalsrc=exprs=0.5*sin(2*PI*440*t)*between(t\\,${tone[0]}\\,${tone[1]}):s=44100:d=${seconds}`;
  run([...rawInput(64, 48, 16), '-f', 'lavfi', '-i', wave, ...h264, '-c:a', 'aac', '-shortest', path], raw);
  return path;
}

/** Stretches in seconds in which a file is heard. */
function heard(path: string): [number, number][] {
  const stretches: [number, number][] = [];
  for (const [index, level] of loudness(path).entries()) {
    if (level < 0.1) continue;
    const last = stretches.at(-1);
    if (last !== undefined && Math.abs(last[1] - index / 50) < 1e-6) last[1] = (index + 1) / 50;
    else stretches.push([index / 50, (index + 1) / 50]);
  }
  return stretches;
}

function expectHeard(path: string, expected: readonly (readonly [number, number])[]): void {
  const found = heard(path);
  expect(found).toHaveLength(expected.length);
  for (const [index, [start, end]] of expected.entries()) {
    expect(Math.abs(found[index]![0] - start)).toBeLessThan(0.045);
    expect(Math.abs(found[index]![1] - end)).toBeLessThan(0.045);
  }
}

/** The timeline that the tests of pictures write: two layers, a gap, a slow source and shapes that do not fit. */
async function layered(studio: OpenedStudio): Promise<string> {
  const slow = await importFile(studio, countingVideo(at('slow.mp4'), { frames: 40, fps: 8 }));
  const still = await importFile(studio, await picture(at('still.png'), 100));
  const wide = await importFile(studio, await picture(at('wide.png'), 110, 96, 24));
  return makeProject(studio, { ...size, fps: 16 }, [
    { asset: slow, start: 2, frames: 20, sourceStart: 1, track: 0 },
    { asset: still, start: 8, frames: 4, track: 1 },
    { asset: wide, start: 26, frames: 3, track: 0, fit: 'contain' },
  ]);
}

/** What is seen of it: at 16 frames a second each frame of the slow source stands for two. */
const layeredFrames = Array.from({ length: 29 }, (_, frame) => {
  if (frame < 2 || (frame >= 22 && frame < 26)) return -1;
  if (frame >= 26) return 110;
  if (frame >= 8 && frame < 12) return 100;
  return 8 + Math.floor((frame - 2) / 2);
});

/** Puts a take into the library as a job would. */
async function addTake({ studio }: OpenedStudio, projectId: string, frames: number): Promise<TakeRecord> {
  const made = sampleTake();
  const take = { ...made, ...size, prompt: 'Boats / come: home', plan: { ...made.plan, frames } };
  const path = at(`${randomUUID()}.mp4`);
  async function* pictures(): AsyncGenerator<Uint8Array> {
    for (let n = 0; n < frames; n++) yield await Promise.resolve(flat(colourOfIndex(n + 20), 64, 48));
  }
  const text = JSON.stringify(take);
  await encodeTake({ ...size, fps: take.fps, frames: pictures(), path, metadata: text });
  const record: TakeRecord = {
    ...take,
    id: randomUUID(),
    projectId,
    rangeId: 'range-1',
    fileHash: sha256(await readFile(path)),
    rating: 0,
    tags: [],
    promotedClipId: null,
  };
  await studio.context.media.import(path, {
    record: async () => {
      await studio.context.store.transact(null, 'Take', (edit) => edit.put('takes', record));
    },
  });
  return record;
}

describe('a timeline', () => {
  withFfmpeg('is written frame by frame, the topmost clip of each, to every format', async () => {
    const studio = await open('timeline');
    const projectId = await layered(studio);
    const timeline = { what: 'timeline', projectId, audio: true } as const;
    const told: number[] = [];
    studio.client.on('tasks.progress', ({ done, total, unit }) => {
      expect([total, unit]).toEqual([29, 'frames']);
      told.push(done);
    });
    for (const name of ['all.mp4', 'all.webm', 'all.gif', 'pictures', 'shot-%03d.png']) {
      const written = await studio.api.exports.toPath({
        export: timeline,
        path: at('out', name),
        task: 'out',
      });
      expect(written.path).toBe(at('out', name));
      expect(written.bytes).toBeGreaterThan(1000);
      if (name === 'all.gif') {
        const { pages, delay } = await sharp(written.path).metadata();
        // Hundredths of a second: no error adds up.
        expect([pages, delay?.reduce((sum, each) => sum + each, 0)]).toEqual([29, 1810]);
      } else expect(await indexesIn(written.path, 16)).toEqual(layeredFrames);
    }
    expect(told.at(-1)).toBe(29);
    // Bars beside what does not fit.
    const source = await openSource(at('out', 'all.mp4'));
    const [last] = await all(source.frames([28 / 16], size, 'stretch'));
    expect(Math.max(...pixel(last!, 64, 48, 0.5, 0.05))).toBeLessThan(14);
    expect(indexOfColour(pixel(last!, 64, 48, 0.02, 0.5))).toBe(110);
    expect(await codeOf(takeOfFile(at('out', 'all.mp4')))).toBe('MEDIA_UNREADABLE');
    expect(await readTake(at('out', 'all.mp4'))).toMatchObject({
      project: 'Ein „Schnitt“ / 剪辑',
      software: expect.stringContaining('Pusa Studio') as string,
    });
    expect(ffprobe(at('out', 'all.mp4'), '-show_entries', 'format_tags=title')).toMatchObject({
      format: { tags: { title: 'Ein „Schnitt“ / 剪辑' } },
    });

    // From in to out, over a connection without paths.
    const part = { ...timeline, from: 7, to: 24 };
    const { output, body } = await studio.api.exports.toStream({ export: part, format: 'mp4' });
    const bytes = await bytesOf(body);
    expect(output).toEqual({ name: 'Ein Schnitt 剪辑.mp4', mime: 'video/mp4', bytes: bytes.length });
    await writeFile(at('part.mp4'), bytes);
    expect(await indexesIn(at('part.mp4'), 16)).toEqual(layeredFrames.slice(7, 24));
    const { body: unread } = await studio.api.exports.toStream({ export: part, format: 'gif' });
    await unread[Symbol.asyncIterator]().return?.(undefined);
    const temporary = (): string[] => readdirSync(studio.studio.context.folders.temporary);
    await expect.poll(temporary, patient).toEqual([]);
  });

  it('of pictures needs no ffmpeg for mp4', async () => {
    const studio = await open('pictures');
    const one = await importFile(studio, await picture(at('one.png'), 30));
    const two = await importFile(studio, await picture(at('two.png'), 90));
    const projectId = await makeProject(studio, { ...size, fps: 12 }, [
      { asset: one, start: 0, frames: 5 },
      { asset: two, start: 6, frames: 5 },
    ]);
    const path = at('out', 'wasm.mp4');
    const expected = [30, 30, 30, 30, 30, -1, 90, 90, 90, 90, 90];
    await withoutFfmpeg(async () => {
      const timeline = { what: 'timeline', projectId, audio: true } as const;
      await studio.api.exports.toPath({ export: timeline, path });
      const pictures = at('out', 'plain');
      await studio.api.exports.toPath({ export: timeline, path: pictures });
      expect(await indexesIn(pictures, 12)).toEqual(expected);
      const webm = studio.api.exports.toPath({ export: timeline, path: at('out', 'no.webm') });
      expect(await codeOf(webm)).toBe('FFMPEG_MISSING');
    });
    if (ffmpeg !== null) expect(await indexesIn(path, 12)).toEqual(expected);
  });
});

describe('sound', () => {
  /** Sound under three clips, one of them hidden for a while under a picture. */
  async function noisy(studio: OpenedStudio): Promise<string> {
    const low = await importFile(studio, beeping(at('low.mp4'), 6, [1, 5]));
    const cover = await importFile(studio, await picture(at('cover.png'), 70));
    const mute = await importFile(studio, countingVideo(at('mute.mp4'), { frames: 32, fps: 16 }));
    return makeProject(studio, { ...size, fps: 16 }, [
      // Heard from 1.5 s (its tone begins 0.5 s into the clip) to 4 s.
      { asset: low, start: 16, frames: 48, sourceStart: 0.5, track: 0 },
      // Hides 2 s to 3 s.
      { asset: cover, start: 32, frames: 16, track: 2 },
      { asset: mute, start: 64, frames: 16, track: 0 },
      // The end of the tone: 5.5 s to 6 s.
      { asset: low, start: 88, frames: 32, sourceStart: 4.5, track: 1 },
    ]);
  }
  const expected = [
    [1.5, 2],
    [3, 4],
    [5.5, 6],
  ] as const;

  withFfmpeg('of clips is heard while their own frames are seen, and nowhere else', async () => {
    const studio = await open('sound');
    const projectId = await noisy(studio);
    const timeline = { what: 'timeline', projectId, audio: true } as const;
    const notices: string[] = [];
    studio.client.on('notices.posted', ({ message }) => notices.push(message));
    for (const [name, codec] of [
      ['sound.mp4', 'aac'],
      ['sound.webm', 'opus'],
    ] as const) {
      await studio.api.exports.toPath({ export: timeline, path: at('out', name) });
      const { streams } = ffprobe(at('out', name), '-show_streams') as { streams: Record<string, string>[] };
      expect(streams.map(({ codec_type }) => codec_type)).toEqual(['video', 'audio']);
      expect(streams[1]).toMatchObject({ codec_name: codec, sample_rate: '48000', channels: 2 });
      expectHeard(at('out', name), expected);
      expect(Math.abs(loudness(at('out', name)).length / 50 - 7.5)).toBeLessThan(0.06);
    }
    // Hidden, the cover neither covers nor silences; undone, it does again.
    const hide = { type: 'setTrack' as const, track: 2, locked: false, hidden: true };
    await studio.api.projects.edit({ projectId, label: 'Hide', commands: [hide] });
    await studio.api.exports.toPath({ export: timeline, path: at('out', 'shown.mp4') });
    expectHeard(at('out', 'shown.mp4'), [[1.5, 4], expected[2]]);
    await studio.api.projects.undo({ projectId });
    await studio.api.exports.toPath({
      export: { ...timeline, from: 52, to: 90 },
      path: at('out', 'cut.mp4'),
    });
    expectHeard(at('out', 'cut.mp4'), [
      [0, 0.75],
      [2.25, 2.375],
    ]);
    await studio.api.exports.toPath({ export: { ...timeline, audio: false }, path: at('out', 'mute.mp4') });
    expect((await openSource(at('out', 'mute.mp4'))).probe.hasAudio).toBe(false);
    // Nothing to be heard: no silent track either.
    await studio.api.exports.toPath({
      export: { ...timeline, from: 64, to: 80 },
      path: at('out', 'none.mp4'),
    });
    expect((await openSource(at('out', 'none.mp4'))).probe.hasAudio).toBe(false);
    expect(notices).toEqual([]);
    await studio.api.exports.toPath({ export: timeline, path: at('out', 'sound.gif') });
    expect(notices).toEqual(['The export has no sound: a gif or pictures cannot hold any.']);

    // Sought, not read from the beginning; and a file whose clock does not start at zero.
    const long = beeping(at('long.mp4'), 20, [15, 15.5], 80);
    run(['-i', long, '-c', 'copy', '-output_ts_offset', '7', at('late.mkv')]);
    const late = await importFile(studio, at('late.mkv'));
    const other = await makeProject(studio, { ...size, fps: 16 }, [
      { asset: late, start: 0, frames: 40, sourceStart: 14 },
    ]);
    const path = at('out', 'late.mp4');
    await studio.api.exports.toPath({ export: { ...timeline, projectId: other }, path });
    expectHeard(path, [[1, 1.5]]);
  });

  withFfmpeg('goes on under a take, which has none, but not under other pictures', async () => {
    const studio = await open('under-take');
    const low = await importFile(studio, beeping(at('under.mp4'), 6, [1, 5], 40));
    const cover = await importFile(studio, await picture(at('over.png'), 71));
    const projectId = await makeProject(studio, { ...size, fps: 16 }, [
      { asset: low, start: 0, frames: 96 },
      // Hides 4 s to 4.5 s.
      { asset: cover, start: 64, frames: 8, track: 5 },
    ]);
    const range = newRange({ id: 'range-1', start: 24, frames: 17 });
    const commands = [{ type: 'addRange' as const, range }];
    await studio.api.projects.edit({ projectId, label: 'Range', commands });
    const take = await addTake(studio, projectId, 17);
    await studio.api.takes.promote({ takeId: take.id, clipId: 'take', track: 3 });
    const path = at('out', 'under.mp4');
    await studio.api.exports.toPath({ export: { what: 'timeline', projectId, audio: true }, path });
    expect((await indexesIn(path, 16))[26]).toBe(22);
    expectHeard(path, [
      [1, 4],
      [4.5, 5],
    ]);
  });

  withFfmpeg('is kept where ffmpeg decodes but has no H.264 to encode with', async () => {
    const studio = await open('free');
    const projectId = await noisy(studio);
    const wrapper = at('ffmpeg');
    const hide = `"${ffmpeg!.path}" "$@" | grep -v 264`;
    await writeFile(
      wrapper,
      `#!/bin/sh\ncase "$*" in *-encoders*) ${hide};; *) exec "${ffmpeg!.path}" "$@";; esac\n`,
    );
    chmodSync(wrapper, 0o755);
    const path = at('out', 'free.mp4');
    await withEnvironment({ PUSA_FFMPEG: wrapper }, () =>
      studio.api.exports.toPath({ export: { what: 'timeline', projectId, audio: true }, path }),
    );
    expectHeard(path, expected);
    const { streams } = ffprobe(path, '-show_streams') as { streams: Record<string, string>[] };
    expect(streams.map(({ codec_name }) => codec_name)).toEqual(['h264', 'aac']);
    expect(streams[0]).toMatchObject({ profile: 'Baseline' });
  });
});

describe('a take', () => {
  withFfmpeg('leaves as it is, or in another format, with all that made it', async () => {
    const studio = await open('takes');
    const { project } = await studio.api.projects.create({ name: 'Takes', ...size, fps: 16 });
    const take = await addTake(studio, project.id, 5);
    const wanted = { what: 'take', takeId: take.id } as const;
    const { path, bytes } = await studio.api.exports.toPath({ export: wanted, path: at('out', 'take.mp4') });
    expect(sha256(await readFile(path))).toBe(take.fileHash);
    expect(bytes).toBe((await stat(path)).size);
    const { id, projectId, rangeId, fileHash, rating, tags, promotedClipId, ...made } = take;
    expect([id, projectId, rangeId, fileHash, rating, tags, promotedClipId]).toHaveLength(7);
    for (const name of ['take.mp4', 'take.webm', 'take.gif', 'take']) {
      if (name !== 'take.mp4') await studio.api.exports.toPath({ export: wanted, path: at('out', name) });
      expect(await takeOfFile(at('out', name))).toEqual(made);
      if (name !== 'take.gif') expect(await indexesIn(at('out', name), 16)).toEqual([20, 21, 22, 23, 24]);
    }
    const { output, body } = await studio.api.exports.toStream({ export: wanted, format: 'mp4' });
    expect(output.name).toBe('Boats come home.mp4');
    expect(sha256(await bytesOf(body))).toBe(take.fileHash);

    // Imported as a clip, its media are the take's: not unused while there is the take.
    const asset = await importFile(studio, path);
    expect(asset.hash).toBe(take.fileHash);
    const unused = async (): Promise<[number, number]> => {
      const { total, bytes: all } = await studio.api.assets.unusedMedia({ cursor: null, limit: 9 });
      return [total, all];
    };
    expect(await unused()).toEqual([0, 0]);
    expect(await codeOf(studio.api.assets.collectUnused({ assetIds: [asset.id] }))).toBe('EDIT_INVALID');
    await studio.api.takes.delete({ takeIds: [take.id] });
    // Undoing would bring the take back.
    expect(await unused()).toEqual([0, 0]);
    await studio.api.projects.trash({ projectIds: [project.id] });
    await studio.api.projects.remove({ projectIds: [project.id] });
    expect(await unused()).toEqual([1, asset.bytes]);
  });
});

describe('what goes wrong', () => {
  withFfmpeg('leaves nothing half written, and what was there before as it was', async () => {
    const studio = await open('wrong');
    const { exports, projects } = studio.api;
    const projectId = await layered(studio);
    const timeline = { what: 'timeline', projectId, audio: true } as const;
    const folder = at('wrong');
    await mkdir(folder);
    const path = join(folder, 'all.mp4');
    await writeFile(path, 'before');
    const expectUntouched = async (): Promise<void> => {
      expect(readdirSync(folder)).toEqual(['all.mp4']);
      expect(await readFile(path, 'utf8')).toBe('before');
    };

    for (const target of [path, join(folder, 'all.gif'), join(folder, 'new')]) {
      const stop = new AbortController();
      studio.client.on('tasks.progress', () => stop.abort());
      const work = exports.toPath({ export: timeline, path: target, task: 'stop' }, { signal: stop.signal });
      expect(await codeOf(work)).toBe('CANCELLED');
      await expect.poll(() => readdirSync(folder), patient).toEqual(['all.mp4']);
    }
    await expectUntouched();

    const { project: empty } = await projects.create({ name: 'Empty', ...size, fps: 16 });
    const cases = [
      [{ ...timeline, projectId: empty.id }, path, 'NO_SOURCE_AT_ALL'],
      [{ ...timeline, from: 23, to: 25 }, path, 'NO_SOURCE_AT_ALL'],
      [{ ...timeline, from: 5, to: 5 }, path, 'EDIT_INVALID'],
      [{ ...timeline, projectId: 'nobody' }, path, 'RECORD_NOT_FOUND'],
      [{ what: 'take', takeId: 'nobody' }, path, 'RECORD_NOT_FOUND'],
      [timeline, join(folder, 'no', 'all.mp4'), 'WRITE_FAILED'],
      [timeline, join(folder, 'all.mov'), 'OUTPUT_UNSUPPORTED'],
      [timeline, join(studio.studio.context.folders.data, 'all.mp4'), 'WRITE_FAILED'],
      [timeline, join(studio.studio.context.media.folder, 'all.mp4'), 'WRITE_FAILED'],
    ] as const;
    for (const [what, target, code] of cases) {
      expect(await codeOf(exports.toPath({ export: what, path: target }))).toBe(code);
    }
    await expectUntouched();

    const { media, store } = studio.studio.context;
    const still = store.lists
      .assets({ limit: 10, kind: 'image' })
      .items.find(({ name }) => name === 'still.png')!;
    await rm(await media.path(still.hash));
    const work = exports.toPath({ export: timeline, path });
    await expect(work).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringContaining('still.png') as string,
    });
    await expectUntouched();
    const { output } = await exports.toStream({ export: { ...timeline, from: 12 }, format: 'gif' });
    expect(output.bytes).toBeGreaterThan(1000);
  });

  const disk = smallDisk(2 ** 16);
  it.skipIf(disk === null)('says that the disk is full', async () => {
    const studio = await open('full');
    const noise = Buffer.from(Array.from({ length: 512 * 512 * 3 }, (_, n) => (n * 2_654_435_761) >>> 13));
    await sharp(noise, { raw: { width: 512, height: 512, channels: 3 } })
      .png()
      .toFile(at('noise.png'));
    const asset = await importFile(studio, at('noise.png'));
    const projectId = await makeProject(studio, { width: 512, height: 512, fps: 16 }, [
      { asset, start: 0, frames: 30 },
    ]);
    for (const name of ['all.mp4', 'all.gif', 'pictures']) {
      const work = studio.api.exports.toPath({
        export: { what: 'timeline', projectId, audio: true },
        path: join(disk!, name),
      });
      expect(await codeOf(work)).toBe('DISK_FULL');
      expect(readdirSync(disk!)).toEqual([]);
    }
    // Full only at the very end.
    const timeline = { what: 'timeline', projectId, audio: true } as const;
    const { bytes } = await studio.api.exports.toPath({ export: timeline, path: at('out', 'fits.mp4') });
    const tight = smallDisk(4096 * (Math.ceil(bytes / 4096) - 1))!;
    const work = studio.api.exports.toPath({ export: timeline, path: join(tight, 'all.mp4') });
    expect(await codeOf(work)).toBe('DISK_FULL');
    expect(readdirSync(tight)).toEqual([]);
  });
});
