import { basename } from 'node:path';
import type { Fit } from '../core/contract/project.ts';
import { PusaError } from '../core/errors.ts';
import { FrameDecoder, type DecodedFrame } from './decoder.ts';
import type { FrameSource } from './frames.ts';
import { fitFrame } from './picture.ts';
import type { Content, SniffedFile } from './sniff.ts';
import { lastComplaint, requireFfmpeg, runTool, type Ffmpeg } from './tools.ts';
import { limits, settleColour, type Colour, type MediaProbe, type Size } from './types.ts';
import { broken, colourFromNames } from './video.ts';

/** What only a decoded frame tells. */
interface FirstFrame {
  /** Seconds on the file's own clock at which the first shown frame starts: time 0 of a source. */
  readonly origin: number;
  /** Seconds of one tick of that clock. */
  readonly tick: number;
  readonly colour: Colour;
}

/** Where to start decoding: at a key frame before a time, keeping frames from another time on, or at the start. */
interface Start {
  readonly seek: number;
  readonly keepFrom: number;
}

/**
 * Opens a video for its frames. They are decoded by ffmpeg with their own timestamps: no rate is assumed, so that a
 * variable one is right by construction.
 * @throws PusaError FFMPEG_MISSING, MEDIA_UNREADABLE, MEDIA_UNSUPPORTED (high dynamic range without zscale)
 */
export async function openVideo(
  path: string,
  file: SniffedFile & { readonly content: Content & { readonly is: 'video' } },
  probe: MediaProbe,
): Promise<FrameSource> {
  const ffmpeg = await requireFfmpeg('Reading the frames of a video');
  const reading = new Reading(path, ffmpeg, file.content.demuxer, probe);
  const first = await reading.firstFrame();
  const colour = settleColour(first.colour, turned(probe) ? probe.width : probe.height);
  if (colour.transfer !== 'sdr' && !ffmpeg.filters.has('zscale')) {
    throw new PusaError(
      'MEDIA_UNSUPPORTED',
      `“${basename(path)}” has high dynamic range, which the ffmpeg found cannot bring to a standard one.`,
      'Install an ffmpeg with the zscale filter, or export the clip in standard dynamic range.',
    );
  }
  return {
    probe: { ...probe, colour },
    origin: first.origin,
    async *frames(times, size, fit) {
      if (!times.every(Number.isFinite)) throw new RangeError('Times must be finite numbers.');
      for (const run of ascendingRuns(times)) {
        yield* reading.run(run, { ...first, colour }, size, fit);
      }
    },
  };
}

/** One file and how to ask ffmpeg for it. */
class Reading {
  private readonly path: string;
  private readonly ffmpeg: Ffmpeg;
  private readonly demuxer: string;
  private readonly probe: MediaProbe;

  constructor(path: string, ffmpeg: Ffmpeg, demuxer: string, probe: MediaProbe) {
    this.path = path;
    this.ffmpeg = ffmpeg;
    this.demuxer = demuxer;
    this.probe = probe;
  }

