import { copyFile, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
});
