import { bakeKernels } from './bake-kernels.ts';

/** How a matrix [rows, columns] is cut: every row into blocks of `blockSize` numbers under one scale each. */
export interface BlockLayout {
  readonly bits: 8 | 4;
  /** Divides the number of columns; a multiple of 16. */
  readonly blockSize: number;
}

/** Rows as MatMulNBits wants them: number = (code − 2^(bits−1)) · scale. */
export interface QuantisedRows {
  /** [rows, columns / blockSize, blockSize · bits / 8]; of two 4-bit codes the first stands in the low half. */
  readonly packed: Uint8Array<ArrayBuffer>;
  /** [rows, columns / blockSize]; the sign is free. */
  readonly scales: Float32Array<ArrayBuffer>;
  readonly error: SquaredError;
}

/** Sums over a tensor or a part of it; √(difference / size) is its relative error. */
export interface SquaredError {
  /** Σ (x − x′)² */
  readonly difference: number;
  /** Σ x² */
  readonly size: number;
}

/**
 * Where the number of the largest magnitude comes to lie in the searched grids, as a signed code. Eight bits gain from
 * another grid only; four gain from cutting the largest number off as well.
 */
const places: Readonly<Record<8 | 4, readonly number[]>> = {
  8: [-128, -127.7, -127.4, -127.1, -126.8, -126.5, -128.3, -128.6, 127, 127.3, 126.7, 126.4],
  4: [-8, -7.4, -7.7, -8.3, -8.6, -9, -9.5, -10, 7, 6.7, 7.4, 7.8, 8.3, 9],
};

/** Where things lie in the kernels' memory, each aligned to 16 bytes; room for the codes and scales of any layout. */
function placesFor(count: number) {
  const packed = 512 + 4 * count;
  const scales = packed + count;
  return { grids: 0, sums: 256, values: 512, packed, scales, end: scales + count / 4 };
}

/**
 * Room for numbers that are to be quantised next, in the kernels' own memory, so that they need not be copied there.
 * Good until the next call.
 */
export function roomForValues(count: number): Float32Array<ArrayBuffer> {
  const at = placesFor(count);
  return new Float32Array(bakeKernels('blocks', at.end).memory.buffer, at.values, count);
}

/**
 * Quantises rows of a matrix in blocks. Round to nearest puts the number of the largest magnitude on the lowest code;
 * with `search` the scale of each block is the one of least squared error among that and several grids, each with its
 * least-squares scale Σ x·q / Σ q².
 * @param values rows · columns numbers, row-major
 * @throws RangeError when the columns are no whole blocks
 */
export function quantiseRows(
  values: Float32Array,
  columns: number,
  { bits, blockSize }: BlockLayout,
  search = false,
): QuantisedRows {
  if (
    values.length === 0 ||
    columns % blockSize !== 0 ||
    values.length % columns !== 0 ||
    blockSize % 16 !== 0
  ) {
    throw new RangeError(`${values.length} numbers in rows of ${columns} have no blocks of ${blockSize}`);
  }
  const grids = Float32Array.from(search ? places[bits] : []);
  const blocks = values.length / blockSize;
  const packedBytes = (values.length * bits) / 8;
  const at = placesFor(values.length);
  const { memory, quantise } = bakeKernels('blocks', at.end);
  new Float32Array(memory.buffer, at.grids, grids.length).set(grids);
  if (values.buffer !== memory.buffer) new Float32Array(memory.buffer, at.values, values.length).set(values);
  quantise(
    at.values,
    at.packed,
    blockSize * 4,
    2 ** (bits - 1),
    at.grids,
    at.grids + grids.byteLength,
    at.packed,
    at.scales,
    at.sums,
  );
  const [difference, size] = new Float64Array(memory.buffer, at.sums, 2);
  return {
    packed: new Uint8Array(memory.buffer, at.packed, packedBytes).slice(),
    scales: new Float32Array(memory.buffer, at.scales, blocks).slice(),
    error: { difference: difference!, size: size! },
  };
}

/** What quantised rows stand for, row-major. */
export function dequantiseRows(
  packed: Uint8Array,
  scales: Float32Array,
  { bits, blockSize }: BlockLayout,
): Float32Array {
  const half = 2 ** (bits - 1);
  const values = new Float32Array(scales.length * blockSize);
  for (let i = 0; i < values.length; i++) {
    const code = bits === 8 ? packed[i]! : (packed[i >> 1]! >> (4 * (i & 1))) & 15;
    values[i] = (code - half) * scales[Math.floor(i / blockSize)]!;
  }
  return values;
}

/** √(Σ (x − x′)² / Σ x²) */
export function relativeErrorOf({ difference, size }: SquaredError): number {
  return size === 0 ? 0 : Math.sqrt(difference / size);
}
