import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { FilePathSource, Input, MP4 } from 'mediabunny';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { rgbToYuv420 } from '../../src-main/media/colour.ts';
import { encodeTake, type TakeOutput } from '../../src-main/media/encode.ts';
import { rate } from '../../src-main/media/encode-movie.ts';
import { openSource } from '../../src-main/media/frames.ts';
import { planOutput } from '../../src-main/media/output.ts';
import { probeMedia } from '../../src-main/media/probe.ts';
import { readTake } from '../../src-main/media/read-take.ts';
import {
  all,
  at,
  codeOf,
  distance,
  ffmpeg,
  ffprobe,
  flat,
  pixel,
  withEnvironment,
  withFfmpeg,
  withoutFfmpeg,
  type Rgb,
} from './support.ts';

const size = { width: 128, height: 64 };
const bars: readonly Rgb[] = [
  [200, 30, 40],
  [30, 180, 60],
  [20, 40, 220],
  [128, 128, 128],
  [250, 250, 250],
  [8, 8, 8],
  [220, 200, 30],
  [160, 60, 190],
];
const fps = 16;
const count = 12;

/** Colour bars that move by one bar with each frame. */
function barFrame(n: number, { width, height } = size): Uint8Array {
  const frame = new Uint8Array(width * height * 3);
  for (let place = 0; place < width * height; place++) {
    frame.set(bars[(Math.floor(((place % width) * 8) / width) + n) % 8]!, place * 3);
  }
  return frame;
}

async function* barFrames(frames = count, of = size): AsyncGenerator<Uint8Array, void> {
  for (let n = 0; n < frames; n++) yield await Promise.resolve(barFrame(n, of));
}

const take = { version: 1, prompt: '小猫 a=b;c#d\\e\n"quoted" 🐈', plan: [0.1, 0.25] };

function output(path: string, changes: Partial<TakeOutput> = {}): TakeOutput {
  return { frames: barFrames(), ...size, fps, path, metadata: JSON.stringify(take), ...changes };
}

/** The largest error of the bars' middles in a file's frames, in levels. */
async function worst(path: string, frames: readonly number[], of = size): Promise<number> {
  const source = await openSource(path);
  const pictures = await all(
    source.frames(
      frames.map((n) => n / fps),
      of,
      'stretch',
    ),
  );
  return Math.max(
    ...pictures.flatMap((picture, index) =>
      bars.map((_, bar) => {
        const expected = bars[(bar + frames[index]!) % 8]!;
        return distance(pixel(picture, of.width, of.height, (bar + 0.5) / 8), expected);
      }),
    ),
  );
}

interface Probed {
  readonly streams: readonly Readonly<Record<string, unknown>>[];
  readonly format: { readonly tags: Readonly<Record<string, string>> };
}

/** What ffprobe says of the one video stream, its frames counted, and of the comment tag. */
function witness(path: string): { stream: Readonly<Record<string, unknown>>; comment: unknown } {
  const { streams, format } = ffprobe(path, '-count_frames', '-show_streams', '-show_format') as Probed;
  expect(streams).toHaveLength(1);
  const tags = Object.entries(format.tags).map(([name, text]) => [name.toLowerCase(), text] as const);
  return { stream: streams[0]!, comment: JSON.parse(Object.fromEntries(tags)['comment'] ?? 'null') };
}

const tagged = { color_space: 'bt709', color_range: 'tv', color_transfer: 'bt709', color_primaries: 'bt709' };

async function leftovers(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.includes('.pusa-') || name.endsWith('.part'));
}

