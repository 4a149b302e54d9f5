import { open, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import Database from 'better-sqlite3';
import { describeFlaw, parseBounded, type Parsed } from '../core/contract/parse.ts';
import type { Project } from '../core/contract/project.ts';
import { parseProject } from '../core/contract/validate-project.ts';
import { PusaError, toPusaError } from '../core/errors.ts';
import { extractTo } from './pusa-file-extract.ts';
import {
  applicationId,
  chunkBytes,
  currentVersion,
  fileTakeSchema,
  hashPattern,
  invalidFile,
  limits,
  maxSettingValues,
  mediaFlaw,
  migrations,
  pageBytes,
  settingsSchema,
  short,
  tablesByVersion,
  type MediaFacts,
  type RawRecords,
  type Settings,
  type TakeEntry,
} from './pusa-file-format.ts';

/** An opened `.pusa` file; its records are read and valid, its media are read on demand. */
export interface PusaFile {
  readonly project: Project;
  readonly settings: Settings;
  /** What media the file holds, by SHA-256 in hex: assets' and takes'. */
  readonly media: ReadonlyMap<string, MediaFacts>;
  readonly takes: readonly TakeEntry[];
  /**
   * Writes a medium to a file, through a temporary one beside it: what stands at `toPath` afterwards has the hash. A
   * sequence (one with `parts`) becomes a folder of its pictures; nothing may stand in its place.
   * @throws PusaError PROJECT_INVALID (damaged, or not in the file), DISK_FULL, WRITE_FAILED
   */
  extractMedia(hash: string, toPath: string): Promise<void>;
  close(): void;
}

interface MediaRow extends MediaFacts {
  readonly id: number;
  readonly hash: string;
  readonly firstChunk: number;
}

/**
 * Opens a `.pusa` file, which may come from anybody: nothing is written to it or beside it, its header, schema,
 * sizes and pages are checked before its records are read, and every record is validated.
 * @throws PusaError FILE_NOT_FOUND, FILE_EMPTY, FILE_TOO_LARGE, PROJECT_TOO_NEW, PROJECT_INVALID
 */
export async function readPusaFile(path: string): Promise<PusaFile> {
  const absolute = resolve(path);
  if (absolute !== absolute.trim()) throw invalidFile(absolute, 'its name ends with a space; rename it');
  const { fileBytes, version } = await checkHeader(absolute);
  let database: Database.Database | undefined;
  try {
    database = new Database(absolute, { readonly: true, fileMustExist: true });
    for (const setting of ['trusted_schema = OFF', 'cell_size_check = ON', 'query_only = ON']) {
      database.pragma(setting);
    }
    checkSchema(database, tablesByVersion[version - 1]!);
    checkRecordTables(database, version);
    const records = migrations
      .slice(version - 1)
      .reduce((old, migrate) => migrate(old), readRecords(database));
    const project = validRecord('the project', parseProject(records.project));
    const settings = validateSettings(records.settings);
    const takes = records.takes.map(validateTake);
    const media = withParts(database, version, readMediaTable(database, fileBytes));
    const flaw = mediaFlaw(project, media, takes);
    if (flaw) throw new Refusal(flaw);
    return opened(absolute, database, { project, settings, media, takes });
  } catch (thrown) {
    database?.close();
    throw readError(absolute, thrown);
  }
}

/** Why a file is refused, as a clause; becomes a sentence with the file's name at the boundary. */
class Refusal extends Error {}

/** What a header of ours looks like, read by hand: only such a file is given to SQLite at all. */
async function checkHeader(path: string): Promise<{ fileBytes: number; version: number }> {
  const header = Buffer.alloc(101);
  let fileBytes: number;
  try {
    // Asked before opening: opening a pipe would wait for its other end.
    const status = await stat(path);
    if (!status.isFile()) throw new Refusal('it is not a file');
    fileBytes = status.size;
    // SQLite would take these for changes to the file; ours leaves none, so they are another program's or a trap.
    for (const companion of [`${path}-journal`, `${path}-wal`]) {
      const found = await stat(companion).catch(() => null);
      if (found) throw new Refusal(`"${basename(companion)}" beside it says that it is half changed`);
    }
    const handle = await open(path, 'r');
    try {
      for (let done = 0; done < header.length;) {
        const { bytesRead } = await handle.read(header, done, header.length - done, done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    throw readError(path, thrown);
  }
  if (fileBytes === 0) {
    throw new PusaError('FILE_EMPTY', `"${basename(path)}" is empty.`, 'Ask its sender for it again.');
  }
  if (fileBytes > limits.fileBytes) {
    throw new PusaError(
      'FILE_TOO_LARGE',
      `"${basename(path)}" is larger than a project can be.`,
      'Save the project without its media and send the media apart.',
    );
  }
  if (header.toString('latin1', 0, 16) !== 'SQLite format 3\0' || header.readUInt32BE(68) !== applicationId) {
    throw invalidFile(path, 'it is a file of another kind');
  }
  const version = header.readInt32BE(60);
  if (version > currentVersion) {
    throw new PusaError(
      'PROJECT_TOO_NEW',
      `"${basename(path)}" was saved by a newer Pusa Studio (file version ${version}, and this one reads up to ${currentVersion}).`,
      'Update Pusa Studio and open it again.',
    );
  }
  if (version < 1) throw invalidFile(path, `its version is ${version}`);
  const flaw = headerFlaw(header, fileBytes);
  if (flaw) throw invalidFile(path, flaw);
  return { fileBytes, version };
}

/** The fields of https://www.sqlite.org/fileformat2.html#the_database_header that our writer sets in one way only. */
function headerFlaw(header: Buffer, fileBytes: number): string | null {
  if (header.readUInt16BE(16) !== pageBytes || header.readUInt8(20) !== 0)
    return 'its page size is not the usual one';
  if (header.readUInt8(18) !== 1 || header.readUInt8(19) !== 1) return 'it needs a second file beside it';
  if (header.readUInt32BE(28) * pageBytes !== fileBytes) {
    return `it should have ${header.readUInt32BE(28) * pageBytes} bytes and has ${fileBytes}; it is cut off or damaged`;
  }
  if (header.readUInt32BE(56) !== 1) return 'its text is not UTF-8';
  // A leaf page: the schema fits on the first page and SQLite has no tree to follow while it reads it.
  if (header.readUInt8(100) !== 0x0d) return 'its schema is not the one of a Pusa project';
  return null;
}

function checkSchema(database: Database.Database, tables: Readonly<Record<string, string>>): void {
  const expected = Object.entries(tables).map(([name, sql]) => ({ type: 'table', name, table: name, sql }));
  const found = database
    .prepare('SELECT type, name, tbl_name AS "table", sql FROM sqlite_schema ORDER BY rowid LIMIT ?')
    .all(expected.length + 1);
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Refusal('its schema is not the one of a Pusa project');
  }
}

/**
 * Sizes before content: counts and lengths come from row headers and stop at the limit, so that what `quick_check`
 * and the reading after it have to go through is bounded. Chunks are not gone through: each is found by its id, and
 * proved by the hash of the medium.
 */
function checkRecordTables(database: Database.Database, version: number): void {
  const tables = [
    { name: 'project', rows: 1, text: 'json', each: limits.projectBytes, all: limits.projectBytes },
    {
      name: 'setting',
      rows: limits.settings,
      text: 'name || json',
      each: limits.settingBytes,
      all: Infinity,
    },
    { name: 'media', rows: limits.media, text: 'hash', each: 64, all: Infinity },
    { name: 'take', rows: limits.takes, text: 'json', each: limits.takeBytes, all: limits.takesBytes },
    ...(version < 2 ? [] : [{ name: 'part', rows: limits.parts, text: 'bytes', each: 20, all: Infinity }]),
  ];
  for (const { name, rows, text, each, all } of tables) {
    const lengths = text
      .split(' || ')
      .map((column) => `octet_length(${column})`)
      .join(' + ');
    const found = database
      .prepare(
        `SELECT count(*) AS rows, max(length) AS longest, total(length) AS sum FROM (SELECT ${lengths} AS length FROM ${name} LIMIT ?)`,
      )
      .get(rows + 1) as { rows: number; longest: number | null; sum: number };
    if (found.rows > rows) throw new Refusal(`it has more than ${rows} rows of kind "${name}"`);
    if ((found.longest ?? 0) > each || found.sum > all)
      throw new Refusal(`a row of kind "${name}" is too large`);
    // Only the first line is asked for: after an error in the tree, SQLite would go on through its rows.
    const verdict = database.pragma(`quick_check(${name})`, { simple: true });
    if (verdict !== 'ok') throw new Refusal(`it is damaged (${name}: ${String(verdict).slice(0, 120)})`);
  }
}

function readRecords(database: Database.Database): RawRecords {
  const rows = <T>(sql: string): T[] => database.prepare(sql).all() as T[];
  const [project] = rows<{ json: string }>('SELECT json FROM project');
  if (!project) throw new Refusal('it holds no project');
  return {
    project: parseJson('the project', project.json),
    settings: rows<{ name: string; json: string }>('SELECT name, json FROM setting ORDER BY id').map(
      ({ name, json }) => ({ name, value: parseJson('a setting', json) }),
    ),
    takes: rows<{ hash: string; json: string }>('SELECT hash, json FROM take ORDER BY id').map(
      ({ hash, json }) => ({
        hash,
        take: parseJson('a take', json),
      }),
    ),
  };
}

function parseJson(subject: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Refusal(`the record of ${subject} is not JSON`);
  }
}

function validateSettings(entries: RawRecords['settings']): Settings {
  const settings = validRecord('its settings', parseBounded(settingsSchema, entries, maxSettingValues));
  const byName = new Map(settings.map(({ name, value }) => [name, value]));
  if (byName.size !== settings.length) throw new Refusal('it holds a setting twice');
  return Object.fromEntries(byName);
}

function validateTake({ hash, take }: RawRecords['takes'][number], index: number): TakeEntry {
  if (!hashPattern.test(hash)) throw new Refusal(`the hash of take ${index} is not valid`);
  return { take: validRecord(`take ${index}`, parseBounded(fileTakeSchema, take, limits.takeValues)), hash };
}

function validRecord<T>(subject: string, parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  throw new Refusal(describeFlaw(`the record of ${subject}`, parsed.flaw).replace(/\.$/, ''));
}

function readMediaTable(database: Database.Database, fileBytes: number): Map<string, MediaRow> {
  const rows = database
    .prepare('SELECT id, hash, bytes, first_chunk AS firstChunk FROM media ORDER BY id')
    .all() as MediaRow[];
  const media = new Map<string, MediaRow>();
  // Together they cannot be longer than the file; so no file unpacks into more than itself.
  let left = fileBytes;
  for (const [index, row] of rows.entries()) {
    if (!hashPattern.test(row.hash) || media.has(row.hash)) {
      throw new Refusal(`the hash of media ${index} is not valid or stands there twice`);
    }
    if (!Number.isSafeInteger(row.bytes) || row.bytes < 1 || row.bytes > left) {
      throw new Refusal(`media ${index} claims ${row.bytes} bytes`);
    }
    if (!Number.isSafeInteger(row.firstChunk) || row.firstChunk < 1) {
      throw new Refusal(`media ${index} claims to begin at chunk ${row.firstChunk}`);
    }
    left -= row.bytes;
    media.set(row.hash, row);
  }
  return media;
}

/** The media with the lengths of sequences' pictures. */
function withParts(
  database: Database.Database,
  version: number,
  media: ReadonlyMap<string, MediaRow>,
): Map<string, MediaRow> {
  const parts = new Map<number, number[]>();
  const rows =
    version < 2
      ? []
      : database
          .prepare<[], { media: number; bytes: number }>('SELECT media, bytes FROM part ORDER BY id')
          .iterate();
  const known = new Set([...media.values()].map(({ id }) => id));
  for (const { media: id, bytes } of rows) {
    if (!known.has(id) || !Number.isSafeInteger(bytes) || bytes < 1) {
      throw new Refusal(`a picture of a sequence claims ${bytes} bytes of media ${id}`);
    }
    const of = parts.get(id);
    if (of === undefined) parts.set(id, [bytes]);
    else of.push(bytes);
  }
  return new Map(
    [...media].map(([hash, row]) => {
      const own = parts.get(row.id);
      return [hash, own === undefined ? row : { ...row, parts: own }];
    }),
  );
}

function opened(
  path: string,
  database: Database.Database,
  contents: Pick<PusaFile, 'project' | 'settings' | 'takes'> & { media: ReadonlyMap<string, MediaRow> },
): PusaFile {
  // A longer blob, or something else than a blob, comes back as null instead of being loaded.
  const select = database.prepare<[number, number], { data: Buffer | null }>(
    `SELECT CASE WHEN typeof(data) = 'blob' AND length(data) = ? THEN data END AS data FROM chunk WHERE id = ?`,
  );
  const chunksOf = function* ({ hash, bytes, firstChunk }: MediaRow): Generator<Buffer> {
    for (let at = 0, id = firstChunk; at < bytes; at += chunkBytes, id++) {
      const data = select.get(Math.min(chunkBytes, bytes - at), id)?.data;
      if (!data) throw new Refusal(`its media ${short(hash)} lacks a part or has one of another length`);
      yield data;
    }
  };
  return {
    ...contents,
    async extractMedia(hash, toPath) {
      const row = contents.media.get(hash);
      if (!row) throw invalidFile(path, `it does not hold the media ${short(hash)}`);
      try {
        const isSound = await extractTo(toPath, hash, chunksOf(row), row.parts);
        if (!isSound) throw new Refusal(`its media ${short(hash)} is damaged`);
      } catch (thrown) {
        throw thrown instanceof Refusal || isSqlite(thrown) ? readError(path, thrown) : toPusaError(thrown);
      }
    },
    close() {
      database.close();
    },
  };
}

function isSqlite(thrown: unknown): thrown is InstanceType<typeof Database.SqliteError> {
  return thrown instanceof Database.SqliteError;
}

function readError(path: string, thrown: unknown): PusaError {
  if (thrown instanceof PusaError) return thrown;
  if (thrown instanceof Refusal) return invalidFile(path, thrown.message);
  if (isSqlite(thrown)) {
    if (thrown.code === 'SQLITE_NOMEM') {
      return new PusaError(
        'OUT_OF_MEMORY',
        'There is not enough memory to open the project.',
        'Close other programs and try again.',
        { cause: thrown },
      );
    }
    return invalidFile(path, 'it is damaged', thrown);
  }
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : '';
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new PusaError('FILE_NOT_FOUND', `There is no file "${path}".`, 'Check the path and try again.', {
      cause: thrown,
    });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new PusaError(
      'FILE_UNREADABLE',
      `"${path}" may not be read.`,
      'Change its permissions or copy it to a folder of yours.',
      { cause: thrown },
    );
  }
  return toPusaError(thrown);
}
