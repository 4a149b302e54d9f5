import type Database from 'better-sqlite3';
import {
  searchQuerySchema,
  type AssetRecord,
  type ProjectRecord,
  type Records,
  type SearchHit,
  type SearchKind,
  type SearchQuery,
  type TableName,
  type TakeRecord,
} from '../core/contract/records.ts';
import { parseBounded, describeFlaw } from '../core/contract/parse.ts';
import { PusaError } from '../core/errors.ts';
import { libraryError } from './library-errors.ts';
import { idToken, indexText, queryText } from './search-terms.ts';

/** Characters of a prompt shown in a hit. */
const titleLength = 200;
interface Entry {
  readonly kind: SearchKind;
  readonly id: string;
  readonly projectId: string | null;
  /** What a hit shows. */
  readonly title: string;
  /** What is found before the body is. */
  readonly name: string;
  readonly body: string;
}

interface HitRow {
  readonly rowid: number;
  readonly kind: SearchKind;
  readonly id: string;
  readonly project_id: string | null;
  readonly title: string;
}

/**
 * Full-text search over project names, prompts, assets and takes (prompt and tags). Words are found by their
 * beginnings, Chinese, Japanese and Korean by any stretch of characters; best match first.
 */
export class SearchIndex {
  private readonly findEntry: Database.Statement<[string, string, string], { rowid: number }>;
  private readonly insertEntry: Database.Statement;
  private readonly updateEntry: Database.Statement;
  private readonly deleteEntry: Database.Statement;
  private readonly insertText: Database.Statement;
  private readonly updateText: Database.Statement;
  private readonly deleteText: Database.Statement;
  private readonly findRows: Database.Statement<[string, number], HitRow>;

  constructor(sqlite: Database.Database) {
    this.findEntry = sqlite.prepare(
      'SELECT rowid FROM search_entries WHERE owner = ? AND kind = ? AND id = ?',
    );
    this.insertEntry = sqlite.prepare(
      'INSERT INTO search_entries (kind, owner, id, project_id, title) VALUES (?, ?, ?, ?, ?)',
    );
    this.updateEntry = sqlite.prepare('UPDATE search_entries SET title = ?, project_id = ? WHERE rowid = ?');
    this.deleteEntry = sqlite.prepare('DELETE FROM search_entries WHERE rowid = ?');
    this.insertText = sqlite.prepare(
      'INSERT INTO search_index (rowid, name, body, scope) VALUES (?, ?, ?, ?)',
    );
    this.updateText = sqlite.prepare('UPDATE search_index SET name = ?, body = ?, scope = ? WHERE rowid = ?');
    this.deleteText = sqlite.prepare('DELETE FROM search_index WHERE rowid = ?');
    this.findRows = sqlite.prepare(findSql);
  }

  /** Brings the index up to a record's change; part of the transaction that changes the record. */
  update<T extends TableName>(table: T, before: Records[T] | null, after: Records[T] | null): void {
    const owner = (before ?? after)!.id;
    const old = new Map(entriesOf(table, before).map((entry) => [key(entry), entry]));
    for (const entry of entriesOf(table, after)) {
      const was = old.get(key(entry));
      old.delete(key(entry));
      if (was === undefined) {
        const { lastInsertRowid } = this.insertEntry.run(
          entry.kind,
          owner,
          entry.id,
          entry.projectId,
          entry.title,
        );
        this.insertText.run(lastInsertRowid, ...textsOf(entry));
      } else if (
        was.title !== entry.title ||
        was.name !== entry.name ||
        was.body !== entry.body ||
        was.projectId !== entry.projectId
      ) {
        const { rowid } = this.findEntry.get(owner, entry.kind, entry.id)!;
        this.updateEntry.run(entry.title, entry.projectId, rowid);
        this.updateText.run(...textsOf(entry), rowid);
      }
    }
    for (const entry of old.values()) {
      const { rowid } = this.findEntry.get(owner, entry.kind, entry.id)!;
      this.deleteEntry.run(rowid);
      this.deleteText.run(rowid);
    }
  }

