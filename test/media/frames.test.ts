import { readFile, writeFile } from 'node:fs/promises';
import {
  BufferTarget,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  FilePathSource,
  Input,
  MP4,
  Mp4OutputFormat,
  Output,
} from 'mediabunny';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { fits } from '../../src-main/core/contract/project.ts';
import { openSource } from '../../src-main/media/frames.ts';
import { probeMedia } from '../../src-main/media/probe.ts';
import { settleColour } from '../../src-main/media/types.ts';
import {
  all,
  at,
  codeOf,
  colourOfIndex,
  countingVideo,
  distance,
  ffmpeg,
  flat,
  h264,
  indexOfColour,
  pixel,
  quarterFrame,
  quarterNames,
  rawInput,
  run,
  withFfmpeg,
  withoutFfmpeg,
  type Rgb,
} from './support.ts';

const small = { width: 64, height: 48 };

/** Indices of the counting video's frames that are shown at some times. */
async function shown(path: string, times: readonly number[]): Promise<number[]> {
  const frames = await all((await openSource(path)).frames(times, small, 'stretch'));
  return frames.map((frame) => indexOfColour(pixel(frame, small.width, small.height)));
}

function range(count: number, of: (index: number) => number): number[] {
  return Array.from({ length: count }, (_, index) => of(index));
}

