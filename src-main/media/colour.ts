import type { Size } from './types.ts';

/** BT.709's weights of red and blue in luma (ITU-R BT.709-6, 3.2); green has the rest. */
const kr = 0.2126;
const kb = 0.0722;
const kg = 1 - kr - kb;

/**
 * RGB8 to planar YUV 4:2:0, BT.709, limited range (3.4, 8 bits: luma 16 … 235, chroma 16 … 240). A chroma sample is
 * the mean of its four pixels.
 * @param rgb `width × height × 3` bytes; both sides even
 * @returns Y, then Cb, then Cr: `width × height × 3 / 2` bytes
 */
export function rgbToYuv420(rgb: Uint8Array, { width, height }: Size): Uint8Array {
  const pixels = width * height;
  const out = new Uint8Array(pixels * 1.5);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const at = pixel * 3;
    const luma = kr * rgb[at]! + kg * rgb[at + 1]! + kb * rgb[at + 2]!;
    out[pixel] = Math.round(16 + (219 / 255) * luma);
  }
  const half = width / 2;
  const row = width * 3;
  for (let y = 0; y < height / 2; y++) {
    for (let x = 0; x < half; x++) {
      const at = 2 * y * row + 6 * x;
      const below = at + row;
      const red = (rgb[at]! + rgb[at + 3]! + rgb[below]! + rgb[below + 3]!) / 4;
      const green = (rgb[at + 1]! + rgb[at + 4]! + rgb[below + 1]! + rgb[below + 4]!) / 4;
      const blue = (rgb[at + 2]! + rgb[at + 5]! + rgb[below + 2]! + rgb[below + 5]!) / 4;
      const luma = kr * red + kg * green + kb * blue;
      const chroma = pixels + y * half + x;
      out[chroma] = Math.round(128 + ((224 / 255) * (blue - luma)) / (2 * (1 - kb)));
      out[chroma + pixels / 4] = Math.round(128 + ((224 / 255) * (red - luma)) / (2 * (1 - kr)));
    }
  }
  return out;
}
