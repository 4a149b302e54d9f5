import { basename } from 'node:path';
import type { Fit } from '../core/contract/project.ts';
import { notMedia, readPicture } from './picture.ts';
import { probeMedia } from './probe.ts';
import { defaultSequenceFps, listSequence } from './sequence.ts';
import { sniffFile } from './sniff.ts';
import type { MediaProbe, Size } from './types.ts';
import { openVideo } from './video-frames.ts';

/** A media file opened for its pixels. It holds no handle and no process between calls: nothing to close. */
export interface FrameSource {
  readonly probe: MediaProbe;
  /** Seconds on the file's own clock at which the first frame starts, the time 0 of {@link frames}. */
  readonly origin: number;
  /**
   * The frames shown at given times, one for each, in the order asked, as RGB8 of `size` (`width × height × 3` bytes,
   * rows from top to bottom). The frame at a time is the last one that starts at or before it; half a tick of the
   * file's clock (at least 0.5 ms) is forgiven, because containers round. Before the first frame it is the first,
   * after the end the last. Equal frames may share one array: do not write to it.
   *
   * Decoding streams: at most a few frames are in memory, and ascending times cost one pass.
   * @param times seconds after the first frame
   * @throws PusaError MEDIA_UNREADABLE (names the second where a file breaks off), FILE_NOT_FOUND, FFMPEG_MISSING
   */
  frames(times: readonly number[], size: Size, fit: Fit): AsyncGenerator<Uint8Array, void>;
}

/**
 * Opens a picture, a sequence of pictures or a video.
 * @param options.probe what `probeMedia` said, if it was asked already
 * @param options.sequenceFps pictures per second of a sequence
 * @throws PusaError as `probeMedia`; FFMPEG_MISSING for a video where there is no ffmpeg
 */
export async function openSource(
  path: string,
  {
    sequenceFps = defaultSequenceFps,
    probe,
  }: { readonly probe?: MediaProbe; readonly sequenceFps?: number } = {},
): Promise<FrameSource> {
  const known = probe ?? (await probeMedia(path, { sequenceFps }));
  if (known.kind === 'sequence') {
    const files = await listSequence(path);
    return pictureSource(known, files ?? [path]);
  }
  if (known.kind === 'image') return pictureSource(known, [path]);
  const { bytes, content } = await sniffFile(path);
  if (content.is !== 'video') throw notMedia(basename(path), content);
  return openVideo(path, { bytes, content }, known);
}

function pictureSource(probe: MediaProbe, files: readonly string[]): FrameSource {
  // An image has rate 0: every time shows its one picture.
  const tolerance = probe.fps > 0 ? Math.min(5e-4, 0.25 / probe.fps) : 0;
  return {
    probe,
    origin: 0,
    async *frames(times, size, fit) {
      let shown = -1;
      let pixels: Uint8Array = new Uint8Array();
      for (const time of times) {
        const index = Math.min(files.length - 1, Math.max(0, Math.floor((time + tolerance) * probe.fps)));
        if (index !== shown) {
          pixels = await readPicture(files[index]!, size, fit);
          shown = index;
        }
        yield pixels;
      }
    },
  };
}
