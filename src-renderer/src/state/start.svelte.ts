import { z } from 'zod';
import { idSchema } from '../../../src-main/core/contract/project.ts';
import { PusaError } from '../../../src-main/core/errors.ts';
import { setLanguage, systemLanguage, t } from '../i18n/index.svelte.ts';
import { bridge, type Connection, type ConnectionStatus } from './connection.ts';
import { recall, remember } from './memory.ts';
import type { Session } from './session.svelte.ts';
import { theme } from './theme.svelte.ts';

const key = 'project';

/** A window from its first line to the studio on: what it shows first, and what it does when the line is lost. */
export class Start {
  status = $state<ConnectionStatus>('connecting');
  /** The studio was read, and a project shown where there is one. */
  ready = $state(false);
  readonly #session: Session;
  readonly #connection: Connection;

  constructor(session: Session, connection: Connection) {
    this.#session = session;
    this.#connection = connection;
  }

  /** Call it while a component is initialised. @returns ends it */
  begin(): () => void {
    $effect(() => {
      const settings = this.#session.settings;
      if (settings === null) return;
      theme.obey(settings);
      setLanguage(settings.language === 'system' ? systemLanguage() : settings.language);
    });
    $effect(() => {
      const project = this.#session.project;
      bridge()?.setTitle(project?.name ?? null);
      document.title = project === null ? t('app.name') : `${project.name} – ${t('app.name')}`;
      if (project !== null) remember(key, project.id);
    });
    const stopStatus = this.#connection.onStatus((status) => void this.#change(status));
    const stopFiles = bridge()?.onOpenFile((path) => void this.openFile(path));
    void this.#change(this.#connection.status);
    return () => {
      stopStatus();
      stopFiles?.();
    };
  }

  retry(): void {
    this.#connection.retry();
  }

  async openFile(path: string): Promise<void> {
    try {
      this.#session.show(await this.#session.client.api.files.open({ path }));
      await this.#session.readTakes();
    } catch (thrown) {
      this.#session.fail(thrown);
    }
  }

  async #change(status: ConnectionStatus): Promise<void> {
    this.status = status;
    this.#session.connected = status === 'open';
    if (status !== 'open') return;
    try {
      if (this.ready) await this.#session.resume();
      else await this.#first();
    } catch (thrown) {
      // A line lost once more says so by itself.
      if (!(thrown instanceof PusaError) || thrown.code !== 'CONNECTION_CLOSED') this.#session.fail(thrown);
    }
  }

  async #first(): Promise<void> {
    await this.#session.start();
    const last = recall(key, idSchema.or(z.null()));
    if (this.#session.project === null && !(await this.#openIfThere(last))) {
      const { items } = await this.#session.client.api.projects.list({
        cursor: null,
        limit: 1,
        trashed: false,
        sort: 'modified',
      });
      await this.#openIfThere(items[0]?.id ?? null);
    }
    this.ready = true;
  }

  async #openIfThere(projectId: string | null): Promise<boolean> {
    if (projectId === null) return false;
    try {
      const state = await this.#session.client.api.projects.open({ projectId });
      if (state.trashedAt !== null) return false;
      this.#session.show(state);
    } catch (thrown) {
      if (thrown instanceof PusaError && thrown.code === 'RECORD_NOT_FOUND') return false;
      throw thrown;
    }
    await this.#session.readTakes();
    return true;
  }
}
