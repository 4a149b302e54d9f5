/**
 * Script per animation frame of the timeline with 500 clips and 10,000 frames, in headless Chromium: what a person
 * feels while panning, zooming and scrubbing. Run it with `node test/bench/timeline.bench.ts`.
 *
 * The real component is built into a page of its own with a small studio behind it; the pointer and the wheel are
 * real input. Times come from the browser's trace: everything that ran JavaScript on the page's main thread between
 * one frame's commit and the next, garbage collection in it included. The limit is on the processor's time; the time on
 * the clock, which other work on the machine makes longer, stands beside it.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Page } from 'playwright';
import sharp from 'sharp';
import { build } from 'vite';
import { browserPath, launchBrowser, warnWithoutBrowser } from '../support/chromium.ts';

const limit = 4;
const frames = 100;
const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly ts: number;
  readonly dur?: number;
  /** The same in the thread's own time. */
  readonly tts?: number;
  readonly tdur?: number;
  readonly tid: number;
  readonly pid: number;
}

const scripts = new Set([
  'FunctionCall',
  'EvaluateScript',
  'EventDispatch',
  'FireAnimationFrame',
  'RunMicrotasks',
  'TimerFire',
  'MinorGC',
  'MajorGC',
]);

interface Times {
  /** Milliseconds of the processor in each frame that ran script, ascending. */
  readonly cpu: readonly number[];
  readonly clock: readonly number[];
}

function scriptPerFrame(events: readonly TraceEvent[]): Times {
  const thread = events.find(({ name }) => name === 'FireAnimationFrame');
  if (thread === undefined) throw new Error('The trace holds no animation frame.');
  const own = events.filter(({ pid, tid }) => pid === thread.pid && tid === thread.tid);
  const commits = own
    .filter(({ name }) => name === 'Commit')
    .map(({ ts }) => ts)
    .sort((a, b) => a - b);
  const spans = own.filter(({ name, ph }) => ph === 'X' && scripts.has(name)).sort((a, b) => a.ts - b.ts);
  const frames = new Map<number, { cpu: number; clock: number }>();
  let reached = 0;
  let reachedCpu = 0;
  let frame = 0;
  for (const { ts, dur = 0, tts = 0, tdur = 0 } of spans) {
    while (frame < commits.length && commits[frame]! <= ts) frame++;
    const times = frames.get(frame) ?? { cpu: 0, clock: 0 };
    // Calls within calls are counted once.
    times.clock += Math.max(0, ts + dur - Math.max(ts, reached)) / 1000;
    times.cpu += Math.max(0, tts + tdur - Math.max(tts, reachedCpu)) / 1000;
    reached = Math.max(reached, ts + dur);
    reachedCpu = Math.max(reachedCpu, tts + tdur);
    frames.set(frame, times);
  }
  const sorted = (of: (times: { cpu: number; clock: number }) => number): number[] =>
    [...frames.values()].map(of).sort((a, b) => a - b);
  return { cpu: sorted(({ cpu }) => cpu), clock: sorted(({ clock }) => clock) };
}

async function traced(page: Page, act: (frame: number) => Promise<void>): Promise<Times> {
  const client = await page.context().newCDPSession(page);
  const events: TraceEvent[] = [];
  client.on('Tracing.dataCollected', ({ value }) => events.push(...(value as unknown as TraceEvent[])));
  await client.send('Tracing.start', {
    traceConfig: { includedCategories: ['devtools.timeline', 'disabled-by-default-devtools.timeline'] },
  });
  for (let frame = 0; frame < frames; frame++) {
    await act(frame);
    await page.evaluate('new Promise((done) => requestAnimationFrame(done))');
  }
  const complete = new Promise<void>((done) => client.once('Tracing.tracingComplete', () => done()));
  await client.send('Tracing.end');
  await complete;
  await client.detach();
  return scriptPerFrame(events);
}

