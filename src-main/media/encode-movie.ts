import { spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { PusaError } from '../core/errors.ts';
import type { TakeOutput } from './encode.ts';
import type { MovieEncoder } from './output.ts';
import { cannotStart, lastComplaint } from './tools.ts';

/** Longest wait, in seconds, for ffmpeg to take one frame or to finish. */
const patience = 600;

/**
 * Writes mp4 or webm by ffmpeg, as a separate process fed with raw frames. The picture is YUV 4:2:0 in BT.709 of
 * limited range, converted and tagged so; an mp4's index stands at its start.
 * @param sound file from `writeSound`, of the same format
 * @throws PusaError DISK_FULL, WRITE_FAILED, FFMPEG_MISSING
 */
export async function writeMovie(
  output: TakeOutput,
  format: 'mp4' | 'webm',
  { ffmpeg, codec }: MovieEncoder,
  path: string,
  sound: string | null,
): Promise<void> {
  const { width, height, fps, frames } = output;
  // By a file: the description may be longer than a command line.
  const tags = `${path}.tags`;
  await writeFile(tags, `;FFMETADATA1\n${tagLines(output)}`);
  try {
    await feed(ffmpeg.path, frames, [
      ...['-hide_banner', '-nostats', '-loglevel', 'error', '-y', '-protocol_whitelist', 'file,pipe'],
      ...['-f', 'rawvideo', '-pixel_format', 'rgb24', '-video_size', `${width}x${height}`],
      ...['-framerate', rate(fps), '-i', 'pipe:0', '-f', 'ffmetadata', '-i', `file:${tags}`],
      ...(sound === null ? [] : ['-f', format === 'mp4' ? 'mov' : 'matroska', '-i', `file:${sound}`]),
      ...['-map', '0:v', '-map_metadata', '1'],
      ...(sound === null ? [] : ['-map', '2:a', '-c:a', 'copy']),
      '-vf',
      'scale=out_color_matrix=bt709:out_range=tv:flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp,format=yuv420p',
      ...codecArguments(codec, output),
      ...['-colorspace', 'bt709', '-color_primaries', 'bt709', '-color_trc', 'bt709', '-color_range', 'tv'],
      ...(format === 'mp4' ? ['-movflags', '+faststart'] : []),
      ...['-f', format, `file:${path}`],
    ]);
  } finally {
    await rm(tags, { force: true });
  }
}

function tagLines({ metadata, title }: TakeOutput): string {
  const tags = { ...(title === undefined ? {} : { title }), comment: metadata };
  return Object.entries(tags)
    .map(([name, text]) => `${name}=${text.replace(/[=;#\\\n]/g, '\\$&')}\n`)
    .join('');
}

/** Rate as ffmpeg takes it: film and television rates as the fractions they stand for. */
export function rate(fps: number): string {
  const base = Math.round(fps * 1.001);
  return Math.abs(fps - base / 1.001) < 1e-3 && !Number.isInteger(fps) ? `${base * 1000}/1001` : String(fps);
}

function codecArguments(codec: MovieEncoder['codec'], { width, height, fps }: TakeOutput): readonly string[] {
  // A key frame every two seconds keeps scrubbing quick.
  const group = ['-g', String(Math.max(1, Math.round(fps * 2)))];
  switch (codec) {
    case 'libx264':
      return ['-c:v', codec, '-preset', 'medium', '-crf', '16', ...group];
    case 'libopenh264':
      // It has no constant quality: 0.2 bits per pixel look like the others.
      return ['-c:v', codec, '-b:v', String(Math.round(width * height * fps * 0.2)), ...group];
    case 'libvpx-vp9':
      return ['-c:v', codec, '-crf', '18', '-b:v', '0', '-cpu-used', '2', '-row-mt', '1', ...group];
  }
}

/**
 * Runs an ffmpeg that reads its standard input and writes a file, to its end.
 * @param frames what it reads, piece by piece; it is ended when they fail
 * @throws PusaError DISK_FULL, WRITE_FAILED, FFMPEG_MISSING; whatever `frames` throws
 */
export async function feed(
  tool: string,
  frames: AsyncIterable<Uint8Array>,
  args: readonly string[],
): Promise<void> {
  // Without -xerror some versions report success when the disk is full at the very end.
  const child = spawn(tool, ['-xerror', ...args], { stdio: ['pipe', 'ignore', 'pipe'], windowsHide: true });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000);
  });
  // A write to a process that has ended; why it ended is in what it said.
  child.stdin.on('error', () => undefined);
  const closed = new Promise<number | PusaError | null>((done) => {
    child.once('error', (cause) => {
      done(cannotStart(tool, cause));
    });
    child.once('close', done);
  });
  let timer: NodeJS.Timeout | undefined;
  const watch = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      said += `\nno progress within ${patience} seconds`;
      child.kill('SIGKILL');
    }, patience * 1000);
  };
  try {
    for await (const frame of frames) {
      watch();
      const taken = new Promise<boolean>((done) => {
        child.stdin.write(frame, (error) => {
          done(error === null || error === undefined);
        });
      });
      const went = await Promise.race([taken, closed.then(() => false)]);
      clearTimeout(timer);
      if (!went) break;
    }
    watch();
    child.stdin.end();
    const ending = await closed;
    if (ending instanceof PusaError) throw ending;
    if (ending !== 0) throw failure(said);
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
    await closed;
  }
}

function failure(said: string): PusaError {
  if (/no space left|disk quota/i.test(said)) {
    return new PusaError(
      'DISK_FULL',
      'The disk is full.',
      'Free some space and export again; the take is kept.',
    );
  }
  return new PusaError(
    'WRITE_FAILED',
    `The video could not be written by ffmpeg (${lastComplaint(said)}).`,
    'Choose another folder or format; the take is kept.',
  );
}
