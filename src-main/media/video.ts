import { basename } from 'node:path';
import {
  EncodedPacketSink,
  FilePathSource,
  Input,
  MATROSKA,
  MP4,
  QTFF,
  WEBM,
  type InputVideoTrack,
} from 'mediabunny';
import { z } from 'zod';
import { PusaError } from '../core/errors.ts';
import type { Content, SniffedFile } from './sniff.ts';
import { findFfmpeg, lastComplaint, requireFfmpeg, runTool } from './tools.ts';
import { limits, type Colour, type MediaProbe } from './types.ts';

type VideoFile = SniffedFile & { readonly content: Content & { readonly is: 'video' } };

/** Formats read in this process; others are left to ffprobe. */
const ownFormats = [MP4, QTFF, MATROSKA, WEBM];

/**
 * Reads a video's properties: mp4, mov, webm and mkv in this process, every other container by ffprobe.
 * @throws PusaError MEDIA_UNREADABLE, MEDIA_UNSUPPORTED (no picture track), FILE_TOO_LARGE, FFMPEG_MISSING
 */
export async function probeVideo(path: string, file: VideoFile): Promise<MediaProbe> {
  const { demuxer } = file.content;
  if (demuxer !== 'mov' && demuxer !== 'matroska') {
    return checked(path, await probeByTool(path, file, await requireFfmpeg('Reading this kind of video')));
  }
  try {
    return checked(path, await probeHere(path, file));
  } catch (thrown) {
    if (thrown instanceof PusaError) throw thrown;
    const ffmpeg = await findFfmpeg();
    if (ffmpeg === null) throw broken(path, thrown);
    return checked(path, await probeByTool(path, file, ffmpeg));
  }
}

/** The error for a video that cannot be read. */
export function broken(path: string, cause: unknown): PusaError {
  return new PusaError(
    'MEDIA_UNREADABLE',
    `“${basename(path)}” is damaged or incomplete and cannot be read.`,
    'Copy or download it again, or convert it to H.264 in mp4.',
    { cause },
  );
}

type Facts = Omit<MediaProbe, 'kind' | 'bytes'>;

/** Refuses what the contract or the machine could not hold, and numbers no video has. */
function checked(path: string, facts: Facts & { bytes: number }): MediaProbe {
  const { width, height, duration } = facts;
  const name = basename(path);
  if (width * height > limits.framePixels || width > limits.side || height > limits.side) {
    throw new PusaError(
      'FILE_TOO_LARGE',
      `The frames of “${name}” are ${width} × ${height} pixels, more than can be read.`,
      `Scale it down to at most ${Math.floor(limits.framePixels / 1e6)} million pixels.`,
    );
  }
  if (duration > limits.seconds) {
    throw new PusaError('FILE_TOO_LARGE', `“${name}” lasts more than a day.`, 'Cut out the part you need.');
  }
  const whole = [width, height].every((side) => Number.isInteger(side) && side > 0);
  if (!whole || !(duration >= 0) || !(facts.fps > 0 && facts.fps <= 1000)) {
    throw broken(path, new Error(`size ${width} × ${height}, rate ${facts.fps}, duration ${duration}`));
  }
  return { kind: 'video', ...facts };
}

async function probeHere(path: string, file: VideoFile): Promise<Facts & { bytes: number }> {
  const input = new Input({ formats: ownFormats, source: new FilePathSource(path) });
  try {
    return await within(60, readTracks(path, file, input));
  } finally {
    input.dispose();
  }
}

async function readTracks(path: string, file: VideoFile, input: Input): Promise<Facts & { bytes: number }> {
  const [tracks, sounds] = [await input.getVideoTracks(), await input.getAudioTracks()];
  const track = tracks[0];
  if (track === undefined) {
    if (sounds.length > 0) throw noPictures(path);
    throw new Error('no tracks');
  }
  const sink = new EncodedPacketSink(track);
  // Read with its bytes: a file that was cut short has an index that points past its end.
  const last = await sink.getPacket(Infinity);
  if (last === null) throw broken(path, new Error('the last frame lies beyond the end of the file'));
  // Frames before zero are not shown: an edit cut them away.
  const start = Math.max(0, await track.getFirstTimestamp());
  const duration = (await track.computeDuration()) - start;
  const frames = file.content.demuxer === 'mov' ? (await track.computePacketStats()).packetCount : undefined;
  return {
    width: await track.getDisplayWidth(),
    height: await track.getDisplayHeight(),
    fps: await rateOf(track, duration, frames),
    duration,
    ...(frames === undefined ? {} : { frames }),
    rotation: await track.getRotation(),
    flip: await track.getFlip(),
    codec: await codecOf(track),
    hasAudio: sounds.length > 0,
    colour: colourOf(await track.getColorSpace()),
    bytes: file.bytes,
    lastFrame: Math.max(0, last.timestamp - start),
  };
}

async function rateOf(track: InputVideoTrack, duration: number, frames: number | undefined): Promise<number> {
  const metrics = await track.computeFrameRateMetrics();
  // One frame has no rate but its own length.
  if (metrics.probedPacketCount < 2) return duration > 0 ? Math.min(1000, 1 / duration) : 1;
  const mean = frames !== undefined && duration > 0 ? frames / duration : metrics.averageFrameRate;
  return Math.min(1000, metrics.underlyingFrameRate ?? mean);
}

async function codecOf(track: InputVideoTrack): Promise<string> {
  const codec = await track.getCodec();
  if (codec === 'avc') return 'h264';
  if (codec !== null) return codec;
  const id = await track.getInternalCodecId();
  return typeof id === 'string' && /^[\x20-\x7e]{1,40}$/.test(id) ? id : 'unknown';
}

