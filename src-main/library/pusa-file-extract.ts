import { createHash, randomUUID } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { writeNew } from '../files/durable.ts';
import { partName } from './media-files.ts';

/**
 * Writes a medium under a temporary name beside its place, flushed, and renames it once its hash is right: a file, or
 * a folder of pictures where `parts` tells their lengths.
 * @param chunks all bytes in order, as many as the parts have together
 * @returns false if the hash is another one; then nothing is left
 * @throws errors of the system, and what `chunks` throws
 */
export async function extractTo(
  toPath: string,
  hash: string,
  chunks: Iterable<Uint8Array>,
  parts: readonly number[] | undefined,
): Promise<boolean> {
  const temporary = join(dirname(resolve(toPath)), `.pusa-${randomUUID()}.tmp`);
  const digest = createHash('sha256');
  try {
    if (parts === undefined) {
      await writeNew(temporary, chunks, digest);
    } else {
      await mkdir(temporary);
      const pieces = new Pieces(chunks);
      for (const [index, bytes] of parts.entries()) {
        await writeNew(join(temporary, partName(index + 1, '')), pieces.take(bytes), digest);
      }
    }
    if (digest.digest('hex') !== hash) return false;
    await rename(temporary, toPath);
    return true;
  } finally {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** A stream that is handed out in stretches. */
class Pieces {
  readonly #chunks: Iterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();

  constructor(chunks: Iterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.iterator]();
  }

  /** The next `bytes` bytes, or fewer at the end. */
  *take(bytes: number): Generator<Uint8Array> {
    let left = bytes;
    while (left > 0) {
      if (this.#rest.length === 0) {
        const next = this.#chunks.next();
        if (next.done === true) return;
        this.#rest = next.value;
      }
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }
}
