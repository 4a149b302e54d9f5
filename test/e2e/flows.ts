import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { root } from '../support/places.ts';
import { makeMaterial, type Material } from './material.ts';
import { engineOf, type Opened } from './opened.ts';
import { middleOf, namesOf, StudioWindow } from './studio-window.ts';

const patiently = { timeout: 60_000, interval: 100 };
/** Milliseconds for a test with a generation or more, on a slow, busy machine. */
const slow = { timeout: 420_000 };

/** What the window is for, from the first start on; the same in a browser and in Electron. */
export function studioFlows(open: () => Promise<Opened>): void {
  let material: Material;
  let opened: Opened;
  let studio: StudioWindow;

  beforeAll(async () => {
    material = await makeMaterial();
    opened = await open();
  }, slow.timeout);

  beforeEach(() => {
    studio = new StudioWindow(opened.page);
  });

  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') await keepEvidence(studio, task.name);
    expect(opened.foreign).toEqual([]);
    expect(opened.complaints.splice(0)).toEqual([]);
  });

  afterAll(async () => {
    await opened.close();
    await material.remove();
  });

  it('from the first start to a video of an own picture in at most 6 actions', slow, async () => {
    const { page } = studio;
    await studio.click(page.getByRole('button', { name: 'Skip' }));
    await studio.newProject();
    await studio.drop([material.picture], await studio.place(20, 60));
    await studio.drawn(/harbour\.png/).waitFor({ state: 'attached' });
    await studio.click(studio.task('Image → video'));
    await expect.poll(() => studio.marks(), patiently).toContain('noisy');
    await studio.click(studio.generate);
    const taken = studio.actions.length;
    await studio.generated(1);
    expect(taken).toBeLessThanOrEqual(6);
    expect(await page.getByText('No result yet').count()).toBe(0);
    // What was measured is the next forecast.
    await page.getByText(/About (< )?\d+ s/).waitFor();
  });

  it('to a transition of two own clips in at most 8 actions', slow, async () => {
    await studio.newProject();
    // Over the player: no part of the window wants them itself, so they go to the playhead.
    await studio.drop([material.first, material.second], await studio.place(200, -200));
    await expect.poll(() => studio.clips.count(), patiently).toBe(2);
    await studio.click(studio.task('Transition'));
    await expect.poll(() => studio.cells.count(), patiently).toBeGreaterThan(3);
    const marks = await studio.marks();
    expect(marks[0]).not.toBe('noisy');
    expect(marks.at(-1)).not.toBe('noisy');
    expect(marks).toContain('noisy');
    await studio.click(studio.generate);
    // The first steps were already skipped in this window.
    const taken = studio.actions.length + 1;
    await studio.generated(1);
    expect(taken).toBeLessThanOrEqual(8);
  });

  it(
    'drops, marks, generates, plays, undoes, puts on the timeline, extends, and opens again',
    slow,
    async () => {
      const { page } = studio;
      await studio.newProject();
      await studio.drop([material.picture], await studio.place(18, 60));
      await studio.drawn(/harbour\.png/).waitFor({ state: 'attached' });
      const end = await page.getByRole('gridcell', { name: /harbour\.png/ }).boundingBox();
      const corner = await studio.place(0, 0);
      await studio.drop([material.first], await studio.place(end!.x + end!.width - corner.x + 40, 60));
      await expect.poll(() => studio.clips.count(), patiently).toBe(2);
      await studio.click(studio.task('Image → video'));
      await studio.setSteps(3);

      await marksByKeyAndBrush(studio);
      const marks = await studio.marks();

      // Generating, with all that is told meanwhile.
      const said = await studio.watchProgress();
      await studio.click(studio.generate);
      await studio.generated(1);
      const words = (await said()).join('\n');
      expect(words).toMatch(/Denoising · step \d of 3/);
      expect(words).toMatch(/\d+ s left/);
      expect(words).toContain('preview from current latents');

      await playsTheResult(studio);

      // Undo and redo, of an edit after the take.
      await studio.clickDrawn(studio.cells.nth(1));
      await studio.press('3');
      await expect.poll(async () => (await studio.marks())[1], patiently).toBe('interpolated');
      await studio.click(studio.undo);
      await expect.poll(() => studio.marks(), patiently).toEqual(marks);
      await studio.press('Control+Shift+Z');
      await expect.poll(async () => (await studio.marks())[1], patiently).toBe('interpolated');
      await studio.press('Control+z');
      await expect.poll(() => studio.marks(), patiently).toEqual(marks);

      // Onto the timeline, and on from its end.
      const clips = await studio.clips.count();
      await studio.clickDrawn(studio.takes.first(), { button: 'right' });
      await studio.click(page.getByRole('menuitem', { name: 'Put onto the timeline' }));
      await expect.poll(() => studio.clips.count(), patiently).toBe(clips + 1);
      // Its track is the topmost: hidden and locked like any other edit, and undone like it.
      await studio.click(page.getByRole('button', { name: /^Hide the track/ }).first());
      await expect.poll(() => studio.clips.count(), patiently).toBe(clips);
      await studio.click(studio.undo);
      await expect.poll(() => studio.clips.count(), patiently).toBe(clips + 1);
      await studio.click(page.getByRole('button', { name: /^Lock the track/ }).first());
      await page.getByRole('button', { name: 'Unlock the track' }).waitFor();
      await studio.press('Control+z');
      await page.getByRole('button', { name: 'Unlock the track' }).waitFor({ state: 'detached' });
      await studio.click(page.getByRole('tab', { name: 'Takes' }));
      await studio.click(page.getByRole('button', { name: /^Actions for/ }).first());
      await studio.click(page.getByRole('menuitem', { name: 'Extend from its end' }));
      await expect.poll(() => page.locator('[data-kind="range"]').count(), patiently).toBe(2);
      await studio.setSteps(2);
      await studio.click(studio.generate);
      await studio.generated(1);

      // All of it is there again, in the window and in the studio.
      await page.getByText('Saved', { exact: true }).waitFor();
      const drawn = page.locator('[data-kind="clip"], [data-kind="range"]');
      const names = (await namesOf(drawn)).sort();
      expect(names.length).toBeGreaterThan(3);
      await page.reload();
      await expect.poll(async () => (await namesOf(drawn)).sort(), patiently).toEqual(names);
      await studio.takes.first().waitFor({ state: 'attached' });
      await studio.click(page.getByRole('tab', { name: 'Media' }));
    },
  );

  it(
    'says what the starter model does not know, makes a draft, and brings back a deleted take',
    slow,
    async () => {
      const { page } = studio;
      await studio.newProject();
      await studio.drop([material.picture], await studio.place(20, 60));
      await studio.drawn(/harbour\.png/).waitFor({ state: 'attached' });
      await studio.click(studio.task('Image → video'));
      const note = page.getByRole('note').filter({ hasText: 'The starter model does not know' });
      await note.getByText('harbour.png').waitFor();
      await studio.click(page.getByRole('button', { name: 'What it knows' }));
      await page.getByRole('dialog', { name: 'What it knows' }).getByText('a gold ball falls down').waitFor();
      await studio.press('Escape');

      await studio.click(page.getByText('Draft', { exact: true }));
      await studio.click(page.getByRole('button', { name: 'Generate draft' }));
      await studio.generated(1);
      await expect.poll(async () => (await namesOf(studio.takes)).join(), patiently).toContain('48×48');
      await studio.click(page.getByText('Draft', { exact: true }));

      await studio.clickDrawn(studio.takes.first(), { button: 'right' });
      await studio.click(page.getByRole('menuitem', { name: 'Delete the take' }));
      await studio.takes.first().waitFor({ state: 'detached' });
      await studio.click(page.getByRole('button', { name: 'Undo', exact: true }));
      await studio.takes.first().waitFor({ state: 'attached' });
    },
  );

  it('does all of it by keyboard alone', slow, async () => {
    const { page } = studio;
    await studio.command('New project');
    await page.getByText('Nothing here yet').waitFor();
    await opened.chooseFiles(() => studio.press('Control+i'), [material.first]);
    const tile = page.getByRole('button', { name: /^boats\.mp4/ }).first();
    await tile.waitFor();
    await studio.tabTo(tile);
    await studio.press('Enter');
    await expect.poll(() => studio.clips.count(), patiently).toBe(1);
    await studio.command('Image → video');
    await expect.poll(() => studio.cells.count(), patiently).toBeGreaterThan(3);
    await studio.tabTo(page.getByRole('spinbutton', { name: 'Steps' }));
    await studio.type('2');
    await studio.press('Enter');
    await studio.planSays('2 steps');

    // Cells are reached with the arrows, and marked with the number keys.
    await studio.tabTo(page.locator('#timeline-grid [tabindex="0"]'));
    for (let i = 0; i < 10 && !(await isFocused(studio, 'cell')); i++) await studio.press('ArrowDown');
    expect(await isFocused(studio, 'cell')).toBe(true);
    await studio.press('Home', 'ArrowRight', 'Enter', '1');
    await expect.poll(async () => (await studio.marks())[1], patiently).toBe('fixed');
    await studio.press('Control+z');
    await expect.poll(async () => (await studio.marks())[1], patiently).toBe('noisy');
    await studio.press('Escape', 'Control+Enter');
    await studio.generated(1);

    await studio.tabTo(page.locator('#timeline-grid [tabindex="0"]'));
    for (let i = 0; i < 10 && !(await isFocused(studio, 'take')); i++) await studio.press('ArrowDown');
    expect(await isFocused(studio, 'take')).toBe(true);
    await studio.press('Shift+F10');
    await page.getByRole('menuitem', { name: 'Put onto the timeline' }).waitFor();
    await studio.type('Put');
    await studio.press('Enter');
    await expect.poll(() => studio.clips.count(), patiently).toBe(2);
    expect(studio.actions.filter((action) => !/^(press|type) /.test(action))).toEqual([]);
  });

  it('goes on with a job when the engine is killed, and says so', slow, async (context) => {
    if (process.platform !== 'linux') {
      context.skip('the engine’s process is looked up in /proc');
      return;
    }
    const { page } = studio;
    await studio.newProject();
    await studio.click(studio.task('Text → video'));
    await studio.setSteps(8);
    const said = await studio.watchProgress();
    await studio.click(studio.generate);
    await expect
      .poll(async () => (await said()).join(), { ...patiently, timeout: 240_000 })
      .toMatch(/step [3-6] of 8/);
    const engine = await engineOf(opened.pid);
    expect(engine).not.toBeNull();
    process.kill(engine!, 'SIGKILL');
    await page.getByText('The engine ended unexpectedly and was started again.').first().waitFor();
    await studio.generated(1);
    expect(await engineOf(opened.pid)).not.toBe(engine);
  });

  it('tells of a job that fails what happened and what helps, and tries again', slow, async () => {
    const { page } = studio;
    await studio.newProject();
    await studio.click(studio.task('Text → video'));
    await studio.setSteps(2);
    await studio.click(page.getByRole('button', { name: /^Queue:/ }));
    const queue = page.getByRole('dialog', { name: 'Queue' });
    await studio.click(queue.getByRole('button', { name: 'Pause the queue' }));
    const before = new Set(await readdir(join(opened.data, 'jobs')).catch(() => []));
    await studio.press('Control+Enter');
    let folder: string | undefined;
    await expect
      .poll(async () => {
        folder = (await readdir(join(opened.data, 'jobs'))).find((name) => !before.has(name));
        return folder;
      }, patiently)
      .toBeDefined();
    await queue.getByText('Waiting').waitFor();
    await writeFile(join(opened.data, 'jobs', folder!, 'job.json'), '{}');
    await studio.click(queue.getByRole('button', { name: 'Start the queue' }));
    const alert = page.getByRole('alert').last();
    await alert.waitFor();
    expect(await alert.innerText()).toContain('The job is damaged.');
    expect(await alert.innerText()).toContain('Generate the range again.');
    await queue.getByText('Code JOB_INVALID').first().waitFor();
    // What only those who build it read stands behind a word, beside the queue and not under it.
    await studio.click(alert.getByText('Details'));
    await alert.getByText('The job is not valid at version').waitFor();
    await studio.press('Escape');
    await studio.click(studio.generate);
    await studio.generated(1);
  });
}

