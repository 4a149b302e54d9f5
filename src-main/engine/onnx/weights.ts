/** Where the numbers of one tensor lie: a byte range of a file below {@link WeightSource.folder}. */
export interface WeightLocation {
  /** Relative, with forward slashes; ONNX Runtime refuses absolute paths, `..` and links that leave the folder. */
  readonly file: string;
  /** Bytes from the file's start; need not be aligned. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

export type FloatWeightDType = 'F32' | 'F16' | 'BF16';

/** A tensor used where it lies (safetensors names of types). F16 and BF16 become float32 once, at load. */
export interface FileWeight extends WeightLocation {
  readonly dtype: FloatWeightDType;
  readonly shape: readonly number[];
}

/** A small tensor carried inside the graph. */
export interface InlineWeight {
  readonly dtype: 'F32';
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/**
 * A linear layer's matrix [out, in] in blocks of 8- or 4-bit numbers, as MatMulNBits wants them: value = (code − zero)
 * · scale. `packed` is uint8 [out, ⌈in/blockSize⌉, blockSize · bits / 8], of two 4-bit codes the first in the low half;
 * `scales` float32 [out, ⌈in/blockSize⌉]; `zeroPoints` of 8 bits uint8 of the same shape; absent = 128, or 8, everywhere.
 */
export interface QuantisedWeight {
  readonly dtype: 'Q8' | 'Q4';
  readonly shape: readonly [rows: number, columns: number];
  readonly blockSize: number;
  readonly packed: WeightLocation;
  readonly scales: WeightLocation;
  readonly zeroPoints?: WeightLocation;
}

export type WeightEntry = FileWeight | InlineWeight | QuantisedWeight;

/** A network's weights by their official names (spec §1.2, §4.3, §5). */
export interface WeightSource {
  /** Folder that file entries are relative to; null when all entries are inline. */
  readonly folder: string | null;
  entry(name: string): WeightEntry | undefined;
}
