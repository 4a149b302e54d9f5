import { join } from 'node:path';
import { z } from 'zod';
import type { LibraryStatus } from '../core/contract/api/settings.ts';
import { PusaError, toPusaError } from '../core/errors.ts';
import { listBackups, restoreBackup } from '../library/backups.ts';
import { openDatabase, type LibraryDatabase } from '../library/database.ts';
import type { IntegrityReport } from '../library/integrity.ts';
import { openMediaStore, type MediaStore } from '../library/media-store.ts';
import { repairLibrary } from '../library/repair.ts';
import { Store } from '../library/store.ts';
import { StateFile } from './state-file.ts';

/** What the studio remembers of its library outside the database: that one may be lost or restored. */
const placeSchema = z.strictObject({
  version: z.literal(1),
  media: z.strictObject({ folder: z.string().min(1).max(4096), id: z.string().min(1).max(100) }),
  /** Whether the sample projects were put into it; what becomes of them then is a person's business. */
  samples: z.boolean(),
});
type Place = z.infer<typeof placeSchema>;

/** A backup is made when the library is opened and the last one is older than this. */
const backupEveryMs = 24 * 60 * 60 * 1000;

type Health = Pick<LibraryStatus, 'state' | 'flaws'>;

/**
 * The library of a studio: its database and its media. The store stays the same object when the library is repaired
 * or restored: only its records change. A damaged library is open, too, but refuses everything until then.
 */
export class StudioLibrary {
  readonly store: Store;
  readonly media: MediaStore;
  /** The studio ended without closing it the last time. */
  readonly endedUncleanly: boolean;
  readonly #folder: string;
  readonly #place: StateFile<Place>;
  #health: Health = { state: 'checking', flaws: [] };
  #database: LibraryDatabase | null = null;
  /** Told when the health has changed. */
  onHealth: () => void = () => undefined;

  private constructor(
    folder: string,
    place: StateFile<Place>,
    media: MediaStore,
    database: LibraryDatabase | PusaError,
    onProblem: (thrown: unknown) => void,
  ) {
    this.#folder = folder;
    this.#place = place;
    this.media = media;
    this.store = new Store(database, onProblem);
    this.endedUncleanly = database instanceof PusaError || database.stoppedUncleanly;
    if (database instanceof PusaError) this.#health = { state: 'damaged', flaws: [flaw(database.message)] };
    else this.#watch(database);
  }

  /**
   * Opens the library of a data folder, or makes one. After an unclean stop its integrity is checked first; else in
   * the background. Interrupted moves of the media are finished or taken back. Media that are not there are no error:
   * see {@link MediaStore.absence}.
   * @param onProblem told what went wrong without keeping it from being opened
   * @throws PusaError LIBRARY_BUSY, LIBRARY_TOO_NEW, MEDIA_FOLDER_INVALID, DISK_FULL, WRITE_FAILED
   */
  static async open(folder: string, onProblem: (thrown: unknown) => void): Promise<StudioLibrary> {
    // First, for it holds the lock that keeps other studios away.
    const database = await openDatabase(folder).catch((thrown: unknown) => {
      const error = toPusaError(thrown);
      if (error.code === 'LIBRARY_DAMAGED') return error;
      throw error;
    });
    try {
      const path = join(folder, 'library.json');
      const initial: Place = {
        version: 1,
        media: { folder: join(folder, 'media'), id: 'none yet' },
        samples: false,
      };
      const place = await StateFile.open(path, placeSchema, initial);
      const isFirst = place.value === initial;
      const media = await openMediaStore(place.value.media.folder, {
        ...(isFirst ? {} : { id: place.value.media.id, mayBeAbsent: true }),
        remember: async (moved) => {
          await place.change((value) => ({ ...value, media: { ...value.media, folder: moved } }));
        },
      });
      if (isFirst) {
        const found = { folder: media.folder, id: media.id };
        const isUsed =
          database instanceof PusaError || new Store(database).lists.projects({ limit: 1 }).total > 0;
        await place.change((value) => ({ ...value, media: found, samples: isUsed }));
      }
      // Its other disk may be gone: then the move stays interrupted until that is back.
      await media.abandonMove().catch(onProblem);
      return new StudioLibrary(folder, place, media, database, onProblem);
    } catch (thrown) {
      if (!(database instanceof PusaError)) await database.close();
      throw thrown;
    }
  }

