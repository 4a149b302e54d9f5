import { readFile, rename, rm } from 'node:fs/promises';
import type { z } from 'zod';
import { PusaError, toPusaError } from '../core/errors.ts';
import { writeWhole } from '../files/durable.ts';

/** A small JSON file of the studio's own: read once, then written whole, one change after the other. */
export class StateFile<T> {
  readonly #path: string;
  #value: T;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(path: string, value: T) {
    this.#path = path;
    this.#value = value;
  }

  /**
   * Opens a file, or begins with `initial` where there is none. One that cannot be understood is kept aside as
   * `….damaged`.
   * @param onDamage told of it; without it such a file is an error
   * @throws PusaError LIBRARY_DAMAGED, WRITE_FAILED
   */
  static async open<T>(
    path: string,
    schema: z.ZodType<T>,
    initial: T,
    onDamage?: (reason: PusaError) => void,
  ): Promise<StateFile<T>> {
    try {
      // What an interrupted change left.
      await rm(`${path}.tmp`, { force: true });
      return new StateFile(path, await StateFile.read(path, schema, initial));
    } catch (thrown) {
      const reason = toPusaError(thrown);
      if (onDamage === undefined || reason.code !== 'LIBRARY_DAMAGED') throw reason;
      await rename(path, `${path}.damaged`);
      onDamage(reason);
      return new StateFile(path, initial);
    }
  }

  /**
   * What a file says now, and nothing more: another part of the application may be changing it.
   * @throws PusaError LIBRARY_DAMAGED, WRITE_FAILED
   */
  static async read<T>(path: string, schema: z.ZodType<T>, initial: T): Promise<T> {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (thrown) {
      const error = toPusaError(thrown);
      if (error.code === 'FILE_NOT_FOUND') return initial;
      throw error;
    }
    try {
      return schema.parse(JSON.parse(text));
    } catch (cause) {
      throw new PusaError(
        'LIBRARY_DAMAGED',
        `The file "${path}" is damaged.`,
        'Restore it from a copy of the data folder, or remove it to begin anew.',
        { cause },
      );
    }
  }

  get value(): T {
    return this.#value;
  }

  /** Settles when the new value is on the disk; until then the old one stands. @throws PusaError DISK_FULL, WRITE_FAILED */
  change(make: (value: T) => T): Promise<T> {
    const done = this.#writing.then(async () => {
      const value = make(this.#value);
      await writeWhole(this.#path, [Buffer.from(`${JSON.stringify(value, null, 2)}\n`)]);
      this.#value = value;
      return value;
    });
    this.#writing = done.catch(() => undefined);
    return done;
  }
}
