import { readdir, readFile } from 'node:fs/promises';
import type { BrowserContext, Page } from 'playwright';
import { launchBrowser } from '../support/chromium.ts';
import { serve } from '../web/served.ts';

/** The application with one window, as a test sees it. */
export interface Opened {
  readonly page: Page;
  /** Its library. */
  readonly data: string;
  /** The process that the studio lives in. */
  readonly pid: number;
  /** Requests that left the application. */
  readonly foreign: string[];
  /** Errors of the page, and refusals of its policy. */
  readonly complaints: string[];
  /** Answers the system's dialog that an act opens with files. */
  chooseFiles(act: () => Promise<void>, paths: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** `serve` with an empty library, and a window of it that was never open before. */
export async function openServed(
  options: Parameters<Awaited<ReturnType<typeof launchBrowser>>['newContext']>[0] = {},
): Promise<Opened> {
  const served = await serve();
  const browser = await launchBrowser();
  try {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
    const [name = '', value = ''] = served.cookie.split('=');
    await context.addCookies([
      { name, value, url: served.base.href, sameSite: 'Strict' as const, httpOnly: true },
    ]);
    context.setDefaultTimeout(20_000);
    const page = await context.newPage();
    const watched = watch(context, page, (url) => url.host === served.base.host);
    await page.goto(served.base.href);
    await page.getByRole('main').waitFor();
    return {
      page,
      data: served.data,
      pid: served.child.pid!,
      ...watched,
      chooseFiles: async (act, paths) => {
        const [chooser] = await Promise.all([page.waitForEvent('filechooser'), act()]);
        await chooser.setFiles([...paths]);
      },
      close: async () => {
        await browser.close();
        await served.stop();
      },
    };
  } catch (thrown) {
    await browser.close();
    await served.stop();
    throw thrown;
  }
}

/** Notes what a page asks of others, and what it complains about. */
export function watch(
  context: BrowserContext,
  page: Page,
  isOurs: (url: URL) => boolean,
): Pick<Opened, 'foreign' | 'complaints'> {
  const foreign: string[] = [];
  const complaints: string[] = [];
  const note = (address: string): void => {
    const url = new URL(address);
    if (!['data:', 'blob:'].includes(url.protocol) && !isOurs(url)) foreign.push(address);
  };
  context.on('request', (request) => note(request.url()));
  page.on('websocket', (socket) => note(socket.url()));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  return { foreign, complaints };
}

/** Processes that a process started and that live; only where there is /proc. */
export async function childrenOf(pid: number): Promise<number[]> {
  const children: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => null);
    // The name of a program may hold blanks and brackets; what follows its last bracket does not.
    const [state, parent] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
    if (Number(parent) === pid && state !== 'Z') children.push(Number(name));
  }
  return children;
}

/** The engine's process below the studio's; null while there is none. */
export async function engineOf(pid: number): Promise<number | null> {
  for (const child of await childrenOf(pid)) {
    const line = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '');
    if (/engine\/process\.ts|engine\.js|node\.mojom\.NodeService/.test(line)) return child;
    // Chromium starts its processes from one of its own.
    const below = await engineOf(child);
    if (below !== null) return below;
  }
  return null;
}
