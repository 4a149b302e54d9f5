import { randomUUID } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { writeWhole } from '../files/durable.ts';
import { finishPlacing } from '../media/place-pictures.ts';
import { isTemporary, wholeOf, type NoteTemporary } from '../media/temporary.ts';

/** A note is one path. */
const longestNote = 16_384;

/**
 * What is being written beside places that a person chose. Each temporary file is noted before it is made, so that the
 * next start finds and removes what a killed studio leaves; pictures that were all there already get their place.
 */
export class UnfinishedFiles {
  /** Settles when everything that an earlier studio left has been looked at. */
  readonly swept: Promise<void>;
  readonly #folder: string;
  readonly #log: (thrown: unknown) => void;

  private constructor(folder: string, log: (thrown: unknown) => void) {
    this.#folder = folder;
    this.#log = log;
    this.swept = this.#sweep().catch(log);
  }

  /**
   * Opens the notes in a folder and begins to remove what they name; a disk that answers slowly holds nobody up.
   * @param log told what went wrong: nothing of it keeps a person from writing files
   */
  static async open(folder: string, log: (thrown: unknown) => void): Promise<UnfinishedFiles> {
    await mkdir(folder, { recursive: true });
    return new UnfinishedFiles(folder, log);
  }

  /** Runs work that makes a temporary file and removes or renames it again; it says so through `note` beforehand. */
  async noting<T>(work: (note: NoteTemporary) => Promise<T>): Promise<T> {
    const noted: { readonly path: string; readonly note: string }[] = [];
    try {
      return await work(async (path) => {
        const note = join(this.#folder, `${randomUUID()}.txt`);
        // A full disk of the library's is no reason not to write to another one.
        await writeWhole(note, [Buffer.from(path)]).then(() => noted.push({ path, note }), this.#log);
      });
    } finally {
      for (const { path, note } of noted) {
        if ((await isGone(path)) && (await isGone(wholeOf(path))))
          await rm(note, { force: true }).catch(this.#log);
      }
    }
  }

  async #sweep(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      // One that cannot be dealt with keeps none of the others.
      await this.#sweepOne(name).catch(this.#log);
    }
  }

  async #sweepOne(name: string): Promise<void> {
    const note = join(this.#folder, name);
    const path = (await readFile(note)).subarray(0, longestNote).toString();
    // Anything else was not written here.
    if (name.endsWith('.txt') && isAbsolute(path) && isTemporary(basename(path))) {
      // The disk may come back.
      if (await isGone(dirname(path))) return;
      await finishPlacing(path);
      // An encoder that outlived its studio by a moment may still add to it.
      await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    }
    await rm(note, { force: true });
  }
}

function isGone(path: string): Promise<boolean> {
  return lstat(path).then(
    () => false,
    (thrown: unknown) => thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT',
  );
}
