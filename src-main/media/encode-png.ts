import { join } from 'node:path';
import sharp from 'sharp';
import { writeNew } from '../files/durable.ts';
import type { TakeOutput } from './encode.ts';
import { withText } from './png-text.ts';

/** Longest description put into every picture, in characters; a longer one stands in the first alone. */
const everyPicture = 100_000;

/**
 * Writes frames as PNG files, losslessly, each flushed to the disk.
 * @param name file name of the n-th picture, n from 1
 */
export async function writePictures(
  { frames, width, height, metadata }: TakeOutput,
  folder: string,
  name: (n: number) => string,
): Promise<void> {
  let n = 0;
  for await (const frame of frames) {
    n++;
    const png = await sharp(frame, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer();
    const described = n === 1 || metadata.length <= everyPicture;
    await writeNew(join(folder, name(n)), [described ? withText(png, metadata) : png]);
  }
}
