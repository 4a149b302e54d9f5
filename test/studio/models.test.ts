import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { EventPayload } from '../../src-main/core/contract/api.ts';
import type { ModelTask } from '../../src-main/core/contract/api/model-work.ts';
import { readCatalogue } from '../../src-main/studio/downloads/catalogue.ts';
import { OwnFiles } from '../../src-main/studio/model-work/own-files.ts';
import { Speed } from '../../src-main/studio/model-work/speed.ts';
import { findPlaces } from '../../src-main/studio/places.ts';
import { failure } from '../core/small-studio.ts';
import { root } from '../support/places.ts';
import { connectStudio, type Connected } from './connect.ts';
import { openWindow, projectWith, quickRange, untilJob } from './generating.ts';
import { answer, serveModels, type ModelServerStub } from './model-server.ts';

const starter = join(root, 'resources/models/starter');
const [ditFile, loraFile, textFile, vaeFile] = [
  'starter_base.safetensors',
  'starter_pusa_lora.safetensors',
  'starter_umt5.safetensors',
  'starter_vae.safetensors',
] as const;
const all = [ditFile, loraFile, textFile, vaeFile];
const repository = 'maker/small';

let folder: string;
let server: ModelServerStub;
let closing: (() => Promise<void>)[] = [];
let window: Connected & { tasks: EventPayload<'models.task'>[]; changes: number };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pusa-models-'));
  vi.stubEnv('HF_HOME', join(folder, 'huggingface'));
  vi.stubEnv('HF_HUB_CACHE', undefined);
  vi.stubEnv('COMFYUI_PATH', join(folder, 'ComfyUI'));
  server = await serveModels();
  for (const name of all) server.put(repository, `split/${name}`, await readFile(join(starter, name)));
  await writeCatalogue();
});
afterEach(async () => {
  await closing.splice(0).at(0)?.();
  await server.close();
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Two entries that share the text encoder and the VAE; of one file only the server knows the size. */
async function writeCatalogue(): Promise<void> {
  const resources = join(folder, 'resources');
  await mkdir(join(resources, 'catalogue'), { recursive: true });
  await symlink(join(root, 'resources/models'), join(resources, 'models'));
  const licence = { name: 'Licence of the maker', url: 'https://maker.example/licence' };
  const file = async (name: string, isKnown = true): Promise<object> => {
    const bytes = await readFile(join(starter, name));
    return {
      repository,
      path: `split/${name}`,
      bytes: isKnown ? bytes.byteLength : null,
      sha256: isKnown ? hashOf(bytes) : null,
    };
  };
  const part = (id: string, files: object[], about: number | null = null): object => ({
    id,
    name: `The ${id}`,
    licence,
    about,
    files,
  });
  await writeFile(
    join(resources, 'catalogue', 'models.json'),
    JSON.stringify({
      version: 1,
      parts: [
        part('base', [await file(ditFile, false)], 8_000_000),
        part('lora', [await file(loraFile)]),
        part('shared', [await file(textFile), await file(vaeFile)]),
      ],
      entries: [
        { id: 'small', name: 'Small', purpose: 'For trying.', parts: ['base', 'shared'], loras: [] },
        {
          id: 'small-pusa',
          name: 'Small with Pusa',
          purpose: 'For marks.',
          parts: ['base', 'lora', 'shared'],
          loras: [{ path: `split/${loraFile}`, strength: 1.2, live: true }],
        },
      ],
    }),
  );
}

async function open(): Promise<Connected['call']> {
  const connected = await connectStudio(join(folder, 'data'), {
    places: { ...findPlaces(), resources: join(folder, 'resources') },
  });
  window = { ...connected, tasks: [], changes: 0 };
  closing = [() => connected.close()];
  connected.client.on('models.task', (payload) => window.tasks.push(payload));
  connected.client.on('models.changed', () => window.changes++);
  return connected.call;
}

const holds = (check: () => Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 30_000, interval: 30 });

/** Waits until a task is in one of these states. */
async function until(id: string, ...states: ModelTask['state'][]): Promise<ModelTask> {
  return vi.waitFor(
    async () => {
      const task = (await window.call.models.tasks({})).tasks.find((one) => one.id === id);
      expect(states).toContain(task?.state);
      return task!;
    },
    { timeout: 60_000, interval: 30 },
  );
}

async function download(entry: string): Promise<ModelTask> {
  const { task } = await window.call.models.download({ entry, folder: null });
  return until(task, 'done', 'failed');
}

const modelIds = async (): Promise<string[]> =>
  (await window.call.models.list({})).models.map(({ id }) => id);

describe('the catalogue', () => {
  test('that comes along is whole and invents nothing', async () => {
    const known = await readCatalogue(findPlaces());
    expect(known.map(({ id }) => id)).toContain('pusa-v1-14b');
    for (const { parts, files } of known) {
      expect(parts.every(({ licence }) => licence.url.startsWith('https://'))).toBe(true);
      expect(files.every(({ bytes, sha256 }) => sha256 === null || bytes !== null)).toBe(true);
    }
  });

  test.each([
    ['what is no JSON', '{'],
    ['a path out of the repository', '../../x'],
    ['an entry without its part', 'nothing'],
  ])('with %s is refused', async (_, spoil) => {
    const path = join(folder, 'resources', 'catalogue', 'models.json');
    const text = await readFile(path, 'utf8');
    if (spoil === '{') await writeFile(path, spoil);
    else if (spoil === 'nothing')
      await writeFile(path, text.replace('"parts":["base","shared"]', '"parts":["no"]'));
    else await writeFile(path, text.replaceAll(`split/${ditFile}`, spoil));
    const call = await open();
    expect(await failure(call.models.catalogue({}))).toMatchObject({ code: 'FILE_UNREADABLE' });
  });
});

describe('downloading', () => {
  test('an entry becomes a model; the next one takes from it what it shares', async () => {
    const call = await open();
    await call.models.setSources({ mirror: server.base });
    const before = await call.models.catalogue({});
    expect(before.entries[0]).toMatchObject({ id: 'small', exact: false, model: null, task: null });
    expect(before.entries[0]?.missingBytes).toBe(before.entries[0]?.bytes);
    expect(server.asked).toEqual([]);

    const done = await download('small');
    expect(done).toMatchObject({ state: 'done', model: 'small', error: null });
    expect(await modelIds()).toEqual(['small', 'starter']);
    const model = (await call.models.list({})).models.find(({ id }) => id === 'small');
    expect(model).toMatchObject({ name: 'Small', licence: 'Licence of the maker', unusable: null });
    expect(window.tasks.some(({ task }) => task.phase?.kind === 'download')).toBe(true);
    expect(window.changes).toBeGreaterThan(0);
    const sizes = await Promise.all(all.map(async (name) => (await stat(join(starter, name))).size));
    const last = window.tasks.filter(({ task }) => task.phase?.kind === 'download').at(-1)?.task;
    expect(last?.total).toBe(sizes[0]! + sizes[2]! + sizes[3]!);

    server.asked.length = 0;
    expect((await call.models.catalogue({})).entries[1]?.missingBytes).toBe(sizes[1]);
    expect(await download('small-pusa')).toMatchObject({ state: 'done', model: 'small-pusa' });
    expect(server.asked.map(({ url }) => basename(url))).toEqual([loraFile]);
    const pusa = (await call.models.list({})).models.find(({ id }) => id === 'small-pusa');
    expect(pusa?.loras).toEqual([{ name: 'starter_pusa_lora', defaultStrength: 1.2, live: true }]);
    // Nothing was copied: both packages are a manifest.
    expect(await readdir(join(folder, 'data', 'models', 'small-pusa'))).toEqual(['manifest.json']);
    // What is there already is not asked for again.
    server.asked.length = 0;
    expect((await download('small')).state).toBe('done');
    expect(server.asked).toEqual([]);
  });

  test('is paused, goes on, is cut off with the studio and goes on by itself', async () => {
    const call = await open();
    await call.models.setSources({ mirror: server.base });
    hang(vaeFile, 700_000);
    const { task } = await call.models.download({ entry: 'small', folder: null });
    const part = join(folder, 'data', 'model-files', 'maker', 'small', 'split', `${vaeFile}.part`);
    await holds(async () => expect((await stat(part)).size).toBe(700_000));
    expect((await call.models.download({ entry: 'small', folder: null })).task).toBe(task);
    expect((await call.models.catalogue({})).entries[0]?.task).toBe(task);
    await call.models.pause({ task });
    expect(await until(task, 'paused')).toMatchObject({ canPause: true, finishedAt: null, error: null });
    const askedFor = (bytes: number): boolean =>
      server.asked.some(({ url, range }) => url.endsWith(vaeFile) && range === `bytes=${bytes}-`);
    expect((await stat(part)).size).toBe(700_000);
    await call.models.resume({ task });
    await holds(async () => expect((await stat(part)).size).toBe(1_400_000));
    expect(askedFor(700_000)).toBe(true);
    await closing.splice(0).at(0)?.();

    server.mischief = null;
    await open();
    expect(await until(task, 'done')).toMatchObject({ model: 'small' });
    expect(askedFor(1_400_000)).toBe(true);
    await window.call.models.dismiss({ task });
    expect((await window.call.models.tasks({})).tasks).toEqual([]);
  });

  test('a failure says what to do, and going on does not begin again', async () => {
    const call = await open();
    await call.models.setSources({ mirror: server.base });
    server.mischief = (request, response) => {
      if (request.url?.endsWith(loraFile) !== true || request.method === 'HEAD') return false;
      response.writeHead(401).end();
      return true;
    };
    const failed = await download('small-pusa');
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'DOWNLOAD_REFUSED' } });
    expect(failed.error?.remedy).toContain(`Open ${server.base}/maker/small, accept the licence there`);
    server.mischief = (request, response) => {
      if (request.headers.authorization === 'Bearer hf_secret') return false;
      response.writeHead(401).end();
      return true;
    };
    const shown = await call.models.setSources({ token: 'hf_secret' });
    expect(shown).toEqual({ mirror: server.base, hasToken: true, folder: null, lookIn: [] });
    await call.models.resume({ task: failed.id });
    expect(await until(failed.id, 'done', 'failed')).toMatchObject({ state: 'done' });
    // The token belongs to the server it was entered for, and is nobody else's to read.
    expect((await stat(join(folder, 'data', 'model-sources.json'))).mode & 0o077).toBe(0);
    expect((await call.models.setSources({ mirror: 'https://other.example' })).hasToken).toBe(false);
    expect(await failure(call.models.setSources({ token: 'with space' }))).toMatchObject({
      code: 'DOWNLOAD_REFUSED',
    });
    expect(await failure(call.models.setSources({ mirror: 'ftp://x' }))).toMatchObject({
      code: 'DOWNLOAD_REFUSED',
    });
  });

  test('cancelling keeps what came, unless it is to be removed', async () => {
    const call = await open();
    const to = join(folder, 'disk');
    await call.models.setSources({ mirror: server.base });
    hang(vaeFile, 700_000);
    const { task } = await call.models.download({ entry: 'small', folder: to });
    const part = join(to, 'maker', 'small', 'split', `${vaeFile}.part`);
    await holds(async () => expect((await stat(part)).size).toBe(700_000));
    expect(await failure(call.models.dismiss({ task }))).toMatchObject({ code: 'RECORD_INVALID' });
    expect(await call.models.cancel({ task, removeParts: false })).toEqual({ bytes: 0 });
    const { bytes } = await call.models.cancel({ task, removeParts: true });
    expect(bytes).toBeGreaterThanOrEqual(700_000);
    await expect(stat(part)).rejects.toThrow(/ENOENT/);
    // Nor does a file stay that had come whole: no model uses it.
    expect(
      (await readdir(to, { recursive: true, withFileTypes: true })).filter((one) => one.isFile()),
    ).toEqual([]);
  });

  /** One file comes only so far each time and then stays silent. */
  function hang(name: string, count: number): void {
    server.mischief = (request, response) => {
      const bytes = server.files.get(request.url ?? '');
      if (request.method === 'HEAD' || request.url?.endsWith(name) !== true || bytes === undefined)
        return false;
      Object.assign(response, { end: (chunk: Uint8Array) => response.write(chunk.subarray(0, count)) });
      answer(request, response, bytes);
      return true;
    };
  }
});

