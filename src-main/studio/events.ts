import type { Api, EventName, EventPayload } from '../core/contract/api.ts';
import type { ChannelServer } from '../core/contract/channel.ts';
import type { TableName } from '../core/contract/records.ts';
import type { StoreChange } from '../library/store.ts';
import type { Notice, Report } from './context.ts';

/** Progress of one task is told no more often than this, but for its end. */
const progressEveryMs = 100;
/** More records than this are not named. */
const mostIds = 1000;

/** Tells every connection of a studio what happens. */
export class Events {
  readonly #connections = new Set<ChannelServer<Api>>();
  readonly #log: (thrown: unknown) => void;

  constructor(log: (thrown: unknown) => void) {
    this.#log = log;
  }

  get connections(): ReadonlySet<ChannelServer<Api>> {
    return this.#connections;
  }

  /** A connection hears events until it is closed. */
  add(connection: ChannelServer<Api>): void {
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
  }

  emit<E extends EventName>(event: E, payload: EventPayload<E>): void {
    for (const connection of this.#connections) {
      if (!connection.watches(event)) continue;
      try {
        connection.emit(event, payload);
      } catch (thrown) {
        // The work that is told about goes on, whatever becomes of the news.
        this.#log(thrown);
      }
    }
  }

  notify({ message, remedy, ...notice }: Notice): void {
    this.emit('notices.posted', {
      values: {},
      projectId: null,
      jobId: null,
      ...notice,
      message: message.slice(0, 4000),
      remedy: remedy?.slice(0, 4000) ?? null,
    });
  }

  watched(event: EventName): boolean {
    return [...this.#connections].some((connection) => connection.watches(event));
  }

  reporter(task: string | undefined, unit: EventPayload<'tasks.progress'>['unit']): Report {
    if (task === undefined) return () => undefined;
    let last = -Infinity;
    return (done, total) => {
      const now = performance.now();
      if (done !== total && now - last < progressEveryMs) return;
      last = now;
      this.emit('tasks.progress', { task, done, total, unit });
    };
  }

  /** Tells which records an edit changed. */
  tellRecords({ diffs }: Pick<StoreChange, 'diffs'>): void {
    const ids = new Map<TableName, string[]>();
    for (const { table, id } of diffs) {
      const named = ids.get(table);
      if (named === undefined) ids.set(table, [id]);
      else named.push(id);
    }
    for (const [table, named] of ids) {
      this.emit('records.changed', { table, ids: named.length > mostIds ? null : named });
    }
  }
}
