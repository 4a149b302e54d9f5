import { z } from 'zod';
import { layout } from './layout.svelte.ts';
import { recall, remember } from './memory.ts';

export const libraryTabs = ['media', 'takes', 'projects', 'models'] as const;
export type LibraryTab = (typeof libraryTabs)[number];

/** What the export dialog begins with. */
export type ExportChoice = { readonly what: 'take'; readonly takeId: string } | { readonly what: 'timeline' };

export const settingsTabs = ['general', 'generating', 'models', 'files'] as const;
export type SettingsTab = (typeof settingsTabs)[number];

/** Which parts of the window are open. */
class Ui {
  dialog = $state<'settings' | 'export' | 'save' | 'shortcuts' | 'about' | 'palette' | null>(null);
  exportChoice = $state.raw<ExportChoice>({ what: 'timeline' });
  settingsTab = $state<SettingsTab>('general');
  libraryTab = $state<LibraryTab>(recall('library-tab', z.enum(libraryTabs)) ?? 'media');
  /** The first steps were read, or not wanted. */
  knowsFirstSteps = $state(recall('first-steps', z.boolean()) ?? false);
  /** The search of the library should have the focus. */
  searchWanted = $state(false);

  showExport(choice: ExportChoice): void {
    this.exportChoice = choice;
    this.dialog = 'export';
  }

  showSettings(tab: SettingsTab = 'general'): void {
    this.settingsTab = tab;
    this.dialog = 'settings';
  }

  showLibrary(tab: LibraryTab): void {
    this.libraryTab = tab;
    remember('library-tab', tab);
    layout.toggle('library', true);
  }

  dismissFirstSteps(): void {
    this.knowsFirstSteps = true;
    remember('first-steps', true);
  }
}

export const ui = new Ui();
