import { ui } from '../state/ui.svelte.ts';

/** Where the dialog for a new model begins. */
export type AddFrom = 'catalogue' | 'files';

export type ModelsDialog =
  | { readonly show: 'add'; readonly from: AddFrom }
  | { readonly show: 'sources' }
  | { readonly show: 'details' | 'bake' | 'remove'; readonly model: string };

/** Which dialog about models is open: opened from several places. */
class ModelsUi {
  dialog = $state.raw<ModelsDialog | null>(null);

  add(from: AddFrom = 'catalogue'): void {
    ui.dialog = null;
    this.dialog = { show: 'add', from };
  }

  /** Where models come from and go to. */
  sources(): void {
    this.dialog = { show: 'sources' };
  }

  details(model: string): void {
    this.dialog = { show: 'details', model };
  }

  bake(model: string): void {
    this.dialog = { show: 'bake', model };
  }

  remove(model: string): void {
    this.dialog = { show: 'remove', model };
  }

  close(): void {
    this.dialog = null;
  }
}

export const modelsUi = new ModelsUi();
