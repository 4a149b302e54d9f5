import { readFile, stat } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createReadStream, writeFileSync } from 'node:fs';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
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
import type { Browser, Page } from 'playwright';
import sharp from 'sharp';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Medium } from '../../../src-renderer/src/media/protocol.ts';
import {
  at,
  colourOfIndex,
  countingVideo,
  ffmpeg,
  flat,
  folder,
  h264,
  indexOfColour,
  quarterFrame,
  quarters,
  rawInput,
  run,
  type Rgb,
} from '../../media/support.ts';
import { runes } from '../../support/runes.ts';
import { browserPath, launchBrowser, warnWithoutBrowser } from '../../support/chromium.ts';
import type { Decode, Loudness, Seen } from './harness.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mp4': 'video/mp4',
  '.webm': 'video/webm',
  '.png': 'image/png',
};
/** As the studio sends it: the worker must start under it, and nothing may be evaluated. */
const policy =
  "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; img-src 'self' blob:; style-src 'self'";

const usable = browserPath !== null && ffmpeg?.encoders.has('libx264') === true;
warnWithoutBrowser('decoding in a real browser');
if (!usable) process.stderr.write('SKIPPED: decoding in a real browser needs ffmpeg with libx264.\n');

const fps = 16;
const count = 60;
const size = { width: 64, height: 48 };
/** What the stand-in for the studio draws. */
const drawn: Rgb = [200, 40, 160];

