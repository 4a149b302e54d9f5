import type Database from 'better-sqlite3';
import {
  type RecordDiff,
  type Records,
  type SearchHit,
  type SearchQuery,
  type TableName,
} from '../core/contract/records.ts';
import { PusaError } from '../core/errors.ts';
import type { LibraryDatabase } from './database.ts';
import { ChangedSinceError, isSame } from './diff.ts';
import { History, type HistoryLabels, type Side } from './history.ts';
import { libraryError } from './library-errors.ts';
import { Lists } from './lists.ts';
import { checkRecord, nounOf, RecordTables } from './tables.ts';

/** What was written, after it is on the disk. */
export interface StoreChange {
  readonly kind: 'edit' | 'undo' | 'redo';
  readonly projectId: string | null;
  readonly label: string;
  readonly diffs: readonly RecordDiff[];
}

/** The result of an edit: what its function returned, and what it changed. */
export interface Edited<R> {
  readonly value: R;
  readonly diffs: readonly RecordDiff[];
}

/** Reads and writes inside one edit; reads see the edit's own writes. Of no use once the edit is over. */
export interface Edit {
  get<T extends TableName>(table: T, id: string): Records[T] | null;
  /** @throws PusaError RECORD_NOT_FOUND */
  require<T extends TableName>(table: T, id: string): Records[T];
  /** Creates or replaces. @throws PusaError RECORD_INVALID */
  put<T extends TableName>(table: T, record: Records[T]): void;
  /** @throws PusaError RECORD_NOT_FOUND, RECORD_INVALID */
  update<T extends TableName>(table: T, id: string, change: (record: Records[T]) => Records[T]): Records[T];
  /** Removes a record; a project with its takes, jobs and history. @throws PusaError RECORD_NOT_FOUND */
  remove(table: TableName, id: string): void;
}

/**
 * The library's records. Every write is an edit: one transaction, one after the other, on the disk before it is
 * acknowledged. Edits of a project can be undone, after a restart too; there is no unsaved state.
 */
export class Store {
  /** What it works on, or why there is nothing to work on. */
  private state: Parts | PusaError;
  /** The last step of each project that was an edit of a gesture: the next one of the same gesture joins it. */
  private readonly gestures = new Map<string, { readonly gesture: string; readonly seq: number }>();
  private readonly listeners = new Set<(change: StoreChange) => void>();
  private readonly onProblem: (thrown: unknown) => void;
  /** The last edit asked for; the next one waits for it. */
  private last: Promise<unknown> = Promise.resolve();
  private closing: Promise<void> | null = null;

  /**
   * @param database open, or why it could not be opened: then everything is refused so until {@link reopen}
   * @param onProblem told what a listener threw
   */
  constructor(database: LibraryDatabase | PusaError, onProblem: (thrown: unknown) => void = () => undefined) {
    this.onProblem = onProblem;
    this.state = database instanceof PusaError ? database : partsOf(database);
  }

  /** Pages of projects, assets, takes and jobs. */
  get lists(): Lists {
    return this.parts.lists;
  }

  /** A record, or null. @throws PusaError LIBRARY_DAMAGED */
  get<T extends TableName>(table: T, id: string): Records[T] | null {
    return this.read(() => this.parts.tables.get(table, id));
  }

  /** @throws PusaError RECORD_NOT_FOUND, LIBRARY_DAMAGED */
  require<T extends TableName>(table: T, id: string): Records[T] {
    return this.get(table, id) ?? notFound(table);
  }

  /** See {@link SearchIndex.find}. */
  search(query: SearchQuery): SearchHit[] {
    return this.read(() => this.parts.tables.search.find(query));
  }

  /** Labels of what can be undone and redone, the next one first. */
  labels(projectId: string): HistoryLabels {
    return this.read(() => this.parts.history.labels(projectId));
  }

  /**
   * Hashes of all media that a record names or that undoing or redoing would bring back: what is in the media folder
   * besides is garbage.
   */
  mediaHashes(): Set<string> {
    return this.read(() => this.parts.history.mediaHashes());
  }

  /** Those of some hashes that {@link mediaHashes} would hold; quick for a few of them in a large library. */
  namedAmong(hashes: readonly string[]): Set<string> {
    return this.read(() => this.parts.history.namedAmong(hashes));
  }

  /** Ids of the assets that no project and no take uses, nor would after undoing or redoing. */
  unusedAssetIds(): string[] {
    return this.read(() => this.parts.history.unusedAssetIds());
  }

