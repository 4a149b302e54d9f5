import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ChannelClient } from '../../src-main/core/contract/channel.ts';
import type { Api } from '../../src-main/core/contract/api.ts';
import { root } from '../support/places.ts';
import { fileName } from '../../src-main/shell/file-name.ts';
import {
  placeWindow,
  readWindowState,
  writeWindowState,
  type Bounds,
} from '../../src-main/shell/window-state.ts';
import { launch, type Shell } from './launch.ts';
import type { Page } from './stand-in/page.ts';

interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const sample = join(root, 'resources/samples/first.pusa');
const picture = join(root, 'resources/samples/media/blue-star-right.png');
let folder: string;
const running = new Set<Shell>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pusa shell é-'));
});

afterAll(async () => {
  for (const shell of running) shell.child.kill('SIGKILL');
  await Promise.all([...running].map(({ ended }) => ended));
  await rm(folder, { recursive: true, force: true });
});

/** Starts it and waits for its window. */
async function start(name: string, args: readonly string[] = []): Promise<Shell> {
  const shell = launch({ folder: join(folder, name), args });
  running.add(shell);
  await shell.evaluate(async ({ electron }) => {
    if (electron.BrowserWindow.getAllWindows().length > 0) return;
    await new Promise((resolve) => electron.app.once('web-contents-created', resolve));
  });
  return shell;
}

/** Opens the page of its window, as `kept.page`, connected as `kept.client`. */
async function openPage(shell: Shell): Promise<void> {
  await shell.evaluate(async ({ electron, openPage: open, kept }) => {
    const [window] = electron.BrowserWindow.getAllWindows();
    const page = open(window!);
    const files: string[] = [];
    const commands: string[] = [];
    page.bridge.onOpenFile((path) => files.push(path));
    page.bridge.onMenu((command) => commands.push(command));
    Object.assign(kept, { page, files, commands, window, client: await page.connect() });
  });
}

/** Asks the application's own scheme, as the page does. */
function ask(shell: Shell, path: string, headers: Record<string, string> = {}): Promise<Answered> {
  return shell.evaluate(
    async ({ electron }, [address, sent]) => {
      const answer = await electron.handlers.get('app')!(new Request(address, { headers: sent }));
      const body = Buffer.from(await answer.arrayBuffer()).toString('latin1');
      return { status: answer.status, headers: Object.fromEntries(answer.headers), body };
    },
    [path.startsWith('app:') ? path : `app://pusa${path}`, headers] as const,
  );
}

/** Quits it as its menu does. @returns its exit code */
async function quit(shell: Shell): Promise<number | null> {
  await shell.evaluate(({ electron }) => electron.app.quit());
  const code = await shell.ended;
  running.delete(shell);
  return code;
}

