import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { Asset } from '../core/contract/project.ts';
import { PusaError } from '../core/errors.ts';
import { probeMedia } from './probe.ts';
import { defaultSequenceFps, listSequence } from './sequence.ts';
import { cannotOpen } from './sniff.ts';

/** What reading a file through is watched and ended by. */
export interface ReadWatch {
  /** Bytes of each piece read. */
  readonly onPiece?: ((bytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * SHA-256 of a file's bytes, in hex; of a sequence (a folder or a pattern), of its pictures' bytes one after the
 * other.
 * @throws PusaError FILE_NOT_FOUND, MEDIA_UNREADABLE, CANCELLED
 */
export async function hashFile(path: string, watch: ReadWatch = {}): Promise<string> {
  const hash = createHash('sha256');
  for (const file of (await listSequence(path)) ?? [path]) await addTo(hash, file, watch);
  return hash.digest('hex');
}

/**
 * The asset a media file makes.
 * @param sequenceFps pictures per second of a sequence
 * @throws PusaError as `probeMedia`
 */
export async function toAsset(
  path: string,
  id: string,
  { sequenceFps = defaultSequenceFps }: { readonly sequenceFps?: number } = {},
): Promise<Asset> {
  const { kind, width, height, fps, duration, bytes } = await probeMedia(path, { sequenceFps });
  const name = basename(resolve(path)).slice(0, 255);
  return { id, kind, name, hash: await hashFile(path), bytes, width, height, fps, duration };
}

async function addTo(hash: Hash, path: string, { onPiece, signal }: ReadWatch): Promise<void> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 18, signal })) {
      hash.update(chunk as Buffer);
      onPiece?.((chunk as Buffer).byteLength);
    }
  } catch (cause) {
    if (signal?.aborted === true) {
      throw new PusaError(
        'CANCELLED',
        'Reading the file was cancelled.',
        'Start it again when you want it.',
        {
          cause,
        },
      );
    }
    throw cannotOpen(path, cause);
  }
}