describe('what is here already', () => {
  test('is found in Hugging Face’s cache and in ComfyUI’s folders, offered and used in place', async () => {
    // As Hugging Face's programs leave them: links to files that are named by their hash.
    const hub = join(folder, 'huggingface', 'hub', 'models--maker--small');
    await mkdir(join(hub, 'snapshots', 'abc', 'split'), { recursive: true });
    await mkdir(join(hub, 'blobs'));
    for (const name of [textFile, vaeFile]) {
      const hash = hashOf(await readFile(join(starter, name)));
      await cp(join(starter, name), join(hub, 'blobs', hash));
      await symlink(`../../../blobs/${hash}`, join(hub, 'snapshots', 'abc', 'split', name));
    }
    const comfy = join(folder, 'ComfyUI', 'models');
    await mkdir(join(comfy, 'diffusion_models'), { recursive: true });
    await mkdir(join(comfy, 'loras'));
    await cp(join(starter, ditFile), join(comfy, 'diffusion_models', ditFile));
    await cp(join(starter, loraFile), join(comfy, 'loras', loraFile));
    for (const expert of ['high', 'low']) {
      await cp(join(starter, ditFile), join(comfy, 'diffusion_models', `wan2.2_${expert}_noise.safetensors`));
    }
    await writeFile(join(comfy, 'diffusion_models', 'wan_broken.safetensors'), Buffer.alloc(200_000, 7));

    const call = await open();
    const found = await call.models.found({});
    expect(found.cut).toBe(false);
    expect(found.files.map(({ path, role, where }) => [basename(path), role, where]).sort()).toEqual([
      [ditFile, 'dit', 'comfyui'],
      [loraFile, 'lora', 'comfyui'],
      [textFile, 'textEncoder', 'huggingface'],
      [vaeFile, 'vae', 'huggingface'],
      ['wan2.2_high_noise.safetensors', 'dit', 'comfyui'],
      ['wan2.2_low_noise.safetensors', 'dit', 'comfyui'],
      ['wan_broken.safetensors', null, 'comfyui'],
    ]);
    expect(found.sets.map(({ name, paths }) => [name, paths.length])).toEqual([
      ['starter_base', 3],
      ['wan2.2', 4],
    ]);
    const [set] = found.sets;
    expect(set?.paths.map((path) => basename(path))).toEqual([ditFile, vaeFile, textFile]);
    expect(set?.loras).toEqual([{ path: join(comfy, 'loras', loraFile), strength: 1, live: true }]);

    // Of the catalogue, what is proven to be the wanted file counts as here.
    const entry = (await call.models.catalogue({})).entries[0];
    expect(entry?.files.map(({ here }) => here !== null)).toEqual([false, true, true]);

    const { task } = await call.models.import({
      paths: set!.paths,
      id: null,
      name: 'Found',
      loras: [{ ...set!.loras[0]!, strength: 0.9 }],
      precision: 'asIs',
    });
    expect(await until(task, 'done', 'failed')).toMatchObject({ state: 'done', model: 'Found' });
    const own = join(folder, 'data', 'models', 'Found');
    expect(await readdir(own)).toEqual(['manifest.json']);
    expect((await call.models.found({})).files.find(({ role }) => role === 'dit')?.models).toEqual(['Found']);
    const { models } = await call.models.list({});
    expect(models.find(({ id }) => id === 'Found')).toMatchObject({
      unusable: null,
      loras: [{ defaultStrength: 0.9, live: true }],
    });

    // It runs from there, though its files lie under two roots.
    await call.settings.set({ provider: 'cpu', defaultModel: 'Found' });
    const { tokens } = await call.models.countTokens({ model: 'Found', text: 'A boat' });
    expect(tokens).toBeGreaterThan(1);

    // A person's own files stay.
    const removal = await call.models.removal({ model: 'Found' });
    expect(removal.keeps.map(({ why }) => why)).toEqual(Array(4).fill('It is your own file.'));
    expect(removal.deletes).toEqual([]);
    await call.models.remove({ model: 'Found' });
    expect(await modelIds()).toEqual(['starter']);
    expect((await stat(join(comfy, 'diffusion_models', ditFile))).size).toBeGreaterThan(1_000_000);
  });

  test('a file says what it is, or why it cannot be used', async () => {
    const call = await open();
    expect(await call.models.inspect({ path: join(starter, ditFile) })).toMatchObject({
      role: 'dit',
      format: 'safetensors',
      inPlace: true,
      refused: null,
    });
    const broken = join(folder, 'broken.safetensors');
    await writeFile(broken, Buffer.alloc(5000, 3));
    expect(await call.models.inspect({ path: broken })).toMatchObject({
      role: null,
      what: null,
      refused: { code: 'CHECKPOINT_INVALID' },
    });
    expect(await call.models.inspect({ path: folder })).toMatchObject({
      refused: { message: `"${basename(folder)}" is a folder.` },
    });
    expect(await failure(call.models.inspect({ path: join(folder, 'none') }))).toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
  });
});

