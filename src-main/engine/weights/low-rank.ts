import { bakeKernels } from './bake-kernels.ts';

/** Columns that the kernel computes at once. */
const tile = 16;

/**
 * Adds a low-rank product to rows of a matrix: target += factor · up · down, summed in float32.
 * @param target [rows, columns], changed in place
 * @param up [rows, rank]
 * @param down [rank, columns]
 */
export function addLowRank(
  target: Float32Array,
  up: Float32Array,
  down: Float32Array,
  rank: number,
  factor: number,
): void {
  const rows = up.length / rank;
  const columns = down.length / rank;
  // An even number of rows: the kernel computes two at a time.
  const upBytes = 4 * rank * (rows + (rows % 2));
  const at = { down: 0, sum: 4 * rank * tile, up: 4 * tile * (rank + rows + (rows % 2)) };
  const { memory, product } = bakeKernels('product', at.up + upBytes);
  const upThere = new Float32Array(memory.buffer, at.up, upBytes / 4);
  upThere.fill(0, up.length);
  upThere.set(up);
  const downThere = new Float32Array(memory.buffer, at.down, rank * tile);
  const sum = new Float32Array(memory.buffer, at.sum, rows * tile);
  downThere.fill(0);
  for (let left = 0; left < columns; left += tile) {
    const width = Math.min(tile, columns - left);
    for (let r = 0; r < rank; r++) {
      for (let i = 0; i < width; i++) downThere[r * tile + i] = down[r * columns + left + i]!;
    }
    product(at.up, at.up + upBytes, 4 * rank, at.down, at.sum, at.sum);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < width; i++) {
        target[row * columns + left + i]! += factor * sum[row * tile + i]!;
      }
    }
  }
}
