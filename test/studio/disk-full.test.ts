import { statfsSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { until } from '../core/small-studio.ts';
import { codeOf, smallDisk } from '../library/media-support.ts';
import { openWindow, projectWith, quickRange, takeOf, untilJob } from './generating.ts';

const disk = smallDisk(24 * 2 ** 20);

it.skipIf(disk === null)(
  'a full disk is told as such; the library stays whole and goes on once there is room',
  async () => {
    const folder = disk!;
    const window = await openWindow(join(folder, 'data'));
    const { call, studio } = window;
    const projectId = await projectWith(window, [quickRange('range-1')], true);
    const name = (text: string) =>
      call.projects.edit({ projectId, label: 'Name', commands: [{ type: 'setName', name: text }] });
    await name('saved');

    // Filled up to the last block.
    const filler = join(folder, 'filler');
    const fill = (): void => {
      const { bavail, bsize } = statfsSync(folder);
      writeFileSync(filler, Buffer.alloc(bavail * bsize));
    };
    fill();
    expect(statfsSync(folder).bavail).toBe(0);

    const raw = { width: 600, height: 600, channels: 3 } as const;
    const png = await sharp(randomBytes(raw.width * raw.height * 3), { raw })
      .png()
      .toBuffer();
    expect(await codeOf(call.assets.upload({ name: 'late.png' }, { upload: [png] }))).toBe('DISK_FULL');
    expect(await codeOf(call.jobs.enqueue({ projectId, rangeId: 'range-1', place: 'last' }))).toBe(
      'DISK_FULL',
    );
    const save = { projectId, media: true, takes: 'all' } as const;
    const path = join(folder, 'film.pusa');
    expect(await codeOf(call.files.saveAs({ ...save, path }))).toBe('DISK_FULL');
    const film = join(folder, 'film.mp4');
    const timeline = { what: 'timeline', projectId, audio: false } as const;
    expect(await codeOf(call.exports.toPath({ export: timeline, path: film }))).toBe('DISK_FULL');
    expect(await codeOf(call.settings.set({ theme: 'dark' }))).toBe('DISK_FULL');
    // Small edits fit into what SQLite has reserved, until they do not: each is saved or refused.
    let last = 'saved';
    for (let i = 0; i < 80; i++) {
      const text = `${i} ${'x'.repeat(150)}`;
      const code = await name(text).then(
        () => null,
        (thrown: unknown) => (thrown as { code: string }).code,
      );
      if (code === null) last = text;
      else expect(code).toBe('DISK_FULL');
    }
    const open = async () => (await call.projects.open({ projectId })).project.name;
    expect(await open()).toBe(last);
    expect((await call.library.check({})).state).toBe('sound');
    expect(new Set(await studio.context.media.list())).toEqual(studio.context.store.mediaHashes());

    // Room again: everything that was refused is done.
    await rm(filler);
    await name('after');
    await call.settings.set({ theme: 'dark' });
    await call.assets.upload({ name: 'late.png' }, { upload: [png] });
    await call.exports.toPath({ export: timeline, path: film });
    await call.files.saveAs({ ...save, path });
    const { jobs } = await call.jobs.enqueue({ projectId, rangeId: 'range-1', place: 'last' });
    const take = await takeOf(window, jobs[0]!.id);
    expect(await studio.context.media.verify(take.fileHash)).toBe('sound');

    // Full in the middle of a job: it fails with the reason, keeps its steps, and is retried to its end.
    await call.projects.edit({
      projectId,
      label: 'Longer',
      commands: [{ type: 'setSampler', rangeId: 'range-1', sampler: { steps: 20 } }],
    });
    const stop = window.client.on('jobs.progress', ({ progress }) => {
      if (progress.phase !== 'denoise' || progress.done < 1) return;
      stop();
      fill();
    });
    const { jobs: more } = await call.jobs.enqueue({ projectId, rangeId: 'range-1', place: 'last' });
    await until(() => window.notices.some(({ level }) => level === 'error'));
    expect(window.notices.map(({ code }) => code)).toContain('DISK_FULL');
    await rm(filler);
    const jobId = more[0]!.id;
    // Its record says so where that could still be written; else it goes on by itself once somebody does something.
    await call.jobs.setQueuePaused({ paused: false });
    const job = await call.jobs.get({ jobId });
    expect(['failed', 'waiting', 'running']).toContain(job.state);
    if (job.state === 'failed') {
      expect(job.error?.code).toBe('DISK_FULL');
      await call.jobs.retry({ jobId });
    }
    expect((await untilJob(window, jobId, ['done'])).state).toBe('done');
    await window.close();
    const again = await openWindow(join(folder, 'data'));
    expect((await again.call.library.check({})).state).toBe('sound');
    expect((await again.call.projects.open({ projectId })).project.name).toBe('after');
    await again.close();
  },
  300_000,
);
