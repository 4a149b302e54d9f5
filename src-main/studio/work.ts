import { api } from '../core/contract/api.ts';
import { PusaError } from '../core/errors.ts';
import type { StudioContext } from './context.ts';
import type { HandlersOf } from './handlers.ts';
import type { StudioLibrary } from './library.ts';
import { importSamples } from './samples.ts';
import { JobQueue } from './services/jobs-queue.ts';
import { jobsHandlers } from './services/jobs.ts';
import type { Work } from './services/library.ts';
import { adoptMedia, markMissing, sweepLibrary } from './sweep.ts';

/**
 * What a studio does by itself with the records of its library: tidying up at the start, and the queue of jobs. It
 * ends while the library is repaired or restored, and begins again with the records that are there then.
 */
export class StudioWork implements Work {
  readonly #context: StudioContext;
  readonly #library: StudioLibrary;
  readonly #wantsSamples: boolean;
  #queue: JobQueue | null = null;
  #handlers: HandlersOf<'jobs'> | null = null;
  #chores: Promise<unknown> = Promise.resolve();

  constructor(context: StudioContext, library: StudioLibrary, wantsSamples: boolean) {
    this.#context = context;
    this.#library = library;
    this.#wantsSamples = wantsSamples;
  }

  /** @throws PusaError DISK_FULL, WRITE_FAILED, LIBRARY_DAMAGED */
  async begin({ isReplaced }: { readonly isReplaced: boolean }): Promise<void> {
    const log = (thrown: unknown): void => this.#context.log(thrown);
    // What other records than before do not know may still be a person's; so in a library that lost its database.
    if (isReplaced || namesNoMedia(this.#context)) await adoptMedia(this.#context);
    const mustSweep = isReplaced || this.#library.endedUncleanly;
    if (mustSweep) await sweepLibrary(this.#context);
    if (this.#wantsSamples && this.#library.wantsSamples) {
      // Without them the library is as good.
      await importSamples(this.#context).then(() => this.#library.noteSamples(), log);
    }
    this.#queue = await JobQueue.open(this.#context);
    this.#handlers = jobsHandlers(this.#context, this.#queue);
    // What need not be waited for.
    const marked = mustSweep ? null : markMissing(this.#context).catch(log);
    this.#chores = Promise.all([marked, this.#library.backUpDaily().catch(log)]);
  }

  async end(): Promise<void> {
    const queue = this.#queue;
    this.#queue = null;
    this.#handlers = null;
    await queue?.close();
    await this.#chores;
  }

  /** The queue's methods, whichever queue that is. */
  jobsHandlers(): HandlersOf<'jobs'> {
    type Method = keyof HandlersOf<'jobs'>;
    const names = Object.keys(api.methods).filter((name): name is Method => name.startsWith('jobs.'));
    const later = (name: Method) => (input: unknown, call: unknown) => {
      const handle = this.#current()[name] as (input: unknown, call: unknown) => unknown;
      return handle(input, call);
    };
    return Object.fromEntries(names.map((name) => [name, later(name)])) as HandlersOf<'jobs'>;
  }

  #current(): HandlersOf<'jobs'> {
    if (this.#handlers !== null) return this.#handlers;
    // A library that cannot be used says why itself.
    this.#context.store.lists.jobs(['running']);
    throw new PusaError('LIBRARY_BUSY', 'The library is being opened.', 'Wait a moment and try again.');
  }
}

/** True for a library without any asset or take. */
function namesNoMedia({ store }: StudioContext): boolean {
  return [store.lists.assets({ limit: 1 }), store.lists.takes({ limit: 1 })].every(
    ({ total }) => total === 0,
  );
}
