/** Number formats of the safetensors format and how each becomes float32. */

export const dtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;

export type Dtype = keyof typeof dtypeBytes;

export function isDtype(text: unknown): text is Dtype {
  return typeof text === 'string' && Object.hasOwn(dtypeBytes, text);
}

/**
 * Converts little-endian values to float32.
 * @param bytes whole values of `dtype`
 * @param target receives bytes.length / size values from `at` on
 */
export function decodeValues(dtype: Dtype, bytes: Uint8Array, target: Float32Array, at: number): void {
  const count = bytes.length / dtypeBytes[dtype];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (dtype) {
    case 'F32':
      new Uint8Array(target.buffer, target.byteOffset + at * 4, count * 4).set(bytes);
      return;
    case 'BF16': {
      // A bfloat16 is the upper half of a float32.
      const bits = new Uint32Array(target.buffer, target.byteOffset + at * 4, count);
      if (bytes.byteOffset % 2 === 0) {
        const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
        for (let i = 0; i < count; i++) bits[i] = halves[i]! << 16;
        return;
      }
      for (let i = 0; i < count; i++) bits[i] = ((bytes[2 * i + 1]! << 24) | (bytes[2 * i]! << 16)) >>> 0;
      return;
    }
    case 'F16': {
      const table = halfTable();
      for (let i = 0; i < count; i++) target[at + i] = table[bytes[2 * i]! | (bytes[2 * i + 1]! << 8)]!;
      return;
    }
    case 'F8_E4M3':
      for (let i = 0; i < count; i++) target[at + i] = eightBits.E4M3[bytes[i]!]!;
      return;
    case 'F8_E5M2':
      for (let i = 0; i < count; i++) target[at + i] = eightBits.E5M2[bytes[i]!]!;
      return;
    case 'U8':
    case 'BOOL':
      target.set(bytes, at);
      return;
    case 'I8':
      for (let i = 0; i < count; i++) target[at + i] = view.getInt8(i);
      return;
    case 'F64':
      for (let i = 0; i < count; i++) target[at + i] = view.getFloat64(8 * i, true);
      return;
    case 'I64':
      for (let i = 0; i < count; i++) target[at + i] = Number(view.getBigInt64(8 * i, true));
      return;
    case 'U64':
      for (let i = 0; i < count; i++) target[at + i] = Number(view.getBigUint64(8 * i, true));
      return;
    case 'I32':
      for (let i = 0; i < count; i++) target[at + i] = view.getInt32(4 * i, true);
      return;
    case 'U32':
      for (let i = 0; i < count; i++) target[at + i] = view.getUint32(4 * i, true);
      return;
    case 'I16':
      for (let i = 0; i < count; i++) target[at + i] = view.getInt16(2 * i, true);
      return;
    case 'U16':
      for (let i = 0; i < count; i++) target[at + i] = view.getUint16(2 * i, true);
      return;
  }
}

/**
 * A float of 1 sign bit, `exponentBits` and `mantissaBits`. With `infinities` the largest exponent means infinity and
 * NaN (IEEE); without, only all ones mean NaN (the "fn" formats).
 */
function smallFloat(bits: number, exponentBits: number, mantissaBits: number, infinities: boolean): number {
  const mantissa = bits & ((1 << mantissaBits) - 1);
  const exponent = (bits >> mantissaBits) & ((1 << exponentBits) - 1);
  const sign = (bits >> (exponentBits + mantissaBits)) & 1 ? -1 : 1;
  const top = (1 << exponentBits) - 1;
  if (exponent === top) {
    if (infinities) return mantissa === 0 ? sign * Infinity : NaN;
    if (mantissa === (1 << mantissaBits) - 1) return NaN;
  }
  const bias = (1 << (exponentBits - 1)) - 1;
  const fraction = mantissa / (1 << mantissaBits);
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

const eightBits = {
  E4M3: Float32Array.from({ length: 256 }, (_, bits) => smallFloat(bits, 4, 3, false)),
  E5M2: Float32Array.from({ length: 256 }, (_, bits) => smallFloat(bits, 5, 2, true)),
};

let halves: Float32Array | undefined;
/** Every float16 as float32, by its bits. */
export function halfTable(): Float32Array {
  halves ??= Float32Array.from({ length: 65_536 }, (_, bits) => smallFloat(bits, 5, 10, true));
  return halves;
}