test('what two processes note of their own files at once is all noted', async () => {
  const module = JSON.stringify(join(root, 'src-main/studio/model-work/own-files.ts'));
  const data = join(folder, 'shared');
  const note = (name: string): Promise<unknown> =>
    promisify(execFile)(process.execPath, [
      '--input-type=module',
      '-e',
      `import { OwnFiles } from ${module};
      const own = new OwnFiles(${JSON.stringify(data)});
      for (let i = 0; i < 20; i++) await own.notePackage('${name}', '/${name}/' + i);`,
    ]);
  await Promise.all([note('window'), note('line')]);
  const { packages } = await new OwnFiles(data).read();
  expect(packages.filter(({ id }) => id === 'window')).toHaveLength(20);
  expect(packages.filter(({ id }) => id === 'line')).toHaveLength(20);
});

describe('removing', () => {
  test('frees what was downloaded, but not what another model uses, nor what is being worked on', async () => {
    const call = await open();
    await call.models.setSources({ mirror: server.base });
    await download('small');
    await download('small-pusa');
    const size = async (name: string): Promise<number> => (await stat(join(starter, name))).size;
    const first = await call.models.removal({ model: 'small' });
    expect(first.deletes).toEqual([]);
    expect(first.keeps.map(({ why }) => why)).toEqual(Array(3).fill('“small-pusa” uses it too.'));
    const { bytes } = await call.models.remove({ model: 'small' });
    expect(bytes).toBe(first.frees);
    expect(bytes).toBeLessThan(10_000);
    expect((await call.models.list({})).models.find(({ id }) => id === 'small-pusa')?.unusable).toBeNull();

    const second = await call.models.removal({ model: 'small-pusa' });
    const whole = (await Promise.all(all.map(size))).reduce((sum, one) => sum + one, 0);
    expect(second.frees).toBeGreaterThanOrEqual(whole);
    expect(second.deletes.map(({ path }) => basename(path)).sort()).toEqual([...all].sort());
    await call.models.remove({ model: 'small-pusa' });
    expect(await modelIds()).toEqual(['starter']);
    await expect(stat(join(folder, 'data', 'model-files', 'maker'))).rejects.toThrow(/ENOENT/);

    expect(await failure(call.models.remove({ model: 'small-pusa' }))).toMatchObject({
      code: 'MODEL_NOT_FOUND',
    });
    expect(await failure(call.models.remove({ model: 'starter' }))).toMatchObject({
      message: '"starter" comes with the application and is not removed.',
    });
    expect((await call.models.removal({ model: 'starter' })).blocked).toMatch(/comes with the application/);
  });

  test('a model that a clip is generated with cannot go', { timeout: 60_000 }, async () => {
    const data = join(folder, 'data');
    const mine = join(data, 'models', 'mine');
    await mkdir(mine, { recursive: true });
    for (const name of all) await cp(join(starter, name), join(mine, name));
    const text = await readFile(join(starter, 'manifest.json'), 'utf8');
    await writeFile(join(mine, 'manifest.json'), text.replace('"id": "starter"', '"id": "mine"'));
    const studio = await openWindow(data);
    try {
      const range = { ...quickRange('r'), model: 'mine' };
      const projectId = await projectWith(studio, [range]);
      const { jobs } = await studio.call.jobs.enqueue({ projectId, rangeId: 'r', place: 'last' });
      await untilJob(studio, jobs[0]!.id, ['running']);
      expect((await studio.call.models.removal({ model: 'mine' })).blocked).toBe(
        'A clip is being generated with it.',
      );
      expect(await failure(studio.call.models.remove({ model: 'mine' }))).toMatchObject({
        code: 'MODEL_BUSY',
      });
      await studio.call.jobs.cancel({ jobIds: [jobs[0]!.id] });
      await untilJob(studio, jobs[0]!.id, ['cancelled', 'done']);
      expect((await studio.call.models.remove({ model: 'mine' })).bytes).toBeGreaterThan(10_000_000);
    } finally {
      await studio.close();
    }
  });
});

