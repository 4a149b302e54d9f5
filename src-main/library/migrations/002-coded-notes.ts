import type { Migration } from './migration.ts';

/** What a job did otherwise than asked was a sentence; now it is a code with its figures, and the sentence beside. */
export const codedNotes: Migration = {
  version: 2,
  name: 'coded notes',
  up: (sqlite) =>
    sqlite.exec(`
UPDATE jobs SET json = json_set(json, '$.notes', json((
  SELECT json_group_array(json_object('code', NULL, 'text', value, 'values', json('{}')))
  FROM json_each(jobs.json, '$.notes')
))) WHERE json_type(json, '$.notes') = 'array'`),
};
