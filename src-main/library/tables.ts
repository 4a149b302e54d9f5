import type Database from 'better-sqlite3';
import type { z } from 'zod';
import { describeFlaw, parseBounded, type Parsed } from '../core/contract/parse.ts';
import {
  assetRecordSchema,
  jobRecordSchema,
  projectRecordSchema,
  takeRecordSchema,
  tableNames,
  type ProjectRecord,
  type Records,
  type TableName,
  type TakeRecord,
} from '../core/contract/records.ts';
import { parseProject } from '../core/contract/validate-project.ts';
import { PusaError } from '../core/errors.ts';
import { damaged } from './library-errors.ts';
import { SearchIndex } from './search.ts';

/** How each table's records are checked, and what a person calls one. */
const kinds: Readonly<Record<TableName, Kind>> = {
  projects: { noun: 'project', schema: projectRecordSchema, maxValues: 8_000_000, check: checkProject },
  assets: { noun: 'asset', schema: assetRecordSchema, maxValues: 100 },
  takes: { noun: 'take', schema: takeRecordSchema, maxValues: 500_000 },
  jobs: { noun: 'job', schema: jobRecordSchema, maxValues: 100 },
};

interface Kind {
  readonly noun: string;
  readonly schema: z.ZodType;
  readonly maxValues: number;
  /** What the schema cannot say. */
  readonly check?: (value: unknown) => Parsed<unknown>;
}

interface TableStatements {
  readonly get: Database.Statement<[string], string>;
  readonly put: Database.Statement<[string, string]>;
  readonly remove: Database.Statement<[string]>;
}

/** Records read and written one by one, with what is derived from them (search, a project's media, a take's tags). */
export class RecordTables {
  readonly search: SearchIndex;
  private readonly statements: Readonly<Record<TableName, TableStatements>>;
  private readonly forgetMedia: Database.Statement<[string]>;
  private readonly noteMedia: Database.Statement<[string, string]>;
  private readonly forgetTags: Database.Statement<[string]>;
  private readonly noteTag: Database.Statement<[string, string]>;

  constructor(sqlite: Database.Database) {
    this.search = new SearchIndex(sqlite);
    this.statements = Object.fromEntries(
      tableNames.map((table): [TableName, TableStatements] => [
        table,
        {
          get: sqlite.prepare<[string], string>(`SELECT json FROM ${table} WHERE id = ?`).pluck(),
          put: sqlite.prepare(
            `INSERT INTO ${table} (id, json) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET json = excluded.json`,
          ),
          remove: sqlite.prepare(`DELETE FROM ${table} WHERE id = ?`),
        },
      ]),
    ) as Record<TableName, TableStatements>;
    this.forgetMedia = sqlite.prepare('DELETE FROM project_media WHERE project_id = ?');
    this.noteMedia = sqlite.prepare('INSERT OR IGNORE INTO project_media (project_id, hash) VALUES (?, ?)');
    this.forgetTags = sqlite.prepare('DELETE FROM take_tags WHERE take_id = ?');
    this.noteTag = sqlite.prepare('INSERT INTO take_tags (tag, take_id) VALUES (?, ?)');
  }

  /**
   * A record, or null.
   * @throws PusaError LIBRARY_DAMAGED when it is not what was once written
   */
  get<T extends TableName>(table: T, id: string): Records[T] | null {
    const json = this.statements[table].get.get(id);
    return json === undefined ? null : readRecord(table, json);
  }

  /**
   * Writes a record, or removes it, inside the caller's transaction.
   * @param before the record as it is
   */
  write<T extends TableName>(
    table: T,
    id: string,
    before: Records[T] | null,
    after: Records[T] | null,
  ): void {
    const { put, remove } = this.statements[table];
    if (after === null) remove.run(id);
    else put.run(id, JSON.stringify(after));
    this.search.update(table, before, after);
    if (table === 'takes') this.updateTags(id, before as TakeRecord | null, after as TakeRecord | null);
    if (table === 'projects') {
      this.updateMedia(id, before as ProjectRecord | null, after as ProjectRecord | null);
    }
  }

  private updateTags(id: string, before: TakeRecord | null, after: TakeRecord | null): void {
    if (before && before.tags.length > 0) this.forgetTags.run(id);
    for (const tag of after?.tags ?? []) this.noteTag.run(tag, id);
  }

  private updateMedia(id: string, before: ProjectRecord | null, after: ProjectRecord | null): void {
    const old = new Set(before?.assets.map((asset) => asset.hash));
    const now = new Set(after?.assets.map((asset) => asset.hash));
    if (old.size === now.size && [...now].every((hash) => old.has(hash))) return;
    this.forgetMedia.run(id);
    for (const hash of now) this.noteMedia.run(id, hash);
  }
}

/** A record of a person's library from its JSON. @throws PusaError LIBRARY_DAMAGED */
export function readRecord<T extends TableName>(table: T, json: string): Records[T] {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (thrown) {
    throw damaged(`a ${kinds[table].noun} in it is not readable`, thrown);
  }
  const parsed = parse(table, value);
  if (parsed.ok) return parsed.value;
  throw damaged(describeFlaw(`a ${kinds[table].noun} in it`, parsed.flaw).replace(/\.$/, ''));
}

/** A record from a caller, checked whole, its keys in the schema's order. @throws PusaError RECORD_INVALID */
export function checkRecord<T extends TableName>(table: T, value: unknown): Records[T] {
  const parsed = parse(table, value);
  if (parsed.ok) return parsed.value;
  throw new PusaError(
    'RECORD_INVALID',
    describeFlaw(`The ${kinds[table].noun}`, parsed.flaw),
    'Undo the last change and try it in another way.',
  );
}

/** @returns "project", "asset", "take", "job" */
export function nounOf(table: TableName): string {
  return kinds[table].noun;
}

function parse<T extends TableName>(table: T, value: unknown): Parsed<Records[T]> {
  const { schema, maxValues, check } = kinds[table];
  const further = check?.(value);
  if (further?.ok === false) return further;
  return parseBounded(schema as unknown as z.ZodType<Records[T]>, value, maxValues);
}

/** The project in a record, as strictly as one from a file. */
function checkProject(value: unknown): Parsed<unknown> {
  if (typeof value !== 'object' || value === null) return parseProject(value);
  const project: Record<string, unknown> = { ...value };
  for (const field of ['trashedAt', 'pusaPath']) Reflect.deleteProperty(project, field);
  return parseProject(project);
}
