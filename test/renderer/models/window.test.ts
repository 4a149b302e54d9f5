import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelTask } from '../../../src-main/core/contract/api/model-work.ts';
import { findPlaces } from '../../../src-main/studio/places.ts';
import { AddFiles } from '../../../src-renderer/src/models/add-files.svelte.ts';
import { factsError, factsOf, readFacts } from '../../../src-renderer/src/models/model-facts.svelte.ts';
import { ModelTasks, takeModel } from '../../../src-renderer/src/models/model-tasks.svelte.ts';
import { fileName } from '../../../src-renderer/src/models/recipe.ts';
import { Sources } from '../../../src-renderer/src/models/sources.svelte.ts';
import type { Session } from '../../../src-renderer/src/state/session.svelte.ts';
import { until } from '../../core/small-studio.ts';
import { TestStudio } from '../state/studio.ts';

/** A window at a real studio, from the files of a model to the model and back. */
describe('models in a window', () => {
  const environment = { ...process.env };
  let folder: string;
  let weights: string;
  let studio: TestStudio;
  let session: Session;
  let tasks: ModelTasks;
  let stop: () => void;
  const ended: ModelTask[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pusa-models-'));
    weights = join(folder, 'weights');
    await mkdir(weights);
    const starter = join(findPlaces().resources, 'models', 'starter');
    for (const name of await readdir(starter)) {
      if (name.endsWith('.safetensors')) await copyFile(join(starter, name), join(weights, name));
    }
    await writeFile(join(folder, 'broken.safetensors'), 'no weights');
    // What other programs keep on this machine is not looked at.
    process.env['HF_HUB_CACHE'] = join(folder, 'hub');
    studio = await TestStudio.open();
    session = studio.session();
    await session.start();
    tasks = new ModelTasks();
    stop = tasks.follow(session, (task) => ended.push(task));
  });
  afterAll(async () => {
    stop();
    await studio.close();
    process.env = environment;
    await rm(folder, { recursive: true, force: true });
  });

  const over = async (task: string): Promise<ModelTask> => {
    await until(() => ended.some(({ id }) => id === task));
    return ended.find(({ id }) => id === task)!;
  };

  it('are made of files where they lie', async () => {
    const form = new AddFiles(session);
    await form.search();
    const refused = await form.addFile(join(folder, 'broken.safetensors'));
    expect(refused?.refused?.code).toMatch(/^CHECKPOINT_/);
    expect(form.refused.map(({ path }) => fileName(path))).toContain('broken.safetensors');
    expect(form.request).toBeNull();

    // A folder without anything is not remembered.
    expect(await form.addFolder(join(folder, 'hub'))).toBe(false);
    expect(await form.addFolder(weights)).toBe(true);
    expect(form.set).not.toBeNull();
    expect(form.missing).toEqual([]);
    expect(fileName(form.recipe.dit ?? '')).toBe('starter_base.safetensors');
    expect(form.recipe.loras.map(({ path }) => fileName(path))).toEqual(['starter_pusa_lora.safetensors']);
    expect(form.outcome.writes).toBe(0);
    expect(form.offeredName).not.toBe('');
    form.name = 'Boats';

    const done = await over((await form.begin())!);
    expect(done).toMatchObject({ kind: 'import', label: 'Boats', state: 'done', error: null });
    await until(() => session.models.some(({ name }) => name === 'Boats'));
    const boats = session.models.find(({ name }) => name === 'Boats')!;
    expect(boats).toMatchObject({ id: done.model, unusable: null, bundled: false });
    await takeModel(session, boats, 'Use Boats');
    expect(session.settings?.defaultModel).toBe(boats.id);
    expect(session.model?.id).toBe(boats.id);

    // The folder is looked through from now on.
    const sources = new Sources(session);
    await sources.read();
    expect(sources.value?.lookIn).toEqual([weights]);
  });

  it('are told part by part, made smaller, verified and removed', async () => {
    const boats = session.models.find(({ name }) => name === 'Boats')!;
    await readFacts(session, boats);
    expect(factsError(boats)).toBeNull();
    const parts = factsOf(boats)!.details.parts;
    expect(parts.map(({ part, own }) => [part, own])).toEqual([
      ['dit', false],
      ['lora', false],
      ['vae', false],
      ['textEncoder', false],
    ]);

    const { models } = session.client.api;
    const bake = await models.bake({
      model: boats.id,
      id: null,
      name: 'Small boats',
      precision: 'int8',
      search: false,
      mergeLoras: true,
    });
    const baked = await over(bake.task);
    expect(baked).toMatchObject({ kind: 'bake', state: 'done' });
    await until(() => session.models.some(({ id }) => id === baked.model));
    const small = session.models.find(({ id }) => id === baked.model)!;
    await readFacts(session, small);
    expect(factsOf(small)?.precision).toBe('int8');
    expect(small.bytes).toBeLessThan(boats.bytes);

    expect(await over((await models.verify({ model: small.id })).task)).toMatchObject({ state: 'done' });

    const { frees, keeps } = await models.removal({ model: small.id });
    expect(frees).toBeGreaterThan(0);
    expect((await models.remove({ model: small.id })).bytes).toBe(frees);
    expect(keeps.length).toBeGreaterThan(0);
    await until(() => session.models.every(({ id }) => id !== small.id));
  });

  it('say what went wrong, and try again', async () => {
    const { models } = session.client.api;
    const boats = session.models.find(({ name }) => name === 'Boats')!;
    const vae = join(weights, 'starter_vae.safetensors');
    await copyFile(vae, `${vae}.kept`);
    await writeFile(vae, 'gone');
    // A model that has lost a file is not even begun with; the list says why.
    await expect(models.verify({ model: boats.id })).rejects.toThrow(/starter_vae/);
    await session.readModels();
    expect(session.models.find(({ id }) => id === boats.id)?.unusable).toMatch(/starter_vae/);
    await copyFile(`${vae}.kept`, vae);
    await session.readModels();
    expect(session.models.find(({ id }) => id === boats.id)?.unusable).toBeNull();

    const { task: failing } = await models.import({
      paths: [join(weights, 'starter_base.safetensors')],
      id: null,
      name: 'Half',
      loras: [],
      precision: 'asIs',
    });
    const failed = await over(failing);
    expect(failed.state).toBe('failed');
    expect(failed.error?.remedy).not.toBe('');
    ended.length = 0;
    await models.resume({ task: failing });
    expect((await over(failing)).state).toBe('failed');
    await models.dismiss({ task: failing });
    await tasks.read(session);
    expect(tasks.all.some(({ id }) => id === failing)).toBe(false);
  });

  it('are there after the window is loaded anew, and what is over is no news', async () => {
    const news: ModelTask[] = [];
    const again = new ModelTasks();
    const second = studio.session();
    await second.start();
    const stopAgain = again.follow(second, (task) => news.push(task));
    await until(() => again.all.length > 0);
    expect(again.all.map(({ id }) => id)).toEqual(tasks.all.map(({ id }) => id));
    expect(news).toEqual([]);
    stopAgain();
  });

  it('keep a token that is never told', async () => {
    const sources = new Sources(session);
    await sources.read();
    expect(sources.value?.hasToken).toBe(false);
    expect(await sources.set({ token: 'hf_secret', mirror: 'https://mirror.example.org' })).toBe(true);
    expect(sources.value).toMatchObject({ hasToken: true, mirror: 'https://mirror.example.org' });
    expect(JSON.stringify(sources.value)).not.toContain('hf_secret');
    expect(await sources.set({ token: null, mirror: null })).toBe(true);
    expect(sources.value).toMatchObject({ hasToken: false, mirror: null });
  });
});
