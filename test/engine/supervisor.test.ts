import { execFileSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { phases, progressSchema, type Progress } from '../../src-main/core/contract/job.ts';
import type { Result } from '../../src-main/engine/pipeline/result.ts';
import { deviceLostCode, parseEngineMessage, type Preview } from '../../src-main/engine/protocol.ts';
import {
  createSupervisor,
  type RenderOptions,
  type Supervisor,
  type SupervisorOptions,
} from '../../src-main/engine/supervisor.ts';
import { nodeFork, type EngineChild } from '../../src-main/engine/transport.ts';
import { openPackage } from '../../src-main/engine/weights/package.ts';
import { outcomeOf, smallJob, smallUnits, type SmallJob } from './jobs.ts';
import { killing, pointIn, seeded } from './kill.ts';

const entry = join(import.meta.dirname, '../../src-main/engine/process.ts');
const packageFolder = join(import.meta.dirname, '../fixtures/models/test-pattern');
const steps = 4;

let root: string;
let model: SmallJob['model'];
/** Of an undisturbed run. */
let reference: {
  folder: string;
  result: Result;
  outcome: Record<string, string>;
};
const progress: Progress[] = [];
const previews: Preview[] = [];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'pusa-supervisor-'));
  const { manifest } = await openPackage(packageFolder);
  model = { id: manifest.id, hash: manifest.hash };
  const folder = await newJob('reference');
  const result = await render(folder, {
    onProgress: (p) => progress.push(p),
    onPreview: (p) => previews.push(p),
  });
  reference = { folder, result, outcome: outcomeOf(folder, steps) };
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function newJob(name: string, options: Partial<SmallJob> = {}, below = root): Promise<string> {
  const folder = join(below, name);
  await smallJob(folder, { model, ...options });
  return folder;
}

function supervisor(options: Partial<SupervisorOptions> = {}): Supervisor {
  return createSupervisor({ entry, backoffMs: [10, 10], ...options });
}

/** Renders on the CPU with a supervisor of its own. */
async function render(
  folder: string,
  { supervisor: options = {}, ...rest }: RenderOptions & { supervisor?: Partial<SupervisorOptions> } = {},
): Promise<Result> {
  const own = supervisor(options);
  try {
    return await own.render(folder, packageFolder, { provider: 'cpu', ...rest });
  } finally {
    await own.close();
  }
}

describe('an undisturbed render', () => {
  test('reports what it does: phases in order, a share that never falls, seconds once measured', () => {
    const order = progress.map(({ phase }) => phases.indexOf(phase));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(new Set(progress.map(({ phase }) => phase))).toEqual(
      new Set(['load', 'text', 'sources', 'denoise', 'decode']),
    );
    let last = 0;
    for (const seen of progress) {
      expect(progressSchema.parse(seen)).toEqual(seen);
      expect(seen.fraction).toBeGreaterThanOrEqual(last);
      last = seen.fraction;
    }
    expect(progress[0]!.secondsLeft).toBeNull();
    expect(
      progress.filter(({ phase }) => phase === 'decode').every(({ secondsLeft }) => secondsLeft !== null),
    ).toBe(true);
    const doneSteps = progress.filter(({ phase }) => phase === 'denoise').map(({ done }) => done);
    expect([...new Set(doneSteps)]).toEqual([0, 1, 2, 3, 4]);
  });

  test('shows a preview after each step', () => {
    expect(previews.length).toBe(steps);
    for (const { cells, width, height, rgb } of previews) {
      expect([cells, width, height]).toEqual([5, 10, 6]);
      expect(rgb.length).toBe(5 * 10 * 6 * 3);
    }
    expect(previews[0]!.rgb).not.toEqual(previews[steps - 1]!.rgb);
  });

  test('gives frames, originals as they were, and a result that fits', () => {
    const { folder, result } = reference;
    expect(result).toMatchObject({
      jobId: 'job-1',
      width: 80,
      height: 48,
      frames: 17,
      provider: 'cpu',
      partial: false,
      stepsDone: 4,
      tiling: null,
      notes: [],
    });
    const size = 80 * 48 * 3;
    const frames = readFileSync(join(folder, 'frames.rgb'));
    const clip = readFileSync(join(folder, 'sources', '1.rgb'));
    expect(frames.length).toBe(17 * size);
    expect(frames.subarray(size, 5 * size).equals(clip.subarray(size, 5 * size))).toBe(true);
    expect(new Set(frames.subarray(6 * size)).size).toBeGreaterThan(20);
    // Only the two newest steps stay.
    expect(readdirSync(folder).filter((name) => name.startsWith('step-'))).toEqual([
      'step-3.bin',
      'step-4.bin',
    ]);
    expect(readdirSync(folder)).not.toContain('lock');
  });

  test('is not done again: the result is there', async () => {
    const seen: Progress[] = [];
    const again = await render(reference.folder, { onProgress: (p) => seen.push(p) });
    expect(again).toEqual(reference.result);
    expect(seen).toEqual([]);
  });
});

