import { parentPort, workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { z } from 'zod';

/** Most problems told; one is enough to know, and a broken file can have millions. */
const mostProblems = 20;

/** Checks the database at `workerData` without changing it, and posts what is wrong with it as a list of texts. */
function check(path: string): string[] {
  const database = new Database(path, { readonly: true, timeout: 10_000 });
  try {
    const found = z
      .array(z.object({ integrity_check: z.string() }))
      .parse(database.pragma(`integrity_check(${mostProblems})`))
      .map((row) => row.integrity_check)
      .filter((text) => text !== 'ok');
    const orphans = z.array(z.object({ table: z.string() })).parse(database.pragma('foreign_key_check'));
    const orphaned = new Set(orphans.map(({ table }) => `a record of ${table} belongs to a missing project`));
    return [...found, ...orphaned].slice(0, mostProblems);
  } catch (thrown) {
    return [thrown instanceof Error ? thrown.message : String(thrown)];
  } finally {
    database.close();
  }
}

parentPort!.postMessage(check(z.string().parse(workerData)));
