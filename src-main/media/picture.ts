import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import type { Fit } from '../core/contract/project.ts';
import { PusaError } from '../core/errors.ts';
import { cannotOpen, sniffFile, type Content, type SniffedFile } from './sniff.ts';
import { limits, stillColour, type MediaProbe, type Size } from './types.ts';

/**
 * Still pictures: PNG, JPEG, WebP, AVIF, GIF and TIFF (the first picture of an animated or many-paged file).
 *
 * What a file says about itself is honoured on reading: EXIF orientation is applied, an ICC profile is converted to
 * sRGB, 16 bits become 8, transparency is laid over black (a model has no notion of it, and black is what the
 * `contain` bars are too).
 */

const black = { r: 0, g: 0, b: 0 };
const sharpFit = { crop: 'cover', contain: 'contain', stretch: 'fill' } as const satisfies Record<
  Fit,
  string
>;

/**
 * Reads a picture's properties and decodes it once, so that a broken file is refused now and not when it is used.
 * @throws PusaError MEDIA_UNREADABLE, FILE_TOO_LARGE, FILE_NOT_FOUND
 */
export async function probePicture(path: string, file: SniffedFile): Promise<MediaProbe> {
  const bytes = await readPictureFile(path, file);
  const name = basename(path);
  const header = await sharp(bytes, { limitInputPixels: false, pages: 1 })
    .metadata()
    .catch((cause: unknown) => {
      throw unreadable(name, cause);
    });
  // Of an animated file libvips may report all pages as one tall picture.
  const height = header.pageHeight ?? header.height;
  if (
    header.width * height > limits.picturePixels ||
    header.width > limits.side ||
    header.height > limits.side
  ) {
    throw new PusaError(
      'FILE_TOO_LARGE',
      `“${name}” is ${header.width} × ${height} pixels, more than can be read.`,
      `Scale it to at most ${limits.side} pixels a side and ${Math.floor(limits.picturePixels / 1e6)} million in all.`,
    );
  }
  await decoder(bytes)
    .resize(8, 8, { fit: 'fill' })
    .raw()
    .toBuffer()
    .catch((cause: unknown) => {
      throw unreadable(name, cause);
    });
  const { rotation, flip } = orientations[header.orientation ?? 1] ?? orientations[1]!;
  const turned = rotation % 180 !== 0;
  return {
    kind: 'image',
    width: turned ? height : header.width,
    height: turned ? header.width : height,
    fps: 0,
    duration: 0,
    rotation,
    flip,
    codec: file.content.is === 'picture' ? file.content.format : header.format,
    hasAudio: false,
    colour: stillColour,
    bytes: file.bytes,
  };
}

/**
 * A picture as RGB8 of a size, rows from top to bottom, `width × height × 3` bytes. Lanczos with three lobes, on the
 * coded (not linear) values as for video.
 * @throws PusaError as {@link probePicture}, MEDIA_UNSUPPORTED if the file is no picture (any more)
 */
export async function readPicture(path: string, size: Size, fit: Fit): Promise<Uint8Array> {
  const file = await sniffFile(path);
  if (file.content.is !== 'picture') throw notMedia(basename(path), file.content);
  const bytes = await readPictureFile(path, file);
  return fitted(decoder(bytes), size, fit).catch((cause: unknown) => {
    throw unreadable(basename(path), cause);
  });
}

/** A decoded RGB8 frame brought to a size, with the same filter as a picture. Of the same size, it is returned as is. */
export async function fitFrame(rgb: Uint8Array, from: Size, size: Size, fit: Fit): Promise<Uint8Array> {
  if (from.width === size.width && from.height === size.height) return rgb;
  return fitted(sharp(rgb, { raw: { ...from, channels: 3 }, limitInputPixels: false }), size, fit);
}

/** The error for a file that is something else than a picture. */
export function notMedia(name: string, content: Content): PusaError {
  return content.is === 'other'
    ? new PusaError('MEDIA_UNSUPPORTED', `“${name}” cannot be used: it is ${content.what}.`, content.remedy)
    : new PusaError(
        'MEDIA_UNSUPPORTED',
        `“${name}” is ${content.is === 'video' ? 'a video' : 'a picture'}, which does not belong here.`,
        'Use pictures only in a sequence of pictures.',
      );
}

function decoder(bytes: Buffer): Sharp {
  return sharp(bytes, { limitInputPixels: limits.picturePixels, failOn: 'error', pages: 1 })
    .timeout({ seconds: 120 })
    .autoOrient()
    .flatten({ background: black })
    .toColourspace('srgb');
}

async function fitted(picture: Sharp, { width, height }: Size, fit: Fit): Promise<Uint8Array> {
  const { data, info } = await picture
    // JPEG's own cheap scaling would differ from what a video frame goes through.
    .resize({
      width,
      height,
      fit: sharpFit[fit],
      kernel: 'lanczos3',
      background: black,
      fastShrinkOnLoad: false,
    })
    .removeAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  if (data.length !== width * height * 3) {
    throw new Error(`decoded to ${info.width} × ${info.height} × ${info.channels}`);
  }
  return data;
}

async function readPictureFile(path: string, file: SniffedFile): Promise<Buffer> {
  if (file.bytes > limits.pictureBytes) {
    throw new PusaError(
      'FILE_TOO_LARGE',
      `“${basename(path)}” has ${Math.round(file.bytes / 2 ** 20)} MB, too much for a picture.`,
      `Save it with fewer pixels or with compression, below ${limits.pictureBytes / 2 ** 20} MB.`,
    );
  }
  // Given bytes, libvips goes by content; given a name, it would read options out of brackets in it.
  return readFile(path).catch((cause: unknown) => {
    throw cannotOpen(path, cause);
  });
}

function unreadable(name: string, cause: unknown): PusaError {
  if (cause instanceof PusaError) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  if (/exceeds pixel limit/i.test(text)) {
    return new PusaError('FILE_TOO_LARGE', `“${name}” has too many pixels to be read.`, 'Scale it down.', {
      cause,
    });
  }
  return new PusaError(
    'MEDIA_UNREADABLE',
    `“${name}” is damaged or incomplete and cannot be decoded.`,
    'Copy or download it again, or save it anew from the program that made it.',
    { cause },
  );
}

/** EXIF orientation → clockwise turn, then mirroring left to right. */
const orientations: Readonly<Record<number, Pick<MediaProbe, 'rotation' | 'flip'>>> = {
  1: { rotation: 0, flip: false },
  2: { rotation: 0, flip: true },
  3: { rotation: 180, flip: false },
  4: { rotation: 180, flip: true },
  5: { rotation: 90, flip: true },
  6: { rotation: 90, flip: false },
  7: { rotation: 270, flip: true },
  8: { rotation: 270, flip: false },
};
