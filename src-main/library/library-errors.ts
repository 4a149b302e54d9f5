import { PusaError, toPusaError } from '../core/errors.ts';

/** Turns what SQLite throws into an error that may be shown. */
export function libraryError(thrown: unknown): PusaError {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  if (thrown instanceof PusaError || !code.startsWith('SQLITE_')) return toPusaError(thrown);
  if (code === 'SQLITE_FULL') {
    return new PusaError(
      'DISK_FULL',
      'There is no room on the disk to save this change.',
      'Free some space and do it again; everything saved before is kept.',
      { cause: thrown },
    );
  }
  if (isDamage(thrown)) return damaged('the database cannot be read', thrown);
  if (/^SQLITE_(IOERR|READONLY|CANTOPEN|BUSY|PERM)/.test(code)) {
    return new PusaError(
      'WRITE_FAILED',
      `The library's database cannot be read or written (${code}).`,
      'Check that its disk is connected and that you may write to its folder, then try again.',
      { cause: thrown },
    );
  }
  return toPusaError(thrown);
}

/** True for SQLite's own complaint that a file is broken or is no database. */
export function isDamage(thrown: unknown): boolean {
  return (
    thrown instanceof Error && 'code' in thrown && /^SQLITE_(CORRUPT|NOTADB|FORMAT)/.test(String(thrown.code))
  );
}

/** @param reason a clause without a full stop */
export function damaged(reason: string, cause?: unknown): PusaError {
  return new PusaError(
    'LIBRARY_DAMAGED',
    `The library is damaged: ${reason}.`,
    'Restore a backup, or repair the library; the damaged files are kept aside either way.',
    cause === undefined ? undefined : { cause },
  );
}
