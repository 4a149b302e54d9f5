import { copyFile, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Locator } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { browserPath, warnWithoutBrowser } from '../support/chromium.ts';
import { root } from '../support/places.ts';
import { openServed, type Opened } from './opened.ts';
import { StudioWindow } from './studio-window.ts';

warnWithoutBrowser('models in the window');

/** Milliseconds for a test with a generation, on a slow, busy machine. */
const slow = { timeout: 420_000 };
const patiently = { timeout: 60_000, interval: 100 };

describe.skipIf(browserPath === null)('models in the window', () => {
  const environment = { ...process.env };
  let folder: string;
  let weights: string;
  let opened: Opened;
  let studio: StudioWindow;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pusa-weights-'));
    weights = join(folder, 'my weights');
    await mkdir(weights);
    const starter = join(root, 'resources', 'models', 'starter');
    for (const name of await readdir(starter)) {
      if (name.endsWith('.safetensors')) await copyFile(join(starter, name), join(weights, name));
    }
    // What other programs keep on this machine is not looked at.
    process.env['HF_HUB_CACHE'] = join(folder, 'hub');
    process.env['COMFYUI_PATH'] = folder;
    opened = await openServed();
    studio = new StudioWindow(opened.page);
  }, slow.timeout);

  afterAll(async () => {
    process.env = environment;
    await opened.close();
    await rm(folder, { recursive: true, force: true });
    expect(opened.foreign).toEqual([]);
    expect(opened.complaints).toEqual([]);
  });

  it('from files on the disk to a clip without a terminal', slow, async () => {
    const { page } = studio;
    await studio.click(page.getByRole('button', { name: 'Skip' }));
    await studio.click(page.getByRole('tab', { name: 'Models' }));
    await studio.click(page.getByRole('button', { name: 'Add a model …' }).first());
    const dialog = page.getByRole('dialog', { name: 'Add a model' });
    // Every licence is told, and nothing is fetched, before it is accepted.
    const entry = dialog.getByRole('region', { name: 'Wan2.1 T2V 14B + Pusa V1', exact: true });
    await studio.click(entry.getByRole('button').first());
    const download = entry.getByRole('button', { name: /^Download/ });
    await expect.poll(() => download.getAttribute('aria-disabled'), patiently).toBe('true');
    expect(await entry.getByRole('link').first().getAttribute('href')).toMatch(/^https:/);
    await studio.click(dialog.getByRole('tab', { name: 'Files on this machine' }));

    // A file that is no model says so, and what to take instead.
    const path = dialog.getByRole('textbox', { name: 'Path of a folder' });
    await path.fill(join(root, 'resources', 'models', 'starter', 'manifest.json'));
    await studio.press('Enter');
    await dialog.getByText(/Cannot be used: 1/).waitFor();

    // A message stands above the dialog, and can be put away without closing it.
    await path.fill(join(folder, 'nowhere'));
    await studio.press('Enter');
    await page.getByText('No weights were found in').waitFor();
    await studio.click(page.getByRole('button', { name: 'Dismiss' }));
    await page.getByText('No weights were found in').waitFor({ state: 'detached' });

    await path.fill(weights);
    await studio.press('Enter');
    await dialog.getByRole('radio', { name: /starter_base/ }).waitFor();
    await expect.poll(() => dialog.getByLabel('Text encoder').inputValue(), patiently).toContain('umt5');
    await dialog.getByRole('textbox', { name: 'Name' }).fill('Boats');
    await studio.click(dialog.getByRole('button', { name: 'Add the model' }));
    await dialog.waitFor({ state: 'detached' });

    const card = page.getByRole('article', { name: 'Boats' }).last();
    await studio.click(card.getByRole('button', { name: 'Use it' }));
    await expect
      .poll(() => page.getByRole('combobox', { name: 'Model' }).locator('option:checked').innerText())
      .toBe('Boats');
    await studio.setSteps(2);
    await studio.click(studio.generate);
    await studio.generated(1);
  });

  it('says what it consists of, makes a smaller one, and gives back its bytes', slow, async () => {
    const { page } = studio;
    await studio.click(page.getByRole('button', { name: 'Boats', exact: true }));
    const details = page.getByRole('dialog', { name: 'Boats' });
    await details.getByRole('cell', { name: /starter_vae\.safetensors/ }).waitFor();
    await studio.click(details.getByRole('button', { name: 'Make smaller …' }));
    const bake = page.getByRole('dialog', { name: 'Make Boats smaller' });
    await bake.getByRole('radio', { name: '8 bits' }).waitFor();
    await studio.click(bake.getByRole('button', { name: 'Make it' }));
    const small = page.getByRole('button', { name: 'Boats int8', exact: true });
    await small.waitFor({ timeout: patiently.timeout });
    await page.reload();
    await studio.click(small);
    const told = page.getByRole('dialog', { name: 'Boats int8' });
    await told.getByText(/differ from the original by/).waitFor();
    await studio.click(told.getByRole('button', { name: 'Remove …' }));
    const removal = page.getByRole('dialog', { name: 'Remove Boats int8?' });
    await removal.getByText(/become free/).waitFor();
    await studio.click(removal.getByRole('button', { name: /^Delete/ }));
    await small.waitFor({ state: 'detached' });
  });

  it('is all done by keyboard, and the focus comes back to where it was', slow, async () => {
    const { page } = studio;
    const enter = async (target: Locator): Promise<void> => {
      await studio.tabTo(target);
      await studio.press('Enter');
    };
    const isBackAt = (target: Locator): Promise<void> =>
      expect.poll(() => studio.hasFocus(target), patiently).toBe(true);

    // Added from the disk.
    const add = page.getByRole('tabpanel', { name: 'Models' }).getByRole('button', { name: 'Add a model …' });
    await enter(add);
    const dialog = page.getByRole('dialog', { name: 'Add a model' });
    await dialog.waitFor();
    await studio.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await isBackAt(add);
    await studio.press('Enter');
    await studio.tabTo(dialog.getByRole('tab', { name: 'Download' }));
    await studio.press('ArrowRight');
    await studio.tabTo(dialog.getByRole('textbox', { name: 'Path of a folder' }));
    await studio.type(weights);
    await studio.press('Enter');
    await dialog.getByRole('radio', { name: /starter_base/ }).waitFor();
    await expect.poll(() => dialog.getByLabel('Text encoder').inputValue(), patiently).toContain('umt5');
    await studio.tabTo(dialog.getByRole('textbox', { name: 'Name' }));
    await studio.type('Keys');
    await enter(dialog.getByRole('button', { name: 'Add the model' }));
    await dialog.waitFor({ state: 'detached' });

    // Looked at, made smaller, and the smaller one removed.
    const name = page.getByRole('button', { name: 'Keys', exact: true });
    await name.waitFor({ timeout: patiently.timeout });
    await enter(name);
    const details = page.getByRole('dialog', { name: 'Keys' });
    await enter(details.getByRole('button', { name: 'Make smaller …' }));
    const bake = page.getByRole('dialog', { name: 'Make Keys smaller' });
    await bake.waitFor();
    await studio.press('Escape');
    await isBackAt(name);
    await studio.press('Enter');
    await enter(details.getByRole('button', { name: 'Make smaller …' }));
    await studio.tabTo(bake.getByRole('radio', { name: '8 bits' }));
    await studio.press('ArrowRight');
    await bake.getByRole('radio', { name: '4 bits', checked: true }).waitFor();
    await enter(bake.getByRole('button', { name: 'Make it' }));
    const small = page.getByRole('button', { name: 'Keys int4', exact: true });
    await small.waitFor({ timeout: patiently.timeout });
    await enter(page.getByRole('button', { name: 'Actions for Keys int4' }));
    await studio.type('r');
    await studio.press('Enter');
    const removal = page.getByRole('dialog', { name: 'Remove Keys int4?' });
    await removal.getByText(/become free/).waitFor();
    await enter(removal.getByRole('button', { name: /^Delete/ }));
    await small.waitFor({ state: 'detached' });

    // A server that is not there: what is downloaded waits in the list of tasks, and is stopped there.
    await enter(add);
    const sources = dialog.getByText('Folder, mirror and access token');
    await enter(sources);
    await studio.tabTo(dialog.getByRole('textbox', { name: 'Mirror' }));
    await studio.type('http://127.0.0.1:9');
    // Escape leaves what was set, and the dialog.
    await studio.press('Tab', 'Shift+Tab', 'Escape');
    await dialog.waitFor({ state: 'detached' });
    await isBackAt(add);
    await studio.press('Enter');
    await enter(sources);
    await expect
      .poll(() => dialog.getByRole('textbox', { name: 'Mirror' }).inputValue(), patiently)
      .toBe('http://127.0.0.1:9');
    const entry = dialog.getByRole('region', { name: 'Wan2.1 T2V 1.3B', exact: true });
    await enter(entry.getByRole('button').first());
    await studio.tabTo(entry.getByRole('checkbox'));
    await studio.press('Space');
    const download = entry.getByRole('button', { name: /^Download/ });
    if ((await download.getAttribute('aria-disabled')) === 'true') {
      process.stderr.write('Too little room on this disk to begin a download: that part was left out.\n');
      await studio.press('Escape');
      return;
    }
    await enter(download);
    await dialog.waitFor({ state: 'detached' });
    const tasks = page.getByRole('button', { name: /^Work on models/ });
    await enter(tasks);
    const list = page.getByRole('dialog', { name: 'Work on models' });
    await list.getByRole('article', { name: 'Wan2.1 T2V 1.3B' }).waitFor();
    await studio.press('Escape');
    await list.waitFor({ state: 'detached' });
    await isBackAt(tasks);
    await studio.press('Enter');
    await list.waitFor();
    await enter(list.getByRole('button', { name: /^(Stop|Take) Wan2\.1 T2V 1\.3B/ }));
    await expect.poll(() => tasks.count(), patiently).toBeLessThanOrEqual(1);
  });
});