describe('the frame at a time', () => {
  const sixteenth = range(32, (k) => k / 16);
  const expected = range(32, (k) => Math.floor((k * 24) / 16 + 1e-6));

  withFfmpeg(
    '24 frames per second are resampled to 16 by timestamp, whatever clock the container has',
    async () => {
      const files = [
        countingVideo(at('count.mp4'), { frames: 48, fps: 24 }),
        // Matroska's clock has milliseconds: 1/24 s is 0.042 there.
        countingVideo(at('count.mkv'), { frames: 48, fps: 24 }),
        countingVideo(at('count.mov'), { frames: 48, fps: 24 }),
      ];
      for (const file of files) expect(await shown(file, sixteenth), file).toEqual(expected);
      // The project's rate equal to the source's: every frame once, in spite of rounded clocks.
      expect(
        await shown(
          files[1]!,
          range(48, (k) => k / 24),
        ),
      ).toEqual(range(48, (k) => k));
    },
  );

  withFfmpeg('the clock may start anywhere: transport streams and avi', async () => {
    const stream = at('count.ts');
    run([
      '-i',
      countingVideo(at('forts.mp4'), { frames: 48, fps: 24 }),
      '-c',
      'copy',
      '-muxdelay',
      '3',
      stream,
    ]);
    expect(await shown(stream, sixteenth)).toEqual(expected);
    const avi = countingVideo(at('count.avi'), { frames: 48, fps: 24, args: ['-c:v', 'mpeg4', '-q:v', '1'] });
    expect(await shown(avi, sixteenth)).toEqual(expected);
  });

  withFfmpeg('a variable rate: each frame stands until the next one starts', async () => {
    // Frames 0 … 9 a tenth of a second apart, then half a second, then a hundredth.
    const start = (n: number): number =>
      n < 10 ? n * 0.1 : n < 14 ? 1 + (n - 10) * 0.5 : 3 + (n - 14) * 0.01;
    const video = countingVideo(at('variable.mp4'), {
      frames: 24,
      fps: 25,
      args: [
        ...[
          '-vf',
          `${h264[1]!},settb=1/1000,setpts='if(lt(N,10),N*0.1,if(lt(N,14),1+(N-10)*0.5,3+(N-14)*0.01))/TB'`,
        ],
        ...[
          '-enc_time_base',
          '1:1000',
          '-video_track_timescale',
          '1000',
          ...ffmpeg!.passTimestamps,
          ...h264.slice(2),
        ],
      ],
    });
    const probe = await probeMedia(video);
    expect(probe.frames).toBe(24);
    expect(probe.lastFrame).toBeCloseTo(3.09, 3);
    const starts = range(24, start);
    const times = range(50, (k) => k / 16);
    expect(await shown(video, times)).toEqual(
      times.map((time) => starts.findLastIndex((begin) => begin <= time + 0.0005)),
    );
  });

  withFfmpeg('any order of times, before the start and after the end', async () => {
    const video = countingVideo(at('order.mp4'), { frames: 30, fps: 10 });
    expect(await shown(video, [2.05, 0.31, 0.31, -4, 99, 1.2])).toEqual([20, 3, 3, 0, 29, 12]);
    expect(await shown(video, [])).toEqual([]);
    const source = await openSource(video);
    await expect(all(source.frames([NaN], small, 'crop'))).rejects.toThrow(RangeError);
  });

  withFfmpeg(
    'far into a file, with key frames near, only one at the start, or after a long still',
    async () => {
      const near = countingVideo(at('near.mp4'), { frames: 120, fps: 10, args: [...h264, '-g', '10'] });
      const far = countingVideo(at('far.mkv'), { frames: 120, fps: 10, args: [...h264, '-g', '1000'] });
      const times = [7.3, 7.31, 7.45, 9, 11.9, 11.95];
      for (const file of [near, far])
        expect(await shown(file, times), file).toEqual([73, 73, 74, 90, 119, 119]);
      const still = countingVideo(at('still.mp4'), {
        frames: 6,
        fps: 10,
        args: [
          '-vf',
          `${h264[1]!},setpts='if(lt(N,3),N*0.1,20+N)/TB'`,
          ...ffmpeg!.passTimestamps,
          ...h264.slice(2),
          '-g',
          '1',
        ],
      });
      // Frame 2 stands from 0.2 s until 23 s.
      expect(await shown(still, [12, 22.9, 23.5, 24])).toEqual([2, 2, 3, 4]);
    },
  );

  withFfmpeg('a clip cut by an edit list starts with its first shown frame', async () => {
    const whole = countingVideo(at('whole.mp4'), { frames: 60, fps: 10, args: [...h264, '-g', '60'] });
    // Copied from 2.5 s on: the packets from the key frame on stay, an edit list hides the first 2.5 s.
    const cut = at('cut.mp4');
    run(['-ss', '2.5', '-i', whole, '-c', 'copy', cut]);
    expect(await shown(cut, [0, 0.1, 1])).toEqual([25, 26, 35]);
    expect((await probeMedia(cut)).duration).toBeCloseTo(3.5, 1);
  });

  withFfmpeg('leaving early ends the decoder', async () => {
    const source = await openSource(countingVideo(at('early.mp4'), { frames: 100, fps: 10 }));
    const children = (): number =>
      process.getActiveResourcesInfo().filter((name) => name === 'ProcessWrap').length;
    const before = children();
    for await (const frame of source.frames(
      range(100, (k) => k / 10),
      small,
      'crop',
    )) {
      expect(frame.length).toBe(64 * 48 * 3);
      break;
    }
    await expect.poll(children).toBe(before);
  });

  withFfmpeg('a file that breaks off is an error, not a frame that stands still', async () => {
    const path = countingVideo(at('whole2.mp4'), {
      frames: 120,
      fps: 24,
      args: [...h264, '-movflags', '+faststart'],
    });
    const bytes = await readFile(path);
    bytes.fill(0, Math.floor(bytes.length * 0.6));
    const damaged = at('damaged.mp4');
    await writeFile(damaged, bytes);
    const source = await openSource(damaged);
    expect(await codeOf(all(source.frames([0, 1, 2, 3, 4.9], small, 'crop')))).toBe('MEDIA_UNREADABLE');
    // A copy that shrank since it was probed: ffmpeg reads what there is and is content.
    const long = countingVideo(at('long.mkv'), { frames: 120, fps: 24, args: [...h264, '-g', '12'] });
    const probe = await probeMedia(long);
    const whole = await readFile(long);
    await writeFile(long, whole.subarray(0, Math.floor(whole.length / 2)));
    const shrunk = await openSource(long, { probe });
    await expect(all(shrunk.frames([0, 1, 4.9], small, 'crop'))).rejects.toThrow(
      /breaks off after \d\.\d\d of its 5\.00/,
    );
    expect(await all(shrunk.frames([0, 1], small, 'crop'))).toHaveLength(2);
    // What is before the damage can still be used.
    const [first] = await all(source.frames([0], small, 'crop'));
    expect(indexOfColour(pixel(first!, 64, 48))).toBe(0);
  });

  withFfmpeg('without ffmpeg a video is known but not read', async () => {
    const video = countingVideo(at('known.mp4'), { frames: 5, fps: 5 });
    await withoutFfmpeg(async () => {
      expect((await probeMedia(video)).duration).toBeCloseTo(1, 3);
      expect(await codeOf(openSource(video))).toBe('FFMPEG_MISSING');
    });
  });
});

