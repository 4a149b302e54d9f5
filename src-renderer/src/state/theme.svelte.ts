import { z } from 'zod';
import type { Settings } from '../../../src-main/core/contract/api/settings.ts';
import { recall, remember } from './memory.ts';

const kept = z.enum(['system', 'dark', 'light']);

const query = (text: string): MediaQueryList | null =>
  typeof matchMedia === 'undefined' ? null : matchMedia(text);

/** Dark or light, and whether things may move: what the settings say, or the system. */
class Theme {
  /** Raised whenever colours changed: canvases read them anew. */
  version = $state(0);
  resolved = $state<'dark' | 'light'>('dark');
  reducedMotion = $state(false);

  // Counted apart: reading `version` here would make whoever obeys depend on it.
  #changes = 0;
  #preference: Settings['theme'] = recall('theme', kept) ?? 'system';
  #motion: Settings['reducedMotion'] = null;
  readonly #light = query('(prefers-color-scheme: light)');
  readonly #still = query('(prefers-reduced-motion: reduce)');

  constructor() {
    this.#light?.addEventListener('change', () => this.#settle());
    this.#still?.addEventListener('change', () => this.#settle());
    this.#settle();
  }

  obey({ theme, reducedMotion }: Pick<Settings, 'theme' | 'reducedMotion'>): void {
    this.#preference = theme;
    this.#motion = reducedMotion;
    // So that the next start shows it before the settings are there.
    remember('theme', theme);
    this.#settle();
  }

  #settle(): void {
    const system = this.#light?.matches === true ? 'light' : 'dark';
    const resolved = this.#preference === 'system' ? system : this.#preference;
    const reducedMotion = this.#motion ?? this.#still?.matches === true;
    this.resolved = resolved;
    this.reducedMotion = reducedMotion;
    this.version = ++this.#changes;
    if (typeof document === 'undefined') return;
    document.documentElement.dataset['theme'] = resolved;
    document.documentElement.dataset['motion'] = reducedMotion ? 'reduced' : 'full';
  }
}

export const theme = new Theme();
