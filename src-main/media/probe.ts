import { basename } from 'node:path';
import { notMedia, probePicture } from './picture.ts';
import { defaultSequenceFps, listSequence, probeSequence } from './sequence.ts';
import { sniffFile } from './sniff.ts';
import type { MediaProbe } from './types.ts';
import { probeVideo } from './video.ts';

/**
 * What a media file is. The content decides, never the name's extension.
 * @param path a picture, a video, a folder of pictures, or a pattern of a picture sequence (see `sequence.ts`)
 * @param options.sequenceFps pictures per second of a sequence, 16 when not given
 * @throws PusaError FILE_NOT_FOUND, FILE_EMPTY, FILE_TOO_LARGE, MEDIA_UNSUPPORTED (says what it is and what to do),
 *   MEDIA_UNREADABLE (damaged, cut short), FFMPEG_MISSING (avi, wmv, flv, mpeg and ogg only)
 */
export async function probeMedia(
  path: string,
  { sequenceFps = defaultSequenceFps }: { readonly sequenceFps?: number } = {},
): Promise<MediaProbe> {
  const sequence = await listSequence(path);
  if (sequence !== null) return probeSequence(sequence, sequenceFps);
  const { bytes, content } = await sniffFile(path);
  if (content.is === 'picture') return probePicture(path, { bytes, content });
  if (content.is === 'video') return probeVideo(path, { bytes, content });
  throw notMedia(basename(path), content);
}
