import { type Value } from './graph.ts';
import {
  addDims,
  broadcastShapes,
  dimText,
  floorDivDim,
  mulDims,
  sameDim,
  shapeText,
  subDims,
  type Dim,
  type Shape,
} from './shape.ts';

/** An operand: a value, or a number that becomes a scalar constant. */
export type Operand = Value | number;

function binary(opType: string, a: Operand, b: Operand): Value {
  const graph = typeof a === 'number' ? (b as Value).graph : a.graph;
  const left = typeof a === 'number' ? graph.constant([a], []) : a;
  const right = typeof b === 'number' ? graph.constant([b], []) : b;
  const shape = broadcastShapes(left.shape, right.shape);
  if (shape === null) {
    throw graph.invalid(`${opType}: ${shapeText(left.shape)} and ${shapeText(right.shape)} do not broadcast`);
  }
  return graph.node1(opType, [left, right], shape);
}

/** Elementwise with broadcasting. At least one operand is a value. */
export function add(a: Value, b: Operand): Value;
export function add(a: Operand, b: Value): Value;
export function add(a: Operand, b: Operand): Value {
  return binary('Add', a, b);
}
export function sub(a: Value, b: Operand): Value {
  return binary('Sub', a, b);
}
export function mul(a: Value, b: Operand): Value {
  return binary('Mul', a, b);
}
export function div(a: Value, b: Operand): Value {
  return binary('Div', a, b);
}
export function maximum(a: Value, b: Operand): Value {
  return binary('Max', a, b);
}

function unary(opType: string, x: Value): Value {
  return x.graph.node1(opType, [x], x.shape);
}
export function sqrt(x: Value): Value {
  return unary('Sqrt', x);
}
/** x · sigmoid(x). */
export function silu(x: Value): Value {
  return mul(x, unary('Sigmoid', x));
}
/** The tanh approximation of GELU, which Wan and UMT5 use. */
export function geluTanh(x: Value): Value {
  return x.graph.node1('Gelu', [x], x.shape, { attributes: { approximate: 'tanh' } });
}

/** Softmax over the last axis. */
export function softmax(x: Value): Value {
  return x.graph.node1('Softmax', [x], x.shape, { attributes: { axis: -1 } });
}

/** Batched matrix product; leading axes broadcast. */
export function matmul(a: Value, b: Value): Value {
  const rows = a.shape.at(-2);
  const columns = b.shape.at(-1);
  const inner = a.shape.at(-1);
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  if (rows === undefined || columns === undefined || batch === null || !sameDim(inner!, b.shape.at(-2)!)) {
    throw a.graph.invalid(`MatMul: ${shapeText(a.shape)} times ${shapeText(b.shape)}`);
  }
  return a.graph.node1('MatMul', [a, b], [...batch, rows, columns]);
}

/** Mean over some axes, which stay with size 1. */
export function reduceMean(x: Value, axes: readonly number[]): Value {
  const at = axes.map((axis) => wrapAxis(x, axis, 'ReduceMean'));
  const shape = x.shape.map((dim, axis) => (at.includes(axis) ? 1 : dim));
  return x.graph.node1('ReduceMean', [x, x.graph.ints(at)], shape, { attributes: { keepdims: 1 } });
}

/** @param order order[i] is the axis of x that becomes axis i */
export function transpose(x: Value, order: readonly number[]): Value {
  const isPermutation = order.length === x.shape.length && x.shape.every((_, axis) => order.includes(axis));
  if (!isPermutation) throw x.graph.invalid(`Transpose: order ${order.join()} of ${shapeText(x.shape)}`);
  const shape = order.map((axis) => x.shape[axis]!);
  return x.graph.node1('Transpose', [x], shape, { attributes: { perm: order } });
}

/**
 * The same numbers in another shape. ONNX can infer one size and copy sizes at equal positions; a shape that needs
 * more must come from {@link reshapeLike}, {@link unsqueeze} or {@link squeeze}.
 */
export function reshape(x: Value, shape: Shape): Value {
  if (!sameDim(mulDims(...x.shape), mulDims(...shape))) {
    throw x.graph.invalid(`Reshape: ${shapeText(x.shape)} to ${shapeText(shape)}`);
  }
  const target = shape.map((dim, axis) => {
    if (typeof dim === 'number') return dim;
    const source = x.shape[axis];
    return source !== undefined && sameDim(dim, source) ? 0 : -1;
  });
  if (target.filter((size) => size === -1).length > 1) {
    throw x.graph.invalid(
      `Reshape: ${shapeText(x.shape)} to ${shapeText(shape)} leaves more than one size open`,
    );
  }
  return x.graph.node1('Reshape', [x, x.graph.ints(target)], shape);
}

/** The numbers of x in the shape of `like`, which has as many. */
export function reshapeLike(x: Value, like: Value): Value {
  if (!sameDim(mulDims(...x.shape), mulDims(...like.shape))) {
    throw x.graph.invalid(`Reshape: ${shapeText(x.shape)} to ${shapeText(like.shape)}`);
  }
  const shape = x.graph.node1('Shape', [like], [like.shape.length], { dtype: 'int64' });
  return x.graph.node1('Reshape', [x, shape], like.shape);
}

