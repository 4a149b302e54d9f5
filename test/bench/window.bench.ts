/**
 * Time until the window can be used: from the moment the link of `serve` is asked for until the sample is shown,
 * Generate can be pressed and an animation frame has passed. Run it with `node test/bench/window.bench.ts`.
 */
import { browserPath, launchBrowser, warnWithoutBrowser } from '../support/chromium.ts';
import { serve } from '../web/served.ts';

const limit = 1500;
const rounds = 7;

async function measure(): Promise<void> {
  const served = await serve();
  const browser = await launchBrowser();
  const times: number[] = [];
  try {
    const [name = '', value = ''] = served.cookie.split('=');
    for (let round = 0; round < rounds; round++) {
      // A context of its own: nothing is in the browser's cache.
      const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
      await context.addCookies([{ name, value, url: served.base.href, sameSite: 'Strict', httpOnly: true }]);
      const page = await context.newPage();
      const begin = performance.now();
      await page.goto(served.base.href, { waitUntil: 'commit' });
      await page.locator('button:not([aria-disabled="true"])', { hasText: 'Generate' }).first().waitFor();
      await page.getByTestId('timeline-canvas').waitFor();
      await page.evaluate('new Promise((done) => requestAnimationFrame(done))');
      times.push(performance.now() - begin);
      await context.close();
    }
  } finally {
    await browser.close();
    await served.stop();
  }
  times.sort((a, b) => a - b);
  const median = times[rounds >> 1]!;
  const list = times.map((time) => Math.round(time)).join(', ');
  process.stdout.write(`interactive after ${Math.round(median)} ms (median of ${list}); limit ${limit} ms\n`);
  if (median > limit) process.exitCode = 1;
}

warnWithoutBrowser('the bench of the window');
if (browserPath !== null) await measure();
