import type { Browser } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeFrame, messageBytes } from '../../src-main/core/contract/channel.ts';
import { browserPath, launchBrowser, warnWithoutBrowser } from '../support/chromium.ts';
import { clientOver, dialIn } from '../web/door.ts';
import { serve, type Served } from '../web/served.ts';

warnWithoutBrowser('the page in a real browser');

describe.skipIf(browserPath === null)('the served page', () => {
  let served: Served;
  let browser: Browser;

  beforeAll(async () => {
    served = await serve();
    browser = await launchBrowser();
  });

  afterAll(async () => {
    await browser.close();
    await served.stop();
  });

  it('loads, talks to the studio, asks nobody else and breaks no rule of its policy', async () => {
    const page = await browser.newPage();
    const [name = '', value = ''] = served.cookie.split('=');
    await page
      .context()
      .addCookies([{ name, value, url: served.base.href, sameSite: 'Strict', httpOnly: true }]);
    const foreign: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => {
      const { protocol, host } = new URL(request.url());
      if (protocol.startsWith('http') && host !== served.base.host) foreign.push(request.url());
    });
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    const answered = new Promise<string>((resolve) => {
      page.on('websocket', (socket) => {
        socket.on('framereceived', ({ payload }) => {
          if (typeof payload === 'string') return;
          const message = decodeFrame(payload, messageBytes.client.receive) as { type: string };
          if (message.type === 'result') resolve(socket.url());
        });
      });
    });
    await page.goto(served.base.href);
    expect(await answered).toBe(`ws://${served.base.host}/socket`);
    await page.getByRole('main').first().waitFor();
    expect(await page.title()).toContain('Pusa Studio');
    expect(foreign).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('shares its studio with every other connection', async () => {
    const client = clientOver(await dialIn(served.base, served.cookie));
    const { total } = await client.api.projects.list({
      cursor: null,
      limit: 1,
      trashed: false,
      sort: 'name',
    });
    expect(total).toBeGreaterThan(0);
    client.close();
  });
});
