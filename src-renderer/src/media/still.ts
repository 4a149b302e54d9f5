import { cannotRead } from './codecs.ts';
import { PusaError } from '../../../src-main/core/errors.ts';
import type { Facts, Medium } from './protocol.ts';

/** Bytes of the largest picture file that is read here. */
const maxBytes = 256 * 2 ** 20;
/** Longest side the studio draws. */
const maxDrawn = 1024;

/**
 * A still picture file, brought to a size. EXIF orientation is applied; transparency is laid over black, as the studio
 * does when it freezes a job.
 * @throws PusaError MEDIA_UNREADABLE
 */
export async function drawStill(medium: Medium, width: number, height: number): Promise<ImageBitmap> {
  return fitted(await decode(medium, medium.url), width, height);
}

/** @throws PusaError MEDIA_UNREADABLE */
export async function probeStill(medium: Medium): Promise<Facts> {
  const picture = await decode(medium, medium.url);
  const { width, height } = picture;
  picture.close();
  return {
    kind: 'image',
    width,
    height,
    fps: 0,
    duration: 0,
    rotation: 0,
    codec: 'image',
    decodable: true,
  };
}

/**
 * A picture of a medium that the studio draws, brought to a size.
 * @throws PusaError MEDIA_UNREADABLE
 */
export async function drawByStudio(
  medium: Medium,
  seconds: number,
  width: number,
  height: number,
): Promise<ImageBitmap> {
  const url = new URL(medium.drawn.url);
  url.searchParams.set('size', String(Math.min(maxDrawn, Math.max(16, width, height))));
  if (medium.drawn.by === 'frames') {
    url.searchParams.set('frame', String(Math.floor(seconds * (medium.drawn.fps ?? 1) + 1e-3)));
  } else if (medium.kind !== 'image') {
    url.searchParams.set('at', String(seconds));
  }
  return fitted(await decode(medium, url.href), width, height);
}

async function decode(medium: Medium, url: string): Promise<ImageBitmap> {
  try {
    const answer = await fetch(url, { priority: 'high' });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    if (Number(answer.headers.get('content-length') ?? 0) > maxBytes) throw new Error('too large');
    return await createImageBitmap(await answer.blob(), { imageOrientation: 'from-image' });
  } catch (thrown) {
    throw thrown instanceof PusaError ? thrown : cannotRead(medium.name, thrown);
  }
}

function fitted(picture: ImageBitmap, width: number, height: number): ImageBitmap {
  try {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d', { alpha: false });
    if (context === null) throw new Error('no canvas');
    context.imageSmoothingQuality = 'high';
    context.drawImage(picture, 0, 0, width, height);
    return canvas.transferToImageBitmap();
  } finally {
    picture.close();
  }
}
