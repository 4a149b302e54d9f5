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
  /** Files without records may be left, of an unclean stop or of records that were replaced. */
  #mustSweep: boolean;
  /** Ends the chores. */
  #stop = new AbortController();

  constructor(context: StudioContext, library: StudioLibrary, wantsSamples: boolean) {
    this.#context = context;
    this.#library = library;
    this.#wantsSamples = wantsSamples;
    this.#mustSweep = library.endedUncleanly;
  }

  /** @throws PusaError DISK_FULL, WRITE_FAILED, LIBRARY_DAMAGED */
  async begin({ isReplaced }: { readonly isReplaced: boolean }): Promise<void> {
    const log = (thrown: unknown): void => this.#context.log(thrown);
    // What other records than before do not know may still be a person's; so in a library that lost its database.
    const isThere = this.#context.media.absence === null;
    if (isThere && (isReplaced || namesNoMedia(this.#context))) await adoptMedia(this.#context);
    if (this.#wantsSamples && this.#library.wantsSamples) {
      // Without them the library is as good.
      await importSamples(this.#context).then(() => this.#library.noteSamples(), log);
    }
    this.#queue = await JobQueue.open(this.#context);
    this.#handlers = jobsHandlers(this.#context, this.#queue);
    this.#stop = new AbortController();
    this.#mustSweep ||= isReplaced;
    this.#chores = this.#tidy(this.#stop.signal);
  }

  /** The media are elsewhere, or back: what is missing is looked for again. */
  lookForMedia(): void {
    const { signal } = this.#stop;
    this.#chores = this.#chores.then(() => this.#tidy(signal));
  }

  /** Settles when everything is done that is done in the background after beginning. */
  async settled(): Promise<void> {
    await this.#chores;
  }

  /** What need not be waited for, and holds nobody up. */
  async #tidy(signal: AbortSignal): Promise<void> {
    const log = (thrown: unknown): void => {
      if (!signal.aborted) this.#context.log(thrown);
    };
    if (this.#context.media.absence === null && !signal.aborted) {
      await (this.#mustSweep ? sweepLibrary : markMissing)(this.#context, signal).then(() => {
        this.#mustSweep = false;
      }, log);
    }
    if (!signal.aborted) await this.#library.backUpDaily(signal).catch(log);
  }

  async end(): Promise<void> {
    const queue = this.#queue;
    this.#queue = null;
    this.#handlers = null;
    this.#stop.abort();
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
