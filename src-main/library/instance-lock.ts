import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { PusaError } from '../core/errors.ts';
import { libraryError } from './library-errors.ts';

/**
 * Keeps other instances away from a library's folder, inside this process too.
 * @returns releases it
 * @throws PusaError LIBRARY_BUSY, WRITE_FAILED
 */
export function lockLibrary(folder: string): () => void {
  const release = lockFile(join(folder, 'library.lock'));
  if (release !== null) return release;
  throw new PusaError(
    'LIBRARY_BUSY',
    'This library is already open in another Pusa Studio.',
    'Use the one that is open, or close it and try again.',
  );
}

/**
 * Takes a lock that is the operating system's, held through an empty SQLite file: it ends with the process however
 * that ends, and needs no room on the disk.
 * @returns releases it; null where somebody else has it
 * @throws PusaError WRITE_FAILED
 */
export function lockFile(path: string): (() => void) | null {
  try {
    closeSync(openSync(path, 'a'));
    const lock = new Database(path, { timeout: 0 });
    try {
      lock.pragma('journal_mode = MEMORY');
      lock.exec('BEGIN EXCLUSIVE');
    } catch (thrown) {
      lock.close();
      throw thrown;
    }
    return () => {
      lock.close();
    };
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && String(thrown.code).startsWith('SQLITE_BUSY'))
      return null;
    throw libraryError(thrown);
  }
}
