import type { OnSegment, Tensor, VideoCodec } from '../networks.ts';

/** A linear map from a latent to the mean colour of the pixels under it, RGB in −1 … 1. */
export interface PreviewMap {
  /** [3, C], row-major. */
  readonly matrix: Float32Array;
  /** [3] */
  readonly bias: Float32Array;
}

/** Latents on a side of the synthetic pictures. */
const side = 8;
/** Two cells are enough: the first latent speaks another code than the later ones, and the map serves both. */
const cells = 2;
const pictures = 6;
/** Against directions the synthetic pictures do not move in, relative to the mean square of a latent. */
const ridge = 1e-4;

/**
 * Fits the map by least squares for the VAE in use: colour fields of several sizes, drifting from the first cell to
 * the second, are encoded, and each latent is asked for the mean colour of its pixels. Always the same fields, so
 * always the same map; keep it as long as the VAE.
 * @param onSegment called between segments of each picture; what it throws ends the fit
 */
export async function fitPreview(codec: VideoCodec, onSegment?: OnSegment): Promise<PreviewMap> {
  const { channels } = codec;
  const [timeStride, rowStride, columnStride] = codec.stride;
  const size = channels + 1;
  const normal = new Float64Array(size * size);
  const right = new Float64Array(size * 3);
  const random = generator(20_507);
  for (let picture = 0; picture < pictures; picture++) {
    const pixels = colourField(
      1 + timeStride * (cells - 1),
      side * rowStride,
      side * columnStride,
      picture,
      random,
    );
    const latents = await codec.encode(pixels, null, onSegment);
    const colours = meanColours(pixels, [timeStride, rowStride, columnStride]);
    const count = cells * side * side;
    const row = new Float64Array(size);
    for (let i = 0; i < count; i++) {
      for (let c = 0; c < channels; c++) row[c] = latents.data[c * count + i]!;
      row[channels] = 1;
      for (let a = 0; a < size; a++) {
        for (let b = 0; b < size; b++) normal[a * size + b]! += row[a]! * row[b]!;
        for (let k = 0; k < 3; k++) right[a * 3 + k]! += row[a]! * colours[k * count + i]!;
      }
    }
  }
  let trace = 0;
  for (let c = 0; c < channels; c++) trace += normal[c * size + c]!;
  for (let c = 0; c < channels; c++) normal[c * size + c]! += (ridge * trace) / channels + Number.MIN_VALUE;
  const solution = solve(normal, right, size);
  const matrix = new Float32Array(3 * channels);
  const bias = new Float32Array(3);
  for (let k = 0; k < 3; k++) {
    for (let c = 0; c < channels; c++) matrix[k * channels + c] = solution[c * 3 + k]!;
    bias[k] = solution[channels * 3 + k]!;
  }
  return { matrix, bias };
}

/**
 * Small pictures of latents.
 * @param latents normalised, [C, F, H, W]
 * @returns RGB8, [F, H, W, 3]
 */
export function previewFrames(latents: Tensor, { matrix, bias }: PreviewMap): Uint8ClampedArray {
  const [channels, frames, height, width] = latents.shape as [number, number, number, number];
  const count = frames * height * width;
  const pixels = new Uint8ClampedArray(count * 3);
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < 3; k++) {
      let colour = bias[k]!;
      for (let c = 0; c < channels; c++) colour += matrix[k * channels + c]! * latents.data[c * count + i]!;
      pixels[i * 3 + k] = (colour + 1) * 127.5;
    }
  }
  return pixels;
}

/**
 * A smooth random colour field [3, T, H, W] in −1 … 1: coarser from picture to picture, drifting in time.
 * @param picture 0 has features of 8 pixels, later ones of up to a whole picture
 */
function colourField(
  frames: number,
  height: number,
  width: number,
  picture: number,
  random: () => number,
): Tensor {
  const grid = [9, 9, 5, 5, 3, 2][picture]!;
  const knots = Float32Array.from({ length: 3 * grid * grid }, () => 2.4 * random() - 1.2);
  const drift = [random(), random()] as const;
  const data = new Float32Array(3 * frames * height * width);
  let at = 0;
  for (let c = 0; c < 3; c++) {
    for (let t = 0; t < frames; t++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const v = ((y + t * drift[0]) / (height + frames)) * (grid - 1);
          const u = ((x + t * drift[1]) / (width + frames)) * (grid - 1);
          const [row, column] = [Math.floor(v), Math.floor(u)];
          const knot = (r: number, s: number): number => knots[(c * grid + row + r) * grid + column + s]!;
          const top = knot(0, 0) + (knot(0, 1) - knot(0, 0)) * (u - column);
          const bottom = knot(1, 0) + (knot(1, 1) - knot(1, 0)) * (u - column);
          data[at++] = Math.min(1, Math.max(-1, top + (bottom - top) * (v - row)));
        }
      }
    }
  }
  return { data, shape: [3, frames, height, width] };
}

/** Mean colour under each latent: [3, cells, H, W]; the first cell is one frame, the others a group (spec §4.4). */
function meanColours(
  pixels: Tensor,
  [timeStride, rowStride, columnStride]: readonly [number, number, number],
): Float64Array {
  const [, frames, height, width] = pixels.shape as [number, number, number, number];
  const [rows, columns] = [height / rowStride, width / columnStride];
  const means = new Float64Array(3 * cells * rows * columns);
  for (let c = 0; c < 3; c++) {
    for (let t = 0; t < frames; t++) {
      const cell = Math.ceil(t / timeStride);
      const share = 1 / (rowStride * columnStride * (cell === 0 ? 1 : timeStride));
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const to =
            ((c * cells + cell) * rows + Math.floor(y / rowStride)) * columns + Math.floor(x / columnStride);
          means[to]! += pixels.data[((c * frames + t) * height + y) * width + x]! * share;
        }
      }
    }
  }
  return means;
}

/** Solves a symmetric positive system of `size` unknowns for three right sides, by Gauss with pivots. */
function solve(matrix: Float64Array, right: Float64Array, size: number): Float64Array {
  const a = matrix.slice();
  const b = right.slice();
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++) {
      if (Math.abs(a[row * size + column]!) > Math.abs(a[pivot * size + column]!)) pivot = row;
    }
    for (let k = 0; k < size; k++) swap(a, column * size + k, pivot * size + k);
    for (let k = 0; k < 3; k++) swap(b, column * 3 + k, pivot * 3 + k);
    for (let row = 0; row < size; row++) {
      if (row === column) continue;
      const factor = a[row * size + column]! / a[column * size + column]!;
      for (let k = column; k < size; k++) a[row * size + k]! -= factor * a[column * size + k]!;
      for (let k = 0; k < 3; k++) b[row * 3 + k]! -= factor * b[column * 3 + k]!;
    }
  }
  for (let row = 0; row < size; row++) for (let k = 0; k < 3; k++) b[row * 3 + k]! /= a[row * size + row]!;
  return b;
}

function swap(values: Float64Array, i: number, j: number): void {
  [values[i], values[j]] = [values[j]!, values[i]!];
}

/** Uniform numbers in 0 … 1, the same ones for the same seed. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
