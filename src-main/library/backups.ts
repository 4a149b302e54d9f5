import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type Database from 'better-sqlite3';
import { PusaError } from '../core/errors.ts';
import { flushFileSync, flushFolderSync } from '../files/durable.ts';
import { lockLibrary } from './instance-lock.ts';
import { libraryError } from './library-errors.ts';

/** The database's file in the library's folder. */
export const databaseName = 'library.sqlite';
const folderName = 'backups';
const namePattern = /^library-v(\d{1,6})-(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)-(\d{3})Z\.sqlite$/;
/** Older backups than this many are removed. */
const kept = 5;

/** A copy of a library's database. */
export interface Backup {
  readonly name: string;
  /** `user_version` of the library when it was copied. */
  readonly version: number;
  readonly createdAt: string;
  readonly bytes: number;
}

export interface BackupOptions {
  /** A backup that stays, however old. */
  readonly keep?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Pages copied before others get their turn. */
const pagesAtOnce = 100;

/** A library's backups, newest first. */
export function listBackups(folder: string): Backup[] {
  const backups = join(folder, folderName);
  if (!existsSync(backups)) return [];
  return readdirSync(backups)
    .flatMap((name): Backup[] => {
      const [, version, day, hours, minutes, seconds, milliseconds] = namePattern.exec(name) ?? [];
      if (version === undefined) return [];
      const createdAt = `${day!}T${hours!}:${minutes!}:${seconds!}.${milliseconds!}Z`;
      return [{ name, version: Number(version), createdAt, bytes: statSync(join(backups, name)).size }];
    })
    .sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
}

/** Removes what interrupted backups left. The caller holds the lock. */
export function removeUnfinishedBackups(folder: string): void {
  const backups = join(folder, folderName);
  if (!existsSync(backups)) return;
  for (const name of readdirSync(backups)) {
    if (name.includes('.sqlite.tmp')) rmSync(join(backups, name), { force: true });
  }
}

/**
 * Copies an open database into `backups/`, whole or not at all, page by page so that others may go on; removes the
 * oldest backups.
 * @returns the backup's name
 * @throws PusaError DISK_FULL, WRITE_FAILED, CANCELLED
 */
export async function backupDatabase(
  sqlite: Database.Database,
  folder: string,
  version: unknown,
  { keep, signal }: BackupOptions = {},
): Promise<string> {
  const backups = join(folder, folderName);
  const name = `library-v${String(version)}-${timestamp()}.sqlite`;
  const path = join(backups, name);
  try {
    mkdirSync(backups, { recursive: true });
    await sqlite.backup(`${path}.tmp`, {
      progress: () => {
        if (signal?.aborted === true) {
          throw new PusaError('CANCELLED', 'The backup was stopped.', 'It is made the next time.');
        }
        return pagesAtOnce;
      },
    });
    flushFileSync(`${path}.tmp`);
    renameSync(`${path}.tmp`, path);
    flushFolderSync(backups);
  } catch (thrown) {
    rmSync(`${path}.tmp`, { force: true });
    throw libraryError(thrown);
  }
  for (const old of listBackups(folder).slice(kept)) {
    if (old.name !== keep) rmSync(join(backups, old.name), { force: true });
  }
  return name;
}

/**
 * Puts a backup in the place of the library's database, which must not be open. The old files are kept in a folder
 * `damaged-…` beside it.
 * @returns that folder
 * @throws PusaError LIBRARY_BUSY, FILE_NOT_FOUND, DISK_FULL, WRITE_FAILED
 */
export function restoreBackup(folder: string, name: string): string {
  const unlock = lockLibrary(folder);
  try {
    if (!listBackups(folder).some((backup) => backup.name === name)) {
      throw new PusaError('FILE_NOT_FOUND', 'There is no such backup.', 'Choose one of those listed.');
    }
    const copy = join(folder, `${databaseName}.restored`);
    copyFileSync(join(folder, folderName, name), copy);
    return replaceDatabase(folder, copy);
  } catch (thrown) {
    throw libraryError(thrown);
  } finally {
    unlock();
  }
}

/** Moves the database's files aside and a new one into their place; the caller holds the lock. */
export function replaceDatabase(folder: string, replacement: string): string {
  flushFileSync(replacement);
  const aside = join(folder, `damaged-${timestamp()}`);
  mkdirSync(aside);
  // The log first: alone, the database would be opened without it.
  for (const ending of ['-wal', '-shm', '']) {
    const file = join(folder, databaseName + ending);
    if (existsSync(file)) renameSync(file, join(aside, databaseName + ending));
  }
  renameSync(replacement, join(folder, databaseName));
  flushFolderSync(folder);
  return aside;
}

function timestamp(): string {
  return new Date().toISOString().replace(/[:.]/g, '-');
}
