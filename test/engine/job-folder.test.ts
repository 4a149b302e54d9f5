import { spawn } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkJob, parseJob } from '../../src-main/engine/pipeline/check-job.ts';
import { createJobFolder, JobFolder } from '../../src-main/engine/pipeline/job-folder.ts';
import { lockFolder } from '../../src-main/engine/pipeline/lock.ts';
import { readRecord, writeRecord } from '../../src-main/engine/pipeline/record.ts';
import { smallDraft, smallJob, tensor } from './jobs.ts';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'pusa-job-folder-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const model = { id: 'test-pattern', hash: 'a'.repeat(64) };

describe('records', () => {
  const identity = { kind: 'step-3', job: 'b'.repeat(64) };

  test('come back bit by bit, special numbers included', async () => {
    const path = join(root, 'whole.bin');
    const latents = tensor([2, 3, 1, 2], (i) => [NaN, Infinity, -0, 1e-42, 0.1, -7][i % 6]!);
    const empty = tensor([0], () => 0);
    await writeRecord(path, identity, { tensors: { latents, empty }, meta: { steps: 3, note: 'ü' } });
    const read = await readRecord(path, identity);
    if (read.state !== 'whole') throw new Error(read.state);
    expect(read.content.meta).toEqual({ steps: 3, note: 'ü' });
    expect(read.content.tensors['latents']!.shape).toEqual([2, 3, 1, 2]);
    const bits = (data: Float32Array): number[] => [
      ...new Uint32Array(data.buffer, data.byteOffset, data.length),
    ];
    expect(bits(read.content.tensors['latents']!.data)).toEqual(bits(latents.data));
    expect(read.content.tensors['empty']!.data.length).toBe(0);
    expect(readdirSync(root).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('every cut and every flipped bit is noticed', async () => {
    const path = join(root, 'torn.bin');
    await writeRecord(path, identity, { tensors: { x: tensor([3, 5], (i) => i / 7) }, meta: { steps: 3 } });
    const whole = readFileSync(path);
    expect(await readRecord(join(root, 'none.bin'), identity)).toEqual({ state: 'missing' });
    expect((await readRecord(path, { ...identity, job: 'c'.repeat(64) })).state).toBe('damaged');
    expect((await readRecord(path, { ...identity, kind: 'step-4' })).state).toBe('damaged');
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      expect((await readRecord(path, identity)).state, `cut at ${length}`).toBe('damaged');
    }
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole);
      flipped[at]! ^= 1 << (at % 8);
      writeFileSync(path, flipped);
      expect((await readRecord(path, identity)).state, `byte ${at}`).toBe('damaged');
    }
    writeFileSync(path, Buffer.concat([whole, Buffer.of(0)]));
    expect((await readRecord(path, identity)).state).toBe('damaged');
    writeFileSync(path, whole);
    expect((await readRecord(path, identity)).state).toBe('whole');
  });
});

