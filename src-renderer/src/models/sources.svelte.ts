import type { ModelSources } from '../../../src-main/core/contract/api/model-work.ts';
import type { Input } from '../../../src-main/core/contract/api.ts';
import type { Session } from '../state/session.svelte.ts';
import { askModels } from './model-tasks.svelte.ts';

/** Where models come from and go to, as the studio keeps it. */
export class Sources {
  value = $state.raw<ModelSources | null>(null);
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async read(): Promise<void> {
    this.value = await askModels(this.#session, (api) => api.sources({}));
  }

  /** @returns whether the studio took it; a refusal is told */
  async set(change: Input<'models.setSources'>): Promise<boolean> {
    const taken = await askModels(this.#session, (api) => api.setSources(change));
    if (taken !== null) this.value = taken;
    return taken !== null;
  }
}

/** An address as it is typed: null where it is left empty, undefined where it is none. */
export function parseMirror(typed: string): string | null | undefined {
  const text = typed.trim().replace(/\/+$/, '');
  if (text === '') return null;
  const url = URL.parse(text);
  return url !== null && (url.protocol === 'https:' || url.protocol === 'http:') ? text : undefined;
}
