import type { LivePreview } from '../state/session.svelte.ts';

/**
 * One cell of a preview as a picture for a canvas.
 * @param preview RGB8 [cells, height, width, 3]
 * @param cell taken to the nearest that there is
 * @returns RGBA8 [height, width, 4]
 */
export function previewPicture(
  { cells, width, height, rgb }: LivePreview,
  cell: number,
): Uint8ClampedArray<ArrayBuffer> {
  const at = Math.min(Math.max(Math.trunc(cell), 0), cells - 1) * width * height * 3;
  const rgba = new Uint8ClampedArray(width * height * 4);
  for (let pixel = 0; pixel < width * height; pixel++) {
    rgba[pixel * 4] = rgb[at + pixel * 3]!;
    rgba[pixel * 4 + 1] = rgb[at + pixel * 3 + 1]!;
    rgba[pixel * 4 + 2] = rgb[at + pixel * 3 + 2]!;
    rgba[pixel * 4 + 3] = 255;
  }
  return rgba;
}
