import type { LibraryStatus } from '../../core/contract/api/settings.ts';
import { tableNames } from '../../core/contract/records.ts';
import { PusaError } from '../../core/errors.ts';
import type { StudioContext } from '../context.ts';
import type { HandlersOf } from '../handlers.ts';
import { InTurn } from '../in-turn.ts';
import type { StudioLibrary } from '../library.ts';

/** What of a studio rests on the records of its library. */
export interface Work {
  /** Nothing of it reads or writes the library afterwards, until it begins again. */
  end(): Promise<void>;
  /** Brings files and records together and goes on. `isReplaced`: the records are others than before. */
  begin(how: { readonly isReplaced: boolean }): Promise<void>;
  /** Marks assets anew, in the background, after the media were found. */
  lookForMedia(): void;
}

/** The library as a whole: whether it is sound, its backups, and mending it. */
export function libraryHandlers(
  context: Pick<StudioContext, 'store' | 'media' | 'emit' | 'watched' | 'log'>,
  library: StudioLibrary,
  work: Work,
): HandlersOf<'library'> {
  // Counting a large media folder takes a while: it is done again only when something has changed.
  let bytes: Promise<number> | null = null;
  context.store.onChange(({ diffs }) => {
    if (diffs.some(({ table }) => table === 'assets' || table === 'takes')) bytes = null;
  });
  const { media } = context;
  const count = async (): Promise<number> => {
    bytes ??= media.bytes();
    bytes.catch(() => (bytes = null));
    return bytes;
  };
  const status = async (): Promise<LibraryStatus> => ({
    state: library.health.state,
    flaws: [...library.health.flaws],
    endedUncleanly: library.endedUncleanly,
    mediaFolder: media.folder,
    mediaMissing: media.absence !== null,
    mediaBytes: media.absence === null ? await count() : 0,
  });
  const tell = (): void => {
    if (!context.watched('library.changed')) return;
    void status().then((now) => context.emit('library.changed', now), context.log);
  };
  library.onHealth = tell;
  media.onFolder = () => {
    bytes = null;
    if (media.absence === null && !library.isDamaged) work.lookForMedia();
    tell();
  };
  const turns = new InTurn();
  const replaceNow = async (change: () => Promise<void>): Promise<void> => {
    if (!library.isDamaged && context.store.lists.jobs(['running']).length > 0) {
      throw new PusaError('JOB_BUSY', 'A job is running.', 'Pause or cancel the job, then do it again.');
    }
    await work.end();
    try {
      await change();
    } finally {
      if (!library.isDamaged) await work.begin({ isReplaced: true });
    }
    bytes = null;
    for (const table of tableNames) context.emit('records.changed', { table, ids: null });
  };
  // Two at once would each begin the work anew.
  const replace = (change: () => Promise<void>): Promise<void> =>
    turns.run('library', () => replaceNow(change));
  return {
    'library.status': async () => {
      await media.look();
      return status();
    },
    'library.findMedia': async ({ path, isNew }) => {
      await media.look();
      await media.find(path, isNew);
      return status();
    },
    'library.check': async () => {
      await library.check();
      return status();
    },
    'library.repair': async () => {
      await replace(() => library.repair());
      return status();
    },
    'library.backups': () => ({
      backups: library.backups().map(({ name, createdAt, bytes }) => ({ name, createdAt, bytes })),
    }),
    'library.restore': async ({ name }) => {
      await replace(() => library.restore(name));
      return {};
    },
  };
}
