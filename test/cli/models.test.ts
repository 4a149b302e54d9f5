import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { serveModels, type ModelServerStub } from '../studio/model-server.ts';
import { root } from '../support/places.ts';
import { pusaIn, type Ended } from '../support/pusa-cli.ts';

const starter = join(root, 'resources/models/starter');
const names = ['starter_base', 'starter_pusa_lora', 'starter_umt5', 'starter_vae'].map(
  (name) => `${name}.safetensors`,
);

let folder: string;
let server: ModelServerStub;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pusa-cli-models-'));
  server = await serveModels();
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

const pusa = (...args: string[]): Promise<Ended> => pusaIn(folder)(...args);

/** The starter model's files as an entry of a catalogue. */
async function catalogue(): Promise<string> {
  const files = [];
  for (const name of names) {
    const bytes = await readFile(join(starter, name));
    server.put('maker/tiny', name, bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    files.push({ repository: 'maker/tiny', path: name, bytes: bytes.byteLength, sha256 });
  }
  const licence = { name: 'Licence of the maker', url: 'https://maker.example/licence' };
  const path = join(folder, 'catalogue.json');
  await writeFile(
    path,
    JSON.stringify({
      version: 1,
      parts: [{ id: 'all', name: 'All of it', licence, about: null, files }],
      entries: [{ id: 'tiny', name: 'Tiny', purpose: 'For trying out.', parts: ['all'], loras: [] }],
    }),
  );
  return path;
}

test(
  'from a network to a clip in three commands, each saying what comes next',
  { timeout: 180_000 },
  async () => {
    const known = ['--catalogue', await catalogue(), '--mirror', server.base];
    const listed = await pusa('models', 'download', ...known);
    expect(listed.out).toContain(
      'tiny\n  Tiny: 15.9 MB\n  For trying out.\n  Licence: Licence of the maker (https://maker.example/licence)',
    );
    expect(listed.out).toContain('Next: npm run pusa -- models download tiny');
    // Nobody was asked before something was to be downloaded.
    expect(server.asked).toEqual([]);

    const token = join(folder, 'token');
    await writeFile(token, 'hf_secret\n');
    const got = await pusa(
      'models',
      'download',
      'tiny',
      ...known,
      '--token-file',
      token,
      '--to',
      join(folder, 'disk'),
    );
    expect(got.code).toBe(0);
    expect(got.err).toContain(`Tiny: 15.9 MB to download of 15.9 MB, from ${server.base}`);
    expect(got.err).toContain('By downloading you accept these licences.');
    expect(got.err).toContain('Downloading starter_vae.safetensors');
    expect(got.out).toContain('Next: npm run render -- clip.mp4 --model tiny');
    expect(`${got.out}${got.err}`).not.toContain('hf_secret');
    expect(server.asked.every(({ authorization }) => authorization === 'Bearer hf_secret')).toBe(true);
    expect((await readdir(join(folder, 'disk', 'maker', 'tiny'))).sort()).toEqual([...names].sort());

    const clip = join(folder, 'clip.gif');
    const rendered = await pusa(
      ...['render', clip, '--model', 'tiny', '--prompt', 'A boat at sunset', '--steps', '1', '--cfg', '1'],
      ...['--frames', '5'],
    );
    expect([rendered.code, rendered.err]).toEqual([0, expect.any(String)]);
    expect((await stat(clip)).size).toBeGreaterThan(1000);

    const again = await pusa('models', 'download', ...known, '--json');
    expect(JSON.parse(again.out)).toMatchObject({
      entries: [{ id: 'tiny', model: 'tiny', missingBytes: 0 }],
    });
    const dry = JSON.parse((await pusa('models', 'remove', 'tiny', '--dry-run', '--json')).out) as object;
    expect(dry).toMatchObject({ id: 'tiny', keeps: [] });
    const removed = await pusa('models', 'remove', 'tiny');
    expect(removed.out).toBe('Removed; 15.9 MB are free again.\n');
    expect(await readdir(join(folder, 'disk'))).toEqual(['packages']);
  },
);

test('from files on the disk to a model, and what cannot be had says why', { timeout: 120_000 }, async () => {
  const mine = join(folder, 'mine');
  await mkdir(mine);
  for (const name of names) await writeFile(join(mine, name), await readFile(join(starter, name)));
  const inspected = JSON.parse(
    (await pusa('models', 'inspect', join(mine, names[0]!), '--json')).out,
  ) as object;
  expect(inspected).toMatchObject({ role: 'dit', format: 'safetensors', inPlace: true, refused: null });
  const imported = await pusa('models', 'import', mine, '--id', 'mine');
  expect(imported.out).toContain('"mine" is ready.\n');
  expect(imported.out).toContain('Next: npm run render -- clip.mp4 --model mine');
  expect((await readdir(mine)).sort()).toEqual([...names].sort());
  const listed = JSON.parse((await pusa('models', 'list', '--json')).out) as object[];
  expect(listed).toContainEqual(expect.objectContaining({ id: 'mine', bundled: false, unusable: null }));
  const verified = await pusa('models', 'verify', 'mine', '--json');
  expect(JSON.parse(verified.out)).toEqual({ id: 'mine', sound: true });
  const twice = await pusa('models', 'import', mine, '--id', 'mine');
  expect([twice.code, twice.err]).toEqual([2, expect.stringContaining('There is a model "mine" already.')]);
  const removed = await pusa('models', 'remove', 'mine');
  expect(removed.out).toContain('It is your own file.');
  expect((await readdir(mine)).sort()).toEqual([...names].sort());

  const path = await catalogue();
  server.files.clear();
  const gone = await pusa(
    'models',
    'download',
    'tiny',
    '--catalogue',
    path,
    '--mirror',
    server.base,
    '--json',
  );
  expect(gone.code).toBe(3);
  expect(JSON.parse(gone.out)).toMatchObject({
    event: 'failed',
    code: 'DOWNLOAD_REFUSED',
    message: expect.stringContaining('it is not there') as string,
  });
  const none = await pusa('models', 'download', 'none', '--catalogue', path);
  expect(none.err).toContain('The catalogue has no model "none".');
});
