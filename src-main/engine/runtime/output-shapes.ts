/** A dimension as ONNX Runtime reports it: a size, or the symbol or polynomial the graph builder wrote. */
export type StatedDim = number | string;

/**
 * The shapes of a graph's outputs, worked out from its inputs, so that outputs can be allocated by the caller (where
 * ONNX Runtime allocates, Electron copies). Symbols are bound by the inputs: `F`, or `8*h` with its one factor
 * divided away; outputs are sums of products of them, as `onnx/shape.ts` writes them.
 * @returns null when an output has a dimension the inputs do not determine
 */
export function outputShapes(
  inputs: readonly { readonly stated: readonly StatedDim[]; readonly actual: readonly number[] }[],
  outputs: Readonly<Record<string, readonly StatedDim[]>>,
): Record<string, number[]> | null {
  const sizes = new Map<string, number>();
  for (const { stated, actual } of inputs) {
    for (const [axis, dim] of stated.entries()) {
      const size = actual[axis];
      if (typeof dim !== 'string' || size === undefined) continue;
      sizes.set(dim, size);
      const scaled = /^(\d+)\*([A-Za-z]\w*)$/.exec(dim);
      if (scaled !== null) sizes.set(scaled[2]!, size / Number(scaled[1]));
    }
  }
  const shapes: Record<string, number[]> = {};
  for (const [name, stated] of Object.entries(outputs)) {
    const shape = stated.map((dim) => (typeof dim === 'number' ? dim : evaluate(dim, sizes)));
    if (!shape.every((size) => size !== null && Number.isSafeInteger(size) && size >= 0)) return null;
    shapes[name] = shape as number[];
  }
  return shapes;
}

function evaluate(text: string, sizes: ReadonlyMap<string, number>): number | null {
  const known = sizes.get(text);
  if (known !== undefined) return known;
  let sum = 0;
  for (const term of text.split(' + ')) {
    let product = 1;
    for (const factor of term.split('*')) {
      const value = /^-?\d+$/.test(factor) ? Number(factor) : sizes.get(factor);
      if (value === undefined) return null;
      product *= value;
    }
    sum += product;
  }
  return sum;
}
