import type { Locator, Page } from 'playwright';

/** Milliseconds for one generation on a slow, busy machine. */
const generationMs = 240_000;

interface Place {
  readonly x: number;
  readonly y: number;
}

/** What a person does at a window. Each click, key, drop and text typed is counted. */
export class StudioWindow {
  readonly page: Page;
  /** What was done, in order. */
  readonly actions: string[] = [];

  constructor(page: Page) {
    this.page = page;
  }

  // Doing

  async click(target: Locator): Promise<void> {
    this.actions.push(`click ${String(target)}`);
    await target.click();
  }

  async press(...keys: string[]): Promise<void> {
    for (const key of keys) {
      this.actions.push(`press ${key}`);
      await this.page.keyboard.press(key);
    }
  }

  async type(text: string): Promise<void> {
    this.actions.push(`type ${text}`);
    await this.page.keyboard.type(text);
  }

  /** Drops files of the system onto a place of the window. */
  async drop(paths: readonly string[], { x, y }: Place): Promise<void> {
    this.actions.push(`drop ${paths.join(', ')}`);
    const session = await this.page.context().newCDPSession(this.page);
    const data = { items: [], files: [...paths], dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      await session.send('Input.dispatchDragEvent', { type, x, y, data });
    }
    await session.detach();
  }

  async drag(from: Place, to: Place): Promise<void> {
    this.actions.push('drag');
    const { mouse } = this.page;
    await mouse.move(from.x, from.y);
    await mouse.down();
    await mouse.move((from.x + to.x) / 2, (from.y + to.y) / 2, { steps: 4 });
    await mouse.move(to.x, to.y, { steps: 4 });
    await mouse.up();
  }

  /** Clicks something that is drawn on the timeline. */
  async clickDrawn(item: Locator, options: { button?: 'left' | 'right' } = {}): Promise<void> {
    const { x, y } = await middleOf(item);
    this.actions.push(`click ${String(item)}`);
    await this.page.mouse.click(x, y, options);
  }

  /** Goes on with Tab until something has the focus. */
  async tabTo(target: Locator): Promise<void> {
    for (let i = 0; i < 150; i++) {
      if (await this.hasFocus(target)) return;
      await this.press('Tab');
    }
    throw new Error(`Tab never comes to ${String(target)}.`);
  }

  async hasFocus(target: Locator): Promise<boolean> {
    return (await target.and(this.page.locator(':focus')).count()) > 0;
  }

  /** Runs a command of the palette by its name. */
  async command(name: string): Promise<void> {
    await this.press('Control+k');
    await this.page.getByRole('combobox', { name: 'Type a command' }).waitFor();
    await this.type(name);
    await this.page.getByRole('option', { name }).first().waitFor();
    await this.press('Enter');
  }

  async menu(name: string): Promise<void> {
    await this.click(this.page.getByRole('button', { name: 'Menu', exact: true }));
    await this.click(this.page.getByRole('menuitem', { name }));
  }

  /** An empty project of its own. */
  async newProject(): Promise<void> {
    await this.menu('New project');
    await this.page.getByText('Nothing here yet').waitFor();
  }

  /** Fewer steps than the model wants: the tests look at the window, not at the picture. */
  async setSteps(steps: number): Promise<void> {
    const field = this.page.getByRole('spinbutton', { name: 'Steps' });
    await this.click(field);
    await this.type(String(steps));
    await this.press('Enter');
    await this.planSays(`${steps} steps`);
  }

  // Seeing

  task(name: string): Locator {
    return this.page.getByRole('toolbar', { name: 'Task' }).getByRole('button', { name, exact: true });
  }

  get generate(): Locator {
    return this.page.getByRole('button', { name: /^Generate/ });
  }

  get undo(): Locator {
    return this.page.getByRole('button', { name: /^Undo|^Nothing to undo/ });
  }

  /** Something drawn on the timeline, by what it is called for those who do not see it. */
  drawn(name: string | RegExp): Locator {
    return this.page.getByRole('gridcell', { name });
  }

  get clips(): Locator {
    return this.page.locator('[data-kind="clip"]');
  }

  get cells(): Locator {
    return this.page.locator('[data-kind="cell"]');
  }

  get takes(): Locator {
    return this.page.locator('[data-kind="take"]');
  }

  get progress(): Locator {
    return this.page.getByRole('group', { name: 'Progress of the job' });
  }

  /** The marks of the cells that are drawn, as "fixed", "noisy" or "interpolated". */
  async marks(): Promise<string[]> {
    const names = await namesOf(this.cells);
    return names.map((name) => /fixed|noisy|interpolated/.exec(name)?.[0] ?? name);
  }

  /** The place of a frame in a row; both as numbers from the timeline's own corner, in CSS pixels. */
  async place(x: number, y: number): Promise<Place> {
    const box = await this.page.getByTestId('timeline-canvas').boundingBox();
    if (box === null) throw new Error('The timeline is not there.');
    return { x: box.x + x, y: box.y + y };
  }

  async planSays(text: string): Promise<void> {
    await this.page.getByRole('region', { name: 'Timeline' }).getByText(text).first().waitFor();
  }

  /** The frame under the playhead, as the player tells it. */
  async frame(): Promise<number> {
    const text = await this.page
      .getByText(/Frame \d+/)
      .first()
      .innerText();
    return Number(/Frame (\d+)/.exec(text)?.[1]);
  }

  /** Notes all that the progress over the player says, from now on. */
  async watchProgress(): Promise<() => Promise<string[]>> {
    await this.page.evaluate(noteProgress);
    return () => this.page.evaluate<string[]>('[...window.said]');
  }

  /** Waits until a number of takes lies below the range and nothing runs any more. */
  async generated(takes: number): Promise<void> {
    await this.takes.nth(takes - 1).waitFor({ state: 'attached', timeout: generationMs });
    await this.progress.waitFor({ state: 'detached' });
  }
}

/** Where to click for something that is drawn. */
export async function middleOf(item: Locator): Promise<Place> {
  const box = await item.boundingBox();
  if (box === null) throw new Error(`${String(item)} is not there.`);
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}

/** What things that are drawn are called, in their order. */
export async function namesOf(items: Locator): Promise<string[]> {
  return await items.evaluateAll((all: Named[]) => all.map((item) => item.getAttribute('aria-label') ?? ''));
}

interface Named {
  getAttribute(name: string): string | null;
}

/** Run in the page, which has what this side has no types for. */
const noteProgress = `
  window.said = new Set();
  new MutationObserver(() => {
    const text = document.querySelector('[aria-label="Progress of the job"] p')?.textContent;
    if (text) window.said.add(text.trim());
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
`;
