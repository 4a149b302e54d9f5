import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { z } from 'zod';
import { PusaError, toPusaError } from '../core/errors.ts';
import { writeNew } from '../files/durable.ts';
import { openSource, type FrameSource } from './frames.ts';
import type { MediaProbe, Size } from './types.ts';

/**
 * Small pictures of media for lists and timelines, made once and kept as files in a folder of their own. The folder is
 * a cache: it can be deleted at any time, a damaged file in it is made anew, and nothing in it is needed for anything
 * else.
 */

/** A medium: its bytes' SHA-256 in hex names the pictures, the path (of a file or a sequence) is where to read it. */
export interface ThumbnailSource {
  readonly hash: string;
  readonly path: string;
  /** What `probeMedia` said, if it was asked already. */
  readonly probe?: MediaProbe;
  /** Pictures per second of a sequence. */
  readonly sequenceFps?: number;
}

/** A small picture: a WebP file. */
export interface Thumbnail {
  readonly path: string;
  readonly width: number;
  readonly height: number;
}

/** Several frames side by side in one WebP file, in rows where one would be too long. */
export interface Filmstrip extends Thumbnail {
  readonly frameWidth: number;
  readonly frameHeight: number;
  /** Frame i is in column `i % columns`. */
  readonly columns: number;
  /** Second at which each frame is shown, ascending. */
  readonly times: readonly number[];
}

export interface ThumbnailOptions {
  /** Longest side in pixels, 16 to 2048; a smaller picture keeps its size. */
  readonly side?: number;
  /** Second of the frame to show; past the end it is the last one. */
  readonly at?: number;
  readonly signal?: AbortSignal;
}

export interface FilmstripOptions {
  /** Number of frames, 1 to 1000, in the middle of as many equal parts of the stretch. An image has one. */
  readonly frames: number;
  /** The stretch to show, in seconds, all in one row: as many frames as fit into it. Left out: everything, in rows. */
  readonly stretch?: { readonly from: number; readonly to: number };
  /** Height of a frame in pixels, 16 to 512. */
  readonly height: number;
  readonly signal?: AbortSignal;
}

const hashPattern = /^[0-9a-f]{64}$/;
/**
 * `<hash>-t<side>` or `<hash>-f<frames>x<height>`, with the milliseconds of what is shown where not the usual is, and
 * `.webp` for the picture, `.json` for its index.
 */
const filePattern = /^([0-9a-f]{64})-(?:t\d+|f\d+x\d+)(?:@\d+(?:-\d+)?)?\.(?:webp|json)$/;
const temporaryPrefix = '.tmp-';

const limits = {
  side: [16, 2048],
  height: [16, 512],
  frames: [1, 1000],
  /** Pixels of a whole filmstrip: 50 MB as RGB8. */
  pixels: 2 ** 24,
  /** WebP ends at 16,383 pixels a side; windows draw smaller pictures faster. */
  rowPixels: 8192,
  stripPixels: 16_383,
  seconds: [0, 86_400],
  /** A frame wider than this many times its height is shown with bars. */
  aspect: 8,
  indexBytes: 256 * 1024,
} as const;

const count = z.int().min(1).max(16_383);
const indexSchema = z.strictObject({
  version: z.literal(1),
  bytes: z.int().min(1),
  width: count,
  height: count,
  frameWidth: count,
  frameHeight: count,
  columns: count,
  times: z.array(z.number().min(0)).min(1).max(limits.frames[1]),
});
type Index = z.infer<typeof indexSchema>;

/** Seconds between frames from which each is sought on its own, rather than all in one pass through the file. */
const seekFrom = 4;

/** Makes and keeps thumbnails and filmstrips. At most two media are decoded at once; the rest waits. */
export class Thumbnails {
  /** Settles when what is too much or unfinished is removed; nobody needs to wait for it. */
  readonly tidied: Promise<void>;
  readonly #folder: string;
  readonly #slots = new Slots(2);
  readonly #running = new Map<string, SharedWork<Index>>();

