import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { PusaError } from '../../core/errors.ts';
import type { BakedSlab, Slab } from './bake-slab.ts';
import type { SlabAnswer } from './bake-worker.ts';

/** More threads than this wait for the disk, and each holds its own copy of a LoRA's matrices. */
const mostThreads = 8;
const name = 'bake-worker';

/** Threads that read, change and round slabs. */
export interface SlabThreads {
  /** How many slabs are worth handing in at once. */
  readonly inFlight: number;
  /** @throws PusaError what the thread met */
  bake(slab: Slab): Promise<BakedSlab>;
  /** Ends the threads at once. */
  close(): Promise<void>;
}

interface Thread {
  readonly worker: Worker;
  /** Of the slabs handed in and not yet answered, oldest first. */
  readonly waiting: {
    readonly resolve: (baked: BakedSlab) => void;
    readonly reject: (error: Error) => void;
  }[];
}

/** @param count default one for each core, at most eight */
export function startSlabThreads(count = Math.min(mostThreads, availableParallelism())): SlabThreads {
  const threads = Array.from({ length: Math.max(1, count) }, startThread);
  return {
    inFlight: 2 * threads.length,
    bake(slab) {
      const thread = threads.reduce((a, b) => (b.waiting.length < a.waiting.length ? b : a));
      return new Promise((resolve, reject) => {
        thread.waiting.push({ resolve, reject });
        thread.worker.postMessage(slab);
      });
    },
    async close() {
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
    },
  };
}

function startThread(): Thread {
  const worker = new Worker(workerEntry());
  const waiting: Thread['waiting'] = [];
  worker.on('message', (answer: SlabAnswer) => {
    const asked = waiting.shift();
    if ('baked' in answer) asked?.resolve(answer.baked);
    else asked?.reject(new PusaError(answer.failed.code, answer.failed.message, answer.failed.remedy));
  });
  const end = (cause: unknown): void => {
    for (const { reject } of waiting.splice(0)) {
      reject(
        new PusaError(
          'OUT_OF_MEMORY',
          'A thread that bakes the model ended early, most likely for want of memory.',
          'Close other programs and start baking again: it goes on where it stopped.',
          { cause },
        ),
      );
    }
  };
  worker.on('error', end);
  worker.on('exit', (code) => end(new Error(`The thread ended with code ${code}.`)));
  return { worker, waiting };
}

/** The source beside this file, or the build's entry of that name, here or in the folder above. */
function workerEntry(): string {
  const here = import.meta.dirname;
  if (import.meta.filename.endsWith('.ts')) return join(here, `${name}.ts`);
  const built = [join(here, `${name}.js`), join(dirname(here), `${name}.js`)];
  return built.find((path) => existsSync(path)) ?? built[0]!;
}