/** A picture of the window and what was done at it, in the folder for such things. */
async function keepEvidence({ page, actions }: StudioWindow, name: string): Promise<void> {
  const folder = join(root, '.cache', 'e2e');
  await mkdir(folder, { recursive: true });
  const path = join(folder, name.replaceAll(/\W+/g, '-'));
  await page.screenshot({ path: `${path}.png` });
  await writeFile(`${path}.txt`, actions.join('\n'));
}

/** Keys on a selected cell, then the brush over several, then back. */
async function marksByKeyAndBrush(studio: StudioWindow): Promise<void> {
  await expect.poll(() => studio.cells.count(), patiently).toBeGreaterThan(4);
  const before = await studio.marks();
  await studio.clickDrawn(studio.cells.nth(0));
  for (const [key, kind] of [
    ['2', 'noisy'],
    ['3', 'interpolated'],
    ['1', 'fixed'],
  ] as const) {
    await studio.press(key);
    await expect.poll(async () => (await studio.marks())[0], patiently).toBe(kind);
  }
  await studio.press('Escape');
  const brush = studio.page.getByRole('button', { name: /^Interpolated/ });
  await studio.click(brush);
  await studio.drag(await middleOf(studio.cells.nth(1)), await middleOf(studio.cells.nth(3)));
  await expect
    .poll(async () => (await studio.marks()).slice(1, 4), patiently)
    .toEqual(['interpolated', 'interpolated', 'interpolated']);
  await studio.click(brush);
  await studio.press('Control+z');
  await expect.poll(async () => (await studio.marks()).slice(1), patiently).toEqual(before.slice(1));
}

/** Something is seen, and it moves on while it plays. */
async function playsTheResult(studio: StudioWindow): Promise<void> {
  const { page } = studio;
  await studio.click(page.getByRole('button', { name: 'Play', exact: true }));
  const frames = new Set<number>();
  await expect
    .poll(async () => frames.add(await studio.frame()).size, { timeout: 20_000, interval: 50 })
    .toBeGreaterThan(3);
  await studio.click(page.getByRole('button', { name: 'Pause', exact: true }));
  const still = await studio.frame();
  await studio.click(page.getByRole('button', { name: 'Next frame' }));
  await expect.poll(() => studio.frame(), patiently).not.toBe(still);
  // The button gives the focus back: keys are the window's again.
  const next = await studio.frame();
  await studio.press('ArrowRight');
  await expect.poll(() => studio.frame(), patiently).not.toBe(next);
  for (const view of ['Source', 'Wipe', 'Side by side', 'Onion skin', 'Result']) {
    await studio.click(page.getByRole('radio', { name: view }));
  }
}

function isFocused(studio: StudioWindow, kind: string): Promise<boolean> {
  return studio.hasFocus(studio.page.locator(`[data-kind="${kind}"]`));
}