describe('colour', () => {
  const colours: readonly Rgb[] = [
    [200, 30, 40],
    [30, 180, 60],
    [20, 40, 220],
    [250, 250, 250],
    [8, 8, 8],
    [220, 200, 30],
  ];

  function colourVideo(
    name: string,
    height: number,
    matrix: string,
    range: string,
    tags: readonly string[],
  ): string {
    const path = at(name);
    const raw = Buffer.concat(colours.map((colour) => flat(colour, 64, height)));
    const format = range === 'pc' ? 'yuvj420p' : 'yuv420p';
    run(
      [
        ...rawInput(64, height, 4),
        ...[
          '-vf',
          `scale=out_color_matrix=${matrix}:out_range=${range}:flags=accurate_rnd+full_chroma_int,format=${format}`,
        ],
        ...['-c:v', 'libx264', '-crf', '4', ...tags, path],
      ],
      raw,
    );
    return path;
  }

  async function worst(path: string): Promise<number> {
    const source = await openSource(path);
    const times = colours.map((_, index) => index / 4);
    const frames = await all(source.frames(times, small, 'stretch'));
    return Math.max(...frames.map((frame, index) => distance(pixel(frame, 64, 48), colours[index]!)));
  }

  withFfmpeg('BT.601 and BT.709, limited and full range, tagged', async () => {
    for (const [matrix, name] of [
      ['bt601', 'smpte170m'],
      ['bt709', 'bt709'],
    ] as const) {
      for (const range of ['tv', 'pc']) {
        const tags = ['-colorspace', name, '-color_range', range];
        const path = colourVideo(`${matrix}-${range}.mp4`, 48, matrix, range, tags);
        const source = await openSource(path);
        expect(source.probe.colour).toEqual({
          matrix,
          range: range === 'pc' ? 'full' : 'limited',
          transfer: 'sdr',
        });
        expect(await worst(path), path).toBeLessThanOrEqual(4);
      }
    }
  });

  withFfmpeg('untagged: BT.601 below 720 lines, BT.709 from there on', async () => {
    expect(await worst(colourVideo('untagged-sd.mp4', 48, 'bt601', 'tv', []))).toBeLessThanOrEqual(4);
    expect(await worst(colourVideo('untagged-hd.mp4', 720, 'bt709', 'tv', []))).toBeLessThanOrEqual(4);
  });

  it('only what a file leaves open is assumed', () => {
    const open = { matrix: 'unknown', range: 'unknown', transfer: 'sdr' } as const;
    expect(settleColour(open, 719)).toEqual({ matrix: 'bt601', range: 'limited', transfer: 'sdr' });
    expect(settleColour(open, 720).matrix).toBe('bt709');
    const stated = { matrix: 'bt2020', range: 'full', transfer: 'pq' } as const;
    expect(settleColour(stated, 100)).toEqual(stated);
  });

  withFfmpeg('high dynamic range is brought to standard range, or refused', async () => {
    const path = at('pq.mp4');
    run([
      ...[
        '-f',
        'lavfi',
        '-i',
        'color=c=gray:s=64x48:r=5:d=1',
        '-pix_fmt',
        'yuv420p10le',
        '-c:v',
        'libx264',
        '-crf',
        '10',
      ],
      ...[
        '-colorspace',
        'bt2020nc',
        '-color_primaries',
        'bt2020',
        '-color_trc',
        'smpte2084',
        '-color_range',
        'tv',
        path,
      ],
    ]);
    expect((await probeMedia(path)).colour).toEqual({ matrix: 'bt2020', range: 'limited', transfer: 'pq' });
    if (!ffmpeg!.filters.has('zscale')) {
      expect(await codeOf(openSource(path))).toBe('MEDIA_UNSUPPORTED');
      return;
    }
    const [frame] = await all((await openSource(path)).frames([0], small, 'crop'));
    const [r, g, b] = pixel(frame!, 64, 48);
    // Half the PQ scale is 92 cd/m²: near the white of standard range, not its middle; grey stays grey.
    expect(g).toBeGreaterThan(150);
    expect(Math.max(r, g, b) - Math.min(r, g, b)).toBeLessThanOrEqual(3);
  });
});