/** Inserts axes of size 1; `axes` are positions in the result. */
export function unsqueeze(x: Value, axes: readonly number[]): Value {
  const rank = x.shape.length + axes.length;
  const shape: Dim[] = [];
  for (let axis = 0, from = 0; axis < rank; axis++) shape.push(axes.includes(axis) ? 1 : x.shape[from++]!);
  return x.graph.node1('Unsqueeze', [x, x.graph.ints(axes)], shape);
}

/** Removes axes of size 1. */
export function squeeze(x: Value, axes: readonly number[]): Value {
  if (axes.some((axis) => x.shape[axis] !== 1)) {
    throw x.graph.invalid(`Squeeze: axes ${axes.join()} of ${shapeText(x.shape)}`);
  }
  const shape = x.shape.filter((_, axis) => !axes.includes(axis));
  return x.graph.node1('Squeeze', [x, x.graph.ints(axes)], shape);
}

/** Joins along one axis; all other sizes agree. */
export function concat(values: readonly Value[], axis: number): Value {
  const first = values[0]!;
  const at = wrapAxis(first, axis, 'Concat');
  for (const value of values) {
    const fits =
      value.shape.length === first.shape.length &&
      value.shape.every((dim, i) => i === at || sameDim(dim, first.shape[i]!));
    if (!fits) {
      throw first.graph.invalid(
        `Concat on axis ${axis}: ${shapeText(value.shape)} does not fit ${shapeText(first.shape)}`,
      );
    }
  }
  const total = addDims(...values.map((value) => value.shape[at]!));
  const shape = first.shape.map((dim, i) => (i === at ? total : dim));
  return first.graph.node1('Concat', values, shape, { attributes: { axis: at } });
}

/** Elements start ≤ i < end of one axis, every `step`-th; negative bounds count from the end, no end = to the last. */
export function slice(x: Value, axis: number, start: number, end?: number, step = 1): Value {
  const at = wrapAxis(x, axis, 'Slice');
  const size = x.shape[at]!;
  const from = start < 0 ? addDims(size, start) : start;
  const to = end === undefined ? size : end < 0 ? addDims(size, end) : end;
  const length = floorDivDim(addDims(subDims(to, from), step - 1), step);
  const outside = typeof size === 'number' && (Math.abs(start) > size || Math.abs(end ?? 0) > size);
  if (length === null || outside || (typeof length === 'number' && length < 1)) {
    throw x.graph.invalid(`Slice ${start}:${end ?? ''}:${step} of axis ${axis} of ${shapeText(x.shape)}`);
  }
  const graph = x.graph;
  const bounds = [[start], [end ?? Number.MAX_SAFE_INTEGER], [at], [step]].map((n) => graph.ints(n));
  const shape = x.shape.map((dim, i) => (i === at ? length : dim));
  return graph.node1('Slice', [x, ...bounds], shape);
}

/** Cuts one axis into parts of the given sizes, which add up to it. */
export function split(x: Value, axis: number, sizes: readonly number[]): Value[] {
  const at = wrapAxis(x, axis, 'Split');
  if (!sameDim(x.shape[at]!, addDims(...sizes))) {
    throw x.graph.invalid(`Split: ${dimText(x.shape[at]!)} into ${sizes.join(' + ')}`);
  }
  const shapes = sizes.map((size) => x.shape.map((dim, i) => (i === at ? size : dim)));
  return x.graph.node('Split', [x, x.graph.ints(sizes)], shapes, { attributes: { axis: at } });
}

/** Zeros around: [before, after] for each axis. */
export function pad(x: Value, amounts: readonly (readonly [before: number, after: number])[]): Value {
  if (amounts.length !== x.shape.length) {
    throw x.graph.invalid(`Pad: ${amounts.length} pairs for ${shapeText(x.shape)}`);
  }
  const shape = x.shape.map((dim, axis) => addDims(dim, ...amounts[axis]!));
  const pads = x.graph.ints([...amounts.map(([before]) => before), ...amounts.map(([, after]) => after)]);
  return x.graph.node1('Pad', [x, pads], shape);
}

/** Height and width doubled by repeating pixels: [N, C, H, W] → [N, C, 2H, 2W]. */
export function resizeNearest2x(x: Value): Value {
  const [n, c, h, w] = x.shape;
  if (x.shape.length !== 4) throw x.graph.invalid(`Resize: ${shapeText(x.shape)} is not [N, C, H, W]`);
  const scales = x.graph.constant([1, 1, 2, 2], [4]);
  return x.graph.node1('Resize', [x, null, scales], [n!, c!, mulDims(2, h!), mulDims(2, w!)], {
    attributes: {
      mode: 'nearest',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: 'floor',
    },
  });
}

function wrapAxis(x: Value, axis: number, opType: string): number {
  const wrapped = axis < 0 ? axis + x.shape.length : axis;
  if (wrapped < 0 || wrapped >= x.shape.length) {
    throw x.graph.invalid(`${opType}: axis ${axis} of ${shapeText(x.shape)}`);
  }
  return wrapped;
}
