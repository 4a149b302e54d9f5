import { closeSync, existsSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { z } from 'zod';
import { PusaError, toPusaError } from '../core/errors.ts';
import {
  backupDatabase,
  databaseName,
  listBackups,
  removeUnfinishedBackups,
  type BackupOptions,
} from './backups.ts';
import { lockLibrary } from './instance-lock.ts';
import { checkIntegrity, type IntegrityCheck, type IntegrityReport } from './integrity.ts';
import { damaged, libraryError } from './library-errors.ts';
import { migrations as allMigrations, type Migration } from './migrations/index.ts';

/** "PusL" in ASCII: SQLite's `application_id` of a library. */
const libraryApplicationId = 0x5075734c;
/** Stands in the folder while the library is open; found on opening, the last stop was not a clean one. */
const openMarkerName = 'library.open';

/** An open library database; the instance lock is held until {@link LibraryDatabase.close}. */
export interface LibraryDatabase {
  readonly folder: string;
  readonly sqlite: Database.Database;
  /** The last process that had it open did not close it; its integrity was checked before it was opened. */
  readonly stoppedUncleanly: boolean;
  /** What the check in the background finds; null when it was closed before. */
  readonly integrity: Promise<IntegrityReport>;
  /** Checks it once more, in the background; null when it was closed before. */
  check(): Promise<IntegrityReport>;
  /**
   * Copies the library, in use or not, into `backups/`.
   * @param options.keep a backup that is not removed for it, however old
   * @param options.signal ends it, without a backup
   * @returns the new backup's name
   */
  backup(options?: BackupOptions): Promise<string>;
  /** Flushes and closes; calling it again does nothing. */
  close(): Promise<void>;
}

/**
 * Opens the library in a folder, making both where there is none, and brings it to the current version; before that
 * a library of an older version is backed up.
 * @param migrations all migrations in order; the application's own unless given
 * @throws PusaError LIBRARY_BUSY, LIBRARY_DAMAGED, LIBRARY_TOO_NEW, DISK_FULL, WRITE_FAILED
 */
export async function openDatabase(
  folder: string,
  migrations: readonly Migration[] = allMigrations,
): Promise<LibraryDatabase> {
  const path = join(folder, databaseName);
  const marker = join(folder, openMarkerName);
  let unlock = (): void => undefined;
  let sqlite: Database.Database | null = null;
  try {
    mkdirSync(folder, { recursive: true });
    unlock = lockLibrary(folder);
    removeUnfinishedBackups(folder);
    const stoppedUncleanly = existsSync(marker);
    if (!existsSync(path) && listBackups(folder).length > 0) throw damaged('its database is missing');
    if (stoppedUncleanly) await requireIntegrity(path);
    sqlite = new Database(path, { timeout: 2000 });
    const version = readVersion(sqlite, migrations.length);
    closeSync(openSync(marker, 'a'));
    configure(sqlite);
    if (version > 0 && version < migrations.length) await backupDatabase(sqlite, folder, version);
    migrate(sqlite, version, migrations);
    return new OpenDatabase(folder, sqlite, stoppedUncleanly, unlock);
  } catch (thrown) {
    sqlite?.close();
    unlock();
    throw libraryError(thrown);
  }
}

/** A new database of the current version in a file of its own, not yet anyone's library. */
export function createDatabase(path: string): Database.Database {
  const sqlite = new Database(path);
  // Flushed once, when it takes its place.
  sqlite.pragma('journal_mode = MEMORY');
  sqlite.pragma('synchronous = OFF');
  migrate(sqlite, 0, allMigrations);
  return sqlite;
}

class OpenDatabase implements LibraryDatabase {
  readonly folder: string;
  readonly sqlite: Database.Database;
  readonly stoppedUncleanly: boolean;
  readonly integrity: Promise<IntegrityReport>;
  private readonly checks = new Set<IntegrityCheck>();
  private readonly unlock: () => void;
  private closing: Promise<void> | null = null;

  constructor(folder: string, sqlite: Database.Database, stoppedUncleanly: boolean, unlock: () => void) {
    this.folder = folder;
    this.sqlite = sqlite;
    this.stoppedUncleanly = stoppedUncleanly;
    this.unlock = unlock;
    this.integrity = this.check();
  }

  async check(): Promise<IntegrityReport> {
    const check = checkIntegrity(this.sqlite.name);
    this.checks.add(check);
    try {
      return await check.report;
    } finally {
      this.checks.delete(check);
    }
  }

  backup(options?: BackupOptions): Promise<string> {
    const version = this.sqlite.pragma('user_version', { simple: true });
    return backupDatabase(this.sqlite, this.folder, version, options);
  }

  close(): Promise<void> {
    this.closing ??= this.shut();
    return this.closing;
  }

  private async shut(): Promise<void> {
    for (const check of this.checks) await check.stop();
    try {
      // Both only save time later: a full disk must not keep the library from being closed.
      this.sqlite.pragma('optimize');
      this.sqlite.pragma('wal_checkpoint(TRUNCATE)');
    } catch {
      // What could not be moved into the database stays in its log, and is moved by the next opening.
    }
    this.sqlite.close();
    rmSync(join(this.folder, openMarkerName), { force: true });
    this.unlock();
  }
}

async function requireIntegrity(path: string): Promise<void> {
  if (!existsSync(path) || statSync(path).size === 0) return;
  const problems = await checkIntegrity(path).report;
  if (problems === null) throw toPusaError(new Error('The integrity check ended without an answer'));
  if (problems.length > 0) throw damaged(problems[0]!.replace(/\.$/, '').slice(0, 200));
}

/** 0 for a file that is still empty. */
function readVersion(sqlite: Database.Database, newest: number): number {
  const version = z.int().parse(sqlite.pragma('user_version', { simple: true }));
  const tables = z.int().parse(sqlite.prepare('SELECT count(*) FROM sqlite_schema').pluck().get());
  if (version === 0 && tables === 0) return 0;
  const application = sqlite.pragma('application_id', { simple: true });
  if (application !== libraryApplicationId || version < 1) {
    throw damaged('the database is not one of Pusa Studio');
  }
  if (version > newest) {
    throw new PusaError(
      'LIBRARY_TOO_NEW',
      'This library was made by a newer Pusa Studio.',
      'Update Pusa Studio and open the library again.',
    );
  }
  return version;
}

function configure(sqlite: Database.Database): void {
  sqlite.pragma('journal_mode = WAL');
  // An edit is acknowledged only when it is on the disk.
  sqlite.pragma('synchronous = FULL');
  sqlite.pragma('foreign_keys = ON');
  sqlite.pragma('trusted_schema = OFF');
  sqlite.pragma('cell_size_check = ON');
  sqlite.pragma('cache_size = -65536');
  sqlite.pragma('journal_size_limit = 67108864');
}

/** Each migration is one transaction: the file is of one version or of the next, never between. */
function migrate(sqlite: Database.Database, from: number, migrations: readonly Migration[]): void {
  for (const { version, up, name } of migrations.slice(from)) {
    // Tables are rebuilt by dropping them, which must not take the records of others along.
    sqlite.pragma('foreign_keys = OFF');
    sqlite
      .transaction(() => {
        up(sqlite);
        const orphans = z.array(z.unknown()).parse(sqlite.pragma('foreign_key_check'));
        if (orphans.length > 0) throw damaged(`the step "${name}" to version ${version} found lost records`);
        sqlite.pragma(`application_id = ${libraryApplicationId}`);
        sqlite.pragma(`user_version = ${version}`);
      })
      .immediate();
    sqlite.pragma('foreign_keys = ON');
  }
}
