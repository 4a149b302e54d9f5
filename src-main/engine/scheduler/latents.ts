import type { Tensor } from '../networks.ts';

/**
 * Checks that tensors have the shape of `like`; a velocity of another size would otherwise be read as zeros.
 * @throws RangeError naming the tensor
 */
export function sameShape(like: Tensor, others: Readonly<Record<string, Tensor>>): void {
  for (const [name, tensor] of Object.entries(others)) {
    if (tensor.data.length !== like.data.length || tensor.shape.join() !== like.shape.join()) {
      throw new RangeError(`${name} is [${tensor.shape.join()}], the latents are [${like.shape.join()}].`);
    }
  }
}

/** Checks that latents [C, F, H, W] have F cells. */
export function hasCells(latents: Tensor, cells: number): void {
  if (latents.shape.length !== 4 || latents.shape[1] !== cells) {
    throw new RangeError(`The latents are [${latents.shape.join()}], expected ${cells} cells.`);
  }
}

/** Visits the runs of consecutive elements of cell f in latents [C, F, H, W]: one for each channel. */
export function forEachRow(
  shape: readonly number[],
  visit: (cell: number, from: number, to: number) => void,
): void {
  const [channels, cells, height, width] = shape as [number, number, number, number];
  const area = height * width;
  for (let c = 0; c < channels; c++) {
    for (let f = 0; f < cells; f++) {
      const from = (c * cells + f) * area;
      visit(f, from, from + area);
    }
  }
}

/** Row k of a table of the plan. */
export function rowOf(table: readonly number[][], k: number): number[] {
  const row = table[k];
  if (row === undefined) throw new RangeError(`The plan has ${table.length} steps; there is no step ${k}.`);
  return row;
}
