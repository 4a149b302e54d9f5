import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { PusaError, type ErrorCode } from '../../src-main/core/errors.ts';
import { findFfmpeg } from '../../src-main/media/tools.ts';

/** The ffmpeg of this machine, to make test files with and to test with. */
export const ffmpeg = await findFfmpeg();
const usable = ffmpeg?.encoders.has('libx264') === true && ffmpeg.ffprobe !== null;
if (!usable) {
  process.stderr.write(
    'SKIPPED: media tests that need ffmpeg with libx264 and ffprobe, because there is none here\n',
  );
}

/** A test that needs ffmpeg; skipped, loudly, where there is none. */
export const withFfmpeg = it.skipIf(!usable);

/** A folder for the files of one test file, removed after it. */
export const folder = await mkdtemp(join(tmpdir(), 'pusa-media-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Path of a test file. */
export function at(...names: string[]): string {
  return join(folder, ...names);
}

/** Runs ffmpeg and fails with what it said. */
export function run(args: readonly string[], input?: Uint8Array): Buffer {
  return execFileSync(ffmpeg!.path, ['-hide_banner', '-v', 'error', '-y', ...args], {
    input,
    maxBuffer: 2 ** 30,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** What ffprobe says of a file. */
export function ffprobe(path: string, ...args: string[]): unknown {
  const text = execFileSync(ffmpeg!.ffprobe!, ['-v', 'error', '-of', 'json', ...args, path], {
    encoding: 'utf8',
  });
  return JSON.parse(text);
}

/** Runs work where no ffmpeg can be found. */
export async function withoutFfmpeg<T>(work: () => Promise<T>): Promise<T> {
  return withEnvironment({ PATH: join(folder, 'nothing-here'), PUSA_FFMPEG: undefined }, work);
}

/** Runs work under other environment variables. */
export async function withEnvironment<T>(
  variables: Readonly<Record<string, string | undefined>>,
  work: () => Promise<T>,
): Promise<T> {
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]));
  const set = (values: Readonly<Record<string, string | undefined>>): void => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = value;
    }
  };
  set(variables);
  try {
    return await work();
  } finally {
    set(before);
  }
}

/** The code of the error that work ends with; its two sentences are checked on the way. */
export async function codeOf(work: Promise<unknown>): Promise<ErrorCode> {
  const error: unknown = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(PusaError);
  const { code, message, remedy } = error as PusaError;
  for (const sentence of [message, remedy]) expect(sentence).toMatch(/^\S.{5,400}[.)]$/s);
  return code;
}

export type Rgb = readonly [number, number, number];

/** A colour for each index below 125, at least 50 levels apart from any other. */
export function colourOfIndex(index: number): Rgb {
  const level = (digit: number): number => 28 + 50 * (Math.floor(index / 5 ** digit) % 5);
  return [level(0), level(1), level(2)];
}

/** The index of the nearest of those colours. */
export function indexOfColour(rgb: Rgb): number {
  const digit = (level: number): number => Math.min(4, Math.max(0, Math.round((level - 28) / 50)));
  return digit(rgb[0]) + 5 * digit(rgb[1]) + 25 * digit(rgb[2]);
}

/** A frame of one colour. */
export function flat(colour: Rgb, width: number, height: number): Uint8Array {
  const frame = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) frame.set(colour, pixel * 3);
  return frame;
}

/** The colour at a place, given as parts of the width and height. */
export function pixel(rgb: Uint8Array, width: number, height: number, x = 0.5, y = 0.5): Rgb {
  const place = (Math.floor(y * height) * width + Math.floor(x * width)) * 3;
  return [rgb[place]!, rgb[place + 1]!, rgb[place + 2]!];
}

/** The largest difference of two colours or frames, in levels. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let worst = 0;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i]! - b[i]!));
  return worst;
}

/** Four quarters: red, green above; blue, yellow below. */
export const quarters = {
  red: [200, 30, 40],
  green: [30, 180, 60],
  blue: [20, 40, 220],
  yellow: [220, 200, 30],
} as const;

/** A frame of four coloured quarters. */
export function quarterFrame(width: number, height: number): Uint8Array {
  const frame = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const left = x < width / 2;
      const colour = y < height / 2 ? (left ? 'red' : 'green') : left ? 'blue' : 'yellow';
      frame.set(quarters[colour], (y * width + x) * 3);
    }
  }
  return frame;
}

/** Names of the colours in the four quarters of a frame, row by row. */
export function quarterNames(rgb: Uint8Array, width: number, height: number): string[] {
  const places = [
    [0.25, 0.25],
    [0.75, 0.25],
    [0.25, 0.75],
    [0.75, 0.75],
  ] as const;
  return places.map(([x, y]) => {
    const seen = pixel(rgb, width, height, x, y);
    const found = Object.entries(quarters).find(([, colour]) => distance(colour, seen) < 25);
    return found?.[0] ?? `(${seen.join(', ')})`;
  });
}

/** A video whose n-th frame has the colour of index n. */
export function countingVideo(
  path: string,
  {
    frames,
    fps,
    args = [],
    width = 64,
    height = 48,
  }: {
    frames: number;
    fps: number;
    args?: readonly string[];
    width?: number;
    height?: number;
  },
): string {
  const raw = Buffer.concat(Array.from({ length: frames }, (_, n) => flat(colourOfIndex(n), width, height)));
  run([...rawInput(width, height, fps), ...(args.length > 0 ? args : h264), path], raw);
  return path;
}

/** Arguments that read raw RGB frames from the standard input. */
export function rawInput(width: number, height: number, fps: number): string[] {
  return [
    '-f',
    'rawvideo',
    '-pixel_format',
    'rgb24',
    '-video_size',
    `${width}x${height}`,
    '-framerate',
    String(fps),
    '-i',
    '-',
  ];
}

/** Arguments for H.264 tagged BT.709, limited range. */
export const h264 = [
  ...['-vf', 'scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,format=yuv420p'],
  ...['-c:v', 'libx264', '-crf', '10', '-colorspace', 'bt709', '-color_range', 'tv'],
];

/** All frames of an iterable. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