describe.skipIf(!usable)('pictures decoded in the browser', () => {
  let server: Server;
  let browser: Browser;
  let page: Page;
  let origin: string;
  /** Requests the files were asked with: name and Range header. */
  const asked: { name: string; range: string | undefined }[] = [];
  const complaints: string[] = [];

  beforeAll(async () => {
    await build({
      root: here,
      base: './',
      configFile: false,
      plugins: [runes],
      logLevel: 'error',
      build: { outDir: at('page'), rolldownOptions: { input: join(here, 'harness.html') } },
    });
    await makeFiles();
    const picture = await sharp({ create: { width: 32, height: 24, channels: 3, background: rgb(drawn) } })
      .png()
      .toBuffer();
    server = createServer((request, response) => {
      const url = new URL(request.url!, 'http://localhost');
      if (url.pathname === '/drawn') {
        asked.push({ name: `drawn?at=${url.searchParams.get('at')}`, range: undefined });
        response.writeHead(200, { 'content-type': 'image/png' }).end(picture);
        return;
      }
      void serveFile(url.pathname, request.headers.range, response).catch(() =>
        response.writeHead(404).end(),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    browser = await launchBrowser();
    page = await browser.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(`${origin}/page/harness.html`);
  });

  afterAll(async () => {
    await browser.close();
    server.close();
  });

  async function serveFile(path: string, range: string | undefined, response: ServerResponse): Promise<void> {
    const file = join(folder, normalize(path));
    const { size: bytes } = await stat(file);
    const headers = {
      'content-type': types[extname(file)] ?? 'application/octet-stream',
      'accept-ranges': 'bytes',
      'content-security-policy': policy,
    };
    if (!path.startsWith('/page/')) asked.push({ name: path.slice(1), range });
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
    if (first === undefined) {
      response.writeHead(200, { ...headers, 'content-length': bytes }).end(await readFile(file));
      return;
    }
    const [start, end] = [Number(first), last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1)];
    response.writeHead(206, {
      ...headers,
      'content-length': end - start + 1,
      'content-range': `bytes ${start}-${end}/${bytes}`,
    });
    createReadStream(file, { start, end }).pipe(response);
  }

  const medium = (file: string, kind: Medium['kind'] = 'video'): Medium => ({
    id: file,
    kind,
    name: file,
    url: `${origin}/${file}`,
    drawn: { url: `${origin}/drawn`, by: 'seconds', fps: null },
  });

  function show(of: Medium, times: readonly number[], to = size): Promise<(Seen | string)[]> {
    const wants = times.map((time) => ({ medium: of, time, ...to }));
    return page.evaluate((all) => (globalThis as unknown as { decode: Decode }).decode.show(all), wants);
  }

  async function indices(of: Medium, times: readonly number[]): Promise<number[]> {
    return (await show(of, times)).map(indexOf);
  }

  it('shows exactly the frame at each time, in any order, of mp4 with B-frames and of webm', async () => {
    const forward = Array.from({ length: count }, (_, i) => i);
    for (const file of ['h264.mp4', 'vp9.webm']) {
      const of = medium(file);
      expect(
        await indices(
          of,
          forward.map((i) => i / fps),
        ),
      ).toEqual(forward);
      // Other times of the same frames, so that none of them comes from the memory.
      const shuffled = forward.map((i) => (i * 23) % count);
      expect(
        await indices(
          of,
          shuffled.map((i) => (i + 0.5) / fps),
        ),
      ).toEqual(shuffled);
      expect(
        await indices(
          of,
          forward.toReversed().map((i) => (i + 0.25) / fps),
        ),
      ).toEqual(forward.toReversed());
      expect(await indices(of, [count / fps + 5])).toEqual([count - 1]);
    }
  });

  it('takes the picture that was last begun where rates differ', async () => {
    // 24 pictures a second in a container that counts milliseconds, looked at 16 times a second.
    const times = Array.from({ length: 30 }, (_, i) => i / fps);
    expect(await indices(medium('film.webm'), times)).toEqual(
      times.map((time) => Math.floor(time * 24 + 1e-6)),
    );
  });

  it('turns what the file says is turned, and brings it to the size asked for', async () => {
    const facts = await page.evaluate(
      (of) => (globalThis as unknown as { decode: Decode }).decode.probe(of),
      medium('turned.mp4'),
    );
    expect(facts).toMatchObject({ width: 48, height: 64, rotation: 90, codec: 'H.264', decodable: true });
    const [seen] = await show(medium('turned.mp4'), [0], { width: 24, height: 32 });
    const turned = seen as Seen;
    expect([turned.width, turned.height]).toEqual([24, 32]);
    // A quarter turn clockwise brings the blue lower left quarter to the upper left.
    expect(near(turned.colours[1]!, quarters.blue)).toBe(true);
    expect(near(turned.colours[2]!, quarters.green)).toBe(true);
  });

  it('reads a file in parts, and stills whole', async () => {
    const [still] = await show(medium('still.png', 'image'), [0]);
    expect(indexOf(still!)).toBe(77);
    const parts = asked.filter(({ name }) => name === 'h264.mp4');
    expect(parts.length).toBeGreaterThan(0);
    expect(parts.every(({ range }) => range?.startsWith('bytes=') === true)).toBe(true);
  });

  it('shows the last of many wishes', async () => {
    const of = medium('long.mp4');
    await indices(of, [0]);
    const wants = Array.from({ length: 200 }, (_, i) => ({
      medium: of,
      time: ((i * 37) % 400) / fps + 0.01,
      ...size,
    }));
    const seen = await page.evaluate(
      (all) => (globalThis as unknown as { decode: Decode }).decode.scrub(all),
      wants,
    );
    expect(indexOf(seen)).toBe(((199 * 37) % 400) % 125);
  });

  it('shows pictures of the studio where there is no decoder, and says once which codec it is', async () => {
    const supported = await page.evaluate(() =>
      (globalThis as unknown as { decode: Decode }).decode.supports('hvc1.1.6.L93.B0'),
    );
    if (supported || ffmpeg?.encoders.has('libx265') !== true) {
      process.stderr.write('SKIPPED: H.265 without a decoder: this browser has one, or ffmpeg no encoder.\n');
      return;
    }
    const seen = await show(medium('h265.mp4'), [0, 1, 2]);
    expect(seen.every((each) => near((each as Seen).colours[0]!, drawn))).toBe(true);
    expect(asked.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['drawn?at=0', 'drawn?at=1', 'drawn?at=2']),
    );
    const told = await page.evaluate(() => (globalThis as unknown as { decode: Decode }).decode.standIns());
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ codec: 'H.265', error: { code: 'MEDIA_UNSUPPORTED' } });
    expect(told[0]!.error.message).toContain('H.265');
  });

  it('says that a broken or missing file cannot be read when the studio has no picture either', async () => {
    const nothing = { url: `${origin}/nowhere`, by: 'seconds', fps: null } as const;
    for (const file of ['broken.mp4', 'missing.mp4', 'broken.png']) {
      const of = { ...medium(file, file.endsWith('png') ? 'image' : 'video'), drawn: nothing };
      expect(await show(of, [0])).toEqual(['MEDIA_UNREADABLE']);
    }
    // And goes on with others.
    expect(await indices(medium('h264.mp4'), [3.01 / fps])).toEqual([3]);
  });

  function hear(file: string, from: number, to: number): Promise<Loudness[] | string | null> {
    return page.evaluate(
      ([of, a, b]) => (globalThis as unknown as { decode: Decode }).decode.hear(of, a, b),
      [medium(file), from, to] as const,
    );
  }

  it.skipIf(ffmpeg?.encoders.has('aac') !== true)(
    'hears a file’s sound on the clock of its pictures, and none where there is none',
    async () => {
      const heard = (await hear('beep.mp4', 0, 2)) as Loudness[];
      // Without a gap, and silent up to the tone in its second second.
      for (const [i, { at: time }] of heard.entries()) {
        const before = heard[i - 1];
        if (before !== undefined) expect(time).toBeCloseTo(before.at + before.seconds, 3);
      }
      const onset = heard.find(({ peak }) => peak > 0.05)!;
      expect(onset.at).toBeLessThanOrEqual(1.001);
      expect(onset.at + onset.seconds).toBeGreaterThan(0.97);
      const [first] = (await hear('beep.mp4', 1.5, 1.6)) as Loudness[];
      expect(first!.at).toBeGreaterThan(1.4);
      expect(first!.peak).toBeGreaterThan(0.05);
      expect(await hear('h264.mp4', 0, 1)).toBeNull();
      expect(await hear('missing.mp4', 0, 1)).toEqual(expect.any(String));
    },
  );

  it.skipIf(ffmpeg?.encoders.has('aac') !== true)(
    'plays it without gaps, round and round, each piece where the clock has it',
    async () => {
      await page.mouse.click(5, 5);
      const scheduled = await page.evaluate(
        (of) => (globalThis as unknown as { decode: Decode }).decode.play(of, 16, 16, 1500),
        medium('beep.mp4'),
      );
      // A busy machine may lose the beginning; what follows joins on, over the end of the loop too.
      expect(scheduled.length).toBeGreaterThan(20);
      const gaps = scheduled
        .slice(1)
        .map(([when], i) => Math.abs(when - scheduled[i]![0] - scheduled[i]![1]))
        .filter((gap) => gap > 0.001);
      expect(gaps.length).toBeLessThanOrEqual(2);
    },
  );

  it('breaks no rule of the policy', () => {
    expect(complaints.filter((each) => !each.includes('404'))).toEqual([]);
  });
});

