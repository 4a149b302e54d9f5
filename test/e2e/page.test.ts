import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { browserPath, launchBrowser, warnWithoutBrowser } from '../support/chromium.ts';
import { root } from '../support/places.ts';

/** What the test reads of a video element; the DOM's types are not part of this side. */
interface VideoElement {
  readonly readyState: number;
  readonly duration: number;
}

warnWithoutBrowser('the page in a real browser');

describe.skipIf(browserPath === null)('the served page', () => {
  let server: ChildProcess;
  let browser: Browser;
  let page: Page;
  let data: string;
  const foreign: string[] = [];
  const complaints: string[] = [];

  beforeAll(async () => {
    data = await mkdtemp(join(tmpdir(), 'pusa-page-'));
    server = spawn(process.execPath, [join(root, 'out/main/serve.js'), '--data', data], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const url = await new Promise<string>((resolve, reject) => {
      server.stdout?.on('data', (chunk: Buffer) => {
        const found = /http:\/\/\S+/.exec(chunk.toString());
        if (found) resolve(found[0]);
      });
      server.once('exit', (code) => reject(new Error(`serve ended with ${code}`)));
    });
    browser = await launchBrowser();
    page = await browser.newPage();
    page.on('request', (request) => {
      const { hostname, protocol } = new URL(request.url());
      if (protocol.startsWith('http') && hostname !== '127.0.0.1') foreign.push(request.url());
    });
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    await page.goto(url);
  });

  afterAll(async () => {
    await browser.close();
    const ended = new Promise((resolve) => server.once('exit', resolve));
    server.kill('SIGTERM');
    await ended;
    await rm(data, { recursive: true });
  });

  it('shows the sample, its plan and this machine', async () => {
    await page.getByRole('button', { name: 'Generate' }).waitFor();
    expect(await page.getByRole('img', { name: /^Timesteps of/ }).count()).toBe(1);
    await page.getByText('Runs on cpu').waitFor({ timeout: 90_000 });
  });

  it('generates the sample and plays the result', async () => {
    await page.getByRole('button', { name: 'Generate' }).click();
    await page.getByRole('button', { name: 'Cancel' }).waitFor();
    const video = page.locator('video');
    await video.waitFor({ timeout: 110_000 });
    await expect
      .poll(() => video.evaluate((element) => (element as unknown as VideoElement).readyState), {
        timeout: 20_000,
      })
      .toBeGreaterThanOrEqual(2);
    const length = await video.evaluate((element) => (element as unknown as VideoElement).duration);
    expect(length).toBeGreaterThan(0.5);
  });

  it('cancels, and says so', async () => {
    await page.getByRole('button', { name: 'Generate' }).click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText('Cancelled.').waitFor();
  });

  it('asks nobody else for anything and breaks no rule of its policy', () => {
    expect(foreign).toEqual([]);
    expect(complaints).toEqual([]);
  });
});