  /**
   * Runs one edit: all of it or, when its function throws, nothing. With a project's id it becomes one step of that
   * project's history, as far as it changes the project and takes; assets and jobs are not taken back by undoing.
   * @param label names the step for a person
   * @param work synchronous
   * @param gesture edits of one gesture (a drag, typing) that follow each other are one step
   * @returns once it is on the disk
   * @throws PusaError RECORD_INVALID, RECORD_NOT_FOUND, DISK_FULL, WRITE_FAILED, LIBRARY_DAMAGED, and what `work` throws
   */
  transact<R>(
    projectId: string | null,
    label: string,
    work: (edit: Edit) => R,
    { gesture }: { readonly gesture?: string | undefined } = {},
  ): Promise<Edited<R>> {
    return this.enqueue(() => {
      const done = this.write(({ sqlite, tables }) => {
        const edit = new OpenEdit(sqlite, tables);
        const value = work(edit);
        if (value instanceof Promise) throw new TypeError('An edit must be synchronous');
        const diffs = edit.finish();
        if (projectId !== null) this.remember(projectId, label, diffs, gesture);
        return { value, diffs };
      });
      this.tell({ kind: 'edit', projectId, label, diffs: done.diffs });
      return done;
    });
  }

  /**
   * Takes back a project's last edit.
   * @returns null when there is none
   * @throws PusaError UNDO_IMPOSSIBLE when what it changed was changed otherwise since; DISK_FULL, WRITE_FAILED
   */
  undo(projectId: string): Promise<StoreChange | null> {
    return this.enqueue(() => this.step(projectId, 'undo'));
  }

  /** Does again what was undone last; see {@link undo}. */
  redo(projectId: string): Promise<StoreChange | null> {
    return this.enqueue(() => this.step(projectId, 'redo'));
  }

  /** Hears of every change after it is on the disk. @returns ends it */
  onChange(listener: (change: StoreChange) => void): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /** Copies the library into its `backups` folder; see {@link LibraryDatabase.backup}. */
  backup(signal?: AbortSignal): Promise<string> {
    return this.parts.database.backup({ signal });
  }

  /**
   * Closes the library and goes on with the one that `open` gives, as after a repair: the same store with other
   * records. Edits asked for meanwhile wait, reading is refused. When `open` fails, everything is refused with its error.
   * @param before done while it is still open, but after the last edit; when it fails, nothing is closed
   * @throws what `open` and `before` throw
   */
  reopen(open: () => Promise<LibraryDatabase>, before?: () => Promise<void>): Promise<void> {
    return this.enqueue(async () => {
      await before?.();
      const old = this.state;
      this.state = new PusaError(
        'LIBRARY_BUSY',
        'The library is being opened again.',
        'Wait a moment and try again.',
      );
      this.gestures.clear();
      try {
        if (!(old instanceof PusaError)) await old.database.close();
        this.state = partsOf(await open());
      } catch (thrown) {
        this.state = libraryError(thrown);
        throw this.state;
      }
    });
  }

  /** Finishes the edits asked for and closes the library; edits asked for later are refused. */
  close(): Promise<void> {
    this.closing ??= this.last.then(async () => {
      if (!(this.state instanceof PusaError)) await this.state.database.close();
    });
    return this.closing;
  }

  private get parts(): Parts {
    if (this.state instanceof PusaError) throw this.state;
    return this.state;
  }

  private enqueue<R>(work: () => R | Promise<R>): Promise<R> {
    if (this.closing) {
      return Promise.reject(
        new PusaError('WRITE_FAILED', 'The library has been closed.', 'Open it again and repeat the change.'),
      );
    }
    const done = this.last.then(work);
    this.last = done.catch(() => undefined);
    return done;
  }

  private read<R>(work: () => R): R {
    try {
      return work();
    } catch (thrown) {
      throw libraryError(thrown);
    }
  }

  private write<R>(work: (parts: Parts) => R): R {
    const { parts } = this;
    return this.read(() => parts.sqlite.transaction(() => work(parts)).immediate());
  }

  private remember(
    projectId: string,
    label: string,
    diffs: readonly RecordDiff[],
    gesture: string | undefined,
  ): void {
    const born = diffs.some(
      (diff) => diff.table === 'projects' && (diff.before === null || diff.after === null),
    );
    if (born) throw new TypeError('A project is created and removed outside its own history');
    const { history } = this.parts;
    const last = this.gestures.get(projectId);
    this.gestures.delete(projectId);
    const joined = gesture !== undefined && last?.gesture === gesture ? history.join(last.seq, diffs) : null;
    const seq = joined ?? history.add(projectId, label, diffs);
    if (gesture !== undefined && seq !== null) this.gestures.set(projectId, { gesture, seq });
  }

