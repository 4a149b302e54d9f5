import type Database from 'better-sqlite3';
import { z } from 'zod';
import type { RecordDiff, Records, TableName } from '../core/contract/records.ts';
import { idSchema } from '../core/contract/project.ts';
import { ChangedSinceError, isSame, storeDiff, undoChange, type StoredChange } from './diff.ts';
import { damaged } from './library-errors.ts';

/** Steps and bytes a project's history holds; the oldest steps are forgotten first, the newest is always kept. */
const limits = { steps: 1000, bytes: 64 * 1024 ** 2 };

/** Tables whose changes are taken back by undoing. Assets and jobs have lives of their own. */
const undoable: ReadonlySet<TableName> = new Set<TableName>(['projects', 'takes']);

/** Condition on `assets`: no project and no take uses its media, nor would after undoing or redoing. */
export const unusedAsset = `hash NOT IN (SELECT hash FROM project_media)
  AND hash NOT IN (SELECT file_hash FROM takes)
  AND hash NOT IN (SELECT value FROM history, json_each(history.hashes))`;

export type Side = 'undo' | 'redo';

/** Labels of the steps on either side, the next one first. */
export interface HistoryLabels {
  readonly undo: readonly string[];
  readonly redo: readonly string[];
}

/** A step to take back (or, once undone, to do again: that takes the undoing back). */
export interface HistoryEntry {
  readonly seq: number;
  readonly label: string;
  /** In the order to go through them. */
  readonly changes: readonly {
    readonly table: TableName;
    readonly id: string;
    /** The record before the change from the record after it; null where there was none. */
    readonly undo: <T extends TableName>(current: Records[T] | null) => Records[T] | null;
  }[];
}

const table = z.enum(['projects', 'takes']);
const list = z.array(z.unknown());
const changesSchema = z.array(
  z.union([
    z.strictObject({ table, id: idSchema, created: z.literal(true) }),
    z.strictObject({ table, id: idSchema, removed: z.looseObject({}) }),
    z.strictObject({
      table,
      id: idSchema,
      fields: z.array(
        z.union([
          z.strictObject({ field: z.string(), at: z.int().min(0), removed: list, inserted: list }),
          // A field that was not there before, or is not afterwards, has no value.
          z.strictObject({
            field: z.string(),
            before: z.unknown().optional(),
            after: z.unknown().optional(),
          }),
        ]),
      ),
    }),
  ]),
);

interface EntryRow {
  readonly seq: number;
  readonly label: string;
  readonly changes: string;
}

/** Steps of the projects' histories; its methods run inside the caller's transaction. */
export class History {
  private readonly sqlite: Database.Database;

  constructor(sqlite: Database.Database) {
    this.sqlite = sqlite;
  }

  /**
   * Appends a step, forgetting those that were undone.
   * @returns its number; null, and nothing is appended, when it changes nothing that can be taken back
   */
  add(projectId: string, label: string, diffs: readonly RecordDiff[]): number | null {
    const kept = diffs.filter((diff) => undoable.has(diff.table));
    if (kept.length === 0) return null;
    this.clear(projectId, 'redo');
    const { changes, hashes } = encode(kept);
    const { lastInsertRowid } = this.sqlite
      .prepare(
        'INSERT INTO history (project_id, undone, label, hashes, bytes, changes) VALUES (?, 0, ?, ?, ?, ?)',
      )
      .run(projectId, label, hashes, changes.length, changes);
    this.trim(projectId);
    return Number(lastInsertRowid);
  }

  /**
   * Makes the last step of a project one with what followed it at once: undoing it goes back over both.
   * @returns its number; null when it cannot be done, because something else changed in between
   */
  join(seq: number, diffs: readonly RecordDiff[]): number | null {
    const row = this.sqlite
      .prepare<[number], { changes: string; hashes: string }>(
        'SELECT changes, hashes FROM history WHERE seq = ? AND undone = 0',
      )
      .get(seq);
    if (row === undefined) return null;
    const open = new Map(
      diffs.filter((diff) => undoable.has(diff.table)).map((diff) => [`${diff.table} ${diff.id}`, diff]),
    );
    const joined: StoredChange[] = [];
    const hashes = new Set(z.array(z.string()).parse(JSON.parse(row.hashes)));
    try {
      for (const change of decode(row.changes)) {
        const diff = open.get(`${change.table} ${change.id}`);
        open.delete(`${change.table} ${change.id}`);
        if (diff === undefined) {
          joined.push(change);
          continue;
        }
        const whole = { ...diff, before: undoChange(change, diff.before) };
        for (const hash of hashesOf(whole)) hashes.add(hash);
        if (!isSame(whole.before, whole.after)) joined.push(storeDiff(whole));
      }
    } catch (thrown) {
      if (thrown instanceof ChangedSinceError) return null;
      throw thrown;
    }
    for (const diff of open.values()) {
      for (const hash of hashesOf(diff)) hashes.add(hash);
      joined.push(storeDiff(diff));
    }
    const changes = JSON.stringify(joined);
    this.sqlite
      .prepare('UPDATE history SET hashes = ?, bytes = ?, changes = ? WHERE seq = ?')
      .run(JSON.stringify([...hashes]), changes.length, changes, seq);
    return seq;
  }

