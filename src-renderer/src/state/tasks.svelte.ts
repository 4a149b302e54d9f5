import type { EventPayload } from '../../../src-main/core/contract/api.ts';
import { PusaError } from '../../../src-main/core/errors.ts';
import type { Session } from './session.svelte.ts';

/** Something long that was asked for, with how far it is. */
export interface Task {
  readonly id: string;
  readonly label: string;
  readonly done: number;
  /** Null while it is not known. */
  readonly total: number | null;
  readonly unit: EventPayload<'tasks.progress'>['unit'];
  readonly cancel: () => void;
}

let running = $state.raw<readonly Task[]>([]);

/** What the window waits for: imports, exports, moves. */
export const tasks = {
  get running(): readonly Task[] {
    return running;
  },

  /**
   * Follows a request from its start to its end.
   * @returns what it gave; null when it failed or was cancelled. A failure is told
   */
  async follow<T>(
    session: Session,
    label: string,
    work: (options: { readonly task: string; readonly signal: AbortSignal }) => Promise<T>,
  ): Promise<T | null> {
    const abort = new AbortController();
    const id = crypto.randomUUID();
    const own: Task = { id, label, done: 0, total: null, unit: 'bytes', cancel: () => abort.abort() };
    running = [...running, own];
    const stop = session.client.on('tasks.progress', ({ task, ...progress }) => {
      if (task === id) running = running.map((each) => (each.id === id ? { ...each, ...progress } : each));
    });
    try {
      return await work({ task: id, signal: abort.signal });
    } catch (thrown) {
      if (!(thrown instanceof PusaError && thrown.code === 'CANCELLED')) session.fail(thrown);
      return null;
    } finally {
      stop();
      running = running.filter((each) => each.id !== id);
    }
  },
};
