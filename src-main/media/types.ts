/** How the colours of a video are coded. What a file leaves open is settled by {@link settleColour}. */
export interface Colour {
  readonly matrix: 'bt601' | 'bt709' | 'bt2020' | 'rgb' | 'unknown';
  readonly range: 'limited' | 'full' | 'unknown';
  /** `pq` and `hlg` are high dynamic range. */
  readonly transfer: 'sdr' | 'pq' | 'hlg';
}

/** What a media file is, found from its content. Sizes in pixels as shown: rotated, square pixels. */
export interface MediaProbe {
  readonly kind: 'image' | 'video' | 'sequence';
  readonly width: number;
  readonly height: number;
  /** Frames per second: measured for a video (the mean, where the rate varies), given for a sequence, 0 for an image. */
  readonly fps: number;
  /** Seconds from the first frame's start to the last frame's end; 0 for an image. */
  readonly duration: number;
  /** Number of pictures of a sequence; of frames of a video where the container tells it without a full scan. */
  readonly frames?: number;
  /** Clockwise turn the file asks for, in degrees; already contained in width and height. */
  readonly rotation: 0 | 90 | 180 | 270;
  /** Mirrored left to right after the turn. */
  readonly flip: boolean;
  /** Short name as ffmpeg and browsers use it: h264, hevc, vp9, av1, png, jpeg … */
  readonly codec: string;
  readonly hasAudio: boolean;
  readonly colour: Colour;
  /** Bytes of the file, or of all pictures of a sequence. */
  readonly bytes: number;
  /** Start of the last frame in seconds after the first, where it is known: decoding that ends earlier is broken. */
  readonly lastFrame?: number;
}

/** A size in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Colour of decoded still pictures: ICC profiles are applied on reading, so that they are sRGB. */
export const stillColour: Colour = { matrix: 'rgb', range: 'full', transfer: 'sdr' };

/**
 * Fills in what a file does not say: BT.709 for 720 lines and more, else BT.601 (the rule of broadcast and of most
 * players), limited range.
 * @param lines height of the coded picture, before any turn
 */
export function settleColour(colour: Colour, lines: number): Colour {
  return {
    matrix: colour.matrix === 'unknown' ? (lines >= 720 ? 'bt709' : 'bt601') : colour.matrix,
    range: colour.range === 'unknown' ? 'limited' : colour.range,
    transfer: colour.transfer,
  };
}

/** Limits on what is read. Past them a file is refused before memory is taken for it. */
export const limits = {
  /** Bytes of one picture file. */
  pictureBytes: 512 * 2 ** 20,
  /** Pixels of a picture: 2²⁸ is 800 MB of RGB8. */
  picturePixels: 2 ** 28,
  /** Pixels of one video frame: 8K and some more. */
  framePixels: 2 ** 26,
  /** Pixels of a side, as the contract's asset has it. */
  side: 32_768,
  /** Pictures of a sequence. */
  sequence: 100_000,
  /** Seconds of a video, as the contract's asset has it. */
  seconds: 86_400,
  /** Bytes of the take stored in a file. */
  take: 32 * 2 ** 20,
} as const;
