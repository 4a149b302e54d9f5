import type { Tensor } from '../networks.ts';

const theta = 10_000;

/**
 * Rotation angles of the tokens (f, h, w), as cosines and sines for the pairs of one head: time pairs, then height,
 * then width (spec §1.3). Computed in float64.
 * @param grid cells, token rows, token columns; L = their product, frame-major
 * @param headDim d, even
 * @returns two tensors [L, d / 2]
 */
export function ropeTables(
  grid: readonly [cells: number, rows: number, columns: number],
  headDim: number,
): { cos: Tensor; sin: Tensor } {
  const [cells, rows, columns] = grid;
  const pairs = headDim / 2;
  const third = Math.floor(pairs / 3);
  const angles = [axisAngles(cells, pairs - 2 * third), axisAngles(rows, third), axisAngles(columns, third)];
  const shape = [cells * rows * columns, pairs];
  const cos = new Float32Array(shape[0]! * pairs);
  const sin = new Float32Array(cos.length);
  let at = 0;
  for (let f = 0; f < cells; f++) {
    for (let h = 0; h < rows; h++) {
      for (let w = 0; w < columns; w++) {
        for (const row of [angles[0]![f]!, angles[1]![h]!, angles[2]![w]!]) {
          for (const angle of row) {
            cos[at] = Math.cos(angle);
            sin[at] = Math.sin(angle);
            at++;
          }
        }
      }
    }
  }
  return { cos: { data: cos, shape }, sin: { data: sin, shape } };
}

/** Position p, pair j: p · θ^(−2j / (2·pairs)). */
function axisAngles(positions: number, pairs: number): number[][] {
  return Array.from({ length: positions }, (_, p) =>
    Array.from({ length: pairs }, (_, j) => p * theta ** (-j / pairs)),
  );
}

/**
 * Time features of one timestep per cell: cosines first, then sines, of t · 10000^(−i/half) (spec §1.3 step 2).
 * @param timesteps [F], 0 … 1000
 * @returns [F, freqDim]
 */
export function timeFeatures(timesteps: Float32Array, freqDim: number): Tensor {
  const half = freqDim / 2;
  const data = new Float32Array(timesteps.length * freqDim);
  timesteps.forEach((t, f) => {
    for (let i = 0; i < half; i++) {
      const angle = t * theta ** (-i / half);
      data[f * freqDim + i] = Math.cos(angle);
      data[f * freqDim + half + i] = Math.sin(angle);
    }
  });
  return { data, shape: [timesteps.length, freqDim] };
}