describe('geometry', () => {
  async function rotated(rotation: 0 | 90 | 180 | 270, flip: boolean): Promise<string> {
    const plain = at('quarters.mp4');
    run(
      [...rawInput(96, 64, 5), ...h264, plain],
      Buffer.concat([quarterFrame(96, 64), quarterFrame(96, 64)]),
    );
    const input = new Input({ formats: [MP4], source: new FilePathSource(plain) });
    const track = (await input.getVideoTracks())[0]!;
    const target = new BufferTarget();
    const output = new Output({ format: new Mp4OutputFormat(), target });
    const source = new EncodedVideoPacketSource('avc');
    output.addVideoTrack(source, { rotation, flip });
    await output.start();
    const decoderConfig = (await track.getDecoderConfig())!;
    for await (const packet of new EncodedPacketSink(track).packets())
      await source.add(packet, { decoderConfig });
    await output.finalize();
    input.dispose();
    const path = at(`turned-${rotation}-${flip}.mp4`);
    await writeFile(path, new Uint8Array(target.buffer!));
    return path;
  }

  withFfmpeg('a turned and mirrored video stands upright', async () => {
    const upright = ['red', 'green', 'blue', 'yellow'];
    const clockwise = ['blue', 'red', 'yellow', 'green'];
    const cases = [
      [0, false, upright],
      [90, false, clockwise],
      [180, false, upright.toReversed()],
      [270, false, clockwise.toReversed()],
      [0, true, ['green', 'red', 'yellow', 'blue']],
      [90, true, ['red', 'blue', 'green', 'yellow']],
    ] as const;
    for (const [rotation, flip, expected] of cases) {
      const source = await openSource(await rotated(rotation, flip));
      const size = rotation % 180 === 0 ? { width: 96, height: 64 } : { width: 64, height: 96 };
      expect(source.probe).toMatchObject({ ...size, rotation, flip });
      const [frame] = await all(source.frames([0], size, 'crop'));
      expect(quarterNames(frame!, size.width, size.height), `${rotation} ${flip}`).toEqual(expected);
    }
    // ffmpeg's own reading of the same file is the witness for the direction.
    const own = run([
      '-i',
      await rotated(90, false),
      '-frames:v',
      '1',
      '-f',
      'rawvideo',
      '-pix_fmt',
      'rgb24',
      '-',
    ]);
    expect(quarterNames(own, 64, 96)).toEqual(clockwise);
  });

  withFfmpeg('odd sizes and pixels that are not square', async () => {
    const odd = at('odd.mp4');
    run([...rawInput(63, 47, 5), '-pix_fmt', 'yuv444p', '-c:v', 'libx264', odd], quarterFrame(63, 47));
    const source = await openSource(odd);
    expect(source.probe).toMatchObject({ width: 63, height: 47 });
    const [frame] = await all(source.frames([0], { width: 63, height: 47 }, 'crop'));
    expect(quarterNames(frame!, 63, 47)).toEqual(['red', 'green', 'blue', 'yellow']);
    const wide = at('anamorphic.mp4');
    run(
      [...rawInput(64, 48, 5), '-vf', `${h264[1]!},setsar=2/1`, ...h264.slice(2), wide],
      quarterFrame(64, 48),
    );
    expect(await probeMedia(wide)).toMatchObject({ width: 128, height: 48 });
    const [square] = await all((await openSource(wide)).frames([0], { width: 96, height: 96 }, 'contain'));
    // 128 × 48 in 96 × 96: bars of 30 rows above and below.
    expect(pixel(square!, 96, 96, 0.5, 28 / 96)).toEqual([0, 0, 0]);
    expect(distance(pixel(square!, 96, 96, 0.25, 33 / 96), [200, 30, 40])).toBeLessThan(30);
  });

  withFfmpeg('a video frame is fitted exactly as the same picture', async () => {
    const noise = new Uint8Array(90 * 60 * 3).map((_, index) => (index * 7919 + (index >> 3) * 31) & 255);
    const picture = at('noise.png');
    await sharp(noise, { raw: { width: 90, height: 60, channels: 3 } })
      .png()
      .toFile(picture);
    const video = at('noise.mkv');
    run([...rawInput(90, 60, 5), '-c:v', 'ffv1', '-pix_fmt', 'bgr0', video], noise);
    for (const fit of fits) {
      for (const size of [
        { width: 48, height: 48 },
        { width: 160, height: 64 },
        { width: 90, height: 60 },
      ]) {
        const [still] = await all((await openSource(picture)).frames([0], size, fit));
        const [moving] = await all((await openSource(video)).frames([0], size, fit));
        expect(distance(still!, moving!), `${fit} ${size.width}`).toBeLessThanOrEqual(1);
      }
    }
  });

  it('crop, contain and stretch a picture', async () => {
    const path = at('quarters.png');
    await sharp(quarterFrame(120, 40), { raw: { width: 120, height: 40, channels: 3 } })
      .png()
      .toFile(path);
    const source = await openSource(path);
    const square = { width: 64, height: 64 };
    const [crop] = await all(source.frames([0], square, 'crop'));
    const [contain] = await all(source.frames([3.7], square, 'contain'));
    const [stretch] = await all(source.frames([0], square, 'stretch'));
    const upright = ['red', 'green', 'blue', 'yellow'];
    expect(quarterNames(crop!, 64, 64)).toEqual(upright);
    expect(quarterNames(stretch!, 64, 64)).toEqual(upright);
    // 120 × 40 in 64 × 64 is 21 rows high, in the middle.
    expect(pixel(contain!, 64, 64, 0.5, 0.25)).toEqual([0, 0, 0]);
    expect(distance(pixel(contain!, 64, 64, 0.25, 26 / 64), [200, 30, 40])).toBeLessThan(8);
    // A picture one pixel wide still has a place to go.
    const thread = at('thread.png');
    await sharp(flat([9, 99, 199], 1, 3000), { raw: { width: 1, height: 3000, channels: 3 } })
      .png()
      .toFile(thread);
    for (const fit of fits) {
      const [frame] = await all((await openSource(thread)).frames([0], square, fit));
      expect(frame!.length).toBe(64 * 64 * 3);
    }
  });
});