describe('a job’s folder', () => {
  test('holds pixels given whole or in pieces, and their hashes', async () => {
    const { draft, pixels } = smallDraft('job-1', { model });
    const clip = pixels[1] as Uint8Array;
    async function* inPieces(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < clip.length; at += 5000) yield Promise.resolve(clip.subarray(at, at + 5000));
    }
    const path = join(root, 'pieces');
    const job = await createJobFolder(path, draft, [[pixels[0] as Uint8Array], inPieces()]);
    const folder = await JobFolder.open(path);
    expect(folder.job).toEqual(job);
    await folder.checkSource(0);
    await folder.checkSource(1);
    expect(await folder.readSource(1, 4, 2)).toEqual(clip.slice(4 * 48 * 80 * 3, 6 * 48 * 80 * 3));
    await expect(createJobFolder(path, draft, pixels)).rejects.toThrow('its folder already holds a job');
    expect(await folder.readResult()).toBeNull();

    writeFileSync(join(path, 'step-2.bin.tmp'), 'half');
    // Opening alone changes nothing: another process may be writing it.
    const again = await JobFolder.open(path);
    expect(readdirSync(path)).toContain('step-2.bin.tmp');
    await again.removeUnfinished();
    expect(readdirSync(path)).not.toContain('step-2.bin.tmp');
  });

  test('is refused with a sentence when pixels are not what the job says', async () => {
    const { draft, pixels } = smallDraft('job-1', { model });
    const clip = pixels[1] as Uint8Array;
    const attempt = (name: string, second: Uint8Array) =>
      createJobFolder(join(root, name), draft, [pixels[0]!, second]);
    await expect(attempt('short', clip.subarray(1))).rejects.toMatchObject({ code: 'JOB_INVALID' });
    await expect(attempt('long', Buffer.concat([clip, Buffer.of(1)]))).rejects.toThrow(
      'more pixels than it states',
    );
    await expect(createJobFolder(join(root, 'few'), draft, [pixels[0]!])).rejects.toThrow('names 2 sources');
    // What was begun is no job, and can be tried again.
    await expect(JobFolder.open(join(root, 'short'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    await attempt('short', clip);

    const path = join(root, 'tampered');
    await smallJob(path, { model });
    const file = join(path, 'sources', '1.rgb');
    const folder = await JobFolder.open(path);
    const changed = Buffer.from(readFileSync(file));
    changed[100]! ^= 1;
    writeFileSync(file, changed);
    await expect(folder.checkSource(1)).rejects.toThrow('sources/1.rgb does not fit its hash');
    truncateSync(file, 1000);
    await expect(folder.checkSource(1)).rejects.toThrow('sources/1.rgb has 1000 bytes instead of');
    await expect(folder.readSource(1, 8, 1)).rejects.toThrow('sources/1.rgb is too short');
    rmSync(file);
    await expect(folder.checkSource(1)).rejects.toThrow('sources/1.rgb is missing');
    for (const text of ['', '{', 'null', '[]', '{"version":2}']) {
      writeFileSync(join(path, 'job.json'), text);
      await expect(JobFolder.open(path)).rejects.toMatchObject({ code: 'JOB_INVALID' });
    }
  });

  test('every inconsistent job is refused by the field that is wrong', async () => {
    const path = join(root, 'mutants');
    await smallJob(path, { model });
    const job = (await JobFolder.open(path)).job;
    type Draft = ReturnType<typeof structuredClone<typeof job>>;
    const mutants: [field: string, change: (draft: Draft) => void][] = [
      ['plan.frames', (d) => (d.plan.frames = 18)],
      ['plan.cells', (d) => (d.plan.frames = 21)],
      ['plan.sigmas', (d) => d.plan.sigmas.pop()],
      ['plan.sigmas[0]', (d) => (d.plan.sigmas[0] = 1.5)],
      ['plan.timesteps', (d) => d.plan.timesteps.pop()],
      ['plan.timesteps[2]', (d) => d.plan.timesteps[2]!.pop()],
      ['plan.timesteps[1][0]', (d) => (d.plan.timesteps[1]![0] = 1001)],
      ['plan.sigmaSteps[3][4]', (d) => (d.plan.sigmaSteps[3]![4] = 0.1)],
      ['plan.cells[1].m', (d) => (d.plan.cells[1]!.m = 0.1)],
      ['plan.cells[1].source', (d) => (d.plan.cells[1]!.source = { from: 'none' })],
      ['plan.cells[4].source', (d) => (d.plan.cells[4]!.source = { from: 'clip' })],
      [
        'plan.cells[4].source',
        (d) => (d.plan.cells[4]!.source = { from: 'blend', of: [{ cell: 3, weight: 1 }] }),
      ],
      ['plan.cells[0].source', (d) => (d.plan.cells[0]!.source = { from: 'none' })],
      ['plan.steps', (d) => (d.sampler.steps = 5)],
      ['sources[1]', (d) => (d.sources[1]!.firstCell = 4)],
      ['sources[1].frameCount', (d) => (d.sources[1]!.frameCount = 5)],
      ['sources[0].sha256', (d) => (d.sources[0]!.sha256 = 'x')],
      ['originals[0]', (d) => (d.originals[0]!.frame = 17)],
      ['originals[0]', (d) => (d.originals[0]!.source = 2)],
      ['originals[0]', (d) => (d.originals[0]!.at = 9)],
      ['originals[1]', (d) => (d.originals[1]!.frame = 1)],
      ['width', (d) => (d.width = 81)],
      ['sampler.cfg', (d) => (d.sampler.cfg = Number.NaN)],
    ];
    checkJob(job);
    for (const [field, change] of mutants) {
      const mutant = structuredClone(job);
      change(mutant);
      expect(() => parseJob(mutant), field).toThrow(`The job is not valid at ${field}: `);
    }
  });

  test('belongs to one process at a time; a dead one’s lock is taken over, an orphan’s is waited for', async () => {
    const path = join(root, 'locked', 'lock');
    mkdirSync(join(root, 'locked'));
    const unlock = await lockFolder(path);
    await unlock();
    const other = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)']);
    const host = { pid: process.pid, started: '' };
    const goneHost = { pid: 2 ** 22 + 1, started: '' };
    try {
      writeFileSync(path, JSON.stringify({ pid: other.pid, started: '', host }));
      await expect(lockFolder(path)).rejects.toMatchObject({ code: 'JOB_BUSY' });
      if (process.platform === 'linux') {
        // The number was given to another process since.
        writeFileSync(path, JSON.stringify({ pid: other.pid, started: '1', host }));
        await (
          await lockFolder(path)
        )();
      }
      writeFileSync(path, JSON.stringify({ pid: other.pid, started: '', host: goneHost }));
      let taken = false;
      const waiting = lockFolder(path).then((release) => {
        taken = true;
        return release;
      });
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(taken).toBe(false);
      other.kill('SIGKILL');
      await (
        await waiting
      )();
    } finally {
      other.kill('SIGKILL');
    }
    writeFileSync(path, 'torn');
    await (
      await lockFolder(path)
    )();
    // Empty is a lock that is just being made; only one that stays so is nobody's.
    writeFileSync(path, '');
    const patient = lockFolder(path);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(readFileSync(path, 'utf8')).toBe('');
    await (
      await patient
    )();
    expect(readdirSync(join(path, '..'))).toEqual([]);
  });
});
