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
  type TakeRecord,
  type ShownTake,
  type TakeSummary,
} from '../core/contract/records.ts';
import { PusaError } from '../core/errors.ts';
import { unusedAsset } from './history.ts';
import { readRecord } from './tables.ts';

/** Which page: at most `limit` (1 … 500) records, after a cursor that the page before gave. */
export interface PageQuery {
  readonly limit: number;
  readonly after?: string | null | undefined;
}

export interface ProjectQuery extends PageQuery {
  readonly trashed?: boolean | undefined;
  /** Changed or made last first (the former is the default), or by name. */
  readonly order?: 'time' | 'created' | 'name' | undefined;
}

export interface AssetQuery extends PageQuery {
  /** Newest first (the default), by name, or the largest first. */
  readonly order?: 'time' | 'name' | 'bytes' | undefined;
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
  /** Newest first (the default), or the best rated, among them the newest first. */
  readonly order?: 'time' | 'rating' | undefined;
}

/** Jobs that are over, the latest first. */
export interface HistoryQuery extends PageQuery {
  readonly states: readonly JobState[];
  readonly projectId?: string | undefined;
}

const mostPerPage = 500;
/** Counting goes no further: it would take longer than reading the page. */
const mostCounted = 10_000;

interface Row {
  readonly id: string;
  /** What the list is sorted by. */
  readonly place: string | number;
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
    return this.page(query, {
      table: 'projects',
      columns: 'name, width, height, fps, clips, ranges, created_at, modified_at, trashed_at',
      ...sorted(
        query.order === 'created' ? 'time' : query.order,
        query.order === 'created' ? 'created_at' : 'modified_at',
      ),
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
    return this.page(query, {
      ...assetList,
      ...sorted(query.order, 'imported_at'),
      ...filters({ 'kind = $kind': query.kind, 'state = $state': query.state }),
    });
  }

  /** Assets that no project and no take uses, nor would after undoing or redoing; with the bytes of all of them. */
  unusedAssets(query: PageQuery): Page<AssetRecord> & { readonly bytes: number } {
    const page = this.page(query, {
      ...assetList,
      ...sorted('time', 'imported_at'),
      conditions: [unusedAsset],
      values: {},
    });
    const bytes = this.sqlite.prepare<[], number>(`SELECT total(bytes) FROM assets WHERE ${unusedAsset}`);
    return { ...page, bytes: bytes.pluck().get()! };
  }

  /** The asset of these bytes, by their SHA-256; null where there is none. */
  assetOfHash(hash: string): AssetRecord | null {
    const json = this.sqlite
      .prepare<[string], string>('SELECT json FROM assets WHERE hash = ?')
      .pluck()
      .get(hash);
    return json === undefined ? null : readRecord('assets', json);
  }

  /** Whether an asset or a take is these bytes; steps to undo are not asked (see `Store.namedAmong`). */
  isNamed(hash: string): boolean {
    return this.assetOfHash(hash) !== null || this.takesOfFile(hash).length > 0;
  }

  /** What is said of the assets whose hashes begin with some digits. */
  assetStates(prefix: string): { id: string; hash: string; state: AssetRecord['state'] }[] {
    // "g" follows the last digit.
    return this.sqlite
      .prepare<[string, string], { id: string; hash: string; state: AssetRecord['state'] }>(
        'SELECT id, hash, state FROM assets WHERE hash >= ? AND hash < ?',
      )
      .all(prefix, `${prefix}g`);
  }

  /** Ids of the projects that show an asset of these bytes, those in the trash too. */
  projectsWithMedia(hash: string): string[] {
    return this.sqlite
      .prepare<[string], string>('SELECT project_id FROM project_media WHERE hash = ? ORDER BY project_id')
      .pluck()
      .all(hash);
  }

  takes(query: TakeQuery): Page<TakeSummary> {
    return this.page(query, {
      table: 'takes',
      columns: 'project_id, range_id, file_hash, rating, created_at, summary',
      // A rating is one digit.
      by: query.order === 'rating' ? 'rating || created_at' : 'created_at',
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

  /** Takes of any project whose files are among this one's media, the newest first. */
  takesInMedia(projectId: string): ShownTake[] {
    return this.sqlite
      .prepare<[string], ShownTake>(
        `SELECT id, project_id AS projectId, range_id AS rangeId, file_hash AS fileHash,
           summary ->> '$.promotedClipId' AS promotedClipId
         FROM takes WHERE file_hash IN (SELECT hash FROM project_media WHERE project_id = ?)
         ORDER BY created_at DESC, id`,
      )
      .all(projectId);
  }

  /** Takes whose video is this file, the newest first. */
  takesOfFile(hash: string): Pick<TakeRecord, 'id' | 'projectId' | 'rangeId' | 'fileHash'>[] {
    return this.sqlite
      .prepare<[string], Pick<TakeRecord, 'id' | 'projectId' | 'rangeId' | 'fileHash'>>(
        `SELECT id, project_id AS projectId, range_id AS rangeId, file_hash AS fileHash
         FROM takes WHERE file_hash = ? ORDER BY created_at DESC, id`,
      )
      .all(hash);
  }

  /** The take that a job made; null where there is none, or none any more. */
  takeOfJob({ id, projectId, rangeId }: Pick<JobRecord, 'id' | 'projectId' | 'rangeId'>): TakeRecord | null {
    const json = this.sqlite
      .prepare<[string, string, string], string>(
        "SELECT json FROM takes WHERE project_id = ? AND range_id = ? AND json ->> '$.jobId' = ? LIMIT 1",
      )
      .pluck()
      .get(projectId, rangeId, id);
    return json === undefined ? null : readRecord('takes', json);
  }

  /** Jobs that are over, the latest first. */
  jobHistory(query: HistoryQuery): Page<JobRecord> {
    return this.page(query, {
      table: 'jobs',
      columns: 'json',
      by: "coalesce(json ->> '$.finishedAt', '')",
      descending: true,
      ...filters({
        'state IN (SELECT value FROM json_each($states))': JSON.stringify(query.states),
        'project_id = $projectId': query.projectId,
      }),
      read: (row: Row & { readonly json: string }) => readRecord('jobs', row.json),
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

const assetList = {
  table: 'assets',
  columns: 'json',
  read: (row: Row & { readonly json: string }) => readRecord('assets', row.json),
};

/** Newest first by the column of a time, by name, or the largest first. */
function sorted(
  order: 'time' | 'name' | 'bytes' = 'time',
  time: string,
): Pick<ListSpec<Row, unknown>, 'by' | 'descending'> {
  if (order === 'name') return { by: 'name COLLATE NOCASE', descending: false };
  return { by: order === 'bytes' ? 'bytes' : time, descending: true };
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
      given.map(({ condition, value }) => [/\$(\w+)\)*$/.exec(condition)![1]!, value]),
    ),
  };
}

function readCursor(cursor: string): [string | number, string] {
  try {
    return z
      .tuple([z.union([z.string(), z.number()]), z.string()])
      .parse(JSON.parse(cursorSchema.parse(cursor)));
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
