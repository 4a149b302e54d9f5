// A studio at work on everything at once until it is killed. It says what it is about to do and what was acknowledged,
// one line of JSON each.
import { writeSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import sharp from 'sharp';
import { seeded } from '../engine/kill.ts';
import { connectStudio } from './connect.ts';
import { dataIn, projectId, rangeId, type Line } from './kill.ts';

const [folder = '', seed = '0'] = process.argv.slice(2);
const random = seeded(Number(seed));
const { call, client } = await connectStudio(dataIn(folder));
const say = (line: Line): void => void writeSync(1, `${JSON.stringify(line)}\n`);

/** Names the project, and takes that back and forth. */
async function edit(): Promise<void> {
  const names = [(await call.projects.open({ projectId })).project.name];
  let at = 0;
  for (let i = 0; ; i++) {
    const how = random(4);
    if (how === 0 && at > 0) {
      say({ type: 'naming', name: names[at - 1]! });
      await call.projects.undo({ projectId });
      at--;
    } else if (how === 1 && at < names.length - 1) {
      say({ type: 'naming', name: names[at + 1]! });
      await call.projects.redo({ projectId });
      at++;
    } else {
      const name = `${seed}-${i}`;
      say({ type: 'naming', name });
      await call.projects.edit({ projectId, label: name, commands: [{ type: 'setName', name }] });
      names.splice(++at, Infinity, name);
    }
    say({ type: 'named', name: names[at]! });
    await delay(random(30));
  }
}

/** Brings pictures in, by their bytes or by a path, and throws some out again. */
async function importPictures(from: string): Promise<void> {
  for (let i = 0; ; i++) {
    const side = 16 + random(48);
    const noise = Buffer.from(Array.from({ length: side * side * 3 }, () => random(256)));
    const png = await sharp(noise, { raw: { width: side, height: side, channels: 3 } })
      .png()
      .toBuffer();
    const { asset } =
      random(2) === 0
        ? await call.assets.upload({ name: `noise ${i}.png` }, { upload: [png] })
        : await importFile(`${seed}-${from}-${i}.png`, png);
    say({ type: 'imported', id: asset.id });
    if (random(3) === 0) {
      say({ type: 'removing', id: asset.id });
      await call.assets.collectUnused({ assetIds: [asset.id] });
      say({ type: 'removed', id: asset.id });
    }
    await delay(random(100));
  }
}

async function importFile(name: string, png: Buffer) {
  const path = join(folder, 'in', name);
  await writeFile(path, png);
  const imported = await call.assets.import({ path });
  await rm(path);
  return imported;
}

/** Keeps a job or two waiting. */
async function render(): Promise<void> {
  let phase = '';
  client.on('jobs.progress', ({ progress }) => {
    if (progress.phase !== phase) say({ type: 'phase', id: (phase = progress.phase) });
  });
  client.on('records.changed', ({ table, ids }) => {
    if (table === 'takes') for (const id of ids ?? []) say({ type: 'take', id });
  });
  for (;;) {
    const { total } = await call.jobs.list({ cursor: null, limit: 1, states: ['waiting', 'running'] });
    if (total < 2) {
      const { jobs } = await call.jobs.enqueue({ projectId, rangeId, place: 'last' });
      say({ type: 'job', id: jobs[0]!.id });
    }
    await delay(50);
  }
}

/** Writes films, takes, pictures and project files. */
async function write(): Promise<void> {
  for (let i = 0; ; i++) {
    const path = join(folder, 'out', `${seed}-${i}`);
    const [take] = (await call.takes.list({ cursor: null, limit: 1, sort: 'created' })).items;
    const timeline = { what: 'timeline', projectId, audio: false } as const;
    const how = random(3);
    if (how === 0) {
      const file = { projectId, path: `${path}.pusa`, media: true, takes: 'all' } as const;
      say({ type: 'written', ...(await call.files.saveAs(file)) });
    } else if (how === 1) {
      // Pictures for a folder that is there.
      await mkdir(path);
      say({ type: 'written', ...(await call.exports.toPath({ export: timeline, path })) });
    } else {
      const what =
        take === undefined || random(2) === 0 ? timeline : ({ what: 'take', takeId: take.id } as const);
      say({ type: 'written', ...(await call.exports.toPath({ export: what, path: `${path}.mp4` })) });
    }
    await delay(random(100));
  }
}

say({ type: 'ready' });
await Promise.all([edit(), importPictures('a'), importPictures('b'), render(), write()]);
