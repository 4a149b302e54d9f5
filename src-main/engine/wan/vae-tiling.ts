import type { Tensor, Tiling } from '../networks.ts';

/** A tile in latent units: [from, to) of height and width. */
export interface Tile {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** Start and end of the tiles along one axis: one that the tile before it makes needless is left out, the last is cropped. */
function spans(size: number, tile: number, stride: number): [from: number, to: number][] {
  const all: [number, number][] = [];
  for (let from = 0; from < size; from += stride) {
    if (from > 0 && from - stride + tile >= size) continue;
    all.push([from, Math.min(from + tile, size)]);
  }
  return all;
}

/**
 * The tiles that cover a latent of height × width (spec §4.4), rows first.
 * @throws RangeError where the stride is not in 1 … tile: gaps would stay empty
 */
export function tilesOf(height: number, width: number, { tile, stride }: Tiling): Tile[] {
  for (const axis of [0, 1] as const) {
    const fits = Number.isInteger(tile[axis]) && Number.isInteger(stride[axis]);
    if (!fits || stride[axis] < 1 || stride[axis] > tile[axis]) {
      throw new RangeError(`A tile of ${tile.join('×')} cannot have the stride ${stride.join('×')}.`);
    }
  }
  const columns = spans(width, tile[1], stride[1]);
  return spans(height, tile[0], stride[0]).flatMap(([top, bottom]) =>
    columns.map(([left, right]) => ({ top, bottom, left, right })),
  );
}

/**
 * Blend weights along one axis: 1, with ramps (i + 1) / border at the ends that meet another tile (spec §4.4).
 * @param atStart whether the tile begins at the picture's border; `atEnd` whether it ends there
 */
export function ramp(length: number, border: number, atStart: boolean, atEnd: boolean): Float32Array {
  const weights = new Float32Array(length).fill(1);
  const reach = Math.min(border, length);
  if (!atStart) for (let i = 0; i < reach; i++) weights[i] = (i + 1) / border;
  // Assigned, not multiplied: on a tile shorter than both ramps the second one stands, as in the reference.
  if (!atEnd) for (let i = 0; i < reach; i++) weights[length - 1 - i] = (i + 1) / border;
  return weights;
}

/** Blends overlapping tiles of a video: Σ w·value / Σ w. Sizes are those of the output (pixels when decoding). */
export class TileBlend {
  readonly #values: Float32Array;
  readonly #weights: Float32Array;
  readonly #shape: readonly [number, number, number, number];

  constructor(channels: number, frames: number, height: number, width: number) {
    this.#shape = [channels, frames, height, width];
    this.#values = new Float32Array(channels * frames * height * width);
    this.#weights = new Float32Array(height * width);
  }

  /**
   * Counts a tile's weights; call once for each tile.
   * @param tile in output units; `border` width of its ramps [vertical, horizontal]
   * @returns the tile's weights, to hand to {@link add}
   */
  weigh(tile: Tile, border: readonly [number, number]): Float32Array {
    const [, , height, width] = this.#shape;
    const rows = ramp(tile.bottom - tile.top, border[0], tile.top === 0, tile.bottom === height);
    const columns = ramp(tile.right - tile.left, border[1], tile.left === 0, tile.right === width);
    const weights = new Float32Array(rows.length * columns.length);
    rows.forEach((row, y) => {
      columns.forEach((column, x) => {
        const weight = Math.min(row, column);
        weights[y * columns.length + x] = weight;
        this.#weights[(tile.top + y) * width + tile.left + x]! += weight;
      });
    });
    return weights;
  }

  /** Adds one frame [C, h, w] of a tile. */
  add(tile: Tile, weights: Float32Array, frame: Float32Array, index: number): void {
    const [channels, frames, height, width] = this.#shape;
    const tileWidth = tile.right - tile.left;
    const tileSize = weights.length;
    for (let c = 0; c < channels; c++) {
      for (let y = tile.top; y < tile.bottom; y++) {
        const to = ((c * frames + index) * height + y) * width + tile.left;
        const from = (y - tile.top) * tileWidth;
        for (let x = 0; x < tileWidth; x++) {
          this.#values[to + x]! += weights[from + x]! * frame[c * tileSize + from + x]!;
        }
      }
    }
  }

  /** @returns frames from … to (exclusive) blended, [C, to − from, H, W] */
  frames(from: number, to: number): Tensor {
    const [channels, frames, height, width] = this.#shape;
    const size = height * width;
    const data = new Float32Array(channels * (to - from) * size);
    for (let c = 0; c < channels; c++) {
      for (let t = from; t < to; t++) {
        const source = (c * frames + t) * size;
        const target = (c * (to - from) + t - from) * size;
        for (let i = 0; i < size; i++) data[target + i] = this.#values[source + i]! / this.#weights[i]!;
      }
    }
    return { data, shape: [channels, to - from, height, width] };
  }
}
