import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { tableNames, type TableName } from '../core/contract/records.ts';
import { databaseName, replaceDatabase } from './backups.ts';
import { createDatabase } from './database.ts';
import { lockLibrary } from './instance-lock.ts';
import { damaged, isDamage, libraryError } from './library-errors.ts';
import { readRecord, RecordTables } from './tables.ts';

/** What a repair kept. */
export interface Repair {
  /** Records saved, by table. */
  readonly saved: Readonly<Record<TableName, number>>;
  /** Records that were found but are broken or belong to a project that is lost. */
  readonly broken: number;
  /** Some pages could not be read: records may be missing that nobody can count. */
  readonly incomplete: boolean;
  /** Where the damaged files were moved. */
  readonly aside: string;
}

/**
 * Builds a new database from every record of a damaged one that can still be read, and puts it in its place. What can
 * be made again is made again (search); histories are not kept. The library must not be open.
 * @throws PusaError LIBRARY_BUSY, LIBRARY_DAMAGED when nothing can be read, DISK_FULL, WRITE_FAILED
 */
export function repairLibrary(folder: string): Repair {
  const unlock = lockLibrary(folder);
  const path = join(folder, databaseName);
  const repaired = join(folder, `${databaseName}.repaired`);
  try {
    if (!existsSync(path)) throw damaged('its database is missing');
    removeFiles(repaired);
    const damagedDatabase = new Database(path, { timeout: 2000 });
    const fresh = createDatabase(repaired);
    let found: Omit<Repair, 'aside'>;
    try {
      found = salvage(damagedDatabase, fresh);
    } finally {
      damagedDatabase.close();
      fresh.close();
    }
    return { ...found, aside: replaceDatabase(folder, repaired) };
  } catch (thrown) {
    removeFiles(repaired);
    throw libraryError(thrown);
  } finally {
    unlock();
  }
}

function salvage(from: Database.Database, into: Database.Database): Omit<Repair, 'aside'> {
  const tables = new RecordTables(into);
  const saved = { projects: 0, assets: 0, takes: 0, jobs: 0 };
  let broken = 0;
  let incomplete = false;
  const save = (table: TableName, json: string): void => {
    try {
      const record = readRecord(table, json);
      if ('projectId' in record && tables.get('projects', record.projectId) === null) broken++;
      // Both ends of a damaged table are read, and may meet.
      else if (tables.get(table, record.id) === null) {
        into.transaction(() => tables.write(table, record.id, null, record))();
        saved[table]++;
      }
    } catch (thrown) {
      if (libraryError(thrown).code !== 'LIBRARY_DAMAGED' && !isConflict(thrown)) throw thrown;
      broken++;
    }
  };
  for (const table of tableNames) {
    // A damaged page ends a reading: what lies behind it is reached from the other end.
    if (readRows(from, table, 'ASC', (json) => save(table, json))) continue;
    incomplete = true;
    readRows(from, table, 'DESC', (json) => save(table, json));
  }
  if (incomplete && Object.values(saved).every((count) => count === 0))
    throw damaged('nothing in it can be read');
  return { saved, broken, incomplete };
}

/** @returns false when a damaged page ended the reading */
function readRows(
  database: Database.Database,
  table: TableName,
  order: 'ASC' | 'DESC',
  row: (json: string) => void,
): boolean {
  try {
    const statement = database.prepare<[]>(`SELECT json FROM ${table} ORDER BY rowid ${order}`).pluck();
    for (const json of statement.iterate()) row(String(json));
    return true;
  } catch (thrown) {
    if (isDamage(thrown) || (thrown instanceof Error && thrown.message.includes('no such table')))
      return false;
    throw thrown;
  }
}

/** Two records that must differ do not: one of them is not what it was. */
function isConflict(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && String(thrown.code).startsWith('SQLITE_CONSTRAINT');
}

function removeFiles(path: string): void {
  for (const ending of ['', '-wal', '-shm', '-journal']) rmSync(path + ending, { force: true });
}