describe('the shell', () => {
  let shell: Shell;

  beforeAll(async () => {
    shell = await start('main');
    await openPage(shell);
  });

  afterAll(async () => {
    expect(await quit(shell)).toBe(0);
  });

  afterEach(async () => {
    // Nothing went wrong that nobody was told.
    expect(await shell.evaluate(({ electron }) => electron.machine.errors)).toEqual([]);
  });

  it('opens a sandboxed, isolated window with a preload script that needs Electron alone', async () => {
    const { preferences, url, required } = await shell.evaluate(({ electron, kept }) => {
      const [window] = electron.BrowserWindow.getAllWindows();
      const { webPreferences } = window!.options;
      return {
        preferences: webPreferences,
        url: window!.webContents.getURL(),
        required: (kept['page'] as Page).required,
      };
    });
    expect(preferences).toMatchObject({
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      spellcheck: false,
      preload: join(root, 'out/preload/preload.cjs'),
    });
    expect(url).toBe('app://pusa/');
    expect(required).toEqual(['electron']);
    const [scheme] = await shell.evaluate(({ electron }) => electron.machine.schemes);
    expect(scheme).toMatchObject({
      scheme: 'app',
      privileges: { standard: true, secure: true, stream: true },
    });
  });

  it('serves the page over its own scheme under the strict policy, and nothing else', async () => {
    const page = await ask(shell, '/');
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toContain('text/html');
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    expect(page.headers['content-security-policy']).not.toContain('unsafe-inline');
    const [, script] = /src="\.?(\/assets\/[^"]+\.js)"/.exec(page.body) ?? [];
    expect((await ask(shell, script!)).headers['content-type']).toContain('text/javascript');
    expect((await ask(shell, 'app://elsewhere/')).status).toBe(404);
    for (const path of ['/../main/main.js', '/%2e%2e/main/main.js', '/media/asset/..%2f..%2fx']) {
      expect((await ask(shell, path)).status, path).toBe(404);
    }
  });

  it('answers the contract over a port that the preload script hands to the page', async () => {
    const projects = await shell.evaluate(async ({ kept }) => {
      const { api } = kept['client'] as ChannelClient<Api>;
      await api.projects.create({ name: '从端口' });
      return (await api.projects.list({ cursor: null, limit: 200, trashed: false, sort: 'name' })).items;
    });
    expect(projects.map(({ name }) => name)).toContain('从端口');
  });

  it('sends the asked part of a medium', async () => {
    const bytes = await readFile(picture);
    const asset = await shell.evaluate(async ({ kept }, path) => {
      const { api } = kept['client'] as ChannelClient<Api>;
      return (await api.assets.import({ path })).asset;
    }, picture);
    const address = `/media/asset/${asset.id}`;
    const whole = await ask(shell, `${address}?v=${asset.hash}`);
    expect(whole.status).toBe(200);
    expect(Buffer.from(whole.body, 'latin1').equals(bytes)).toBe(true);
    expect(whole.headers).toMatchObject({
      'content-type': 'image/png',
      etag: `"${asset.hash}"`,
      'cache-control': 'private, max-age=31536000, immutable',
      'x-content-type-options': 'nosniff',
    });
    const part = await ask(shell, address, { range: 'bytes=1-3' });
    expect([part.status, part.body, part.headers['content-range']]).toEqual([
      206,
      'PNG',
      `bytes 1-3/${bytes.length}`,
    ]);
    expect((await ask(shell, address, { 'if-none-match': `"${asset.hash}"` })).status).toBe(304);
    expect((await ask(shell, address, { range: `bytes=${bytes.length}-` })).status).toBe(416);
    const small = await ask(shell, `${address}/thumbnail?size=64`);
    expect([small.status, small.headers['content-type']]).toEqual([200, 'image/webp']);
    expect((await ask(shell, `${address}/thumbnail?size=nonsense`)).status).toBe(400);
  });

  it('does not listen to frames, other pages or nobody', async () => {
    const heard = await shell.evaluate(async ({ electron, kept }) => {
      const { webContents } = kept['window'] as InstanceType<typeof electron.BrowserWindow>;
      const post: unknown[] = [];
      const frame = (url: string, parent: unknown) => ({
        url,
        parent,
        postMessage: (...args: unknown[]) => post.push(args),
      });
      const strangers = [
        frame('app://pusa/', webContents.mainFrame),
        frame('https://evil.example/', null),
        frame('app://pusa.evil.example/', null),
        null,
      ];
      const refusals: string[] = [];
      for (const senderFrame of strangers) {
        const event = { sender: webContents, senderFrame };
        electron.ipcMain.emit('pusa:connect', event);
        electron.ipcMain.emit('pusa:show-in-folder', event, '/etc');
        electron.ipcMain.emit('pusa:set-title', event, 'theirs');
        try {
          await electron.ipcHandlers.get('pusa:choose-open')!(event, { kind: 'project' });
        } catch (thrown) {
          refusals.push((thrown as { code: string }).code);
        }
      }
      return {
        post,
        refusals,
        shown: electron.machine.shownInFolder,
        title: (kept['window'] as { title: string }).title,
      };
    });
    expect(heard.post).toEqual([]);
    expect(heard.shown).toEqual([]);
    expect(heard.title).not.toContain('theirs');
    expect(heard.refusals).toEqual(Array(4).fill('CONTRACT_VIOLATION'));
  });

  it('checks what our own page says, too', async () => {
    const outcome = await shell.evaluate(async ({ electron, kept }) => {
      const { bridge } = kept['page'] as Page;
      bridge.showInFolder('relative/path');
      bridge.setTitle(7 as never);
      bridge.startDrag('../../x');
      const refusal = await bridge
        .chooseOpen({ kind: 'anything' as never })
        .catch((e: unknown) => (e as { code: string }).code);
      bridge.setTitle('海浪');
      bridge.showInFolder(process.execPath);
      return {
        refusal,
        shown: electron.machine.shownInFolder,
        title: (kept['window'] as { title: string }).title,
      };
    });
    expect(outcome).toEqual({
      refusal: 'CONTRACT_VIOLATION',
      shown: [process.execPath],
      title: '海浪 — Pusa Studio',
    });
  });

  it('shows the system’s dialogs and gives the paths chosen in them', async () => {
    const outcome = await shell.evaluate(async ({ electron, kept }) => {
      const { bridge } = kept['page'] as Page;
      electron.machine.chosen = { open: ['/a/b.pusa'], save: '/a/out' };
      const opened = await bridge.chooseOpen({ kind: 'project' });
      const saved = await bridge.chooseSave({ kind: 'mp4', name: '../../waves: a/b' });
      electron.machine.chosen.save = '/a/c/take 1.5';
      const dotted = await bridge.chooseSave({ kind: 'mp4', name: 'x' });
      electron.machine.chosen.save = '/a/c/TAKE.MP4';
      const whole = await bridge.chooseSave({ kind: 'mp4', name: 'x' });
      electron.machine.chosen = { open: [], save: '' };
      const left = [
        await bridge.chooseOpen({ kind: 'media' }),
        await bridge.chooseSave({ kind: 'project', name: 'x' }),
      ];
      const { recent, openDialogs, saveDialogs } = electron.machine;
      return {
        opened,
        saved: [saved, dotted, whole],
        left,
        recent,
        filters: openDialogs[0]!.filters,
        offered: saveDialogs.map(({ defaultPath }) => defaultPath),
      };
    });
    expect(outcome.opened).toEqual(['/a/b.pusa']);
    expect(outcome.saved).toEqual(['/a/out.mp4', '/a/c/take 1.5.mp4', '/a/c/TAKE.MP4']);
    expect(outcome.left).toEqual([[], null]);
    expect(outcome.recent).toContain('/a/b.pusa');
    expect(outcome.filters).toContainEqual({ name: 'Pusa Studio project', extensions: ['pusa'] });
    // A kind's next dialog begins where its last one ended.
    expect(outcome.offered).toEqual([
      join(folder, 'main', 'videos', 'b.mp4'),
      '/a/x.mp4',
      '/a/c/x.mp4',
      join(folder, 'main', 'documents', 'x.pusa'),
    ]);
  });

  it('knows the path of a dropped file', async () => {
    const paths = await shell.evaluate(({ kept }) => {
      const { bridge } = kept['page'] as Page;
      return [bridge.pathForFile({ path: '/x y/é.mp4' }), bridge.pathForFile({})];
    });
    expect(paths).toEqual(['/x y/é.mp4', null]);
  });

  it('denies permissions, foreign requests, navigation and windows of the page’s own', async () => {
    const denied = await shell.evaluate(({ electron, kept }) => {
      type Ask = (contents: unknown, permission: string, answer: (yes: boolean) => void) => void;
      type Check = (contents: unknown, permission: string, origin: string) => boolean;
      const { webContents } = kept['window'] as InstanceType<typeof electron.BrowserWindow>;
      const set = electron.sessionSettings;
      const given: Record<string, boolean> = {};
      for (const permission of [
        'media',
        'geolocation',
        'notifications',
        'fileSystem',
        'openExternal',
        'fullscreen',
      ]) {
        (set.get('permissionRequest') as Ask)(webContents, permission, (yes) => (given[permission] = yes));
        given[`check ${permission}`] = (set.get('permissionCheck') as Check)(
          webContents,
          permission,
          'app://pusa',
        );
      }
      given['fullscreen elsewhere'] = (set.get('permissionCheck') as Check)(
        null,
        'fullscreen',
        'https://evil.example',
      );
      given['device'] = (set.get('devicePermission') as () => boolean)();
      const cancelled = [
        'https://evil.example/',
        'http://127.0.0.1/',
        'ws://a/',
        'file:///etc/passwd',
        'app://pusa/',
      ].map((url) => {
        let cancel: boolean | undefined;
        const listener = set.get('onBeforeRequest') as (
          d: object,
          a: (r: { cancel: boolean }) => void,
        ) => void;
        listener({ url }, (response) => (cancel = response.cancel));
        return cancel;
      });
      const held = (name: string, url: string, isMainFrame = true): boolean => {
        let prevented = false;
        webContents.emit(name, { url, isMainFrame, preventDefault: () => (prevented = true) });
        return prevented;
      };
      const links = [
        'https://github.com/x',
        'https://github.com.evil.example/',
        'https://github.com@evil.example/',
        'http://github.com/',
        'file:///etc/passwd',
        'javascript:alert(1)',
      ];
      const actions = links.map((url) => webContents.openHandler!({ url }).action);
      return {
        given,
        cancelled,
        spelling: set.get('spellChecker'),
        navigation: [
          held('will-navigate', 'https://evil.example/'),
          held('will-navigate', 'app://pusa.evil.example/'),
          held('will-navigate', 'app://pusa/'),
          held('will-redirect', 'https://evil.example/'),
          held('will-frame-navigate', 'app://pusa/', false),
          held('will-attach-webview', ''),
        ],
        actions,
        opened: electron.machine.opened,
      };
    });
    const { fullscreen, 'check fullscreen': check, ...others } = denied.given;
    expect([fullscreen, check]).toEqual([true, true]);
    expect(new Set(Object.values(others))).toEqual(new Set([false]));
    expect(denied.cancelled).toEqual([true, true, true, true, false]);
    expect(denied.spelling).toBe(false);
    expect(denied.navigation).toEqual([true, true, false, true, true, true]);
    expect(new Set(denied.actions)).toEqual(new Set(['deny']));
    expect(denied.opened).toEqual(['https://github.com/x']);
  });

  it('opens the file of a second start, and of the system, in the window it has', async () => {
    const second = join(folder, 'second project 二.pusa');
    await copyFile(sample, second);
    const outcome = await shell.evaluate(
      ({ electron, kept }, [file, cwd]) => {
        const window = kept['window'] as InstanceType<typeof electron.BrowserWindow>;
        window.flags.minimised = true;
        electron.app.emit(
          'second-instance',
          {},
          ['app', '--flag', 'second project 二.pusa', 'no.pusa', 'x.txt'],
          cwd,
        );
        electron.app.emit('open-file', { preventDefault: () => undefined }, file);
        return { files: kept['files'], minimised: window.flags.minimised, recent: electron.machine.recent };
      },
      [sample, folder] as const,
    );
    expect(outcome.files).toEqual([second, sample]);
    expect(outcome.minimised).toBe(false);
    expect(outcome.recent).toEqual(expect.arrayContaining([second, sample]));
  });

  it('has a menu in the person’s language whose commands reach the window', async () => {
    const outcome = await shell.evaluate(async ({ electron, kept }) => {
      const { api } = kept['client'] as ChannelClient<Api>;
      const labels = (): string[] => electron.machine.menu.map(({ label }) => label ?? '');
      const english = labels();
      await api.settings.set({ language: 'zh-CN', theme: 'light' });
      while (labels()[0] === english[0]) await new Promise((resolve) => setImmediate(resolve));
      const edit = electron.machine.menu[1]!.submenu as { id?: string; click?: () => void }[];
      edit.find(({ id }) => id === 'undo')!.click!();
      return {
        english,
        chinese: labels(),
        theme: electron.nativeTheme.themeSource,
        commands: kept['commands'],
      };
    });
    expect(outcome.english).toEqual(['File', 'Edit', 'View', 'Window', 'Help']);
    expect(outcome.chinese).toEqual(['文件', '编辑', '视图', '窗口', '帮助']);
    expect(outcome.theme).toBe('light');
    expect(outcome.commands).toEqual(['undo']);
  });

  it('runs a job in the engine’s own process, shows it on the desktop, and gives the take away', async () => {
    // The queue starts once everything that watches it is there.
    const jobId = await shell.evaluate(
      async ({ kept }, path) => {
        const { api } = kept['client'] as ChannelClient<Api>;
        const { project } = await api.files.open({ path });
        await api.jobs.setQueuePaused({ paused: true });
        await api.settings.set({ provider: 'cpu' });
        const range = { projectId: project.id, rangeId: project.ranges[0]!.id };
        const [job] = (await api.jobs.enqueue({ ...range, place: 'next' })).jobs;
        await api.jobs.edit({ jobId: job!.id, sampler: { steps: 2 } });
        return job!.id;
      },
      join(root, 'resources/samples/text-to-video.pusa'),
    );

    const during = await shell.evaluate(async ({ electron, kept }, id) => {
      const client = kept['client'] as ChannelClient<Api>;
      const window = kept['window'] as InstanceType<typeof electron.BrowserWindow>;
      window.flags.focused = false;
      const advanced = new Promise<void>((resolve) => {
        client.on('jobs.progress', ({ progress }) => progress.fraction > 0 && resolve());
      });
      await client.api.jobs.setQueuePaused({ paused: false });
      await advanced;
      const turn = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve));
      // The shell hears on a line of its own.
      while (window.progress.value <= 0) await turn();
      const { blockers, questions, engines } = electron.machine;
      electron.machine.answer = 1;
      electron.app.quit();
      while (questions.length === 0) await turn();
      kept['ended'] = new Promise<void>((resolve) => {
        const look = async (): Promise<void> => {
          const { state } = await client.api.jobs.get({ jobId: id });
          if (state === 'done' || state === 'failed') resolve();
        };
        client.on('records.changed', () => void look());
        void look();
      });
      return {
        progress: window.progress,
        blockers: blockers.size,
        question: questions.at(-1)?.message,
        engines: engines.map(({ pid }) => pid !== process.pid),
      };
    }, jobId);
    expect(during.progress.value).toBeGreaterThan(0);
    expect(during.progress.mode).toBe('normal');
    expect(during.blockers).toBe(1);
    expect(during.question).toBe('有任务正在运行。');
    expect(during.engines).toEqual([true]);

    const after = await shell.evaluate(async ({ electron, kept }, id) => {
      const { api } = kept['client'] as ChannelClient<Api>;
      await kept['ended'];
      const { state, error, projectId } = await api.jobs.get({ jobId: id });
      const [take] = (await api.takes.list({ cursor: null, limit: 1, projectId, sort: 'created' })).items;
      if (take !== undefined) (kept['page'] as Page).bridge.startDrag(take.id);
      while (take !== undefined && electron.machine.drags.length === 0)
        await new Promise((resolve) => setTimeout(resolve, 20));
      const window = kept['window'] as InstanceType<typeof electron.BrowserWindow>;
      const { notifications, blockers, drags } = electron.machine;
      return {
        state,
        error,
        take,
        notifications,
        blockers: blockers.size,
        drags,
        progress: window.progress.value,
        flashing: [window.flags.flashing, (window.focus(), window.flags.flashing)],
      };
    }, jobId);
    expect([after.state, after.error]).toEqual(['done', null]);
    expect(after.notifications.map(({ title }) => title)).toEqual(['生成完成']);
    expect(after.blockers).toBe(0);
    expect(after.progress).toBe(-1);
    expect(after.flashing).toEqual([true, false]);
    const [drag] = after.drags;
    expect(drag!.icon).toBeGreaterThan(100);
    expect((await readFile(drag!.file)).subarray(4, 8).toString()).toBe('ftyp');
    const video = await ask(shell, `/media/take/${after.take!.id}`, { range: 'bytes=4-7' });
    expect([video.status, video.headers['content-type'], video.body]).toEqual([206, 'video/mp4', 'ftyp']);
  });

  it('offers to load the page again when its process ends', async () => {
    const outcome = await shell.evaluate(async ({ electron, kept }) => {
      const { webContents } = kept['window'] as InstanceType<typeof electron.BrowserWindow>;
      electron.machine.answer = 0;
      webContents.emit('render-process-gone', {}, { reason: 'crashed', exitCode: 5 });
      await new Promise((resolve) => setImmediate(resolve));
      return { reloads: webContents.reloads, question: electron.machine.questions.at(-1)?.message };
    });
    expect(outcome).toEqual({ reloads: 1, question: '窗口停止了工作。' });
    expect(await readFile(join(folder, 'main/logs/pusa-studio.log'), 'utf8')).toContain('crashed, code 5');
  });

  it('asks once about a page that hangs, and no more when it answers again', async () => {
    const outcome = await shell.evaluate(async ({ electron, kept }) => {
      const { machine } = electron;
      const window = kept['window'] as InstanceType<typeof electron.BrowserWindow>;
      const before = { reloads: window.webContents.reloads, questions: machine.questions.length };
      const settled = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve));
      machine.answer = null;
      window.emit('unresponsive');
      window.emit('unresponsive');
      window.emit('responsive');
      await settled();
      const recovered = window.webContents.reloads - before.reloads;
      machine.answer = 0;
      window.emit('unresponsive');
      await settled();
      return {
        recovered,
        reloads: window.webContents.reloads - before.reloads,
        questions: machine.questions.slice(before.questions).map(({ message }) => message),
      };
    });
    expect(outcome).toEqual({
      recovered: 0,
      reloads: 1,
      questions: ['窗口没有响应。', '窗口没有响应。'],
    });
  });

  it('writes what caused a failure into its log', async () => {
    await shell.evaluate(() => {
      void Promise.reject(new Error('It broke.', { cause: new Error('the disk said no') }));
    });
    await expect
      .poll(() => readFile(join(folder, 'main/logs/pusa-studio.log'), 'utf8'))
      .toMatch(/It broke\.[^]*the disk said no/);
  });
});