describe('movies', () => {
  withFfmpeg('mp4 by ffmpeg: size, frames, colours, tags, index at the start', async () => {
    const path = at('take.mp4');
    expect(await encodeTake(output(path))).toBe(path);
    const { stream, comment } = witness(path);
    expect(stream).toMatchObject({
      ...tagged,
      codec_name: 'h264',
      profile: 'High',
      pix_fmt: 'yuv420p',
      width: 128,
      height: 64,
      r_frame_rate: '16/1',
      nb_read_frames: '12',
    });
    expect(comment).toEqual(take);
    expect(await readTake(path)).toEqual(take);
    const probe = await probeMedia(path);
    expect(probe).toMatchObject({ fps: 16, frames: 12, duration: 0.75 });
    expect(await worst(path, [0, 1, 5, 11])).toBeLessThanOrEqual(4);
    const bytes = (await readFile(path)).toString('latin1');
    expect(bytes.indexOf('moov')).toBeLessThan(bytes.indexOf('mdat'));
    expect(await leftovers(at())).toEqual([]);
  });

  withFfmpeg('webm by ffmpeg', async () => {
    const path = at('take.webm');
    await encodeTake(output(path));
    const { stream, comment } = witness(path);
    expect(stream).toMatchObject({
      ...tagged,
      codec_name: 'vp9',
      width: 128,
      height: 64,
      nb_read_frames: '12',
    });
    expect(comment).toEqual(take);
    expect(await readTake(path)).toEqual(take);
    expect(await worst(path, [0, 1, 5, 11])).toBeLessThanOrEqual(4);
  });

  it('mp4 without ffmpeg, of sizes that are no multiple of 16 too', async () => {
    const handlers = process.listenerCount('uncaughtException') + process.listenerCount('unhandledRejection');
    for (const [width, height, frames] of [
      [128, 64, 12],
      [130, 66, 3],
      [64, 48, 1],
    ] as const) {
      const path = at(`own-${width}.mp4`);
      const of = { width, height };
      await withoutFfmpeg(() => encodeTake(output(path, { ...of, frames: barFrames(frames, of) })));
      const input = new Input({ formats: [MP4], source: new FilePathSource(path) });
      const track = (await input.getVideoTracks())[0]!;
      expect(await track.getCodec()).toBe('avc');
      expect([await track.getDisplayWidth(), await track.getDisplayHeight()]).toEqual([width, height]);
      expect((await track.computePacketStats()).packetCount).toBe(frames);
      expect(await track.computeDuration()).toBeCloseTo(frames / fps, 3);
      expect(await track.getColorSpace()).toMatchObject({
        matrix: 'bt709',
        primaries: 'bt709',
        fullRange: false,
      });
      input.dispose();
      expect(await withoutFfmpeg(() => readTake(path))).toEqual(take);
    }
    // Its glue code would end the application on any later error.
    expect(process.listenerCount('uncaughtException') + process.listenerCount('unhandledRejection')).toBe(
      handlers,
    );
    expect(await leftovers(at())).toEqual([]);
  });

  withFfmpeg('what was written without ffmpeg is right in the eyes of ffmpeg', async () => {
    const path = at('own-seen.mp4');
    await withoutFfmpeg(() => encodeTake(output(path)));
    const { stream, comment } = witness(path);
    expect(stream).toMatchObject({
      ...tagged,
      codec_name: 'h264',
      pix_fmt: 'yuv420p',
      r_frame_rate: '16/1',
      nb_read_frames: '12',
    });
    expect(comment).toEqual(take);
    expect(await worst(path, [0, 1, 5, 11])).toBeLessThanOrEqual(5);
  });

  it('RGB to YUV: the anchors of BT.709', () => {
    const yuv = (colour: Rgb): number[] => {
      const planes = rgbToYuv420(flat(colour, 2, 2), { width: 2, height: 2 });
      expect(new Set(planes.subarray(0, 4)).size).toBe(1);
      return [planes[0]!, planes[4]!, planes[5]!];
    };
    expect(yuv([0, 0, 0])).toEqual([16, 128, 128]);
    expect(yuv([255, 255, 255])).toEqual([235, 128, 128]);
    // The primaries' code values of BT.709 with 8 bits (colour bars of 100 %).
    expect(yuv([255, 0, 0])).toEqual([63, 102, 240]);
    expect(yuv([0, 255, 0])).toEqual([173, 42, 26]);
    expect(yuv([0, 0, 255])).toEqual([32, 240, 118]);
  });

  it('rates of film and television are the fractions they stand for', () => {
    expect([16, 24, 23.976, 29.97, 59.94, 12.5].map(rate)).toEqual([
      '16',
      '24',
      '24000/1001',
      '30000/1001',
      '60000/1001',
      '12.5',
    ]);
  });
});