describe('an engine that is killed', () => {
  const random = seeded(2026);

  // Random points in every phase, some in the midst of writing; two of the five runs are killed twice.
  test.each([
    { phases: ['text'] },
    { phases: ['sources', 'denoise'] },
    { phases: ['denoise'] },
    { phases: ['denoise', 'decode'] },
    { phases: ['decode'] },
  ] as const)('in $phases resumes to the same bytes', async ({ phases: inPhases }) => {
    const folder = await newJob(`killed-${inPhases.join('-')}-${random(1e6)}`);
    const kills = inPhases.map((phase) => pointIn(phase, smallUnits(steps), random));
    const { fork, killed } = killing(nodeFork(), kills);
    const result = await render(folder, { supervisor: { fork } });
    expect(killed()).toBe(kills.length);
    expect(outcomeOf(folder, steps)).toEqual(reference.outcome);
    expect(result.latentsSha256).toBe(reference.result.latentsSha256);
  });

  test('again and again without progress ends with a sentence, and the job resumes later', async () => {
    const folder = await newJob('hopeless');
    const always = (path: string): EngineChild => {
      const child = nodeFork()(path);
      child.onMessage((message) => {
        if (parseEngineMessage(message).type === 'progress') child.kill();
      });
      return child;
    };
    await expect(render(folder, { supervisor: { fork: always } })).rejects.toMatchObject({
      code: 'ENGINE_CRASHED',
      message: expect.stringMatching(/3 times in a row.*SIGKILL.*memory/) as string,
    });
    await render(folder);
    expect(outcomeOf(folder, steps)).toEqual(reference.outcome);
  });

  test.each([
    ['exits', 'process.exit(3)', /exit code 3/],
    ['throws', 'throw new Error("no")', /exit code 1/],
    ['loses its device', `process.exit(${deviceLostCode})`, /graphics processor stopped answering/],
  ])('or that %s at once is tried three times', async (_, code, message) => {
    const script = join(root, 'broken.mjs');
    writeFileSync(script, code);
    let starts = 0;
    const fork = (path: string): EngineChild => {
      starts++;
      return nodeFork()(path);
    };
    const own = supervisor({ entry: script, fork });
    await expect(own.report()).rejects.toMatchObject({
      code: 'ENGINE_CRASHED',
      message: expect.stringMatching(message) as string,
    });
    expect(starts).toBe(3);
    await own.close();
  });

  test('by an error of nobody’s answers with it and ends; what comes next has a process of its own', async () => {
    const [flag, stray] = [join(root, 'strayed'), join(root, 'stray.mjs')];
    writeFileSync(
      stray,
      `import { existsSync, writeFileSync } from 'node:fs';
      process.on('message', (message) => {
        if (message.type !== 'measure' || existsSync(${JSON.stringify(flag)})) return;
        writeFileSync(${JSON.stringify(flag)}, '');
        throw new Error('stray');
      });`,
    );
    const own = supervisor({ fork: nodeFork({ execArgv: ['--import', pathToFileURL(stray).href] }) });
    await expect(own.measure('cpu')).rejects.toThrow('stray');
    const { pid } = own;
    expect((await own.measure('cpu')).provider).toBe('cpu');
    expect(own.pid).not.toBe(pid);
    await own.close();
  });

  test('by a driver while it starts is not started with that driver again', async () => {
    const script = join(root, 'driver.mjs');
    writeFileSync(
      script,
      `process.on('message', (message) => {
        if (message.type !== 'report') return;
        const avoided = message.avoid.map(({ provider }) => provider).join();
        if (avoided !== '') {
          const error = { code: 'INTERNAL', message: 'avoided ' + avoided, remedy: '' };
          process.send({ type: 'failed', id: message.id, error });
        } else process.send({ type: 'trying', provider: 'webgpu' }, () => process.exit(139));
      });`,
    );
    const own = supervisor({ entry: script });
    await expect(own.report()).rejects.toThrow('avoided webgpu');
    await own.close();
  });
});

