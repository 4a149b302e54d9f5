/** Tile sizes in latent units (spec §4.4). */
export interface Tiling {
  readonly tile: readonly [height: number, width: number];
  readonly stride: readonly [height: number, width: number];
}

/**
 * Tilings from none to the smallest, in latent units: the second is the reference's (spec §4.4), the others keep its
 * overlap of a half.
 */
const ladder: readonly (Tiling | null)[] = [
  null,
  { tile: [30, 52], stride: [15, 26] },
  { tile: [16, 28], stride: [8, 14] },
  { tile: [8, 14], stride: [4, 7] },
];

/** How many tilings there are at most for a size. */
export const mostTilings = ladder.length;

/** Tilings that make a difference for latents of this size, largest tiles first. */
export function tilingLadder(height: number, width: number): readonly (Tiling | null)[] {
  return ladder.filter((tiling) => tiling === null || tiling.tile[0] < height || tiling.tile[1] < width);
}

/** What the autoencoder takes up while it decodes, as far as its configuration says. */
export interface CodecNeeds {
  /** Bytes of the decoder's weights as long as they are loaded. */
  readonly weightBytes: number;
  /** Bytes for each latent of a frame or tile: what convolutions remember, and the work on one frame. */
  readonly bytesPerLatent: number;
  /** Pixels of a latent: frames, rows, columns. */
  readonly stride: readonly [number, number, number];
}

/** A video in pixels. */
export interface VideoSize {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
}

/**
 * Forecast of the memory that decoding a video takes, in bytes. Without tiles it does not depend on the length; with
 * them all frames are held until the last tile is blended in.
 */
export function decodeBytes(
  { weightBytes, bytesPerLatent, stride }: CodecNeeds,
  { width, height, frames }: VideoSize,
  tiling: Tiling | null,
): number {
  const [, rowStride, columnStride] = stride;
  const rows = Math.min(height / rowStride, tiling?.tile[0] ?? Infinity);
  const columns = Math.min(width / columnStride, tiling?.tile[1] ?? Infinity);
  // Float32 colours of every frame, and the weight of each pixel.
  const blended = tiling === null ? 0 : 4 * width * height * (3 * frames + 1);
  return weightBytes + rows * columns * bytesPerLatent + blended;
}

/** The index of the first tiling whose forecast fits into so many bytes; of the last when none does. */
export function firstFitting(
  tilings: readonly (Tiling | null)[],
  needs: CodecNeeds,
  size: VideoSize,
  bytes: number,
): number {
  const fits = tilings.findIndex((tiling) => decodeBytes(needs, size, tiling) <= bytes);
  return fits === -1 ? tilings.length - 1 : fits;
}
