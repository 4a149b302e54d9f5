import type { Found, ImportRequest, Inspection } from '../../../src-main/core/contract/api/model-work.ts';
import type { Session } from '../state/session.svelte.ts';
import { outcomeOf } from './expect.ts';
import { askModels } from './model-tasks.svelte.ts';
import {
  candidates,
  completed,
  emptyRecipe,
  filesOfRecipe,
  fileName,
  importOf,
  missingParts,
  newSet,
  recipeOfSet,
  withFile,
  type FileSet,
  type Recipe,
} from './recipe.ts';

/** The form that makes a model of files that are on this machine already. */
export class AddFiles {
  found = $state.raw<Found | null>(null);
  /** Chosen by their paths, beside those that were found. */
  chosen = $state.raw<readonly Inspection[]>([]);
  /** Index of the set that the recipe began with; null: chosen part by part. */
  set = $state<number | null>(null);
  recipe = $state.raw<Recipe>(emptyRecipe);
  name = $state('');
  precision = $state<ImportRequest['precision']>('asIs');
  searching = $state(false);
  readonly #session: Session;
  #touched = false;
  #searches = 0;

  readonly files: readonly Inspection[] = $derived([
    ...this.chosen,
    ...(this.found?.files ?? []).filter(({ path }) => !this.chosen.some((file) => file.path === path)),
  ]);
  /** With the sentence that says why, and which file to take. */
  readonly refused = $derived(this.files.filter(({ refused }) => refused !== null));
  readonly loras = $derived(candidates(this.files, 'lora'));
  readonly missing = $derived(missingParts(this.recipe));
  readonly request = $derived(importOf(this.recipe, { name: this.name, precision: this.precision }));
  readonly outcome = $derived(outcomeOf(filesOfRecipe(this.recipe, this.files), this.precision));
  /** Numbers in the diffusion model; undefined while it is not known. */
  readonly parameters = $derived(this.files.find(({ path }) => path === this.recipe.dit)?.parameters);
  /** What it is called when nothing is typed. */
  readonly offeredName = $derived(
    this.set === null
      ? this.recipe.dit === null
        ? ''
        : fileName(this.recipe.dit).replace(/\.[^.]*$/, '')
      : (this.found?.sets[this.set]?.name ?? ''),
  );

  constructor(session: Session) {
    this.#session = session;
  }

  /** Looks through the folders where models are kept. */
  async search(): Promise<void> {
    const search = ++this.#searches;
    this.searching = true;
    const found = await askModels(this.#session, (api) => api.found({}));
    // A later search looks through more folders.
    if (search !== this.#searches) return;
    this.searching = false;
    if (found === null) return;
    this.found = found;
    if (this.#touched) return;
    const [first] = found.sets;
    if (first !== undefined) this.takeSet(0, first);
  }

  takeSet(index: number, set: FileSet): void {
    this.set = index;
    this.recipe = recipeOfSet(set, this.files);
  }

  /** Part by part, beginning with what is chosen already. */
  takeParts(): void {
    this.#touched = true;
    this.set = null;
    this.recipe = completed({ ...this.recipe, rest: [] }, this.files);
  }

  change(recipe: Recipe): void {
    this.#touched = true;
    this.recipe = recipe;
  }

  /** Looks at one file; one that is understood takes its place. */
  async addFile(path: string): Promise<Inspection | null> {
    const inspection = await askModels(this.#session, (api) => api.inspect({ path }));
    if (inspection === null) return null;
    this.chosen = [inspection, ...this.chosen.filter((file) => file.path !== inspection.path)];
    if (inspection.refused === null) {
      this.takeParts();
      this.recipe = withFile(this.recipe, inspection);
    }
    return inspection;
  }

  /**
   * Looks through one more folder, and from now on where something was found in it.
   * @returns whether there was anything
   */
  async addFolder(path: string): Promise<boolean> {
    const before = (await askModels(this.#session, (api) => api.sources({})))?.lookIn;
    if (before === undefined) return false;
    if (!before.includes(path)) {
      const set = await askModels(this.#session, (api) => api.setSources({ lookIn: [...before, path] }));
      if (set === null) return false;
    }
    const known = this.found?.sets ?? [];
    await this.search();
    if (this.found?.files.some(({ root }) => root === path) !== true) {
      await askModels(this.#session, (api) => api.setSources({ lookIn: before }));
      return false;
    }
    const index = newSet(known, this.found.sets);
    const set = this.found.sets[index];
    if (set !== undefined) this.takeSet(index, set);
    return true;
  }

  /** @returns the id of the task; null where the studio refused */
  async begin(): Promise<string | null> {
    const { request } = this;
    if (request === null) return null;
    const name = request.name ?? (this.offeredName === '' ? null : this.offeredName);
    return (await askModels(this.#session, (api) => api.import({ ...request, name })))?.task ?? null;
  }
}