  get isDamaged(): boolean {
    return this.#database === null;
  }

  /** Whether it is new: the sample projects have not been put into it. */
  get wantsSamples(): boolean {
    return !this.#place.value.samples;
  }

  async noteSamples(): Promise<void> {
    await this.#place.change((value) => ({ ...value, samples: true }));
  }

  get health(): Health {
    return this.#health;
  }

  /** Checks the database in a thread of its own. */
  async check(): Promise<void> {
    if (this.#database === null) return;
    this.#note({ state: 'checking', flaws: [] });
    await this.#judge(this.#database.check());
  }

  /** Backups, the newest first. */
  backups(): ReturnType<typeof listBackups> {
    return listBackups(this.#folder);
  }

  /** Makes a backup where the last one is not from today. */
  async backUpDaily(signal: AbortSignal): Promise<void> {
    const [last] = this.backups();
    if (last === undefined || Date.now() - Date.parse(last.createdAt) > backupEveryMs)
      await this.store.backup(signal);
  }

  /** Rebuilds the database from what can be read of it. @throws PusaError LIBRARY_DAMAGED, DISK_FULL, WRITE_FAILED */
  repair(): Promise<void> {
    return this.#replace(() => {
      repairLibrary(this.#folder);
    });
  }

  /**
   * Puts a backup in the place of the database, which is backed up first.
   * @throws PusaError FILE_NOT_FOUND, DISK_FULL, WRITE_FAILED
   */
  async restore(name: string): Promise<void> {
    if (!this.backups().some((backup) => backup.name === name)) {
      throw new PusaError('FILE_NOT_FOUND', 'There is no such backup.', 'Choose one of those listed.');
    }
    await this.#replace(
      () => {
        restoreBackup(this.#folder, name);
      },
      async () => {
        // A damaged library cannot be copied; its files are kept aside as they are.
        await this.#database?.backup({ keep: name }).catch((thrown: unknown) => {
          if (toPusaError(thrown).code !== 'LIBRARY_DAMAGED') throw thrown;
        });
      },
    );
  }

  /** Some of its records cannot be read, though it could be opened: it refuses everything from now on. */
  async giveUp(reason: PusaError): Promise<void> {
    await this.store.reopen(() => Promise.reject(reason)).catch(() => undefined);
    this.#database = null;
    this.#note({ state: 'damaged', flaws: [flaw(reason.message)] });
  }

  close(): Promise<void> {
    return this.store.close();
  }

  async #replace(work: () => void, before: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const failures: PusaError[] = [];
    const open = async (): Promise<LibraryDatabase> => {
      try {
        work();
      } catch (thrown) {
        failures.push(toPusaError(thrown));
      }
      try {
        // Also after a failure: the library is then as it was.
        const database = await openDatabase(this.#folder);
        this.#watch(database);
        return database;
      } catch (thrown) {
        const error = toPusaError(thrown);
        this.#database = null;
        this.#note({ state: 'damaged', flaws: [flaw(error.message)] });
        throw failures[0] ?? error;
      }
    };
    await this.store.reopen(open, before);
    if (failures[0] !== undefined) throw failures[0];
  }

  #watch(database: LibraryDatabase): void {
    this.#database = database;
    this.#note({ state: 'checking', flaws: [] });
    void this.#judge(database.integrity);
  }

  async #judge(check: Promise<IntegrityReport>): Promise<void> {
    const database = this.#database;
    const flaws = await check;
    // Stopped, or about a database that is not in use any more.
    if (flaws === null || database !== this.#database) return;
    this.#note({ state: flaws.length === 0 ? 'sound' : 'damaged', flaws: flaws.map(flaw) });
  }

  #note(health: Health): void {
    this.#health = health;
    this.onHealth();
  }
}

/** As long as the contract lets it be. */
function flaw(text: string): string {
  return text.slice(0, 1000);
}