  next(projectId: string, side: Side): HistoryEntry | null {
    const row = this.sqlite
      .prepare<[string, number], EntryRow>(
        `SELECT seq, label, changes FROM history WHERE project_id = ? AND undone = ?
         ORDER BY seq ${side === 'undo' ? 'DESC' : 'ASC'} LIMIT 1`,
      )
      .get(projectId, side === 'undo' ? 0 : 1);
    if (row === undefined) return null;
    return {
      seq: row.seq,
      label: row.label,
      changes: decode(row.changes)
        .toReversed()
        .map((change) => ({
          table: change.table,
          id: change.id,
          undo: (current) => undoChange(change, current),
        })),
    };
  }

  /** A step was undone or done again, by these changes: it waits on the other side. */
  move(seq: number, side: Side, diffs: readonly RecordDiff[]): void {
    const { changes, hashes } = encode(diffs);
    this.sqlite
      .prepare('UPDATE history SET undone = ?, hashes = ?, bytes = ?, changes = ? WHERE seq = ?')
      .run(side === 'undo' ? 1 : 0, hashes, changes.length, changes, seq);
  }

  clear(projectId: string, side: Side): void {
    this.sqlite
      .prepare('DELETE FROM history WHERE project_id = ? AND undone = ?')
      .run(projectId, side === 'undo' ? 0 : 1);
  }

  labels(projectId: string): HistoryLabels {
    const of = (undone: number, order: string): string[] =>
      this.sqlite
        .prepare<[string, number], string>(
          `SELECT label FROM history WHERE project_id = ? AND undone = ? ORDER BY seq ${order}`,
        )
        .pluck()
        .all(projectId, undone);
    return { undo: of(0, 'DESC'), redo: of(1, 'ASC') };
  }

  mediaHashes(): Set<string> {
    return new Set(
      this.sqlite
        .prepare<[], string>(
          `SELECT hash FROM assets UNION SELECT file_hash FROM takes
           UNION SELECT value FROM history, json_each(history.hashes)`,
        )
        .pluck()
        .all(),
    );
  }

  /** Those of some hashes that {@link mediaHashes} would hold. */
  namedAmong(hashes: readonly string[]): Set<string> {
    const ask = (sql: string, of: readonly string[]): string[] =>
      this.sqlite.prepare<[string], string>(sql).pluck().all(JSON.stringify(of));
    const named = new Set(
      ask(
        `SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM assets WHERE hash = value)
           OR EXISTS (SELECT 1 FROM takes WHERE file_hash = value)`,
        hashes,
      ),
    );
    const others = hashes.filter((hash) => !named.has(hash));
    // The whole history has to be read for it, so it is asked last, and only where it must be.
    if (others.length === 0) return named;
    const inHistory = ask(
      `SELECT DISTINCT held.value FROM history, json_each(history.hashes) AS held
       WHERE held.value IN (SELECT value FROM json_each(?))`,
      others,
    );
    return new Set([...named, ...inHistory]);
  }

  unusedAssetIds(): string[] {
    return this.sqlite
      .prepare<[], string>(`SELECT id FROM assets WHERE ${unusedAsset} ORDER BY id`)
      .pluck()
      .all();
  }

  private trim(projectId: string): void {
    const steps = this.sqlite
      .prepare<[string], { seq: number; bytes: number }>(
        'SELECT seq, bytes FROM history WHERE project_id = ? AND undone = 0 ORDER BY seq DESC',
      )
      .all(projectId);
    let bytes = 0;
    for (const [index, step] of steps.entries()) {
      bytes += step.bytes;
      if (index === 0 || (index < limits.steps && bytes <= limits.bytes)) continue;
      this.sqlite
        .prepare('DELETE FROM history WHERE project_id = ? AND undone = 0 AND seq <= ?')
        .run(projectId, step.seq);
      return;
    }
  }
}

function encode(diffs: readonly RecordDiff[]): { changes: string; hashes: string } {
  const hashes = new Set(diffs.flatMap(hashesOf));
  return { changes: JSON.stringify(diffs.map(storeDiff)), hashes: JSON.stringify([...hashes]) };
}

function decode(json: string): readonly StoredChange[] {
  const parsed = changesSchema.safeParse(JSON.parse(json));
  if (!parsed.success) throw damaged('a step of a project’s history is not readable');
  return parsed.data;
}

/** Media that a diff names and that going back over it would bring back. */
function hashesOf({ table: name, before, after }: RecordDiff): string[] {
  if (name === 'takes')
    return [before, after].flatMap((take) => (take && 'fileHash' in take ? [take.fileHash] : []));
  const hashesIn = (project: typeof before): Set<string> =>
    new Set(project && 'assets' in project ? project.assets.map((asset) => asset.hash) : []);
  const [old, now] = [hashesIn(before), hashesIn(after)];
  return [...[...old].filter((hash) => !now.has(hash)), ...[...now].filter((hash) => !old.has(hash))];
}
