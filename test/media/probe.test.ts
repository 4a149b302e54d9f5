import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { crc32, deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { assetSchema } from '../../src-main/core/contract/project.ts';
import { PusaError } from '../../src-main/core/errors.ts';
import { hashFile, toAsset } from '../../src-main/media/asset.ts';
import { openSource } from '../../src-main/media/frames.ts';
import { probeMedia } from '../../src-main/media/probe.ts';
import { sniffBytes } from '../../src-main/media/sniff.ts';
import { findFfmpeg, runTool } from '../../src-main/media/tools.ts';
import {
  all,
  at,
  codeOf,
  countingVideo,
  ffmpeg,
  quarterFrame,
  run,
  withEnvironment,
  withFfmpeg,
  withoutFfmpeg,
} from './support.ts';

const raw = { raw: { width: 96, height: 64, channels: 3 } } as const;
const picture = (): Sharp => sharp(quarterFrame(96, 64), raw);

/** The error of a probe: its code, and that its message holds a word. */
async function refused(path: string, code: string, word: string): Promise<void> {
  const error: unknown = await probeMedia(path).catch((thrown: unknown) => thrown);
  expect(error, path).toBeInstanceOf(PusaError);
  expect((error as PusaError).code, (error as PusaError).message).toBe(code);
  expect(`${(error as PusaError).message} ${(error as PusaError).remedy}`).toContain(word);
}

describe('what a file is', () => {
  it('pictures of every format read, whatever their names say', async () => {
    for (const format of ['png', 'jpeg', 'webp', 'gif', 'tiff', 'avif'] as const) {
      const path = at(`wrong-name-${format}.mp4`);
      await picture().toFormat(format).toFile(path);
      const probe = await withoutFfmpeg(() => probeMedia(path));
      expect(probe).toMatchObject({
        kind: 'image',
        codec: format,
        width: 96,
        height: 64,
        fps: 0,
        duration: 0,
      });
      expect(probe.bytes).toBe((await readFile(path)).length);
    }
    // Brackets in a name are part of the name.
    const odd = at('a[page=3],%d*.png');
    await picture().png().toFile(at('plain.png'));
    await writeFile(odd, await readFile(at('plain.png')));
    expect((await probeMedia(odd)).kind).toBe('image');
  });

  withFfmpeg('videos: size, rate, duration, codec, sound', async () => {
    const expected = { kind: 'video', width: 64, height: 48, rotation: 0, hasAudio: false };
    for (const [name, codec, args] of [
      ['a.mp4', 'h264', []],
      ['a.mov', 'h264', []],
      ['a.mkv', 'h264', []],
      ['a.webm', 'vp9', ['-c:v', 'libvpx-vp9', '-cpu-used', '8']],
      ['a.avi', 'mpeg4', ['-c:v', 'mpeg4']],
      ['a.wmv', 'msmpeg4v3', []],
      ['a.ts', 'mpeg2video', ['-c:v', 'mpeg2video']],
      ['a.flv', 'flv1', ['-c:v', 'flv']],
    ] as const) {
      const codecArgs = name === 'a.wmv' ? ['-c:v', 'msmpeg4'] : args;
      const path = countingVideo(at(name), { frames: 48, fps: 24, args: codecArgs });
      const probe = await probeMedia(path);
      expect(probe, name).toMatchObject({ ...expected, codec });
      expect(probe.fps, name).toBeCloseTo(24, 2);
      expect(Math.abs(probe.duration - 2), name).toBeLessThan(0.05);
    }
    const loud = at('loud.mp4');
    run(['-i', at('a.mp4'), '-f', 'lavfi', '-i', 'sine=d=1', '-c:v', 'copy', '-shortest', loud]);
    expect(await probeMedia(loud)).toMatchObject({ kind: 'video', hasAudio: true });
    // One frame is a video too.
    const single = countingVideo(at('single.mp4'), { frames: 1, fps: 5 });
    expect(await probeMedia(single)).toMatchObject({ frames: 1, fps: 5, lastFrame: 0 });
  });

  withFfmpeg('containers read here need no ffmpeg, others say so', async () => {
    countingVideo(at('own.mp4'), { frames: 48, fps: 24 });
    const foreign = countingVideo(at('foreign.avi'), { frames: 4, fps: 4, args: ['-c:v', 'mpeg4'] });
    await withoutFfmpeg(async () => {
      const probe = await probeMedia(at('own.mp4'));
      expect(probe).toMatchObject({ width: 64, height: 48, fps: 24, frames: 48, codec: 'h264' });
      expect(probe.colour).toEqual({ matrix: 'bt709', range: 'limited', transfer: 'sdr' });
      await refused(foreign, 'FFMPEG_MISSING', 'PATH');
    });
    await withEnvironment({ PUSA_FFMPEG: at('no-such-tool') }, async () => {
      expect(await findFfmpeg()).toBeNull();
      await refused(foreign, 'FFMPEG_MISSING', 'PUSA_FFMPEG');
    });
    await withEnvironment({ PATH: '', PUSA_FFMPEG: ffmpeg!.path }, async () => {
      expect((await findFfmpeg())?.path).toBe(ffmpeg!.path);
    });
  });
});

describe('what is refused', () => {
  it('empty, missing, not a file, not media', async () => {
    await writeFile(at('empty.png'), '');
    await refused(at('empty.png'), 'FILE_EMPTY', 'empty.png');
    await refused(at('missing.png'), 'FILE_NOT_FOUND', 'missing.png');
    await refused(at('plain', 'missing', 'deep.png'), 'FILE_NOT_FOUND', 'deep.png');
    await writeFile(at('note.png'), 'Dear diary, today I renamed a text file.\n');
    await refused(at('note.png'), 'MEDIA_UNSUPPORTED', 'text');
    // A playlist would make a player open other files.
    await writeFile(at('list.mp4'), '#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n');
    await refused(at('list.mp4'), 'MEDIA_UNSUPPORTED', 'text');
    await writeFile(
      at('noise.mp4'),
      Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 73 + 129) & 255)),
    );
    await refused(at('noise.mp4'), 'MEDIA_UNSUPPORTED', 'no kind known');
    await mkdir(at('bare'));
    await refused(at('bare'), 'MEDIA_UNSUPPORTED', 'no pictures');
    if (process.platform !== 'win32') {
      execFileSync('mkfifo', [at('pipe.png')]);
      await refused(at('pipe.png'), 'MEDIA_UNSUPPORTED', 'pipe');
      await refused('/dev/zero', 'MEDIA_UNSUPPORTED', 'device');
    }
  });

  it('formats that cannot be decoded are named, with what to do', async () => {
    const box = (brand: string, ...compatible: string[]): string =>
      `\0\0\0${String.fromCharCode(16 + 4 * compatible.length)}ftyp${brand}\0\0\0\0${compatible.join('')}`;
    const cases = [
      [box('heic', 'mif1', 'heic'), 'HEIC'],
      [box('mif1', 'heic'), 'HEIC'],
      [box('crx ', 'crx ', 'isom'), 'raw'],
      ['II*\0\x10\0\0\0CR\x02\0\0\0\0\0', 'raw'],
      ['FUJIFILMCCD-RAW 0201', 'raw'],
      ['IIU\0\x18\0\0\0', 'raw'],
      ['8BPS\0\x01\0\0\0\0\0\0', 'Photoshop'],
      ['%PDF-1.7\n', 'PDF'],
      ['\0\0\0\x0cJXL \r\n\x87\n', 'JPEG XL'],
      ['\x76\x2f\x31\x01\x02\0\0\0', 'OpenEXR'],
      ['BM\x36\0\0\0\0\0\0\0', 'BMP'],
      ['<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', 'SVG'],
      ['PK\x03\x04\x14\0\0\0', 'ZIP'],
      ['RIFF\x24\0\0\0WAVEfmt ', 'sound'],
      ['ID3\x04\0\0\0\0\0\0', 'sound'],
      ['SQLite format 3\0\x10\0', 'project'],
    ] as const;
    for (const [bytes, word] of cases) {
      await writeFile(at('other.jpg'), Buffer.from(bytes, 'latin1'));
      await refused(at('other.jpg'), 'MEDIA_UNSUPPORTED', word);
    }
    // AVIF shares HEIC's container and is read.
    expect(sniffBytes(Buffer.from(box('mif1', 'avif', 'miaf'), 'latin1'))).toEqual({
      is: 'picture',
      format: 'avif',
    });
  });

  it('raw files that call themselves TIFF', async () => {
    const tiff = (entries: readonly (readonly [number, number])[]): Buffer => {
      const bytes = Buffer.alloc(8 + 2 + 12 * entries.length + 4);
      bytes.write('II*\0', 'latin1');
      bytes.writeUInt32LE(8, 4);
      bytes.writeUInt16LE(entries.length, 8);
      entries.forEach(([tag, value], index) => {
        bytes.writeUInt16LE(tag, 10 + 12 * index);
        bytes.writeUInt16LE(4, 12 + 12 * index);
        bytes.writeUInt32LE(1, 14 + 12 * index);
        bytes.writeUInt32LE(value, 18 + 12 * index);
      });
      return bytes;
    };
    await writeFile(
      at('a.dng'),
      tiff([
        [254, 0],
        [50_706, 0x0401],
      ]),
    );
    await refused(at('a.dng'), 'MEDIA_UNSUPPORTED', 'raw');
    await writeFile(
      at('a.nef'),
      tiff([
        [254, 1],
        [330, 1234],
      ]),
    );
    await refused(at('a.nef'), 'MEDIA_UNSUPPORTED', 'raw');
    // The same directory without a raw file's marks is a TIFF, a broken one.
    await writeFile(
      at('a.tif'),
      tiff([
        [254, 0],
        [256, 4],
      ]),
    );
    await refused(at('a.tif'), 'MEDIA_UNREADABLE', 'a.tif');
  });

  it('pictures cut short anywhere', async () => {
    for (const format of ['png', 'jpeg', 'webp', 'gif', 'tiff', 'avif'] as const) {
      const noise = Buffer.from(
        Array.from({ length: 200 * 200 * 3 }, (_, i) => (i * 7919 + (i >> 5) * 13) & 255),
      );
      const whole = await sharp(noise, { raw: { width: 200, height: 200, channels: 3 } })
        .toFormat(format)
        .toBuffer();
      for (const part of [0.02, 0.4, 0.9]) {
        const path = at(`cut.${format}`);
        await writeFile(path, whole.subarray(0, Math.max(16, Math.floor(whole.length * part))));
        expect(await codeOf(probeMedia(path)), `${format} ${part}`).toBe('MEDIA_UNREADABLE');
      }
    }
  });

  it('absurd sizes, before memory is taken for them', async () => {
    const chunk = (type: string, data: Buffer): Buffer => {
      const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
      const bytes = Buffer.alloc(body.length + 8);
      bytes.writeUInt32BE(data.length, 0);
      body.copy(bytes, 4);
      bytes.writeUInt32BE(crc32(body), body.length + 4);
      return bytes;
    };
    const png = (width: number, height: number): Buffer => {
      const header = Buffer.alloc(13);
      header.writeUInt32BE(width, 0);
      header.writeUInt32BE(height, 4);
      header.set([8, 2, 0, 0, 0], 8);
      const rows = deflateSync(Buffer.alloc(1000));
      return Buffer.concat([
        Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
        ...[chunk('IHDR', header), chunk('IDAT', rows), chunk('IEND', Buffer.alloc(0))],
      ]);
    };
    await writeFile(at('bomb.png'), png(30_000, 30_000));
    await refused(at('bomb.png'), 'FILE_TOO_LARGE', '30000 × 30000');
    await writeFile(at('strip.png'), png(40_000, 2));
    await refused(at('strip.png'), 'FILE_TOO_LARGE', '40000');
    // Of moderate size the same construction is only damaged: the limit above is what refused it.
    await writeFile(at('short.png'), png(3000, 3000));
    await refused(at('short.png'), 'MEDIA_UNREADABLE', 'short.png');
    // A file of 600 MB that takes no room on the disk.
    await writeFile(at('huge.png'), png(10, 10));
    await truncate(at('huge.png'), 600 * 2 ** 20);
    await refused(at('huge.png'), 'FILE_TOO_LARGE', '600 MB');
  });

  withFfmpeg('videos cut short, without pictures, without an index', async () => {
    const path = countingVideo(at('long.mp4'), { frames: 100, fps: 25 });
    const whole = await readFile(path);
    await writeFile(at('no-index.mp4'), whole.subarray(0, Math.floor(whole.length / 2)));
    await refused(at('no-index.mp4'), 'MEDIA_UNREADABLE', 'no-index.mp4');
    run(['-i', path, '-c', 'copy', '-movflags', '+faststart', at('fast.mp4')]);
    const fast = await readFile(at('fast.mp4'));
    await writeFile(at('no-end.mp4'), fast.subarray(0, Math.floor(fast.length * 0.7)));
    await refused(at('no-end.mp4'), 'MEDIA_UNREADABLE', 'no-end.mp4');
    run(['-f', 'lavfi', '-i', 'sine=d=1', '-f', 'mp4', at('sound.mp4')]);
    await refused(at('sound.mp4'), 'MEDIA_UNSUPPORTED', 'sound');
    await writeFile(at('head.webm'), Buffer.from('1a45dfa3934282847765626d', 'hex'));
    await refused(at('head.webm'), 'MEDIA_UNREADABLE', 'head.webm');
  });

  it('a tool that hangs or talks without end is stopped', async () => {
    if (process.platform === 'win32') return;
    const script = async (name: string, text: string): Promise<string> => {
      await writeFile(at(name), `#!/bin/sh\n${text}\n`);
      await chmod(at(name), 0o755);
      return at(name);
    };
    const silent = await script('silent', 'exec sleep 1000');
    expect(await codeOf(runTool(silent, [], { seconds: 0.3, bytes: 1000 }))).toBe('MEDIA_UNREADABLE');
    const chatty = await script('chatty', 'exec yes');
    expect(await codeOf(runTool(chatty, [], { seconds: 60, bytes: 100_000 }))).toBe('MEDIA_UNREADABLE');
    // What answers is not ffmpeg: as good as none.
    const impostor = await script('impostor', 'exit 3');
    await withEnvironment({ PUSA_FFMPEG: impostor }, async () => {
      expect(await findFfmpeg()).toBeNull();
    });
  });

  withFfmpeg('mutated files end in a clear error or in what they still are, never in a crash', async () => {
    const sources = [
      countingVideo(at('mutate.mp4'), { frames: 12, fps: 12 }),
      countingVideo(at('mutate.webm'), {
        frames: 12,
        fps: 12,
        args: ['-c:v', 'libvpx-vp9', '-cpu-used', '8'],
      }),
    ];
    for (const format of ['png', 'jpeg', 'gif', 'tiff'] as const) {
      sources.push(at(`mutate.${format}`));
      await picture()
        .toFormat(format)
        .toFile(at(`mutate.${format}`));
    }
    let state = 12_345;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const codes = new Map<string, number>();
    for (let round = 0; round < 60; round++) {
      const source = sources[round % sources.length]!;
      const bytes = await readFile(source);
      // Headers decide most: half of the changes fall into the first 200 bytes.
      for (let n = 0; n < 4; n++) {
        bytes[random(random(2) === 0 ? Math.min(200, bytes.length) : bytes.length)] = random(256);
      }
      const path = at(`mutant-${round}`);
      await writeFile(path, bytes);
      const outcome = await (async () => {
        const opened = await openSource(path);
        await all(opened.frames([0], { width: 32, height: 32 }, 'crop'));
        return 'accepted';
      })().catch((thrown: unknown) => {
        expect(thrown, `mutant ${round} of ${source}`).toBeInstanceOf(PusaError);
        return (thrown as PusaError).code;
      });
      codes.set(outcome, (codes.get(outcome) ?? 0) + 1);
    }
    process.stderr.write(`mutated media: ${JSON.stringify(Object.fromEntries(codes))}\n`);
    for (const code of codes.keys()) {
      expect(['accepted', 'MEDIA_UNREADABLE', 'MEDIA_UNSUPPORTED', 'FILE_TOO_LARGE']).toContain(code);
    }
    expect(codes.get('MEDIA_UNREADABLE')).toBeGreaterThan(10);
  });
});