describe('stopping', () => {
  test('a cancelled render answers at once, softly or by force, and resumes to the same bytes', async () => {
    const folder = await newJob('cancelled');
    for (const [phase, graceMs] of [
      ['sources', 60_000],
      ['denoise', 60_000],
      ['decode', 0],
    ] as const) {
      const abort = new AbortController();
      const rendering = render(folder, {
        supervisor: { graceMs },
        signal: abort.signal,
        onProgress: (seen) => {
          if (seen.phase === phase) abort.abort();
        },
      });
      await expect(rendering).rejects.toMatchObject({ code: 'CANCELLED' });
    }
    await expect(render(folder, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    await render(folder);
    expect(outcomeOf(folder, steps)).toEqual(reference.outcome);
  });

  test('stop and keep decodes what there is, even if the engine then dies', async () => {
    const folder = await newJob('kept');
    let killed = false;
    let child: EngineChild;
    const fork = (path: string): EngineChild => (child = nodeFork()(path));
    const own = supervisor({ fork });
    const result = await own.render(folder, packageFolder, {
      provider: 'cpu',
      // Asked before the first step: it is waited for.
      onProgress: ({ phase, done }) => {
        if (phase === 'sources') own.keep();
        if (phase === 'decode' && done === 2 && !killed) {
          killed = true;
          child.kill();
        }
      },
    });
    await own.close();
    expect(killed).toBe(true);
    expect(result).toMatchObject({ partial: true, stepsDone: 1, frames: 17 });
    const frames = readFileSync(join(folder, 'frames.rgb'));
    expect(frames.length).toBe(17 * 48 * 80 * 3);
    expect(result.framesSha256).not.toBe(reference.result.framesSha256);
    rmSync(join(folder, 'result.json'));
    rmSync(join(folder, 'frames.rgb'));
    expect(await render(folder)).toMatchObject({ framesSha256: result.framesSha256, partial: true });
  });

  test('one job has one engine, and a closed supervisor starts none', async () => {
    const folder = await newJob('busy');
    // This process stands for the other engine: it lives, and is not the one that asks.
    writeFileSync(
      join(folder, 'lock'),
      JSON.stringify({ pid: process.pid, started: '', host: { pid: process.pid, started: '' } }),
    );
    await expect(render(folder)).rejects.toMatchObject({ code: 'JOB_BUSY' });
    rmSync(join(folder, 'lock'));
    const own = supervisor();
    await own.close();
    await expect(own.render(folder, packageFolder)).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(own.pid).toBeUndefined();
  });
});

describe('damaged files', () => {
  const damages: [name: string, damage: (path: string) => void][] = [
    ['cut off', (path) => truncateSync(path, 100)],
    ['emptied', (path) => truncateSync(path, 0)],
    [
      'changed in one bit',
      (path) => {
        const bytes = readFileSync(path);
        bytes[bytes.length - 5]! ^= 4;
        writeFileSync(path, bytes);
      },
    ],
  ];

  test('are made again, never trusted', async () => {
    const own = supervisor();
    const names = [...Object.keys(reference.outcome), 'result.json', 'tiles.json'];
    for (const [i, name] of names.entries()) {
      for (const [j, [what, damage]] of damages.entries()) {
        // Each file meets one damage; over all files every damage is met several times.
        if (i % damages.length !== j) continue;
        const folder = join(root, `damaged-${i}-${j}`);
        cpSync(reference.folder, folder, { recursive: true });
        damage(join(folder, name));
        if (name.endsWith('.bin')) rmSync(join(folder, 'result.json'));
        await own.render(folder, packageFolder, { provider: 'cpu' });
        const outcome = outcomeOf(folder, steps);
        // The step before the last is only there in case the last is damaged.
        if (name === 'step-3.bin') outcome[name] = reference.outcome[name]!;
        expect(outcome, `${name} ${what}`).toEqual(reference.outcome);
      }
    }
    // Both steps gone: from the beginning.
    const folder = join(root, 'steps-gone');
    cpSync(reference.folder, folder, { recursive: true });
    truncateSync(join(folder, 'step-3.bin'), 50);
    truncateSync(join(folder, 'step-4.bin'), 50);
    rmSync(join(folder, 'result.json'));
    await own.render(folder, packageFolder, { provider: 'cpu' });
    expect(outcomeOf(folder, steps)).toEqual(reference.outcome);
    await own.close();
  });

  test('pixels or a model other than the job’s are refused', async () => {
    const own = supervisor();
    const folder = await newJob('other-pixels');
    const source = join(folder, 'sources', '0.rgb');
    const pixels = readFileSync(source);
    pixels[0]! ^= 1;
    writeFileSync(source, pixels);
    await expect(own.render(folder, packageFolder, { provider: 'cpu' })).rejects.toMatchObject({
      code: 'JOB_INVALID',
      message: expect.stringContaining('sources/0.rgb does not fit its hash') as string,
    });
    const other = await newJob('other-model', { model: { id: 'test-pattern', hash: 'f'.repeat(64) } });
    await expect(own.render(other, packageFolder, { provider: 'cpu' })).rejects.toMatchObject({
      code: 'JOB_MISMATCH',
    });
    await expect(own.render(folder, join(root, 'nowhere'), { provider: 'cpu' })).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
    });
    await expect(own.render(join(root, 'nowhere'), packageFolder)).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
    // An engine that refused still works.
    await expect(own.render(reference.folder, packageFolder, { provider: 'cpu' })).resolves.toEqual(
      reference.result,
    );
    await own.close();
  });
});