describe('gif and pictures', () => {
  it('gif: endless, delays that add up to the true length, the description as a comment', async () => {
    const path = at('take.gif');
    await withoutFfmpeg(() => encodeTake(output(path)));
    const seen = await sharp(path, { pages: -1 }).metadata();
    expect(seen).toMatchObject({ format: 'gif', pages: 12, width: 128, pageHeight: 64, loop: 0 });
    expect(seen.delay!.reduce((sum, delay) => sum + delay, 0)).toBe(750);
    expect(new Set(seen.delay)).toEqual(new Set([60, 70]));
    expect(await readTake(path)).toEqual(take);
    for (const n of [0, 7, 11]) {
      const { data } = await sharp(path, { page: n })
        .removeAlpha()
        .raw()
        .toBuffer({ resolveWithObject: true });
      expect(distance(data, barFrame(n)), `frame ${n}`).toBeLessThanOrEqual(3);
    }
  });

  it('gif: more than 50 frames per second are thinned, a photograph keeps its shades', async () => {
    const fast = at('fast.gif');
    await encodeTake(output(fast, { fps: 100, frames: barFrames(20) }));
    const { delay, pages } = await sharp(fast, { pages: -1 }).metadata();
    expect(pages).toBe(10);
    expect(new Set(delay)).toEqual(new Set([20]));
    const smooth = Uint8Array.from({ length: 64 * 64 * 3 }, (_, index) => {
      const [x, y] = [Math.floor(index / 3) % 64, Math.floor(index / 192)];
      return [x * 3 + 30, y * 3 + 30, 255 - x * 2 - y][index % 3]!;
    });
    const path = at('smooth.gif');
    const frames = (async function* () {
      yield await Promise.resolve(smooth);
    })();
    await encodeTake(output(path, { width: 64, height: 64, frames }));
    const back = await sharp(path).removeAlpha().raw().toBuffer();
    const mean = back.reduce((sum, level, index) => sum + Math.abs(level - smooth[index]!), 0) / back.length;
    expect(mean).toBeLessThan(6);
  });

  it('png: a new folder, a folder that is there, a pattern, a bare name', async () => {
    await mkdir(at('there'));
    await writeFile(at('there', 'notes.txt'), 'kept');
    const cases = [
      [at('new-folder'), at('new-folder'), (n: number) => at('new-folder', `frame-0000${n}.png`)],
      [at('there'), at('there'), (n: number) => at('there', `frame-0000${n}.png`)],
      [at('shot-%03d.png'), at('shot-%03d.png'), (n: number) => at(`shot-00${n}.png`)],
      [at('bare.png'), at('bare-%05d.png'), (n: number) => at(`bare-0000${n}.png`)],
    ] as const;
    for (const [asked, found, name] of cases) {
      expect(await encodeTake(output(asked, { frames: barFrames(3) }))).toBe(found);
      for (const n of [1, 2, 3]) {
        expect(distance(await sharp(name(n)).raw().toBuffer(), barFrame(n - 1))).toBe(0);
        expect(await readTake(name(n))).toEqual(take);
      }
      expect(await readTake(found)).toEqual(take);
      expect(await probeMedia(found)).toMatchObject({ kind: 'sequence', frames: 3 });
    }
    expect((await readdir(at('there'))).sort()).toEqual([
      ...['frame-00001.png', 'frame-00002.png', 'frame-00003.png', 'notes.txt'],
    ]);
    expect((await stat(at('new-folder'))).isDirectory()).toBe(true);
    // A second take must not mix with the first.
    for (const [asked] of cases) expect(await codeOf(encodeTake(output(asked)))).toBe('WRITE_FAILED');
    expect(await leftovers(at())).toEqual([]);
  });
});

