import { spawn } from 'node:child_process';
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, dirname, join, resolve } from 'node:path';
import { PusaError } from '../core/errors.ts';

/** An ffmpeg on this machine. It is always a separate process: none of its code is part of the application. */
export interface Ffmpeg {
  readonly path: string;
  /** The ffprobe beside it or on the PATH; null where there is none. */
  readonly ffprobe: string | null;
  /** Names of the encoders and filters it was built with. */
  readonly encoders: ReadonlySet<string>;
  readonly filters: ReadonlySet<string>;
  /** Arguments that pass every frame on with its own timestamp; the option was renamed in ffmpeg 5.1. */
  readonly passTimestamps: readonly string[];
}

const executable = process.platform === 'win32' ? (name: string) => `${name}.exe` : (name: string) => name;
const described = new Map<string, Promise<Ffmpeg | null>>();

/**
 * The ffmpeg to use: the file named by the environment variable PUSA_FFMPEG, else the first on the PATH.
 * @returns null where there is none, or the one named does not start
 */
export async function findFfmpeg(): Promise<Ffmpeg | null> {
  const named = process.env['PUSA_FFMPEG'];
  const path = named ? ((await isExecutable(named)) ? resolve(named) : null) : await onPath('ffmpeg');
  if (path === null) return null;
  let description = described.get(path);
  if (description === undefined) {
    description = describe(path);
    described.set(path, description);
  }
  return description;
}

/**
 * As {@link findFfmpeg}, for work that cannot be done without it.
 * @param purpose what needs it, as the start of a sentence: "Reading frames of a video"
 * @throws PusaError FFMPEG_MISSING
 */
export async function requireFfmpeg(purpose: string): Promise<Ffmpeg> {
  const ffmpeg = await findFfmpeg();
  if (ffmpeg !== null) return ffmpeg;
  const named = process.env['PUSA_FFMPEG'];
  throw new PusaError(
    'FFMPEG_MISSING',
    named
      ? `${purpose} needs ffmpeg, and PUSA_FFMPEG names “${named}”, which cannot be started.`
      : `${purpose} needs ffmpeg, which was not found on the PATH.`,
    named
      ? 'Correct or clear the environment variable PUSA_FFMPEG.'
      : 'Install ffmpeg (ffmpeg.org) so that it is on the PATH, or set PUSA_FFMPEG to its file.',
  );
}

/** What a finished process left behind. */
export interface ToolResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end.
 * @param limits seconds it may take and bytes of output it may write; past either it is killed
 * @throws PusaError MEDIA_UNREADABLE past a limit, FFMPEG_MISSING if it does not start
 */
export function runTool(
  path: string,
  args: readonly string[],
  limits: { seconds: number; bytes: number } = { seconds: 60, bytes: 16 * 2 ** 20 },
): Promise<ToolResult> {
  return new Promise((done, fail) => {
    const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let bytes = 0;
    let exceeded: string | null = null;
    const stop = (why: string): void => {
      exceeded ??= why;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(() => {
      stop(`took longer than ${limits.seconds} seconds`);
    }, limits.seconds * 1000);
    const collect = (into: Buffer[]) => (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > limits.bytes) stop('answered without end');
      else into.push(chunk);
    };
    child.stdout.on('data', collect(out));
    child.stderr.on('data', collect(err));
    child.once('error', (cause) => {
      clearTimeout(timer);
      fail(cannotStart(path, cause));
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      if (exceeded !== null) {
        fail(
          new PusaError(
            'MEDIA_UNREADABLE',
            `The file could not be read: ffmpeg ${exceeded} and was stopped.`,
            'Check that the file plays elsewhere, or convert it to H.264 in mp4.',
          ),
        );
      } else {
        done({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() });
      }
    });
  });
}

/** The error of a program that is there but does not start. */
export function cannotStart(path: string, cause: unknown): PusaError {
  return new PusaError(
    'FFMPEG_MISSING',
    `The program “${path}” could not be started.`,
    'Install ffmpeg again (ffmpeg.org), or set PUSA_FFMPEG to another one.',
    { cause },
  );
}

/** The last line of a tool's complaint that says something, at most 300 characters, for an error's message. */
export function lastComplaint(stderr: string): string {
  const line = stderr
    .split(/\r?\n|\r/)
    .map((text) => text.replace(/^\[[^\]]*\]\s*/, '').trim())
    .filter((text) => text !== '')
    .at(-1);
  return (line ?? 'no reason given').slice(0, 300);
}

async function describe(path: string): Promise<Ffmpeg | null> {
  try {
    const [version, encoders, filters] = await Promise.all(
      ['-version', '-encoders', '-filters'].map((question) => runTool(path, ['-hide_banner', question])),
    );
    if (version?.code !== 0 || encoders?.code !== 0 || filters?.code !== 0) return null;
    const beside = join(dirname(path), executable('ffprobe'));
    // A build from source control has a hash for a version; it is newer than the option's new name.
    const release = /^ffmpeg version n?(\d+)\.(\d+)/.exec(version.stdout);
    const old =
      release !== null && (Number(release[1]) < 5 || (release[1] === '5' && Number(release[2]) < 1));
    return {
      path,
      ffprobe: (await isExecutable(beside)) ? beside : await onPath('ffprobe'),
      encoders: names(encoders.stdout),
      filters: names(filters.stdout),
      passTimestamps: old ? ['-vsync', '0'] : ['-fps_mode', 'passthrough'],
    };
  } catch {
    return null;
  }
}

/** Second word of each line of ffmpeg's lists: " V....D libx264   libx264 H.264 …". */
function names(list: string): ReadonlySet<string> {
  return new Set(Array.from(list.matchAll(/^ [A-Z.|]{2,6} +(\S+) /gm), (match) => match[1]!));
}

async function onPath(name: string): Promise<string | null> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    if (folder === '') continue;
    const path = resolve(folder, executable(name));
    if (await isExecutable(path)) return path;
  }
  return null;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