async function makeFiles(): Promise<void> {
  const video = (file: string, rate: number, frames: number, ...coder: string[]): void => {
    countingVideo(at(file), { frames, fps: rate, args: [...h264, ...coder], ...size });
  };
  video('h264.mp4', fps, count, '-g', '25', '-bf', '3', '-movflags', '+faststart');
  const vp9 = ['-c:v', 'libvpx-vp9', '-b:v', '0', '-cpu-used', '8'];
  video('vp9.webm', fps, count, ...vp9, '-g', '20');
  video('film.webm', 24, 50, ...vp9);
  video('long.mp4', fps, 400, '-g', '100', '-preset', 'veryfast');
  if (ffmpeg!.encoders.has('aac')) {
    const tone = "aevalsrc='if(gte(t,1),0.5*sin(2*PI*440*t),0)':d=2:s=44100";
    const colour = `color=c=gray:s=${size.width}x${size.height}:r=${fps}:d=2`;
    run(['-f', 'lavfi', '-i', colour, '-f', 'lavfi', '-i', tone, ...h264, '-c:a', 'aac', at('beep.mp4')]);
  }
  if (ffmpeg!.encoders.has('libx265')) video('h265.mp4', fps, 40, '-c:v', 'libx265', '-tag:v', 'hvc1');

  const { width, height } = size;
  run([...rawInput(width, height, 1), at('still.png')], flat(colourOfIndex(77), width, height));
  run([...rawInput(width, height, 1), ...h264, at('upright.mp4')], quarterFrame(width, height));
  await turn(at('upright.mp4'), at('turned.mp4'));
  for (const file of ['broken.mp4', 'broken.png']) writeFileSync(at(file), new Uint8Array(5000).fill(7));
}

/** The same video, said to be turned a quarter clockwise. */
async function turn(from: string, to: string): Promise<void> {
  const input = new Input({ formats: [MP4], source: new FilePathSource(from) });
  const track = (await input.getPrimaryVideoTrack())!;
  const target = new BufferTarget();
  const output = new Output({ format: new Mp4OutputFormat(), target });
  const source = new EncodedVideoPacketSource('avc');
  output.addVideoTrack(source, { rotation: 90 });
  await output.start();
  const decoderConfig = (await track.getDecoderConfig())!;
  for await (const packet of new EncodedPacketSink(track).packets()) {
    await source.add(packet, { decoderConfig });
  }
  await output.finalize();
  input.dispose();
  writeFileSync(to, new Uint8Array(target.buffer!));
}

function rgb([r, g, b]: Rgb): { r: number; g: number; b: number } {
  return { r, g, b };
}

function indexOf(seen: Seen | string): number {
  if (typeof seen === 'string') throw new Error(`The picture was refused with ${seen}.`);
  const [r, g, b] = seen.colours[0]!;
  return indexOfColour([r!, g!, b!]);
}

function near(colour: readonly number[], wanted: readonly number[]): boolean {
  return colour.every((level, i) => Math.abs(level - wanted[i]!) < 24);
}
