import { randomUUID } from 'node:crypto';
import { PusaError } from '../core/errors.ts';
import {
  readMarker,
  readyMarker,
  requireEmpty,
  writeMarker,
  type Marker,
  type ReadyMarker,
} from './media-marker.ts';
import { finishMove } from './media-move.ts';
import type { OpenOptions } from './media-types.ts';

/** Follows and finishes moves, until the folder in use is found. */
export async function settle(
  folder: string,
  marker: Marker | null,
  options: OpenOptions & { readonly hops: number },
): Promise<{ at: string; marker: ReadyMarker }> {
  const { id, remember, hops } = options;
  if (marker === null) {
    if (id !== undefined) throw missingFolder(folder);
    await requireEmpty(folder);
    const made = readyMarker(randomUUID());
    await writeMarker(folder, made);
    return { at: folder, marker: made };
  }
  if (id !== undefined && marker.id !== id) {
    throw new PusaError(
      'MEDIA_FOLDER_INVALID',
      `“${folder}” holds the media of another library.`,
      'Connect the disk with this library’s media folder, or choose that folder.',
    );
  }
  if (marker.state === 'moved') {
    const next = hops > 0 ? await readMarker(marker.to) : null;
    if (next?.id !== marker.id) throw missingFolder(marker.to);
    const settled = await settle(marker.to, next, { ...options, hops: hops - 1 });
    await remember?.(settled.at);
    return settled;
  }
  if (marker.state === 'ready' && marker.from === undefined) return { at: folder, marker };
  if (marker.state === 'receiving') {
    const old = await readMarker(marker.from);
    if (old?.state !== 'moved' || old.id !== marker.id || old.to !== folder) {
      throw new PusaError(
        'MEDIA_FOLDER_INVALID',
        `“${folder}” holds an unfinished copy; the media are still at “${marker.from}”.`,
        'Open that folder and move the media again.',
      );
    }
  }
  if (marker.from !== undefined) await finishMove(marker.from, marker.id, folder, remember);
  return { at: folder, marker: readyMarker(marker.id) };
}

/** Why there is no store. */
export function missingFolder(folder: string): PusaError {
  return new PusaError(
    'MEDIA_FOLDER_MISSING',
    `The library’s media are not at “${folder}”.`,
    'Connect the disk they are on, or choose the folder they were moved to.',
  );
}