  /** Decodes one frame to learn the clock's origin and the colour the decoder reports. */
  async firstFrame(): Promise<FirstFrame> {
    const result = await runTool(this.ffmpeg.path, [
      ...this.input({ seek: -Infinity, keepFrom: -Infinity }),
      ...['-frames:v', '1', '-vf', 'showinfo=checksum=0', '-f', 'null', '-'],
    ]);
    const text = result.stderr;
    const tick = /config in time_base: (\d+)\/(\d+)/.exec(text);
    const frame = /\] n: *0 pts: *(-?\d+|NOPTS) .*?fmt:(\S+)/.exec(text);
    if (result.code !== 0 || tick === null || frame === null) {
      throw broken(this.path, new Error(lastComplaint(text)));
    }
    const seconds = Number(tick[1]) / Number(tick[2]);
    const format = frame[2]!;
    const named = (key: string): string | undefined => new RegExp(`\\b${key}:(\\S+)`).exec(text)?.[1];
    const stated = colourFromNames(named('color_space'), named('color_trc'), named('color_range'));
    const rgb = /^(?:[ax0]?(?:rgb|bgr)|gbr|pal8)/.test(format);
    return {
      origin: frame[1] === 'NOPTS' ? 0 : Number(frame[1]) * seconds,
      tick: seconds,
      colour: {
        matrix: rgb ? 'rgb' : stated.matrix === 'unknown' ? this.probe.colour.matrix : stated.matrix,
        range: rgb || format.startsWith('yuvj') ? 'full' : stated.range,
        transfer: stated.transfer === 'sdr' ? this.probe.colour.transfer : stated.transfer,
      },
    };
  }

  /** Frames for ascending times: from a key frame near the first of them, else, if that proves too late, the start. */
  async *run(
    times: readonly number[],
    first: FirstFrame,
    size: Size,
    fit: Fit,
  ): AsyncGenerator<Uint8Array, void> {
    const { lastFrame, duration, fps } = this.probe;
    const earliest = Math.max(0, Math.min(times[0] ?? 0, lastFrame ?? duration));
    const tolerance = Math.min(Math.max(first.tick / 2, 5e-4) + 1e-6, 0.25 / fps);
    const starts: Start[] = [];
    if (earliest > 2) {
      // Before the key frame itself: frames that follow it but are shown before it may lack their references.
      const seek = first.origin + earliest - 0.5;
      starts.push({ seek, keepFrom: seek - 0.5 }, { seek, keepFrom: -Infinity });
    }
    starts.push({ seek: -Infinity, keepFrom: -Infinity });
    for (const start of starts) {
      const decoder = this.decoder(start, first);
      try {
        const opening = await decoder.next();
        const isLastChance = start === starts.at(-1);
        const late = opening === null || opening.time > earliest + tolerance;
        if (late && !isLastChance) continue;
        if (opening === null) throw broken(this.path, new Error(decoder.complaint));
        yield* this.pick(times, opening, decoder, tolerance, size, fit);
        return;
      } finally {
        await decoder.stop();
      }
    }
  }

  private async *pick(
    times: readonly number[],
    opening: DecodedFrame,
    decoder: FrameDecoder,
    tolerance: number,
    size: Size,
    fit: Fit,
  ): AsyncGenerator<Uint8Array, void> {
    let current = opening;
    let fitted: Uint8Array | null = null;
    let next = await decoder.next();
    for (const time of times) {
      while (next !== null && next.time <= time + tolerance) {
        current = next;
        fitted = null;
        next = await decoder.next();
      }
      if (next === null) this.checkEnd(current.time, time);
      fitted ??= await fitFrame(current.rgb, this.probe, size, fit);
      yield fitted;
    }
  }

  /** A decoder that stops early does not say so: its last frame would stand still unnoticed. */
  private checkEnd(last: number, asked: number): void {
    const { lastFrame, fps, duration } = this.probe;
    const slack = Math.max(0.05, 2 / fps);
    if (lastFrame === undefined || last >= lastFrame - slack || asked <= last + slack) return;
    throw new PusaError(
      'MEDIA_UNREADABLE',
      `“${basename(this.path)}” breaks off after ${last.toFixed(2)} of its ${duration.toFixed(2)} seconds.`,
      'Copy or download it again, or use only the part before that.',
    );
  }

  private decoder(start: Start, first: FirstFrame): FrameDecoder {
    const { width, height } = this.probe;
    const coded = turned(this.probe) ? { width: height, height: width } : { width, height };
    const keep = Number.isFinite(start.keepFrom)
      ? [`select='gte(pts,${Math.floor(start.keepFrom / first.tick)})'`]
      : [];
    const filters = [
      ...keep,
      'showinfo=checksum=0',
      ...toRgb(coded, first.colour),
      ...turns[this.probe.rotation],
      ...(this.probe.flip ? ['hflip'] : []),
    ];
    const args = [
      ...this.input(start),
      ...['-vf', filters.join(','), ...this.ffmpeg.passTimestamps],
      ...['-f', 'rawvideo', '-pix_fmt', 'rgb24', 'pipe:1'],
    ];
    return new FrameDecoder(this.path, this.ffmpeg.path, args, width * height * 3, first.origin);
  }

  private input({ seek }: Start): string[] {
    return [
      ...['-hide_banner', '-nostdin', '-nostats', '-loglevel', 'info', '-noautorotate', '-copyts'],
      // A file must not make ffmpeg open another one, nor allocate without bounds.
      ...['-protocol_whitelist', 'file', '-max_pixels', String(limits.framePixels), '-f', this.demuxer],
      ...(Number.isFinite(seek) ? ['-noaccurate_seek', '-seek_timestamp', '1', '-ss', seek.toFixed(6)] : []),
      ...['-i', `file:${this.path}`, '-map', '0:V:0', '-an', '-sn', '-dn'],
    ];
  }
}

/**
 * Filters from the coded picture to RGB of full range: matrix and range are stated, never left to a default, and
 * chroma is interpolated. High dynamic range is brought to BT.709 by a filmic curve.
 */
function toRgb({ width, height }: Size, { matrix, range, transfer }: Colour): string[] {
  const coded = range === 'full' ? 'pc' : 'tv';
  if (transfer !== 'sdr') {
    const curve = transfer === 'pq' ? 'smpte2084' : 'arib-std-b67';
    return [
      `zscale=w=${width}:h=${height}:filter=lanczos:min=bt2020nc:pin=bt2020:tin=${curve}:` +
        `rin=${range}:t=linear:npl=100`,
      ...['format=gbrpf32le', 'zscale=p=bt709', 'tonemap=tonemap=hable:desat=0'],
      ...['zscale=t=bt709:m=gbr:r=full', 'format=gbrp', 'scale', 'format=rgb24'],
    ];
  }
  const from = matrix === 'rgb' ? '' : `:in_color_matrix=${matrix}:in_range=${coded}`;
  return [
    `scale=w=${width}:h=${height}:flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp${from}:out_range=pc`,
    'format=rgb24',
  ];
}

const turns: Readonly<Record<MediaProbe['rotation'], readonly string[]>> = {
  0: [],
  90: ['transpose=clock'],
  180: ['hflip', 'vflip'],
  270: ['transpose=cclock'],
};

function turned({ rotation }: MediaProbe): boolean {
  return rotation % 180 !== 0;
}

/** Splits times where they go back, so that each part is one pass. */
function ascendingRuns(times: readonly number[]): readonly (readonly number[])[] {
  const runs: number[][] = [];
  let before = Infinity;
  for (const time of times) {
    if (time < before) runs.push([time]);
    else runs.at(-1)!.push(time);
    before = time;
  }
  return runs;
}