describe('another start', () => {
  it('opens the files it is given and remembers where its window stood', async () => {
    const file = join(folder, 'on the command line.pusa');
    await copyFile(sample, file);
    const before = await start('remembering', [file, '--other', join(folder, 'missing.pusa')]);
    await openPage(before);
    const files = await before.evaluate(({ electron, kept }) => {
      const window = electron.BrowserWindow.getAllWindows()[0]!;
      window.bounds = { x: 300, y: 200, width: 1000, height: 700 };
      window.flags.maximised = true;
      return kept['files'];
    });
    expect(files).toEqual([file]);
    expect(await quit(before)).toBe(0);

    const again = await start('remembering');
    const { bounds, maximised } = await again.evaluate(({ electron }) => {
      const [window] = electron.BrowserWindow.getAllWindows();
      return { bounds: window!.bounds, maximised: window!.isMaximized() };
    });
    expect(bounds).toEqual({ x: 300, y: 200, width: 1000, height: 700 });
    expect(maximised).toBe(true);
    // Closing its window ends the application, too.
    await again.evaluate(({ electron }) => electron.BrowserWindow.getAllWindows()[0]!.close());
    expect(await again.ended).toBe(0);
    running.delete(again);
  });

  it('closes its studio and ends when the system shuts down, whatever runs', async () => {
    const shell = await start('shutdown');
    const waits = await shell.evaluate(({ electron }) => {
      let isHeld = false;
      electron.powerMonitor.emit('shutdown', { preventDefault: () => (isHeld = true) });
      return isHeld;
    });
    expect(waits).toBe(true);
    expect(await shell.ended).toBe(0);
    running.delete(shell);
  });

  it('leaves at once where the application runs already', async () => {
    const second = launch({ folder: join(folder, 'second'), isSecond: true });
    const windows = second.evaluate(async ({ electron }) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return electron.BrowserWindow.getAllWindows().length;
    });
    expect(await Promise.race([second.ended, windows])).toBe(0);
    expect(await second.ended).toBe(0);
  });

  it('says why it cannot start, and ends', async () => {
    const place = join(folder, 'broken');
    await mkdir(place, { recursive: true });
    await writeFile(join(place, 'library'), 'a file where the folder should be');
    const broken = launch({ folder: place });
    const told = broken.evaluate(async ({ electron }) => {
      const { machine, app } = electron;
      return new Promise((resolve) => (app.exit = () => resolve(machine.errors)));
    });
    const [error] = (await told) as { title: string; content: string }[];
    broken.child.kill('SIGKILL');
    await broken.ended;
    expect(error!.title).toBe('Pusa Studio cannot start.');
    expect(error!.content).toMatch(/[A-Z_]+\nLog: .*pusa-studio\.log$/);
    expect(error!.content).not.toMatch(/\n\s+at /);
  });
});