const optional = z.string().nullish();
const colourSchema = z.object({ matrix: optional, transfer: optional, fullRange: z.boolean().nullish() });

function colourOf(stated: unknown): Colour {
  const { matrix, transfer, fullRange } = colourSchema.parse(stated);
  return colourFromNames(matrix, transfer, fullRange === true ? 'pc' : fullRange === false ? 'tv' : null);
}

/** Colour from the names ffmpeg and WebCodecs use. */
export function colourFromNames(
  matrix: string | null | undefined,
  transfer: string | null | undefined,
  range: string | null | undefined,
): Colour {
  const matrices: Readonly<Record<string, Colour['matrix']>> = {
    bt709: 'bt709',
    smpte170m: 'bt601',
    bt470bg: 'bt601',
    rgb: 'rgb',
    gbr: 'rgb',
    'bt2020-ncl': 'bt2020',
    bt2020nc: 'bt2020',
    bt2020c: 'bt2020',
  };
  const transfers: Readonly<Record<string, Colour['transfer']>> = {
    pq: 'pq',
    smpte2084: 'pq',
    hlg: 'hlg',
    'arib-std-b67': 'hlg',
  };
  return {
    matrix: matrices[matrix ?? ''] ?? 'unknown',
    range: range === 'pc' ? 'full' : range === 'tv' ? 'limited' : 'unknown',
    transfer: transfers[transfer ?? ''] ?? 'sdr',
  };
}

const streamSchema = z.object({
  codec_type: z.string(),
  codec_name: z.string().optional(),
  width: z.int().optional(),
  height: z.int().optional(),
  sample_aspect_ratio: z.string().optional(),
  avg_frame_rate: z.string().optional(),
  r_frame_rate: z.string().optional(),
  duration: z.coerce.number().optional(),
  nb_frames: z.coerce.number().optional(),
  color_space: z.string().optional(),
  color_transfer: z.string().optional(),
  color_range: z.string().optional(),
  disposition: z.object({ attached_pic: z.number().optional() }).optional(),
  side_data_list: z.array(z.object({ rotation: z.number().optional() })).optional(),
});
const answerSchema = z.object({
  streams: z.array(streamSchema),
  format: z.object({ duration: z.coerce.number().optional() }).optional(),
});

async function probeByTool(
  path: string,
  file: VideoFile,
  ffmpeg: { readonly ffprobe: string | null },
): Promise<Facts & { bytes: number }> {
  if (ffmpeg.ffprobe === null) {
    throw new PusaError(
      'FFMPEG_MISSING',
      `Reading “${basename(path)}” needs ffprobe, which was not found beside ffmpeg.`,
      'Install the complete ffmpeg package; ffprobe is a part of it.',
    );
  }
  const result = await runTool(ffmpeg.ffprobe, [
    ...['-v', 'error', '-protocol_whitelist', 'file', '-f', file.content.demuxer],
    ...['-show_streams', '-show_format', '-of', 'json', '-i', `file:${path}`],
  ]);
  if (result.code !== 0) throw broken(path, new Error(lastComplaint(result.stderr)));
  const answer = parseAnswer(path, result.stdout);
  const video = answer.streams.find(
    ({ codec_type, disposition }) => codec_type === 'video' && disposition?.attached_pic !== 1,
  );
  if (video === undefined) throw noPictures(path);
  const [wide, high] = ratio(video.sample_aspect_ratio, ':') ?? [1, 1];
  const counterclockwise =
    video.side_data_list?.find(({ rotation }) => rotation !== undefined)?.rotation ?? 0;
  const rotation = quarterTurn(-counterclockwise);
  const width = Math.round((video.width ?? 0) * (wide > high ? wide / high : 1));
  const height = Math.round((video.height ?? 0) * (high > wide ? high / wide : 1));
  const duration = video.duration ?? answer.format?.duration ?? 0;
  const [count, per] = ratio(video.avg_frame_rate, '/') ?? ratio(video.r_frame_rate, '/') ?? [0, 1];
  const frames = video.nb_frames;
  return {
    width: rotation % 180 === 0 ? width : height,
    height: rotation % 180 === 0 ? height : width,
    fps: count / per,
    duration,
    ...(frames === undefined || !Number.isInteger(frames) || frames < 1 ? {} : { frames }),
    rotation,
    flip: false,
    codec: video.codec_name ?? 'unknown',
    hasAudio: answer.streams.some(({ codec_type }) => codec_type === 'audio'),
    colour: colourFromNames(video.color_space, video.color_transfer, video.color_range),
    bytes: file.bytes,
  };
}

function parseAnswer(path: string, text: string): z.infer<typeof answerSchema> {
  try {
    return answerSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw broken(path, cause);
  }
}

function ratio(text: string | undefined, separator: string): [number, number] | null {
  const parts = (text ?? '').split(separator).map(Number);
  const [above, below] = parts;
  return above !== undefined && below !== undefined && above > 0 && below > 0 ? [above, below] : null;
}

function quarterTurn(degrees: number): MediaProbe['rotation'] {
  const turns = ((Math.round(degrees / 90) % 4) + 4) % 4;
  return ([0, 90, 180, 270] as const)[turns]!;
}

function noPictures(path: string): PusaError {
  return new PusaError(
    'MEDIA_UNSUPPORTED',
    `“${basename(path)}” has sound but no pictures.`,
    'Add a picture or a video.',
  );
}

/** Fails after a time: a hostile index must not keep a person waiting. */
async function within<T>(seconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer within ${seconds} seconds`));
    }, seconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    // Once late, its own failure is of no interest any more.
    work.catch(() => undefined);
  }
}
