import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { toPusaError } from '../../core/errors.ts';
import { place, writeNew } from '../../files/durable.ts';
import type { MediaStore } from '../../library/media-store.ts';
import { temporaryIn, type NoteTemporary } from '../../media/temporary.ts';

/**
 * Copies a medium out of the store: under a temporary name, flushed, then renamed over what is there.
 * @throws PusaError FILE_NOT_FOUND, DISK_FULL, WRITE_FAILED, CANCELLED
 */
export async function copyOut(
  media: MediaStore,
  hash: string,
  path: string,
  { signal, onTemporary }: { readonly signal: AbortSignal; readonly onTemporary: NoteTemporary },
): Promise<void> {
  const target = resolve(path);
  const temporary = temporaryIn(dirname(target));
  try {
    await onTemporary(temporary);
    await writeNew(temporary, media.read(hash, { signal }));
    await place(temporary, target);
  } catch (thrown) {
    throw toPusaError(thrown);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** The bytes of a temporary file, which goes when they were read, or when nobody wants them after all. */
export function streamFile(path: string): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]: () => {
      const stream = createReadStream(path, { highWaterMark: 2 ** 18 });
      const pieces = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
      const remove = async (): Promise<void> => {
        if (!stream.closed) {
          await new Promise<void>((closed) => {
            stream.once('close', closed).destroy();
          });
        }
        await rm(path, { force: true });
      };
      return {
        next: async () => {
          try {
            const next = await pieces.next();
            if (next.done === true) await remove();
            return next;
          } catch (thrown) {
            await remove();
            throw toPusaError(thrown);
          }
        },
        // Also where nothing was read yet: a generator would not hear of it.
        return: async () => {
          await remove();
          return { done: true, value: undefined };
        },
      };
    },
  };
}
