import {
  Input,
  MATROSKA,
  MP4,
  MPEG_TS,
  QTFF,
  UrlSource,
  VideoSampleSink,
  WEBM,
  type InputVideoTrack,
  type VideoSample,
} from 'mediabunny';
import { PusaError } from '../../../src-main/core/errors.ts';
import { cannotDecode, cannotRead, codecName } from './codecs.ts';
import type { Facts, Medium } from './protocol.ts';

/** Bytes of a file kept in memory, of those that were read. */
const fileCache = 32 * 2 ** 20;
/** Tries of a request that failed, after the first. */
const retries = 2;
/** Seconds ahead of the last picture up to which decoding on is quicker than seeking. */
const reach = 1;

/**
 * A video opened for its pictures, decoded by the browser. Times count from its first shown frame; the picture at a
 * time is the last that starts at or before it, as the studio has it when it freezes a job.
 */
export class VideoFile {
  readonly facts: Facts;
  readonly #input: Input;
  readonly #sink: VideoSampleSink;
  readonly #start: number;
  /** Seconds forgiven: containers round. */
  readonly #tolerance: number;
  #run: Run | null = null;

  private constructor(input: Input, track: InputVideoTrack, facts: Facts, start: number, tolerance: number) {
    this.facts = facts;
    this.#input = input;
    this.#sink = new VideoSampleSink(track);
    this.#start = start;
    this.#tolerance = tolerance;
  }

  /** @throws PusaError MEDIA_UNREADABLE */
  static async open(medium: Medium): Promise<VideoFile> {
    const input = new Input({
      formats: [MP4, QTFF, MATROSKA, WEBM, MPEG_TS],
      source: new UrlSource(medium.url, {
        maxCacheSize: fileCache,
        // Before the small pictures of lists: somebody looks at this one.
        requestInit: { priority: 'high' },
        getRetryDelay: (failures) => (failures > retries ? null : 0.2 * 2 ** failures),
        handleUnhandledError: () => undefined,
      }),
    });
    try {
      const track = await input.getPrimaryVideoTrack();
      if (track === null) throw new Error('no pictures');
      const start = Math.max(0, await track.getFirstTimestamp());
      const { fps, tick } = await timing(track);
      const facts: Facts = {
        kind: 'video',
        width: await track.getDisplayWidth(),
        height: await track.getDisplayHeight(),
        fps,
        duration: Math.max(0, (await track.computeDuration()) - start),
        rotation: await track.getRotation(),
        codec:
          codecName(await track.getCodec()) ?? codecName(String(await track.getInternalCodecId())) ?? '?',
        decodable: await track.canDecode(),
      };
      const tolerance = Math.min(Math.max(tick / 2, 5e-4) + 1e-6, 0.25 / fps);
      return new VideoFile(input, track, facts, start, tolerance);
    } catch (thrown) {
      input.dispose();
      throw thrown instanceof PusaError ? thrown : cannotRead(medium.name, thrown);
    }
  }

  /**
   * One picture of a size, which fills it whatever its shape.
   * @param seconds after the first frame
   * @param follows whether the next places are near, behind this one: then decoding simply goes on
   * @throws PusaError MEDIA_UNSUPPORTED where the browser has no decoder, MEDIA_UNREADABLE where the file breaks off
   */
  async draw(
    seconds: number,
    width: number,
    height: number,
    follows: boolean,
    name: string,
  ): Promise<ImageBitmap> {
    if (!this.facts.decodable) throw cannotDecode(name, this.facts.codec === '?' ? null : this.facts.codec);
    const time = this.#start + seconds + this.#tolerance;
    try {
      const run = await this.#runTo(time, follows);
      if (run !== null) return render(await run.seek(time), width, height);
      const sample = (await this.#sink.getSample(time)) ?? (await this.#first());
      try {
        return render(sample, width, height);
      } finally {
        sample.close();
      }
    } catch (thrown) {
      await this.#endRun();
      throw cannotRead(name, thrown);
    }
  }

  close(): void {
    void this.#endRun();
    this.#input.dispose();
  }

  /** The decoding under way if it leads to a time soon, or a new one there; null where one picture is sought alone. */
  async #runTo(time: number, follows: boolean): Promise<Run | null> {
    if (this.#run?.leadsTo(time) === true) return this.#run;
    if (!follows) return null;
    await this.#endRun();
    this.#run = new Run(this.#sink.samples(time));
    return this.#run;
  }

  async #endRun(): Promise<void> {
    const run = this.#run;
    this.#run = null;
    await run?.end();
  }

  async #first(): Promise<VideoSample> {
    for await (const sample of this.#sink.samples()) return sample;
    throw new Error('no frames');
  }
}

/** Decoding from one picture to the next. */
class Run {
  readonly #samples: AsyncGenerator<VideoSample, void>;
  #now: VideoSample | null = null;
  /** The one after it, decoded to know where `now` ends; null before the first and after the last. */
  #next: VideoSample | null = null;

  constructor(samples: AsyncGenerator<VideoSample, void>) {
    this.#samples = samples;
  }

  leadsTo(time: number): boolean {
    const from = this.#now?.timestamp;
    return from !== undefined && time >= from && time <= from + reach;
  }

  /** The picture at a time that is not before the one it stands at. It stays this run's own. */
  async seek(time: number): Promise<VideoSample> {
    this.#now ??= await this.#take();
    this.#next ??= await this.#take();
    while (this.#next !== null && this.#next.timestamp <= time) {
      this.#now?.close();
      this.#now = this.#next;
      this.#next = await this.#take();
    }
    if (this.#now === null) throw new Error('no frames');
    return this.#now;
  }

  async end(): Promise<void> {
    this.#now?.close();
    this.#next?.close();
    this.#now = this.#next = null;
    await this.#samples.return().catch(() => undefined);
  }

  async #take(): Promise<VideoSample | null> {
    const taken = await this.#samples.next();
    return taken.done === true ? null : taken.value;
  }
}

async function timing(track: InputVideoTrack): Promise<{ fps: number; tick: number }> {
  const metrics = await track.computeFrameRateMetrics();
  const rate = metrics.underlyingFrameRate ?? metrics.averageFrameRate;
  const fps = metrics.probedPacketCount >= 2 && rate > 0 && rate <= 1000 ? rate : 1;
  const resolution = await track.getTimeResolution();
  return { fps, tick: resolution > 0 ? 1 / resolution : 0 };
}

/** Pixels of a decoded frame, rotated, flipped and square as the file says, brought to a size. */
function render(sample: VideoSample, width: number, height: number): ImageBitmap {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { alpha: false });
  if (context === null) throw new Error('no canvas');
  context.imageSmoothingQuality = 'high';
  sample.draw(context, 0, 0, width, height);
  return canvas.transferToImageBitmap();
}
