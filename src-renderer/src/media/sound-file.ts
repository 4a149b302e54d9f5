import {
  AudioBufferSink,
  Input,
  MATROSKA,
  MP4,
  MPEG_TS,
  QTFF,
  UrlSource,
  WEBM,
  type InputAudioTrack,
} from 'mediabunny';
import { cannotHear } from './codecs.ts';
import type { Medium } from './protocol.ts';

/** Bytes of a file kept in memory, of those that were read for its sound. */
const fileCache = 4 * 2 ** 20;
const retries = 2;

/** Some decoded sound and where it lies in its medium, in seconds after the first shown frame. */
export interface HeardBuffer {
  readonly buffer: AudioBuffer;
  readonly at: number;
}

/** The sound of a video, decoded by the browser. Times count from the first shown frame, as those of its pictures. */
export class SoundFile {
  readonly #input: Input;
  readonly #sink: AudioBufferSink;
  readonly #origin: number;

  private constructor(input: Input, track: InputAudioTrack, origin: number) {
    this.#input = input;
    this.#sink = new AudioBufferSink(track);
    this.#origin = origin;
  }

  /**
   * @returns null for a file without sound
   * @throws PusaError MEDIA_UNSUPPORTED where the browser has no decoder for it, MEDIA_UNREADABLE
   */
  static async open(medium: Medium): Promise<SoundFile | null> {
    const input = new Input({
      formats: [MP4, QTFF, MATROSKA, WEBM, MPEG_TS],
      source: new UrlSource(medium.url, {
        maxCacheSize: fileCache,
        getRetryDelay: (failures) => (failures > retries ? null : 0.2 * 2 ** failures),
        handleUnhandledError: () => undefined,
      }),
    });
    try {
      const [pictures, track] = [await input.getPrimaryVideoTrack(), await input.getPrimaryAudioTrack()];
      if (track === null) {
        input.dispose();
        return null;
      }
      if (!(await track.canDecode())) throw cannotHear(medium.name, await track.getCodec());
      const origin = pictures === null ? 0 : Math.max(0, await pictures.getFirstTimestamp());
      return new SoundFile(input, track, origin);
    } catch (thrown) {
      input.dispose();
      throw thrown;
    }
  }

  /** What is heard from one second to another, in order; the first piece may begin before, the last end after. */
  async *buffers(from: number, to: number): AsyncGenerator<HeardBuffer, void> {
    for await (const { buffer, timestamp } of this.#sink.buffers(this.#origin + from, this.#origin + to)) {
      yield { buffer, at: timestamp - this.#origin };
    }
  }

  close(): void {
    this.#input.dispose();
  }
}
