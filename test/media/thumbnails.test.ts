import { readdirSync, statSync } from 'node:fs';
import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { hashFile } from '../../src-main/media/asset.ts';
import { Thumbnails, type ThumbnailSource } from '../../src-main/media/thumbnails.ts';
import { at, codeOf, run, withFfmpeg, withoutFfmpeg } from './support.ts';

const cache = await Thumbnails.open(at('thumbnails'));

async function source(path: string): Promise<ThumbnailSource> {
  return { hash: await hashFile(path), path };
}

/** Mean colour of a part of a picture. */
async function meanOf(path: string, left = 0, top = 0, width?: number, height?: number): Promise<number[]> {
  const picture = sharp(await readFile(path));
  const whole = await picture.metadata();
  const part = picture.extract({
    left,
    top,
    width: width ?? whole.width - left,
    height: height ?? whole.height - top,
  });
  return [...(await part.resize(1, 1, { fit: 'fill' }).removeAlpha().raw().toBuffer())];
}

async function picture(name: string, width: number, height: number, orientation?: number): Promise<string> {
  // Left half red, right half blue.
  const half = await sharp({
    create: { width: Math.ceil(width / 2), height, channels: 3, background: '#0000ff' },
  })
    .png()
    .toBuffer();
  await sharp({ create: { width, height, channels: 3, background: '#ff0000' } })
    .composite([{ input: half, gravity: 'east' }])
    .withMetadata(orientation === undefined ? {} : { orientation })
    .toFile(at(name));
  return at(name);
}

function isNear(found: readonly number[], expected: readonly number[], tolerance = 12): boolean {
  return found.every((value, channel) => Math.abs(value - expected[channel]!) <= tolerance);
}

