import { spawn } from 'node:child_process';
import { basename } from 'node:path';
import { PusaError } from '../core/errors.ts';
import { feed } from './encode-movie.ts';
import { notMedia } from './picture.ts';
import { sniffFile } from './sniff.ts';
import { cannotStart, lastComplaint, requireFfmpeg, type Ffmpeg } from './tools.ts';

/** A stretch of a file's own sound and when it is heard. Stretches come in order and do not overlap. */
export interface SoundPart {
  /** A video with sound. */
  readonly path: string;
  /** Second on the file's own clock at which it begins: `FrameSource.origin` + seconds after the first frame. */
  readonly sourceStart: number;
  /** Seconds of the result. */
  readonly start: number;
  readonly end: number;
}

/** The sound of a whole result: silence where no part lies. */
export interface Sound {
  readonly parts: readonly SoundPart[];
  /** Length of the result. */
  readonly seconds: number;
}

const rate = 48_000;
/** Two channels of 16 bits. */
const sampleBytes = 4;
/** Longest wait, in seconds, for a piece of sound before ffmpeg counts as hung. */
const patience = 120;
/** Seconds decoded before a part: a decoder needs some to be right. */
const runIn = 1;

/**
 * Writes the sound of a result as a file of its own, stereo at 48 kHz: AAC in mp4 or Opus in webm. Parts are cut to
 * the sample, so that nothing drifts; memory does not grow with their length.
 * @throws PusaError FFMPEG_MISSING, OUTPUT_UNSUPPORTED (no such encoder), MEDIA_UNREADABLE, DISK_FULL, WRITE_FAILED; the signal's reason
 */
export async function writeSound(
  sound: Sound,
  format: 'mp4' | 'webm',
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  const ffmpeg = await requireFfmpeg('Passing the sound of clips through');
  const encoder = { mp4: 'aac', webm: 'libopus' }[format];
  if (!ffmpeg.encoders.has(encoder)) {
    throw new PusaError(
      'OUTPUT_UNSUPPORTED',
      `The ffmpeg found here was built without ${encoder}, which the sound of ${format} needs.`,
      'Export without sound, or install a complete ffmpeg.',
    );
  }
  await feed(ffmpeg.path, samples(ffmpeg, sound, signal), [
    ...['-hide_banner', '-nostats', '-loglevel', 'error', '-y', '-protocol_whitelist', 'file,pipe'],
    ...['-f', 's16le', '-ar', String(rate), '-ac', '2', '-i', 'pipe:0'],
    ...['-c:a', encoder, '-b:a', '192k', '-f', format, `file:${path}`],
  ]);
}

/** The whole sound as samples, from start to end. */
async function* samples(
  ffmpeg: Ffmpeg,
  { parts, seconds }: Sound,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void> {
  let at = 0;
  for (const part of parts) {
    signal?.throwIfAborted();
    const [start, end] = [Math.round(part.start * rate), Math.round(part.end * rate)];
    if (end <= start) continue;
    yield* silence((start - at) * sampleBytes);
    yield* decode(ffmpeg, part, (end - start) * sampleBytes);
    at = end;
  }
  yield* silence((Math.round(seconds * rate) - at) * sampleBytes);
}

function* silence(bytes: number): Generator<Uint8Array, void> {
  const zeros = new Uint8Array(Math.min(Math.max(0, bytes), 2 ** 20));
  for (let left = bytes; left > 0; left -= zeros.length) yield zeros.subarray(0, left);
}

/** Samples of one part, exactly as many as asked for: silence before its sound begins and after it has ended. */
async function* decode(
  ffmpeg: Ffmpeg,
  { path, sourceStart }: SoundPart,
  bytes: number,
): AsyncGenerator<Uint8Array, void> {
  const { content } = await sniffFile(path);
  if (content.is !== 'video') throw notMedia(basename(path), content);
  const seek = sourceStart - runIn;
  const filters = [
    `atrim=start=${sourceStart.toFixed(6)}`,
    `asetpts=PTS-${sourceStart.toFixed(6)}/TB`,
    // Missing stretches become silence, so that what follows stays in its place.
    `aresample=${rate}:async=1:first_pts=0`,
    'aformat=sample_fmts=s16:channel_layouts=stereo',
  ];
  const child = spawn(
    ffmpeg.path,
    [
      ...['-hide_banner', '-nostdin', '-nostats', '-loglevel', 'error', '-copyts'],
      ...['-protocol_whitelist', 'file', '-f', content.demuxer],
      ...(seek > runIn ? ['-noaccurate_seek', '-seek_timestamp', '1', '-ss', seek.toFixed(6)] : []),
      ...['-i', `file:${path}`, '-map', '0:a:0', '-vn', '-sn', '-dn', '-af', filters.join(',')],
      ...['-f', 's16le', '-ar', String(rate), '-ac', '2', 'pipe:1'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true },
  );
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('latin1')).slice(-2000);
  });
  const closed = new Promise<number | PusaError | null>((done) => {
    child.once('error', (cause) => {
      done(cannotStart(ffmpeg.path, cause));
    });
    child.once('close', done);
  });
  const stop = (): void => {
    said += `\nno sound within ${patience} seconds`;
    child.kill('SIGKILL');
  };
  let timer = setTimeout(stop, patience * 1000);
  let left = bytes;
  try {
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      const piece = chunk.subarray(0, left);
      left -= piece.length;
      yield piece;
      if (left === 0) break;
      timer = setTimeout(stop, patience * 1000);
    }
    clearTimeout(timer);
    if (left > 0) {
      const ending = await closed;
      if (ending instanceof PusaError) throw ending;
      if (ending !== 0) throw unreadable(path, said);
    }
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
    await closed;
  }
  yield* silence(left);
}

function unreadable(path: string, said: string): PusaError {
  return new PusaError(
    'MEDIA_UNREADABLE',
    `The sound of “${basename(path)}” cannot be read (${lastComplaint(said)}).`,
    'Export without sound, or convert the clip to H.264 and AAC in mp4.',
  );
}