describe('the description', () => {
  withFfmpeg('megabytes of it survive in every format', async () => {
    const long = { ...take, steps: Array.from({ length: 150_000 }, (_, index) => index + 0.123456) };
    const metadata = JSON.stringify(long);
    expect(metadata.length).toBeGreaterThan(1_500_000);
    for (const name of ['long.mp4', 'long.webm', 'long.gif', 'long-%d.png']) {
      await encodeTake(output(at(name), { metadata, frames: barFrames(2) }));
      expect(await readTake(at(name)), name).toEqual(long);
    }
    await withoutFfmpeg(async () => {
      await encodeTake(output(at('long-own.mp4'), { metadata, frames: barFrames(2) }));
      expect(await readTake(at('long-own.mp4'))).toEqual(long);
    });
    // A long one is not repeated in every picture.
    expect((await stat(at('long-1.png'))).size).toBeGreaterThan(100_000);
    expect((await stat(at('long-2.png'))).size).toBeLessThan(10_000);
  });

  it('files without one have none', async () => {
    const png = at('foreign.png');
    await sharp(barFrame(0), { raw: { ...size, channels: 3 } })
      .png()
      .toFile(png);
    expect(await readTake(png)).toBeNull();
    await sharp(barFrame(0), { raw: { ...size, channels: 3 } })
      .gif()
      .toFile(at('foreign.gif'));
    expect(await readTake(at('foreign.gif'))).toBeNull();
    await sharp(barFrame(0), { raw: { ...size, channels: 3 } })
      .jpeg()
      .toFile(at('foreign.jpg'));
    expect(await readTake(at('foreign.jpg'))).toBeNull();
    await writeFile(at('foreign.txt'), 'no take in here');
    expect(await readTake(at('foreign.txt'))).toBeNull();
    expect(await codeOf(readTake(at('foreign-missing.png')))).toBe('FILE_NOT_FOUND');
    // A comment of someone else's, and one of ours that was damaged.
    await encodeTake(output(at('hello.gif'), { metadata: 'hello' }));
    expect(await readTake(at('hello.gif'))).toBeNull();
    await encodeTake(output(at('damaged-%d.png'), { frames: barFrames(1) }));
    const bytes = await readFile(at('damaged-1.png'));
    bytes.fill(0, 60, 90);
    await writeFile(at('damaged-1.png'), bytes);
    expect(await readTake(at('damaged-1.png'))).toBeNull();
    await encodeTake(output(at('cut.gif')));
    await writeFile(at('cut.gif'), (await readFile(at('cut.gif'))).subarray(0, 60));
    expect(await readTake(at('cut.gif'))).toBeNull();
  });
});

