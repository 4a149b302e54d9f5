import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryIn, wholeOf } from '../../src-main/media/temporary.ts';
import { UnfinishedFiles } from '../../src-main/studio/unfinished.ts';
import { newFolder } from './studio-support.ts';

it('what a killed studio was writing beside a person’s files goes at the next start, and nothing else', async () => {
  const folder = await newFolder();
  const [notes, disk] = [join(folder, 'notes'), join(folder, 'disk')];
  await mkdir(disk);
  const logged: unknown[] = [];
  const open = async (): Promise<UnfinishedFiles> => {
    const files = await UnfinishedFiles.open(notes, (thrown) => logged.push(thrown));
    await files.swept;
    return files;
  };
  const first = await open();
  const [film, project] = [temporaryIn(disk), temporaryIn(disk)];
  const hers = join(disk, 'film.mp4');
  // It never comes back, as a process that is killed.
  const begun = new Promise<void>((ready) => {
    void first.noting(async (note) => {
      await note(film);
      await mkdir(film);
      await writeFile(join(film, 'film'), 'half');
      await note(project);
      await writeFile(project, 'half');
      await note(hers);
      await writeFile(hers, 'whole');
      ready();
      await new Promise(() => undefined);
    });
  });
  await begun;
  expect(readdirSync(notes)).toHaveLength(3);

  // Its disk is gone: what lies there is remembered, what was never ours is not touched.
  await rename(disk, `${disk}-unplugged`);
  await open();
  expect(readdirSync(notes)).toHaveLength(2);
  await rename(`${disk}-unplugged`, disk);
  const second = await open();
  expect([existsSync(film), existsSync(project), existsSync(hers)]).toEqual([false, false, true]);
  expect(readdirSync(notes)).toEqual([]);

  // Work that comes to an end leaves no note, however it ends.
  const failing = second.noting(async (note) => {
    await note(temporaryIn(disk));
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  expect(await second.noting(async (note) => note(temporaryIn(disk)).then(() => 'done'))).toBe('done');
  expect(readdirSync(notes)).toEqual([]);
  // A library's disk that cannot be written keeps nobody from writing elsewhere.
  await rename(notes, `${notes}-gone`);
  expect(await second.noting(async (note) => note(temporaryIn(disk)).then(() => 'done'))).toBe('done');
  expect(logged).toHaveLength(1);
});

it('pictures that were being given their place in a person’s folder are all there after the next start', async () => {
  const folder = await newFolder();
  const [notes, disk] = [join(folder, 'notes'), join(folder, 'disk')];
  await mkdir(disk);
  const open = async (): Promise<UnfinishedFiles> => {
    const files = await UnfinishedFiles.open(notes, (thrown) => {
      throw thrown;
    });
    await files.swept;
    return files;
  };
  const temporary = temporaryIn(disk);
  const begun = new Promise<void>((ready) => {
    void open().then((files) =>
      files.noting(async (note) => {
        await note(temporary);
        // Killed after the first of three, and somebody took the name of the last one meanwhile.
        await mkdir(wholeOf(temporary));
        await writeFile(join(disk, 'frame-1.png'), 'first');
        for (const n of [2, 3]) await writeFile(join(wholeOf(temporary), `frame-${n}.png`), `ours ${n}`);
        await writeFile(join(disk, 'frame-3.png'), 'hers');
        ready();
        await new Promise(() => undefined);
      }),
    );
  });
  await begun;
  await open();
  expect(readdirSync(disk).sort()).toEqual(['frame-1.png', 'frame-2.png', 'frame-3.png']);
  const read = (name: string): string => readFileSync(join(disk, name), 'utf8');
  expect([read('frame-2.png'), read('frame-3.png')]).toEqual(['ours 2', 'hers']);
  expect(readdirSync(notes)).toEqual([]);
});
