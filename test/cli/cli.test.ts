import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { providerOrder } from '../../src-main/engine/runtime/providers.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planSchema, takeSchema } from '../../src-main/core/contract/job.ts';
import { formatSeconds, progressLine } from '../../src-main/cli/terminal.ts';
import { probeMedia } from '../../src-main/media/probe.ts';
import { root } from '../support/places.ts';

const cli = join(root, 'out/main/cli.js');
const samples = join(root, 'resources/samples');
const picture = join(samples, 'media/green-cube.png');
const hasFfmpeg = spawnSync('ffmpeg', ['-version']).status === 0;
if (!hasFfmpeg) process.stderr.write('SKIPPED: renders with a video source: ffmpeg is not installed.\n');

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pusa-cli-'));
});

afterAll(() => rm(folder, { recursive: true }));

function pusa(...args: string[]): { status: number | null; out: string; err: string } {
  const env = { ...process.env, XDG_DATA_HOME: join(folder, 'data') };
  const done = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8', cwd: folder, env });
  return { status: done.status, out: done.stdout, err: done.stderr };
}

describe('render', () => {
  it.skipIf(!hasFfmpeg)('makes a playable mp4 of the sample project, a picture and a clip', async () => {
    const { status, err } = pusa('render', join(samples, 'first.pusa'), 'first.mp4');
    expect(err).toContain('Denoising');
    expect(status).toBe(0);
    const probe = await probeMedia(join(folder, 'first.mp4'));
    expect([probe.codec, probe.width, probe.height, probe.fps]).toEqual(['h264', 96, 96, 8]);
    expect(probe.duration).toBeCloseTo(17 / 8, 2);
    expect(existsSync(join(folder, 'first.mp4.job'))).toBe(false);
  });

  it('tells what a file was made with, and makes the same again from it', () => {
    expect(
      pusa('render', 'a.gif', '--image', picture, '--prompt', 'sails', '--seed', '11', '--steps', '2').status,
    ).toBe(0);
    const take = takeSchema.parse(JSON.parse(pusa('info', 'a.gif', '--json').out));
    expect([take.prompt, take.sampler.seed, take.sampler.steps]).toEqual(['sails', 11, 2]);
    expect(pusa('info', 'a.gif', '--project', 'again.pusa').status).toBe(0);
    const plan: unknown = JSON.parse(pusa('render', 'again.pusa', '--dry-run', '--json').out);
    expect(planSchema.parse(plan)).toEqual(take.plan);
  });

  it('prints the plan as a table without making anything', () => {
    const { status, out } = pusa(
      'render',
      'x.mp4',
      '--image',
      picture,
      '--marks',
      '0=fixed',
      '--steps',
      '4',
      '--shift',
      '5',
      '--dry-run',
    );
    expect(status).toBe(0);
    expect(out).toMatch(/step 1 +σ 1\.0000 +0· +1000 +1000 +1000 +1000/);
    expect(out).toMatch(/step 4 +σ 0\.6250 +0· +625 +625 +625 +625/);
    expect(existsSync(join(folder, 'x.mp4'))).toBe(false);
  });

  it('goes on after being killed, and makes exactly the same', async () => {
    const wish = ['--image', picture, '--steps', '8', '--seed', '5', '--frames', '9'];
    expect(pusa('render', 'whole', ...wish).status).toBe(0);
    const child = spawn(process.execPath, [cli, 'render', 'cut', ...wish, '--json'], { cwd: folder });
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        if (/"phase":"denoise","done":[2-9]/.test(chunk.toString())) child.kill('SIGKILL');
      });
      child.once('exit', () => resolve());
    });
    expect(child.signalCode).toBe('SIGKILL');
    expect(existsSync(join(folder, 'cut'))).toBe(false);
    expect(pusa('render', 'cut', ...wish, '--resume').status).toBe(0);
    const whole = await readdir(join(folder, 'whole'));
    expect(whole).toHaveLength(9);
    for (const name of whole) {
      const pixels = (part: string): Promise<Buffer> =>
        sharp(join(folder, part, name))
          .raw()
          .toBuffer();
      expect((await pixels('cut')).equals(await pixels('whole'))).toBe(true);
    }
  });
});

it.each([
  [['render'], 2, 'missing required argument'],
  [['render', 'x.mp4', '--frames', '18'], 2, 'the nearest are 17 and 21'],
  [['render', 'x.mp4', '--size', '100x100'], 2, 'multiples of 16'],
  [['render', 'x.mp4', '--seed', '-1'], 2, 'whole number'],
  [['render', 'x.mp4', '--cfg', 'NaN'], 2, 'must be a number'],
  [['render', 'a.mp4', 'b.mp4'], 2, 'PROJECT.pusa and OUTPUT'],
  [['render', join(samples, 'first.pusa'), 'x.mp4', '--image', picture], 2, 'USAGE'],
  [['render', 'none.pusa', 'x.mp4'], 3, 'FILE_NOT_FOUND'],
  [['render', 'x.mp4', '--image', 'none.png'], 3, 'FILE_NOT_FOUND'],
  [['render', 'x.mp4', '--marks', '0=fixed'], 3, 'FIXED_WITHOUT_SOURCE'],
  [['render', 'x.mp4', '--marks', '5=NaN'], 3, 'MARK_INVALID'],
  [['render', 'x.mp4', '--marks', '99=fixed'], 3, 'MARK_INVALID'],
  [['render', 'x.mp4', '--preset', 'start-end', '--image', picture], 3, 'NO_SOURCE_AT_ALL'],
  [['render', 'x.mp4', '--model', '../../etc'], 3, 'MODEL_NOT_FOUND'],
  [['render', 'x.mp4', '--resume'], 3, 'JOB_INVALID'],
  [['render', 'x.avi'], 3, 'OUTPUT_UNSUPPORTED'],
  [['info', picture], 3, 'MEDIA_UNREADABLE'],
  [['nothing'], 2, 'unknown command'],
])('pusa %j ends with %i and says what to do', (args, status, text) => {
  const done = pusa(...args);
  expect(done.err).toContain(text);
  expect(done.status).toBe(status);
  expect(done.err).not.toMatch(/\n\s+at /);
});

it('reports on the machine', () => {
  const { status, out } = pusa('doctor');
  expect(status).toBe(0);
  // The quickest first, and one that is chosen.
  const devices = out.split('\n').filter((line) => line.startsWith('Runs on'));
  expect(devices.map((line) => /^Runs on (\w+)/.exec(line)![1]!).sort()).toEqual(
    [...providerOrder(process.platform)].sort(),
  );
  expect(devices[0]).toMatch(/^Runs on \w+ +yes,.*, chosen$/);
  expect(out).toMatch(/Runs on cpu +yes, \d+ GFLOP\/s/);
});

it('says progress and time as a person would', () => {
  expect([0.2, 59, 61, 3700].map(formatSeconds)).toEqual(['1 s', '59 s', '1 min 1 s', '1 h 1 min']);
  expect(progressLine({ phase: 'denoise', done: 3, total: 10, secondsLeft: 12, fraction: 0.25 }, 8)).toBe(
    'Denoising          ██░░░░░░ 3 of 10 · 12 s left',
  );
});