describe('a full disk', () => {
  const mount = join(tmpdir(), `pusa-full-disk-${process.pid}`);
  const mounted = mountSmallDisk(mount);
  if (!mounted) process.stdout.write('\nSKIPPED: a full disk: only root on Linux can mount a small one.\n');
  afterAll(() => {
    if (mounted) execFileSync('umount', [mount]);
    rmSync(mount, { recursive: true, force: true });
  });

  /** Leaves `free` bytes. */
  function fill(free: number): void {
    const file = openSync(join(mount, 'filler'), 'a');
    try {
      for (;;) {
        const { bavail, bsize } = statfsSync(mount);
        if (bavail * bsize <= free) break;
        writeSync(file, new Uint8Array(bsize));
      }
    } finally {
      closeSync(file);
    }
  }

  test.skipIf(!mounted)('is told with a sentence, and the job resumes once there is space', async () => {
    const folder = await newJob('job', {}, mount);
    fill(100_000);
    await expect(render(folder)).rejects.toMatchObject({
      code: 'DISK_FULL',
      message: expect.stringMatching(/free; this job needs/) as string,
    });
    for (const phase of ['sources', 'denoise', 'decode'] as const) {
      rmSync(join(mount, 'filler'));
      let full = false;
      await expect(
        render(folder, {
          onProgress: (seen) => {
            if (seen.phase !== phase || full) return;
            full = true;
            fill(0);
          },
        }),
        phase,
      ).rejects.toMatchObject({ code: 'DISK_FULL' });
      expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    }
    rmSync(join(mount, 'filler'));
    await render(folder);
    expect(outcomeOf(folder, steps)).toEqual(reference.outcome);
  });
});

function mountSmallDisk(path: string): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  mkdirSync(path, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