describe('verifying and baking', () => {
  test('reads every file, and says which one is not what it was', async () => {
    const call = await open();
    const mine = join(folder, 'mine');
    await mkdir(mine);
    for (const name of all) await cp(join(starter, name), join(mine, name));
    const { task } = await call.models.import({
      paths: [mine],
      id: 'mine',
      name: null,
      loras: [],
      precision: 'asIs',
    });
    expect(await until(task, 'done', 'failed')).toMatchObject({ state: 'done', label: 'mine' });
    expect(
      await failure(
        call.models.import({ paths: [mine], id: 'mine', name: null, loras: [], precision: 'asIs' }),
      ),
    ).toMatchObject({
      code: 'RECORD_INVALID',
    });
    const good = await call.models.verify({ model: 'mine' });
    expect(await until(good.task, 'done', 'failed')).toMatchObject({ state: 'done', model: 'mine' });
    const bytes = await readFile(join(mine, vaeFile));
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(join(mine, vaeFile), bytes);
    const bad = await call.models.verify({ model: 'mine' });
    expect((await until(bad.task, 'done', 'failed')).error?.message).toContain(`${vaeFile}" has changed`);
  });

  test('a baked model is another model; the one it was made of stays', { timeout: 120_000 }, async () => {
    const call = await open();
    const { task } = await call.models.bake({
      model: 'starter',
      id: null,
      name: 'Starter in 8 bits',
      precision: 'int8',
      search: false,
      mergeLoras: true,
    });
    expect(await until(task, 'done', 'failed')).toMatchObject({
      state: 'done',
      model: 'starter-int8',
      error: null,
    });
    expect(await modelIds()).toEqual(['starter-int8', 'starter']);
    const removal = await call.models.removal({ model: 'starter-int8' });
    expect(removal.frees).toBeGreaterThan(1_000_000);
    await call.models.remove({ model: 'starter-int8' });
    expect(await modelIds()).toEqual(['starter']);
    const baked = await call.models.import({
      paths: [starter],
      id: 'eight',
      name: null,
      loras: [],
      precision: 'int8',
    });
    expect(await until(baked.task, 'done', 'failed')).toMatchObject({ state: 'done', error: null });
    expect(await readdir(join(folder, 'data', 'models'))).toEqual(['eight']);
    expect((await call.models.list({})).models[0]).toMatchObject({ id: 'eight', unusable: null });
    const whole = await call.models.verify({ model: 'eight' });
    expect(await until(whole.task, 'done', 'failed')).toMatchObject({ state: 'done' });
  });

  test('what was cut off says so', async () => {
    await open();
    await closing.splice(0).at(0)?.();
    const task: ModelTask = {
      id: 'cut',
      kind: 'verify',
      label: 'Starter',
      phase: null,
      done: 1,
      total: 2,
      bytesPerSecond: 1,
      state: 'running',
      canPause: false,
      error: null,
      entry: null,
      model: null,
      createdAt: new Date().toISOString(),
      finishedAt: null,
    };
    await writeFile(
      join(folder, 'data', 'model-tasks.json'),
      // Its phase is one that this version does not know.
      JSON.stringify({
        version: 1,
        tasks: [{ task: { ...task, phase: 'Reading' }, request: { kind: 'verify', model: 'starter' } }],
      }),
    );
    const call = await open();
    expect((await call.models.tasks({})).tasks[0]).toMatchObject({
      state: 'failed',
      error: { message: 'Pusa Studio was closed before this was finished.', remedy: 'Start it again.' },
    });
    await call.models.resume({ task: 'cut' });
    expect(await until('cut', 'done', 'failed')).toMatchObject({ state: 'done' });
    expect(await failure(call.models.pause({ task: 'cut' }))).toMatchObject({ code: 'RECORD_INVALID' });
    expect(await failure(call.models.pause({ task: 'none' }))).toMatchObject({ code: 'RECORD_NOT_FOUND' });
  });
});

test('what is here can be read while more of it is noted', async () => {
  const own = new OwnFiles(join(folder, 'data'));
  const notes = Array.from({ length: 20 }, (_, i) =>
    own.noteDownload({
      repository,
      path: `file-${i}`,
      place: join(folder, `file-${i}`),
      bytes: 1,
      sha256: '0'.repeat(64),
    }),
  );
  for (let i = 0; i < 100; i++) await own.read();
  await Promise.all(notes);
  expect((await own.read()).downloads.length).toBe(20);
});

test('speed is over the last seconds and begins anew with other work', () => {
  let now = 0;
  const speed = new Speed(() => now);
  expect(speed.at('download', 0)).toBeNull();
  for (now = 100; now <= 1000; now += 100) speed.at('download', now * 10);
  now = 1100;
  expect(speed.at('download', 11_000)).toBeCloseTo(10_000);
  now = 1200;
  expect(speed.at('convert', 5)).toBeNull();
  now = 3000;
  expect(speed.at('convert', 1805)).toBeCloseTo(1000);
  now = 3100;
  expect(speed.at('convert', 0)).toBeNull();
});