describe('assets', () => {
  it('an asset is what the contract says, named by its bytes', async () => {
    await picture().png().toFile(at('asset.png'));
    const bytes = await readFile(at('asset.png'));
    const asset = await toAsset(at('asset.png'), 'a-1');
    expect(assetSchema.parse(asset)).toEqual({
      id: 'a-1',
      kind: 'image',
      name: 'asset.png',
      hash: createHash('sha256').update(bytes).digest('hex'),
      bytes: bytes.length,
      width: 96,
      height: 64,
      fps: 0,
      duration: 0,
    });
    await mkdir(at('pages'));
    for (const n of [1, 2, 10]) await writeFile(at('pages', `${n}.png`), bytes);
    const sequence = await toAsset(at('pages'), 'a-2', { sequenceFps: 12 });
    expect(assetSchema.parse(sequence)).toMatchObject({
      kind: 'sequence',
      name: 'pages',
      fps: 12,
      duration: 0.25,
    });
    expect(sequence.hash).toBe(createHash('sha256').update(bytes).update(bytes).update(bytes).digest('hex'));
    expect(sequence.bytes).toBe(3 * bytes.length);
    expect(await codeOf(hashFile(at('nowhere')))).toBe('FILE_NOT_FOUND');
    expect(await codeOf(toAsset(at('pages'), 'a-3', { sequenceFps: 0 }))).toBe('MEDIA_UNSUPPORTED');
  });
});
