import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { z } from 'zod';

/** What a check found: an empty list means that the database is sound; null that the check was stopped. */
export type IntegrityReport = readonly string[] | null;

export interface IntegrityCheck {
  readonly report: Promise<IntegrityReport>;
  stop(): Promise<void>;
}

const name = 'integrity-worker';

/** Checks a database's integrity and foreign keys in a thread of its own, read-only, while others use it. */
export function checkIntegrity(path: string): IntegrityCheck {
  const worker = new Worker(workerEntry(), { workerData: path });
  const report = new Promise<IntegrityReport>((resolve) => {
    worker.once('message', (value: unknown) => resolve(z.array(z.string()).parse(value)));
    worker.once('error', (error) =>
      resolve([error instanceof Error ? error.message : 'the check ended early']),
    );
    worker.once('exit', () => resolve(null));
  });
  return {
    report,
    stop: async () => {
      await worker.terminate();
    },
  };
}

/** The source beside this file, or the build's entry of that name, here or in the folder above. */
function workerEntry(): string {
  const here = import.meta.dirname;
  if (import.meta.filename.endsWith('.ts')) return join(here, `${name}.ts`);
  const built = [join(here, `${name}.js`), join(dirname(here), `${name}.js`)];
  return built.find((path) => existsSync(path)) ?? built[0]!;
}