describe('pictures', () => {
  async function seen(path: string, width: number, height: number): Promise<Uint8Array> {
    const [frame] = await all((await openSource(path)).frames([0], { width, height }, 'stretch'));
    return frame!;
  }

  it('every EXIF orientation stands upright', async () => {
    const expected: Readonly<Record<number, readonly string[]>> = {
      1: ['red', 'green', 'blue', 'yellow'],
      2: ['green', 'red', 'yellow', 'blue'],
      3: ['yellow', 'blue', 'green', 'red'],
      4: ['blue', 'yellow', 'red', 'green'],
      5: ['red', 'blue', 'green', 'yellow'],
      6: ['blue', 'red', 'yellow', 'green'],
      7: ['yellow', 'green', 'blue', 'red'],
      8: ['green', 'yellow', 'red', 'blue'],
    };
    for (const [orientation, names] of Object.entries(expected)) {
      const path = at(`exif-${orientation}.jpg`);
      await sharp(quarterFrame(96, 64), { raw: { width: 96, height: 64, channels: 3 } })
        .withMetadata({ orientation: Number(orientation) })
        .jpeg({ quality: 95 })
        .toFile(path);
      const turned = Number(orientation) > 4;
      const [width, height] = turned ? [64, 96] : [96, 64];
      expect(await probeMedia(path)).toMatchObject({
        kind: 'image',
        codec: 'jpeg',
        width,
        height,
        fps: 0,
        duration: 0,
      });
      expect(quarterNames(await seen(path, width, height), width, height), orientation).toEqual(names);
    }
  });

  it('transparency lies over black, ICC profiles become sRGB, 16 bits, grey and CMYK become RGB8', async () => {
    const alpha = at('alpha.png');
    await sharp({
      create: { width: 8, height: 8, channels: 4, background: { r: 255, g: 100, b: 0, alpha: 0.5 } },
    })
      .png()
      .toFile(alpha);
    expect(distance(pixel(await seen(alpha, 8, 8), 8, 8), [128, 50, 0])).toBeLessThanOrEqual(1);

    const colour = [180, 60, 90] as const;
    const display = at('p3.png');
    await sharp(flat(colour, 8, 8), { raw: { width: 8, height: 8, channels: 3 } })
      .withIccProfile('p3')
      .png()
      .toFile(display);
    // The file's own numbers differ from sRGB's, so that a reader that skips the profile is caught.
    const numbers = await sharp(display, { ignoreIcc: true }).raw().toBuffer();
    expect(distance(pixel(numbers, 8, 8), colour)).toBeGreaterThan(8);
    expect(distance(pixel(await seen(display, 8, 8), 8, 8), colour)).toBeLessThanOrEqual(2);

    const deep = at('deep.png');
    await sharp(flat(colour, 8, 8), { raw: { width: 8, height: 8, channels: 3 } })
      .toColourspace('rgb16')
      .png()
      .toFile(deep);
    expect((await sharp(deep).metadata()).depth).toBe('ushort');
    expect(distance(pixel(await seen(deep, 8, 8), 8, 8), colour)).toBeLessThanOrEqual(1);

    const grey = at('grey.png');
    await sharp(flat([90, 90, 90], 8, 8), { raw: { width: 8, height: 8, channels: 3 } })
      .toColourspace('b-w')
      .png()
      .toFile(grey);
    expect((await sharp(grey).metadata()).channels).toBe(1);
    expect(pixel(await seen(grey, 8, 8), 8, 8)).toEqual([90, 90, 90]);

    const print = at('cmyk.jpg');
    await sharp(flat(colour, 8, 8), { raw: { width: 8, height: 8, channels: 3 } })
      .toColourspace('cmyk')
      .jpeg({ quality: 100 })
      .toFile(print);
    expect((await sharp(print).metadata()).space).toBe('cmyk');
    // Out of print colours and back: near, not equal.
    expect(distance(pixel(await seen(print, 8, 8), 8, 8), colour)).toBeLessThan(30);
  });

  it('an animated gif shows its first picture', async () => {
    const path = at('animated.gif');
    const pages = [flat([200, 30, 40], 20, 10), flat([20, 40, 220], 20, 10)];
    await sharp(Buffer.concat(pages), { raw: { width: 20, height: 20, channels: 3, pageHeight: 10 } })
      .gif({ delay: [100, 100] })
      .toFile(path);
    expect((await sharp(path).metadata()).pages).toBe(2);
    expect(await probeMedia(path)).toMatchObject({ kind: 'image', codec: 'gif', width: 20, height: 10 });
    expect(distance(pixel(await seen(path, 20, 10), 20, 10), [200, 30, 40])).toBeLessThan(6);
  });

  it('a sequence follows its own rate in natural order', async () => {
    const { mkdir } = await import('node:fs/promises');
    await mkdir(at('shot'));
    for (const n of [1, 2, 9, 10, 11]) {
      await sharp(flat(colourOfIndex(n), 64, 48), { raw: { width: 64, height: 48, channels: 3 } })
        .png()
        .toFile(at('shot', `shot-${n}.png`));
    }
    await writeFile(at('shot', 'notes.txt'), 'not a picture');
    const indices = async (
      path: string,
      times: readonly number[],
      sequenceFps: number,
    ): Promise<number[]> => {
      const source = await openSource(path, { sequenceFps });
      expect(source.probe).toMatchObject({ kind: 'sequence', width: 64, height: 48, fps: sequenceFps });
      const frames = await all(source.frames(times, small, 'crop'));
      return frames.map((frame) => indexOfColour(pixel(frame, 64, 48)));
    };
    const sixteenths = [0, 1 / 16, 2 / 16, 3 / 16, 4 / 16, 9];
    expect(await indices(at('shot'), sixteenths, 16)).toEqual([1, 2, 9, 10, 11, 11]);
    expect(await indices(at('shot', 'shot-*.png'), sixteenths, 8)).toEqual([1, 1, 2, 2, 9, 11]);
    expect(await indices(at('shot', 'shot-?.png'), [0, 1, 2, 3], 1)).toEqual([1, 2, 9, 9]);
    expect(await codeOf(openSource(at('shot', 'shot-%d.png')))).toBe('MEDIA_UNREADABLE');
    const { rm } = await import('node:fs/promises');
    await rm(at('shot', 'shot-1.png'));
    await rm(at('shot', 'shot-2.png'));
    expect(await indices(at('shot', 'shot-%d.png'), [0, 1, 2], 1)).toEqual([9, 10, 11]);
    expect(await codeOf(openSource(at('shot', 'shot-%05d.png')))).toBe('FILE_NOT_FOUND');
    // One bad picture is named when its time comes.
    await writeFile(at('shot', 'shot-10.png'), 'text');
    const source = await openSource(at('shot'), { sequenceFps: 1 });
    await expect(all(source.frames([0, 1], small, 'crop'))).rejects.toThrow('shot-10.png');
  });
});
