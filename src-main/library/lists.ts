import type Database from 'better-sqlite3';
import { z } from 'zod';
import {
  cursorSchema,
  takeSummarySchema,
  type AssetRecord,
  type JobRecord,
  type JobState,
  type Page,
  type ProjectSummary,
  type TakeSummary,
} from '../core/contract/records.ts';
import { PusaError } from '../core/errors.ts';
import { readRecord } from './tables.ts';

/** Which page: at most `limit` (1 … 500) records, after a cursor that the page before gave. */
export interface PageQuery {
  readonly limit: number;
  readonly after?: string | null | undefined;
}

export interface ProjectQuery extends PageQuery {
  readonly trashed?: boolean | undefined;
  /** Newest first (the default), or by name. */
  readonly order?: 'time' | 'name' | undefined;
}

export interface AssetQuery extends PageQuery {
  readonly order?: 'time' | 'name' | undefined;
  readonly kind?: AssetRecord['kind'] | undefined;
  readonly state?: AssetRecord['state'] | undefined;
}

/** Newest first. */
export interface TakeQuery extends PageQuery {
  readonly projectId?: string | undefined;
  /** Only together with its project. */
  readonly rangeId?: string | undefined;
  readonly minRating?: number | undefined;
  readonly tag?: string | undefined;
}

const mostPerPage = 500;
/** Counting goes no further: it would take longer than reading the page. */
const mostCounted = 10_000;

interface Row {
  readonly id: string;
  /** What the list is sorted by. */
  readonly place: string;
}

interface ListSpec<R extends Row, T> {
  readonly table: string;
  readonly columns: string;
  /** Sorted by this expression, then by id. */
  readonly by: string;
  readonly descending: boolean;
  readonly conditions: readonly string[];
  readonly values: Readonly<Record<string, string | number>>;
  readonly read: (row: R) => T;
}

/** Pages of records as lists show them. Reading goes on from a record, so nothing is skipped when others come and go. */
export class Lists {
  private readonly sqlite: Database.Database;

  constructor(sqlite: Database.Database) {
    this.sqlite = sqlite;
  }

  projects(query: ProjectQuery): Page<ProjectSummary> {
    const byName = query.order === 'name';
    return this.page(query, {
      table: 'projects',
      columns: 'name, width, height, fps, clips, ranges, created_at, modified_at, trashed_at',
      by: byName ? 'name COLLATE NOCASE' : 'modified_at',
      descending: !byName,
      conditions: ['(trashed_at IS NULL) = $kept'],
      values: { kept: query.trashed === true ? 0 : 1 },
      read: (row: ProjectRow): ProjectSummary => ({
        id: row.id,
        name: row.name,
        width: row.width,
        height: row.height,
        fps: row.fps,
        clips: row.clips,
        ranges: row.ranges,
        createdAt: row.created_at,
        modifiedAt: row.modified_at,
        trashedAt: row.trashed_at,
      }),
    });
  }

  assets(query: AssetQuery): Page<AssetRecord> {
    const byName = query.order === 'name';
    return this.page(query, {
      table: 'assets',
      columns: 'json',
      by: byName ? 'name COLLATE NOCASE' : 'imported_at',
      descending: !byName,
      ...filters({ 'kind = $kind': query.kind, 'state = $state': query.state }),
      read: (row: Row & { readonly json: string }) => readRecord('assets', row.json),
    });
  }

  takes(query: TakeQuery): Page<TakeSummary> {
    return this.page(query, {
      table: 'takes',
      columns: 'project_id, range_id, file_hash, rating, created_at, summary',
      by: 'created_at',
      descending: true,
      ...filters({
        'project_id = $projectId': query.projectId,
        'range_id = $rangeId': query.rangeId,
        'rating >= $minRating': query.minRating === 0 ? undefined : query.minRating,
        // The "+" keeps SQLite on the list’s own index: by the tag it would read and sort every take that has it.
        '+id IN (SELECT take_id FROM take_tags WHERE tag = $tag)': query.tag,
      }),
      read: (row: TakeRow) =>
        takeSummarySchema.parse({
          ...z.looseObject({}).parse(JSON.parse(row.summary)),
          id: row.id,
          projectId: row.project_id,
          rangeId: row.range_id,
          fileHash: row.file_hash,
          rating: row.rating,
          createdAt: row.created_at,
        }),
    });
  }

  /** Jobs of these states in the queue's order. */
  jobs(states: readonly JobState[]): JobRecord[] {
    return this.sqlite
      .prepare<[string], string>(
        'SELECT json FROM jobs WHERE state IN (SELECT value FROM json_each(?)) ORDER BY position, id',
      )
      .pluck()
      .all(JSON.stringify(states))
      .map((json) => readRecord('jobs', json));
  }

  private page<R extends Row, T>({ limit, after = null }: PageQuery, spec: ListSpec<R, T>): Page<T> {
    if (!Number.isInteger(limit) || limit < 1 || limit > mostPerPage) throw badPage();
    const where = (conditions: readonly string[]): string =>
      conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
    const total = this.sqlite
      .prepare<[Record<string, unknown>], number>(
        `SELECT count(*) FROM (SELECT 1 FROM ${spec.table} ${where(spec.conditions)} LIMIT ${mostCounted})`,
      )
      .pluck()
      .get(spec.values)!;
    const [place, id] = after === null ? [] : readCursor(after);
    const direction = spec.descending ? 'DESC' : 'ASC';
    const beyond = `(${spec.by}, id) ${spec.descending ? '<' : '>'} ($place, $id)`;
    const rows = this.sqlite
      .prepare<[Record<string, unknown>], R>(
        `SELECT id, ${spec.by} AS place, ${spec.columns} FROM ${spec.table}
         ${where(place === undefined ? spec.conditions : [...spec.conditions, beyond])}
         ORDER BY ${spec.by} ${direction}, id ${direction} LIMIT $limit`,
      )
      .all({ ...spec.values, ...(place === undefined ? {} : { place, id }), limit: limit + 1 });
    const items = rows.slice(0, limit);
    const last = items.at(-1);
    return {
      items: items.map(spec.read),
      next: rows.length > limit && last ? JSON.stringify([last.place, last.id]) : null,
      total,
    };
  }
}

interface ProjectRow extends Row {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly clips: number;
  readonly ranges: number;
  readonly created_at: string;
  readonly modified_at: string;
  readonly trashed_at: string | null;
}

interface TakeRow extends Row {
  readonly project_id: string;
  readonly range_id: string;
  readonly file_hash: string;
  readonly rating: number;
  readonly created_at: string;
  readonly summary: string;
}

/** Conditions whose value is given, and the values by the name that follows the condition's last "$". */
function filters(all: Readonly<Record<string, string | number | undefined>>): {
  conditions: string[];
  values: Record<string, string | number>;
} {
  const given = Object.entries(all).flatMap(([condition, value]) =>
    value === undefined ? [] : [{ condition, value }],
  );
  return {
    conditions: given.map(({ condition }) => condition),
    values: Object.fromEntries(
      given.map(({ condition, value }) => [/\$(\w+)\)?$/.exec(condition)![1]!, value]),
    ),
  };
}

function readCursor(cursor: string): [string, string] {
  try {
    return z.tuple([z.string(), z.string()]).parse(JSON.parse(cursorSchema.parse(cursor)));
  } catch {
    throw badPage();
  }
}

function badPage(): PusaError {
  return new PusaError(
    'RECORD_INVALID',
    'This page of the list cannot be shown.',
    'Start at its first page.',
  );
}
