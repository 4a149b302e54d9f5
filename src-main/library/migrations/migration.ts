import type { Database } from 'better-sqlite3';

/** One step of the library's schema. Once released, a migration is never changed: the next one follows it. */
export interface Migration {
  /** `user_version` after it; counts from 1 without gaps. */
  readonly version: number;
  readonly name: string;
  /** Runs inside a transaction, with foreign keys checked at its end. */
  readonly up: (sqlite: Database) => void;
}