describe('refusals and failures', () => {
  it('are known before anything is generated', async () => {
    await withoutFfmpeg(async () => {
      expect((await planOutput(at('x.mp4'), size)).format).toBe('mp4');
      expect(await codeOf(planOutput(at('x.webm'), size))).toBe('FFMPEG_MISSING');
      expect(await codeOf(planOutput(at('x.mp4'), { width: 127, height: 64 }))).toBe('OUTPUT_UNSUPPORTED');
      expect(await codeOf(planOutput(at('x.gif'), { width: 70_000, height: 64 }))).toBe('OUTPUT_UNSUPPORTED');
      expect(await codeOf(planOutput(at('x.avi'), size))).toBe('OUTPUT_UNSUPPORTED');
      expect(await codeOf(planOutput(at('x-%s.png'), size))).toBe('OUTPUT_UNSUPPORTED');
      expect(await codeOf(planOutput(at('no', 'such', 'x.mp4'), size))).toBe('WRITE_FAILED');
      await mkdir(at('folder.mp4'));
      expect((await planOutput(at('folder.mp4'), size)).format).toBe('png');
      // The encoder is asked all the same.
      expect(await codeOf(encodeTake(output(at('x.avi'))))).toBe('OUTPUT_UNSUPPORTED');
    });
  });

  it('leave the former file and nothing else', async () => {
    const broken = async function* (): AsyncGenerator<Uint8Array, void> {
      yield* barFrames(3);
      throw new Error('the frames broke off');
    };
    const wrong = async function* (): AsyncGenerator<Uint8Array, void> {
      yield await Promise.resolve(new Uint8Array(10));
    };
    const fail = async (path: string): Promise<void> => {
      await writeFile(path, 'the former file');
      expect(await codeOf(encodeTake(output(path, { frames: broken() })))).toBe('INTERNAL');
      await expect(encodeTake(output(path, { frames: wrong() }))).rejects.toThrow('10 bytes');
      await expect(encodeTake(output(path, { frames: barFrames(0) }))).rejects.toThrow('no frames');
      const stop = new AbortController();
      const cancelled = async function* (): AsyncGenerator<Uint8Array, void> {
        yield* barFrames(2);
        stop.abort();
        yield* barFrames(2);
      };
      const { signal } = stop;
      expect(await codeOf(encodeTake(output(path, { frames: cancelled(), signal })))).toBe('CANCELLED');
      expect(await readFile(path, 'utf8')).toBe('the former file');
      // The next one succeeds and replaces it.
      await encodeTake(output(path));
      expect(await readTake(path)).toEqual(take);
    };
    await fail(at('keep.gif'));
    await withoutFfmpeg(() => fail(at('keep-own.mp4')));
    if (ffmpeg !== null) {
      await fail(at('keep.mp4'));
      await fail(at('keep.webm'));
    }
    expect(await codeOf(encodeTake(output(at('half'), { frames: broken() })))).toBe('INTERNAL');
    await expect(stat(at('half'))).rejects.toThrow('ENOENT');
    expect(await leftovers(at())).toEqual([]);
  });

  withFfmpeg('an ffmpeg that fails, and one without H.264', async () => {
    if (process.platform === 'win32') return;
    // A real ffmpeg behind a script that changes one answer.
    const behind = async (name: string, change: string): Promise<string> => {
      await writeFile(
        at(name),
        `#!/bin/sh\ncase "$*" in ${change} ;; *) exec '${ffmpeg!.path}' "$@" ;; esac\n`,
      );
      await chmod(at(name), 0o755);
      return at(name);
    };
    const full = await behind(
      'ffmpeg-full',
      '*pipe:0*) echo "av_write_frame: No space left on device" >&2; exit 1',
    );
    await withEnvironment({ PUSA_FFMPEG: full }, async () => {
      expect(await codeOf(encodeTake(output(at('full.mp4'))))).toBe('DISK_FULL');
    });
    const dead = await behind('ffmpeg-dead', '*pipe:0*) echo "something odd" >&2; kill -9 $$');
    await withEnvironment({ PUSA_FFMPEG: dead }, async () => {
      // More frames than a pipe holds: the writer must notice that nobody reads.
      const big = { width: 640, height: 480 };
      const doomed = output(at('dead.mp4'), { ...big, frames: barFrames(10, big) });
      await expect(encodeTake(doomed)).rejects.toThrow('something odd');
    });
    const plain = await behind('ffmpeg-plain', `*-encoders*) '${ffmpeg!.path}' "$@" | grep -v 264`);
    await withEnvironment({ PUSA_FFMPEG: plain }, async () => {
      expect(await planOutput(at('plain.mp4'), size)).toMatchObject({ by: 'wasm' });
      await encodeTake(output(at('plain.mp4')));
    });
    expect(witness(at('plain.mp4')).stream).toMatchObject({ nb_read_frames: '12' });
    expect(await leftovers(at())).toEqual([]);
  });
});
