import { records } from './001-records.ts';
import { codedNotes } from './002-coded-notes.ts';
import type { Migration } from './migration.ts';

export type { Migration } from './migration.ts';

/** All of them, in order. */
export const migrations: readonly Migration[] = [records, codedNotes];