describe('thumbnails of pictures', () => {
  it('fit the longest side, keep small pictures, turn what is turned, and are drawn once', async () => {
    const wide = await source(await picture('wide.png', 1000, 400));
    const drawn = await cache.thumbnail(wide);
    expect(drawn).toMatchObject({ width: 320, height: 128 });
    expect(await sharp(drawn.path).metadata()).toMatchObject({ format: 'webp', width: 320, height: 128 });
    expect(isNear(await meanOf(drawn.path, 0, 0, 150), [255, 0, 0])).toBe(true);
    expect(isNear(await meanOf(drawn.path, 170), [0, 0, 255])).toBe(true);
    expect(await cache.thumbnail(wide, { side: 64 })).toMatchObject({ width: 64, height: 26 });

    const small = await cache.thumbnail(await source(await picture('small.png', 40, 30)));
    expect(small).toMatchObject({ width: 40, height: 30 });
    const turned = await cache.thumbnail(await source(await picture('turned.jpg', 600, 300, 6)));
    expect(turned).toMatchObject({ width: 160, height: 320 });
    expect(isNear(await meanOf(turned.path, 0, 0, 160, 150), [255, 0, 0], 20)).toBe(true);
    const sliver = await cache.thumbnail(await source(await picture('sliver.png', 4000, 2)));
    expect(sliver).toMatchObject({ width: 320, height: 1 });

    // Kept: it comes without its source, by another instance too.
    const again = await Thumbnails.open(at('thumbnails'));
    expect(await again.thumbnail({ ...wide, path: at('not there') })).toEqual(drawn);
    // A damaged one is drawn anew.
    await writeFile(drawn.path, 'short');
    expect(await codeOf(again.thumbnail({ ...wide, path: at('not there') }))).toBe('FILE_NOT_FOUND');
    expect(await again.thumbnail(wide)).toEqual(drawn);
    await writeFile(drawn.path.replace('.webp', '.json'), '{"version":1}');
    expect(await again.thumbnail(wide)).toEqual(drawn);
    expect((await sharp(await readFile(drawn.path)).metadata()).width).toBe(320);
  });

  it('refuse what is no medium, no hash or no size', async () => {
    await writeFile(at('text.png'), 'not a picture at all');
    expect(await codeOf(cache.thumbnail(await source(at('text.png'))))).toBe('MEDIA_UNSUPPORTED');
    const good = await source(await picture('good.png', 64, 64));
    await writeFile(at('cut.png'), (await readFile(good.path)).subarray(0, 100));
    expect(await codeOf(cache.thumbnail(await source(at('cut.png'))))).toBe('MEDIA_UNREADABLE');
    for (const hash of ['../../x', 'A'.repeat(64), `${'a'.repeat(64)}/..`, '']) {
      await expect(cache.thumbnail({ hash, path: good.path })).rejects.toThrow(RangeError);
    }
    for (const side of [0, 15, 2049, 1.5, NaN, Infinity]) {
      await expect(cache.thumbnail(good, { side })).rejects.toThrow(RangeError);
    }
    await expect(cache.filmstrip(good, { frames: 1001, height: 64 })).rejects.toThrow(RangeError);
    await expect(cache.filmstrip(good, { frames: 0, height: 64 })).rejects.toThrow(RangeError);
    await expect(cache.filmstrip(good, { frames: 4, height: 513 })).rejects.toThrow(RangeError);
    expect(readdirSync(at('thumbnails')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('are drawn once for all who ask, and stop when nobody waits any more', async () => {
    const big = await source(await picture('big.png', 2400, 1600));
    const folder = at('shared');
    const shared = await Thumbnails.open(folder);
    const [first, second] = [new AbortController(), new AbortController()];
    const asked = [
      shared.thumbnail(big, { signal: first.signal }),
      shared.thumbnail(big, { signal: second.signal }),
      shared.thumbnail(big),
    ];
    first.abort();
    expect(await codeOf(asked[0]!)).toBe('CANCELLED');
    expect(await asked[2]).toEqual(await asked[1]);
    // Nobody waits: nothing is kept, and it can be asked for again at once.
    const stop = new AbortController();
    const gone = shared.thumbnail(big, { side: 100, signal: stop.signal });
    stop.abort();
    expect(await codeOf(gone)).toBe('CANCELLED');
    expect(await codeOf(shared.thumbnail(big, { side: 90, signal: AbortSignal.abort() }))).toBe('CANCELLED');
    expect(await shared.thumbnail(big, { side: 100 })).toMatchObject({ width: 100, height: 67 });
    // More than there are slots for, some of which leave the queue.
    const many = Array.from({ length: 8 }, (_, i) => {
      const leaving = new AbortController();
      const work = shared.thumbnail(big, { side: 200 + i, signal: leaving.signal });
      if (i % 3 === 2) leaving.abort();
      return work.then(
        ({ width }) => width,
        () => 'cancelled',
      );
    });
    expect(await Promise.all(many)).toEqual([200, 201, 'cancelled', 203, 204, 'cancelled', 206, 207]);
    expect(readdirSync(folder).filter((name) => /-t(90|202|205)\./.test(name))).toEqual([]);
  });
});

describe('filmstrips', () => {
  it('of a sequence show its pictures in rows, with an index; an image has one frame', async () => {
    const folder = at('sequence');
    await mkdir(folder);
    for (let i = 0; i < 16; i++) {
      const background = { r: i * 16, g: 255 - i * 16, b: 0 };
      await sharp({ create: { width: 320, height: 160, channels: 3, background } })
        .png()
        .toFile(join(folder, `${i}.png`));
    }
    const sequence = await source(folder);
    const strip = await cache.filmstrip(sequence, { frames: 8, height: 512 });
    // 1024 wide each: eight fit into a row of 8192.
    expect(strip).toMatchObject({ frameWidth: 1024, frameHeight: 512, columns: 8, width: 8192, height: 512 });
    const rows = await cache.filmstrip(sequence, { frames: 16, height: 512 });
    expect(rows).toMatchObject({ columns: 8, width: 8192, height: 1024 });
    expect(rows.times).toEqual(Array.from({ length: 16 }, (_, i) => (i + 0.5) / 16));
    for (const i of [0, 7, 8, 15]) {
      const [left, top] = [(i % 8) * 1024, i < 8 ? 0 : 512];
      expect(isNear(await meanOf(rows.path, left, top, 1024, 512), [i * 16, 255 - i * 16, 0])).toBe(true);
    }
    expect(await cache.filmstrip({ ...sequence, path: at('gone') }, { frames: 16, height: 512 })).toEqual(
      rows,
    );
    await expect(cache.filmstrip(sequence, { frames: 1000, height: 512 })).rejects.toThrow(RangeError);

    const image = await cache.filmstrip(await source(at('wide.png')), { frames: 9, height: 64 });
    expect(image).toMatchObject({ columns: 1, width: 160, height: 64, times: [0] });
    const sliver = await cache.filmstrip(await source(at('sliver.png')), { frames: 2, height: 32 });
    expect(sliver).toMatchObject({ frameWidth: 256, frameHeight: 32 });

    // Pictures of media that are no more go; others stay.
    const before = readdirSync(at('thumbnails')).filter((name) => name.startsWith(sequence.hash));
    expect(before).toHaveLength(4);
    const bytes = before.reduce((sum, name) => sum + statSync(at('thumbnails', name)).size, 0);
    await writeFile(at('thumbnails', 'foreign.txt'), 'stays');
    const others = new Set(
      readdirSync(at('thumbnails'))
        .map((name) => name.slice(0, 64))
        .filter((hash) => hash !== sequence.hash),
    );
    expect(await cache.sweep(others)).toBe(bytes);
    expect(readdirSync(at('thumbnails')).filter((name) => name.startsWith(sequence.hash))).toEqual([]);
    await cache.sweep(new Set());
    expect(readdirSync(at('thumbnails'))).toEqual(['foreign.txt']);
  });

  withFfmpeg('of a video show each time once, in one pass or by seeking, and can be cancelled', async () => {
    const rgb = [
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
      [255, 255, 255],
    ];
    // A second each of red, green, blue, white, six times over, at 8 frames a second.
    const second = (colour: number): Buffer => Buffer.alloc(8 * 160 * 96 * 3, Buffer.from(rgb[colour]!));
    const frames = Buffer.concat(Array.from({ length: 24 }, (_, i) => second(i % 4)));
    const raw = ['-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', '160x96', '-r', '8', '-i', 'pipe:0'];
    const coded = ['-c:v', 'libx264', '-g', '8', '-pix_fmt', 'yuv420p', at('colours.mp4')];
    run([...raw, ...coded], frames);
    const video = await source(at('colours.mp4'));
    const dense = await cache.filmstrip(video, { frames: 24, height: 48 });
    expect(dense).toMatchObject({ frameWidth: 80, frameHeight: 48, columns: 24, width: 1920, height: 48 });
    for (let i = 0; i < 24; i++) {
      expect(isNear(await meanOf(dense.path, i * 80 + 4, 4, 72, 40), rgb[i % 4]!, 30)).toBe(true);
    }
    const sparse = await cache.filmstrip(video, { frames: 3, height: 48 });
    expect(sparse.times).toEqual([4, 12, 20]);
    for (let i = 0; i < 3; i++) {
      expect(isNear(await meanOf(sparse.path, i * 80 + 4, 4, 72, 40), rgb[0]!, 30)).toBe(true);
    }
    const thumbnail = await cache.thumbnail(video);
    expect(thumbnail).toMatchObject({ width: 160, height: 96 });
    expect(isNear(await meanOf(thumbnail.path), rgb[2]!, 30)).toBe(true);

    const stop = new AbortController();
    const cancelled = cache.filmstrip(video, { frames: 100, height: 48, signal: stop.signal });
    stop.abort();
    expect(await codeOf(cancelled)).toBe('CANCELLED');
    expect(await withoutFfmpeg(() => cache.filmstrip(video, { frames: 24, height: 48 }))).toEqual(dense);
    expect(await withoutFfmpeg(() => codeOf(cache.filmstrip(video, { frames: 5, height: 48 })))).toBe(
      'FFMPEG_MISSING',
    );
    // Cut off in the middle, it is refused rather than drawn with frames that stand still.
    await writeFile(at('half.mp4'), (await readFile(video.path)).subarray(0, 2000));
    expect(await codeOf(cache.thumbnail(await source(at('half.mp4'))))).toBe('MEDIA_UNREADABLE');
  });

  it('do not grow without end: the oldest go when they are opened again', async () => {
    const folder = at('bounded');
    const bounded = await Thumbnails.open(folder);
    const media = await source(await picture('bounded.png', 400, 200));
    const drawn = [];
    for (const side of [100, 200, 300]) drawn.push(await bounded.thumbnail(media, { side, at: 1.5 }));
    for (const [age, { path }] of drawn.toReversed().entries()) {
      const time = new Date(Date.now() - (age + 1) * 60_000);
      for (const file of [path, path.replace('.webp', '.json')]) await utimes(file, time, time);
    }
    const sizes = readdirSync(folder).map((name) => statSync(join(folder, name)).size);
    const all = sizes.reduce((sum, size) => sum + size, 0);
    await (
      await Thumbnails.open(folder, all)
    ).tidied;
    expect(readdirSync(folder)).toHaveLength(6);
    await (
      await Thumbnails.open(folder, all - 1)
    ).tidied;
    const left = readdirSync(folder).map((name) => join(folder, name));
    expect(left).not.toContain(drawn[0]!.path);
    expect(left).toContain(drawn[2]!.path);
    expect(left.reduce((sum, path) => sum + statSync(path).size, 0)).toBeLessThanOrEqual(0.75 * (all - 1));
  });

  it('leave nothing unfinished behind when they are opened again', async () => {
    await writeFile(at('thumbnails', '.tmp-left-over'), 'half');
    await (
      await Thumbnails.open(at('thumbnails'))
    ).tidied;
    expect(readdirSync(at('thumbnails'))).not.toContain('.tmp-left-over');
    await rm(at('thumbnails'), { recursive: true });
    await writeFile(at('thumbnails'), 'a file where the folder belongs');
    expect(await codeOf(Thumbnails.open(at('thumbnails')))).toBe('WRITE_FAILED');
  });
});
