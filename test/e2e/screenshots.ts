/**
 * Takes a picture of each main state of the window, to be looked at: `node test/e2e/screenshots.ts FOLDER [WORD …]`.
 * With words only the states are taken whose file name begins with one of them. Takes minutes: it generates for real.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { makeMaterial } from './material.ts';
import { openServed } from './opened.ts';
import { StudioWindow } from './studio-window.ts';

const sizes = [
  { width: 1280, height: 720 },
  { width: 1920, height: 1080 },
  { width: 2560, height: 1440 },
] as const;
const schemes = ['dark', 'light'] as const;

const [out, ...words] = process.argv.slice(2);
if (out === undefined) throw new Error('Usage: node test/e2e/screenshots.ts FOLDER [WORD …]');
await mkdir(out, { recursive: true });

const material = await makeMaterial();
const opened = await openServed({ colorScheme: 'dark' });
const { page, data, complaints } = opened;
const studio = new StudioWindow(page);

/** One state at every size, dark and light. */
async function take(name: string, only: readonly (typeof sizes)[number][] = sizes): Promise<void> {
  for (const size of only) {
    for (const scheme of schemes) {
      const file = `${name}-${size.width}-${scheme}.png`;
      if (words.length > 0 && !words.some((word) => file.startsWith(word))) continue;
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await page.mouse.move(size.width / 2, 2);
      await settled(page);
      await page.screenshot({ path: join(out!, file) });
      process.stdout.write(`${file}\n`);
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.emulateMedia({ colorScheme: 'dark' });
}

/** After what was asked for has been drawn, as far as can be told from here. */
async function settled(of: Page): Promise<void> {
  await of.waitForLoadState('networkidle').catch(() => undefined);
  await of.waitForTimeout(700);
}

async function states(): Promise<void> {
  await take('01-first-start');
  await studio.click(page.getByRole('button', { name: 'Next', exact: true }));
  await take('02-hint', sizes.slice(0, 1));
  await studio.click(page.getByRole('button', { name: 'Skip' }));
  await studio.click(page.getByRole('button', { name: /^Plan/ }));
  await take('03-sample-with-plan');

  await studio.click(studio.generate);
  await studio.progress.getByText(/step [3-9] of/).waitFor({ timeout: 240_000 });
  await take('04-generating', sizes.slice(0, 2));
  await studio.generated(1);
  await take('05-result');
  await studio.click(page.getByRole('radio', { name: 'Wipe' }));
  for (let i = 0; i < 6; i++) await studio.press('ArrowRight');
  await take('06-wipe', sizes.slice(0, 2));
  await studio.click(page.getByRole('radio', { name: 'Result' }));

  await studio.setSteps(2);
  await studio.click(page.getByRole('button', { name: 'Queue 4 takes' }));
  // The others go on meanwhile.
  await studio.takes.nth(1).waitFor({ state: 'attached', timeout: 240_000 });
  await studio.click(page.getByRole('button', { name: /^Queue:/ }));
  await take('07-queue', sizes.slice(0, 2));
  await studio.generated(5);
  await studio.click(page.getByRole('button', { name: 'Compare takes' }));
  await take('08-compare');
  await studio.press('Escape');

  await studio.press('Control+e');
  await take('09-export', sizes.slice(0, 2));
  await studio.press('Escape', 'Control+,');
  for (const tab of ['General', 'Generating', 'Library and files']) {
    await studio.click(page.getByRole('tab', { name: tab }));
    await take(`10-settings-${tab.split(' ')[0]!.toLowerCase()}`, sizes.slice(0, 1));
  }
  await studio.press('Escape', 'Control+k');
  await take('11-palette', sizes.slice(0, 1));
  await studio.press('Escape', '?');
  await take('12-shortcuts', sizes.slice(0, 1));
  await studio.press('Escape');
  for (const tab of ['Takes', 'Projects', 'Models']) {
    await studio.click(page.getByRole('tab', { name: tab }));
    await take(`13-library-${tab.toLowerCase()}`, sizes.slice(0, 1));
  }
  await studio.click(page.getByRole('tab', { name: 'Media' }));

  // A job that fails: its folder is damaged while it waits.
  await studio.click(page.getByRole('button', { name: /^Queue:/ }));
  await studio.click(page.getByRole('button', { name: 'Pause the queue' }));
  const before = new Set(await readdir(join(data, 'jobs')));
  await studio.press('Control+Enter');
  await page.getByText('Waiting', { exact: false }).first().waitFor();
  for (const name of await readdir(join(data, 'jobs'))) {
    if (!before.has(name)) await writeFile(join(data, 'jobs', name, 'job.json'), '{}');
  }
  await studio.click(page.getByRole('button', { name: 'Start the queue' }));
  await page.getByRole('alert').first().waitFor();
  await studio.press('Escape');
  await take('14-error', sizes.slice(0, 2));
  await studio.click(page.getByRole('button', { name: 'Dismiss' }).first());

  await studio.newProject();
  await take('15-empty-project');
  await studio.drop([material.first, material.second], await studio.place(18, 60));
  await studio.clips.nth(1).waitFor({ state: 'attached' });
  await studio.click(studio.task('Transition'));
  await take('16-transition');

  await studio.press('Control+,');
  await studio.click(page.getByRole('tab', { name: 'General' }));
  await page.getByLabel('Language').selectOption({ label: '简体中文' });
  await studio.press('Escape');
  await take('17-chinese');
}

try {
  await states();
} finally {
  if (complaints.length > 0) process.stderr.write(`${complaints.join('\n')}\n`);
  await opened.close();
  await material.remove();
}