async function main(): Promise<void> {
  if (browserPath === null) {
    warnWithoutBrowser('the bench of the timeline');
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), 'pusa-timeline-'));
  const browser = await launchBrowser();
  try {
    await build({
      configFile: false,
      root: at('../renderer/timeline/page'),
      base: './',
      logLevel: 'error',
      plugins: [svelte({ configFile: at('../../src-renderer/svelte.config.js') })],
      build: { outDir: folder, emptyOutDir: true },
    });
    const strip = await sharp({
      create: { width: 16 * 166, height: 96, channels: 3, background: '#5b8fd6' },
    })
      .webp()
      .toBuffer();
    const types: Readonly<Record<string, string>> = {
      js: 'text/javascript',
      css: 'text/css',
      html: 'text/html',
    };
    const page = await browser.newPage({ viewport: { width: 1920, height: 480 } });
    const failures: string[] = [];
    page.on('pageerror', (error) => failures.push(error.message));
    await page.route('http://localhost:9/**', async (route) => {
      const { pathname } = new URL(route.request().url());
      if (pathname.startsWith('/media/')) return route.fulfill({ contentType: 'image/webp', body: strip });
      const path = pathname === '/' ? 'index.html' : pathname.slice(1);
      const contentType = types[path.split('.').at(-1) ?? ''];
      if (contentType === undefined) return route.fulfill({ status: 404 });
      return route.fulfill({ contentType, body: await readFile(join(folder, path)) });
    });
    await page.goto('http://localhost:9/?project=large&takes=2&step=3');
    const canvas = page.getByTestId('timeline-canvas');
    await canvas.waitFor();
    await page.keyboard.press('p');
    await page.waitForTimeout(800);
    const box = (await canvas.boundingBox())!;
    const middle = { x: box.x + box.width / 2, y: box.y + 90 };

    const zoomTo = async (clicks: number): Promise<void> => {
      await page.keyboard.press('Shift+Z');
      for (let i = 0; i < clicks; i++) await page.keyboard.press('=');
      await page.waitForTimeout(600);
    };
    const scrub = async (): Promise<Times> => {
      await page.mouse.move(box.x + 60, box.y + 10);
      await page.mouse.down();
      const times = await traced(page, (frame) => page.mouse.move(box.x + 60 + frame * 10, box.y + 10));
      await page.mouse.up();
      return times;
    };
    const pan = (step: number): Promise<Times> =>
      traced(page, (frame) => page.mouse.wheel(frame % 50 < 40 ? step : -step, 0));
    const zoom = async (): Promise<Times> => {
      await page.keyboard.down('Control');
      const times = await traced(page, (frame) => page.mouse.wheel(0, frame % 60 < 30 ? -60 : 60));
      await page.keyboard.up('Control');
      return times;
    };

    await page.mouse.move(middle.x, middle.y);
    const runs: [string, () => Promise<Times>][] = [];
    for (const [name, clicks] of [
      ['whole timeline', 0],
      ['some clips', 6],
      ['single cells', 10],
    ] as const) {
      const prepared = (run: () => Promise<Times>) => async (): Promise<Times> => {
        await zoomTo(clicks);
        await page.mouse.move(middle.x, middle.y);
        return run();
      };
      runs.push(
        [`pan, ${name}`, prepared(() => pan(clicks === 0 ? 4 : 45))],
        [`zoom, ${name}`, prepared(zoom)],
        [`scrub, ${name}`, prepared(scrub)],
      );
    }
    process.stdout.write('script per animation frame, 500 clips, 10,000 frames, 1920 × 480\n');
    let worst = 0;
    for (const [name, run] of runs) {
      const times = await run();
      const at = (values: readonly number[], q: number): number =>
        values[Math.min(values.length - 1, Math.floor(values.length * q))]!;
      const p95 = at(times.cpu, 0.95);
      worst = Math.max(worst, p95);
      const figures = `p50 ${at(times.cpu, 0.5).toFixed(2)}  p95 ${p95.toFixed(2)}  most ${times.cpu.at(-1)!.toFixed(2)} ms`;
      const ratio = `${((100 * p95) / limit).toFixed(0)} % of ${limit} ms`;
      const clock = `on the clock p95 ${at(times.clock, 0.95).toFixed(2)} ms, ${times.cpu.length} frames`;
      process.stdout.write(`${name.padEnd(24)} ${figures}  ${ratio}  (${clock})\n`);
    }
    if (failures.length > 0) throw new Error(failures.join('\n'));
    process.stdout.write(
      `worst p95 ${worst.toFixed(2)} ms: ${worst < limit ? 'within' : 'OVER'} the limit\n`,
    );
    if (worst >= limit) process.exitCode = 1;
  } finally {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