  /**
   * What matches all of the words. Whole words come before beginnings, names and tags before prompts, and then the
   * newest first: an order that is known without looking at every match, so that common words are found as quickly as
   * rare ones. Projects in the trash, their prompts and takes are left out.
   * @throws PusaError RECORD_INVALID (the query itself), LIBRARY_DAMAGED
   */
  find(query: SearchQuery): SearchHit[] {
    const parsed = parseBounded(searchQuerySchema, query, 20);
    if (!parsed.ok) {
      throw new PusaError(
        'RECORD_INVALID',
        describeFlaw('The search', parsed.flaw),
        'Shorten what you look for.',
      );
    }
    try {
      const hits = new Map<number, SearchHit>();
      for (const match of queriesOf(parsed.value)) {
        for (const row of this.findRows.all(match, parsed.value.limit)) {
          if (hits.size === parsed.value.limit) break;
          const { kind, id, project_id: projectId, title } = row;
          if (!hits.has(row.rowid)) hits.set(row.rowid, { kind, id, projectId, title });
        }
        if (hits.size === parsed.value.limit) break;
      }
      return [...hits.values()];
    } catch (thrown) {
      throw libraryError(thrown);
    }
  }
}

/** One way of matching, newest first. */
const findSql = `
  SELECT e.rowid, e.kind, e.id, e.project_id, e.title
  FROM search_index f CROSS JOIN search_entries e ON e.rowid = f.rowid
  WHERE f.search_index MATCH ? AND (e.project_id IS NULL
    OR EXISTS (SELECT 1 FROM projects p WHERE p.id = e.project_id AND p.trashed_at IS NULL))
  ORDER BY f.rowid DESC LIMIT ?`;

/** Ways of matching a query, the best one first; each finds at least what those before it do, columns apart. */
function queriesOf({ text, kinds, projectId }: SearchQuery): string[] {
  const scopes = [
    ...(kinds ? [`scope : (${kinds.map((kind) => `"kind${kind}"`).join(' OR ')})`] : []),
    ...(projectId === undefined ? [] : [`scope : "${idToken('project', projectId)}"`]),
  ];
  if (kinds?.length === 0) return [];
  return (['whole', 'beginning'] as const).flatMap((words) => {
    const match = queryText(text, words);
    if (match === null) return [];
    return ['name', '{name body}'].map((columns) => [`${columns} : (${match})`, ...scopes].join(' AND '));
  });
}

function textsOf({ kind, projectId, name, body }: Entry): [string, string, string] {
  const scope = `kind${kind}${projectId === null ? '' : ` ${idToken('project', projectId)}`}`;
  return [indexText(name), indexText(body), scope];
}

/** Kind first: kinds have no space. */
function key(entry: Entry): string {
  return `${entry.kind} ${entry.id}`;
}

/** What of a record can be found. */
function entriesOf<T extends TableName>(table: T, record: Records[T] | null): Entry[] {
  if (record === null) return [];
  switch (table) {
    case 'projects':
      return projectEntries(record as ProjectRecord);
    case 'assets': {
      const { id, name } = record as AssetRecord;
      return [{ kind: 'asset', id, projectId: null, title: name, name, body: '' }];
    }
    case 'takes': {
      const { id, projectId, prompt, tags } = record as TakeRecord;
      return [{ kind: 'take', id, projectId, title: shorten(prompt), name: tags.join(' '), body: prompt }];
    }
    default:
      return [];
  }
}

function projectEntries({ id, name, ranges }: ProjectRecord): Entry[] {
  const prompts = ranges
    .filter((range) => range.prompt !== '')
    .map((range): Entry => ({
      kind: 'prompt',
      id: range.id,
      projectId: id,
      title: shorten(range.prompt),
      name: '',
      body: range.prompt,
    }));
  return [{ kind: 'project', id, projectId: id, title: name, name, body: '' }, ...prompts];
}

function shorten(prompt: string): string {
  return prompt.length <= titleLength ? prompt : `${prompt.slice(0, titleLength - 1)}…`;
}
