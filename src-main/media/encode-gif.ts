import { open, type FileHandle } from 'node:fs/promises';
import sharp from 'sharp';
import type { TakeOutput } from './encode.ts';
import { commentBlock, singlePicture } from './gif-blocks.ts';

/** Shortest time a frame may stand, in hundredths of a second: browsers slow shorter ones down to 10. */
const shortest = 2;

/**
 * Writes an endlessly repeating GIF, each frame with its own palette of 256 colours, dithered (libimagequant, by
 * sharp). GIF counts time in hundredths of a second: delays are rounded so that no error adds up, and frames that
 * would stand less than 1/50 s are left out.
 */
export async function writeGif(
  { frames, width, height, fps, metadata }: TakeOutput,
  path: string,
): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.appendFile(header(width, height));
    await file.appendFile(commentBlock(metadata));
    const add = (frame: Uint8Array, delay: number): Promise<void> =>
      appendFrame(file, frame, width, height, delay);
    let pending: { readonly frame: Uint8Array; readonly start: number } | null = null;
    let index = 0;
    for await (const frame of frames) {
      const start = Math.round((100 * index) / fps);
      index++;
      if (pending === null) pending = { frame, start };
      else if (start - pending.start >= shortest) {
        await add(pending.frame, start - pending.start);
        pending = { frame, start };
      }
    }
    const end = Math.round((100 * index) / fps);
    if (pending !== null) await add(pending.frame, Math.max(shortest, end - pending.start));
    await file.appendFile(Uint8Array.of(0x3b));
  } finally {
    await file.close();
  }
}

/** Signature, screen without a global palette, and the extension that says "repeat for ever". */
function header(width: number, height: number): Buffer {
  const bytes = Buffer.from('GIF89a\0\0\0\0\x70\0\0\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0', 'latin1');
  bytes.writeUInt16LE(width, 6);
  bytes.writeUInt16LE(height, 8);
  return bytes;
}

/** @param delay hundredths of a second */
async function appendFrame(
  file: FileHandle,
  rgb: Uint8Array,
  width: number,
  height: number,
  delay: number,
): Promise<void> {
  // Effort 3 of 10: seven times faster than the default, and hardly larger.
  const gif = await sharp(rgb, { raw: { width, height, channels: 3 } })
    .gif({ effort: 3, dither: 1 })
    .toBuffer();
  const control = Buffer.from([0x21, 0xf9, 4, 0, 0, 0, 0, 0]);
  control.writeUInt16LE(delay, 4);
  await file.appendFile(Buffer.concat([control, singlePicture(gif)]));
}
