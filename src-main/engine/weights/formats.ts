import { blockFormats, decodeBlocks, isBlockFormat, type BlockFormat } from './block-formats.ts';
import { decodeValues, dtypeBytes, type Dtype } from './dtypes.ts';

/** How a tensor's values are stored: one by one, or in blocks. */
export type TensorFormat = Dtype | BlockFormat;

/** So many values take so many bytes; a tensor is a whole number of these. */
export function unitOf(format: TensorFormat): { readonly values: number; readonly bytes: number } {
  return isBlockFormat(format) ? blockFormats[format] : { values: 1, bytes: dtypeBytes[format] };
}

/**
 * Converts whole units to float32.
 * @param target receives their values from `at` on
 */
export function decodeUnits(format: TensorFormat, bytes: Uint8Array, target: Float32Array, at: number): void {
  if (isBlockFormat(format)) decodeBlocks(format, bytes, target, at);
  else decodeValues(format, bytes, target, at);
}