  private constructor(folder: string, tidied: Promise<void>) {
    this.#folder = folder;
    // A cache that could not be tidied is as good.
    this.tidied = tidied.catch(() => undefined);
  }

  /**
   * @param folder where the pictures are kept; made if it is not there, and used for nothing else
   * @param mostBytes above this the pictures drawn longest ago are removed, down to three quarters of it
   */
  static async open(folder: string, mostBytes = 2 * 2 ** 30): Promise<Thumbnails> {
    try {
      await mkdir(folder, { recursive: true });
      const names = await readdir(folder);
      return new Thumbnails(folder, tidy(folder, names, mostBytes));
    } catch (cause) {
      const error = toPusaError(cause);
      if (error.code !== 'INTERNAL') throw error;
      throw new PusaError(
        'WRITE_FAILED',
        `The folder “${folder}” for small pictures cannot be used.`,
        'Remove what stands in its place; nothing in it is needed.',
        { cause },
      );
    }
  }

  /**
   * The thumbnail of a medium; of a video or sequence, if none is asked for, a frame a tenth in, since the first is so
   * often black.
   * @throws PusaError as `openSource` and `FrameSource.frames`, DISK_FULL, WRITE_FAILED, CANCELLED; RangeError for a
   *   side or a hash that is out of range
   */
  async thumbnail(
    source: ThumbnailSource,
    { side = 320, at, signal }: ThumbnailOptions = {},
  ): Promise<Thumbnail> {
    check('side', side, limits.side);
    const name = at === undefined ? `t${side}` : `t${side}@${milliseconds(at)}`;
    const { path, index } = await this.#get(source, name, signal, async (media, stop) => {
      const size = fittedSize(media.probe, side);
      const times = [at ?? Math.min(media.probe.duration / 10, 10)];
      return draw(media, times, size, 1, stop);
    });
    return { path, width: index.width, height: index.height };
  }

  /**
   * The filmstrip of a medium.
   * @throws PusaError and RangeError as {@link thumbnail}; RangeError if the strip would have more than 2²⁴ pixels
   */
  async filmstrip(
    source: ThumbnailSource,
    { frames, height, stretch, signal }: FilmstripOptions,
  ): Promise<Filmstrip> {
    check('number of frames', frames, limits.frames);
    check('height', height, limits.height);
    const part = stretch === undefined ? '' : `@${milliseconds(stretch.from)}-${milliseconds(stretch.to)}`;
    const name = `f${frames}x${height}${part}`;
    const { path, index } = await this.#get(source, name, signal, async (media, stop) => {
      const { probe } = media;
      const aspect = Math.min(limits.aspect, probe.width / probe.height);
      const size = { width: Math.max(1, Math.round(height * aspect)), height };
      const fitting = Math.floor((stretch ? limits.stripPixels : limits.rowPixels) / size.width);
      const most = Math.max(1, fitting);
      const shown = probe.kind === 'image' ? 1 : stretch ? Math.min(frames, most) : frames;
      const { from, to } = stretch ?? { from: 0, to: probe.duration };
      const times = Array.from({ length: shown }, (_, i) => from + ((i + 0.5) / shown) * (to - from));
      return draw(media, times, size, Math.min(shown, most), stop);
    });
    const { width, frameWidth, frameHeight, columns, times } = index;
    return { path, width, height: index.height, frameWidth, frameHeight, columns, times };
  }

  /**
   * Removes the pictures of media that are no more.
   * @param known hashes of the media that are
   * @returns bytes freed
   */
  async sweep(known: ReadonlySet<string>): Promise<number> {
    let freed = 0;
    for (const name of await readdir(this.#folder)) {
      const hash = filePattern.exec(name)?.[1];
      if (hash === undefined || known.has(hash)) continue;
      const path = join(this.#folder, name);
      freed += (await stat(path).catch(() => null))?.size ?? 0;
      await rm(path, { force: true });
    }
    return freed;
  }

  async #get(
    { hash, path, probe, sequenceFps }: ThumbnailSource,
    parameters: string,
    signal: AbortSignal | undefined,
    make: (media: FrameSource, signal: AbortSignal) => Promise<Drawing>,
  ): Promise<{ path: string; index: Index }> {
    if (!hashPattern.test(hash)) throw new RangeError('A medium is named by 64 hexadecimal digits.');
    if (signal?.aborted === true) throw cancelled();
    const name = join(this.#folder, `${hash}-${parameters}`);
    let work = this.#running.get(name);
    if (work === undefined) {
      const started = new SharedWork(async (stop) => {
        const kept = await readIndex(name);
        if (kept !== null) return kept;
        return this.#slots.run(stop, async () => {
          const media = await openSource(path, {
            ...(probe === undefined ? {} : { probe }),
            ...(sequenceFps === undefined ? {} : { sequenceFps }),
          });
          if (stop.aborted) throw cancelled();
          return keep(this.#folder, name, await make(media, stop));
        });
      });
      work = started;
      this.#running.set(name, started);
      const forget = (): void => {
        if (this.#running.get(name) === started) this.#running.delete(name);
      };
      started.result.then(forget, forget);
      started.onAbandoned = forget;
    }
    return { path: `${name}.webp`, index: await work.join(signal) };
  }
}

/** Removes the oldest pictures of a folder that holds too many. */
async function tidy(folder: string, names: readonly string[], mostBytes: number): Promise<void> {
  const files: { path: string; bytes: number; time: number }[] = [];
  for (const name of names) {
    const path = join(folder, name);
    if (name.startsWith(temporaryPrefix)) await rm(path, { force: true });
    const info = filePattern.test(name) ? await stat(path).catch(() => null) : null;
    if (info !== null) files.push({ path, bytes: info.size, time: info.mtimeMs });
  }
  let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (bytes <= mostBytes) return;
  for (const file of files.sort((a, b) => a.time - b.time)) {
    if (bytes <= 0.75 * mostBytes) return;
    await rm(file.path, { force: true });
    bytes -= file.bytes;
  }
}

/** A drawn picture, not yet kept. */
interface Drawing {
  readonly webp: Uint8Array;
  readonly index: Omit<Index, 'bytes' | 'version'>;
}

/** Lays frames out in rows, one after the other into one buffer, and codes it. */
async function draw(
  media: FrameSource,
  times: readonly number[],
  size: Size,
  columns: number,
  signal: AbortSignal,
): Promise<Drawing> {
  const width = size.width * columns;
  const height = size.height * Math.ceil(times.length / columns);
  if (width * height > limits.pixels) throw new RangeError(`A picture of ${width} × ${height} is too large.`);
  const pixels = Buffer.alloc(width * height * 3);
  let shown = 0;
  for await (const frame of framesAt(media, times, size, signal)) {
    const [left, top] = [(shown % columns) * size.width, Math.floor(shown / columns) * size.height];
    for (let row = 0; row < size.height; row++) {
      const from = row * size.width * 3;
      pixels.set(frame.subarray(from, from + size.width * 3), ((top + row) * width + left) * 3);
    }
    shown++;
  }
  const webp = await sharp(pixels, { raw: { width, height, channels: 3 } })
    .webp({ quality: 80, effort: 3 })
    .toBuffer();
  if (signal.aborted) throw cancelled();
  const index = {
    width,
    height,
    frameWidth: size.width,
    frameHeight: size.height,
    columns,
    times: [...times],
  };
  return { webp, index };
}

/** Frames in order; far apart, each is sought on its own, so that an hour of video is not decoded for ten frames. */
async function* framesAt(
  media: FrameSource,
  times: readonly number[],
  size: Size,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  const { probe } = media;
  const apart = times.length > 1 ? times[1]! - times[0]! : 0;
  const runs = probe.kind === 'video' && apart > seekFrom ? times.map((time) => [time]) : [times];
  // Pictures whose sides differ by more than the strip allows get bars; all others fit to a rounded pixel.
  const isFitting =
    Math.abs(probe.width * size.height - probe.height * size.width) <= probe.width + probe.height;
  for (const run of runs) {
    for await (const frame of media.frames(run, size, isFitting ? 'stretch' : 'contain')) {
      // Leaving the loop ends the decoder.
      if (signal.aborted) throw cancelled();
      yield frame;
    }
  }
}

/** Size with the longest side given, never larger than the medium. */
function fittedSize({ width, height }: Size, side: number): Size {
  const scale = Math.min(1, side / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** The index of a kept picture; null if it is not there, damaged, or its picture has another length. */
async function readIndex(name: string): Promise<Index | null> {
  try {
    const { size } = await stat(`${name}.json`);
    if (size > limits.indexBytes) return null;
    const index = indexSchema.parse(JSON.parse(await readFile(`${name}.json`, 'utf8')));
    const picture = await stat(`${name}.webp`);
    return picture.isFile() && picture.size === index.bytes ? index : null;
  } catch {
    return null;
  }
}

/** Keeps a picture, then its index, which says that the picture is whole. */
async function keep(folder: string, name: string, { webp, index }: Drawing): Promise<Index> {
  const whole = { version: 1 as const, bytes: webp.byteLength, ...index };
  const temporary = join(folder, `${temporaryPrefix}${randomUUID()}`);
  try {
    // Flushed: else a power cut could leave a file of the right length and no content.
    await writeNew(temporary, [webp]);
    await rename(temporary, `${name}.webp`);
    await writeFile(temporary, JSON.stringify(whole), { flag: 'wx' });
    await rename(temporary, `${name}.json`);
  } catch (thrown) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw toPusaError(thrown);
  }
  return whole;
}

/** Work that several wait for; it is cancelled when none of them does any more. */
class SharedWork<T> {
  readonly result: Promise<T>;
  onAbandoned: () => void = () => undefined;
  readonly #abort = new AbortController();
  #waiting = 0;

  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.result = work(this.#abort.signal);
    // Whoever waits gets the error from the same promise; without anybody it is of no interest.
    this.result.catch(() => undefined);
  }

  async join(signal: AbortSignal | undefined): Promise<T> {
    this.#waiting++;
    try {
      return await (signal === undefined ? this.result : unlessAborted(this.result, signal));
    } finally {
      if (--this.#waiting === 0 && signal?.aborted === true) {
        this.onAbandoned();
        this.#abort.abort();
      }
    }
  }
}

/** Lets so many works run at once; those waiting go in order, and leave when they are cancelled. */
class Slots {
  #free: number;
  readonly #queue: (() => void)[] = [];

  constructor(slots: number) {
    this.#free = slots;
  }

  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (signal.aborted) throw cancelled();
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal);
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((start, fail) => {
      const leave = (): void => {
        this.#queue.splice(this.#queue.indexOf(enter), 1);
        fail(cancelled());
      };
      const enter = (): void => {
        signal.removeEventListener('abort', leave);
        start();
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#queue.push(enter);
    });
  }
}

/** @throws PusaError CANCELLED as soon as the signal says so; the work ends by a signal of its own */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((done, fail) => {
    const stop = (): void => fail(cancelled());
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    work.then(done, fail).finally(() => signal.removeEventListener('abort', stop));
  });
}

function cancelled(): PusaError {
  return new PusaError(
    'CANCELLED',
    'Drawing the small picture was cancelled.',
    'It is drawn when next needed.',
  );
}

/** A second as it stands in a name. @throws RangeError */
function milliseconds(seconds: number): number {
  if (!(seconds >= limits.seconds[0] && seconds <= limits.seconds[1])) {
    throw new RangeError(`No medium has a second ${seconds}.`);
  }
  return Math.round(seconds * 1000);
}

function check(what: string, value: number, [min, max]: readonly [number, number]): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`The ${what} of a small picture is ${min} to ${max}, not ${value}.`);
}