  private step(projectId: string, side: Side): StoreChange | null {
    const { history } = this.parts;
    const entry = this.read(() => history.next(projectId, side));
    if (entry === null) return null;
    this.gestures.delete(projectId);
    try {
      const diffs = this.write(({ sqlite, tables }) => {
        const edit = new OpenEdit(sqlite, tables);
        for (const { table, id, undo } of entry.changes) {
          const before = undo(edit.get(table, id));
          if (before === null) edit.remove(table, id);
          else edit.put(table, before);
        }
        const done = edit.finish();
        history.move(entry.seq, side, done);
        return done;
      });
      const change: StoreChange = { kind: side, projectId, label: entry.label, diffs };
      this.tell(change);
      return change;
    } catch (thrown) {
      if (!(thrown instanceof PusaError) || !(thrown.cause instanceof ChangedSinceError)) throw thrown;
      // Every further step on this side rests on this one.
      this.write(() => history.clear(projectId, side));
      throw new PusaError(
        'UNDO_IMPOSSIBLE',
        `"${entry.label}" cannot be ${side === 'undo' ? 'undone' : 'done again'}: what it changed was changed in another way since.`,
        'Go on from the project as it is; nothing was lost.',
        { cause: thrown },
      );
    }
  }

  private tell(change: StoreChange): void {
    if (change.diffs.length === 0) return;
    for (const listener of this.listeners) {
      try {
        listener(change);
      } catch (thrown) {
        // The change is on the disk, and its caller is to hear so.
        this.onProblem(thrown);
      }
    }
  }
}

/** An open library and what reads and writes it. */
interface Parts {
  readonly database: LibraryDatabase;
  readonly sqlite: Database.Database;
  readonly tables: RecordTables;
  readonly history: History;
  readonly lists: Lists;
}

function partsOf(database: LibraryDatabase): Parts {
  const { sqlite } = database;
  return {
    database,
    sqlite,
    tables: new RecordTables(sqlite),
    history: new History(sqlite),
    lists: new Lists(sqlite),
  };
}

class OpenEdit implements Edit {
  private readonly sqlite: Database.Database;
  private readonly tables: RecordTables;
  /** Records as they were before the edit and as they are, by table and id. */
  private readonly touched = new Map<string, RecordDiff>();
  private open = true;

  constructor(sqlite: Database.Database, tables: RecordTables) {
    this.sqlite = sqlite;
    this.tables = tables;
  }

  get<T extends TableName>(table: T, id: string): Records[T] | null {
    if (!this.open) throw new TypeError('This edit is over');
    return this.tables.get(table, id);
  }

  require<T extends TableName>(table: T, id: string): Records[T] {
    return this.get(table, id) ?? notFound(table);
  }

  put<T extends TableName>(table: T, record: Records[T]): void {
    this.write(table, record.id, this.get(table, record.id), checkRecord(table, record));
  }

  update<T extends TableName>(table: T, id: string, change: (record: Records[T]) => Records[T]): Records[T] {
    const before = this.require(table, id);
    const after = checkRecord(table, change(before));
    if (after.id !== id) throw new TypeError('An edit cannot change an id');
    this.write(table, id, this.require(table, id), after);
    return after;
  }

  remove(table: TableName, id: string): void {
    const before = this.require(table, id);
    if (table === 'projects') {
      for (const part of ['takes', 'jobs'] as const) {
        const ids = this.sqlite.prepare<[string], string>(`SELECT id FROM ${part} WHERE project_id = ?`);
        for (const one of ids.pluck().all(id)) this.remove(part, one);
      }
    }
    this.write(table, id, before, null);
  }

  /** What became of every record touched, as a whole; records that are as they were are left out. */
  finish(): RecordDiff[] {
    const diffs = [...this.touched.values()].filter(({ before, after }) => !isSame(before, after));
    this.open = false;
    return diffs;
  }

  private write<T extends TableName>(
    table: T,
    id: string,
    before: Records[T] | null,
    after: Records[T] | null,
  ): void {
    const key = `${table} ${id}`;
    this.tables.write(table, id, before, after);
    const first = this.touched.get(key);
    this.touched.set(key, { table, id, before: first ? first.before : before, after });
  }
}

function notFound(table: TableName): never {
  throw new PusaError(
    'RECORD_NOT_FOUND',
    `This ${nounOf(table)} is not in the library any more.`,
    'Go back to the list; if it was removed by mistake, undo the last change.',
  );
}