describe('a remembered place', () => {
  const left = { x: 0, y: 0, width: 1920, height: 1040 };
  const right = { x: 1920, y: 100, width: 2560, height: 1400 };

  it.each<[string, Bounds | null, Bounds[], Bounds]>([
    [
      'is kept',
      { x: 50, y: 60, width: 1000, height: 700 },
      [left],
      { x: 50, y: 60, width: 1000, height: 700 },
    ],
    [
      'is kept on a second display',
      { x: 2000, y: 300, width: 1000, height: 700 },
      [left, right],
      { x: 2000, y: 300, width: 1000, height: 700 },
    ],
    [
      'is given up with its display',
      { x: 2000, y: 300, width: 1000, height: 700 },
      [left],
      { x: 240, y: 70, width: 1440, height: 900 },
    ],
    [
      'is given up where its title cannot be seen',
      { x: 100, y: 1035, width: 1000, height: 700 },
      [left],
      { x: 240, y: 70, width: 1440, height: 900 },
    ],
    [
      'is made to fit',
      { x: -100, y: -5, width: 5000, height: 20 },
      [left],
      { x: -100, y: 0, width: 1920, height: 600 },
    ],
    [
      'is the middle at the first start',
      null,
      [{ x: 10, y: 10, width: 1280, height: 720 }],
      { x: 10, y: 10, width: 1280, height: 720 },
    ],
  ])('%s', (_name, remembered, areas, place) => {
    expect(placeWindow(remembered, areas)).toEqual(place);
  });

  it('is read whole or not at all', async () => {
    const file = join(folder, 'window-state.json');
    const state = { bounds: { x: 1, y: 2, width: 3, height: 4 }, isMaximised: false, isFullScreen: true };
    expect(readWindowState(file)).toBeNull();
    writeWindowState(file, state);
    expect(readWindowState(file)).toEqual(state);
    for (const text of [
      '',
      '{',
      '{"bounds":{}}',
      JSON.stringify({ ...state, more: 1 }),
      JSON.stringify({ ...state, bounds: { x: 1e9, y: 0, width: 1, height: 1 } }),
      ' '.repeat(20_000),
    ]) {
      await writeFile(file, text);
      expect(readWindowState(file), text.slice(0, 50)).toBeNull();
    }
  });
});

it.each([
  ['waves', 'waves'],
  ['../../etc/passwd', 'passwd'],
  ['a:b?c*', 'a b c'],
  ['海浪 2', '海浪 2'],
  ['con', 'Pusa Studio'],
  ['..', 'Pusa Studio'],
  ['name. ', 'name'],
])('offers “%s” as the file name “%s”', (given, name) => {
  expect(fileName(given)).toBe(name);
});
