import { halfTable } from './dtypes.ts';

/**
 * Block formats of GGUF: so many values share so many bytes. K formats hold 8 sub-blocks of 32 (Q6_K: 16 of 16) under
 * one or two float16 scales.
 */
export const blockFormats = {
  Q4_0: { values: 32, bytes: 18 },
  Q5_0: { values: 32, bytes: 22 },
  Q8_0: { values: 32, bytes: 34 },
  Q4_K: { values: 256, bytes: 144 },
  Q5_K: { values: 256, bytes: 176 },
  Q6_K: { values: 256, bytes: 210 },
} as const;

export type BlockFormat = keyof typeof blockFormats;

export function isBlockFormat(format: string): format is BlockFormat {
  return Object.hasOwn(blockFormats, format);
}

/**
 * Converts whole blocks to float32.
 * @param target receives their values from `at` on
 */
export function decodeBlocks(format: BlockFormat, bytes: Uint8Array, target: Float32Array, at: number): void {
  const block = blockFormats[format];
  const decode = decoders[format];
  for (let from = 0; from < bytes.length; from += block.bytes, at += block.values) {
    decode(bytes, from, target, at);
  }
}

type Decoder = (bytes: Uint8Array, from: number, target: Float32Array, at: number) => void;

function half(bytes: Uint8Array, at: number): number {
  return halfTable()[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

function signed(byte: number): number {
  return (byte << 24) >> 24;
}

const decoders: Readonly<Record<BlockFormat, Decoder>> = {
  /** d: f16, then 16 bytes: value i in the low half of byte i, value i + 16 in the high half. */
  Q4_0(bytes, from, target, at) {
    const d = half(bytes, from);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[from + 2 + i]!;
      target[at + i] = d * ((pair & 15) - 8);
      target[at + i + 16] = d * ((pair >> 4) - 8);
    }
  },

  /** As Q4_0 with a fifth bit for each value in 4 bytes before them. */
  Q5_0(bytes, from, target, at) {
    const d = half(bytes, from);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[from + 6 + i]!;
      const low = (bytes[from + 2 + (i >> 3)]! >> (i & 7)) & 1;
      const high = (bytes[from + 4 + (i >> 3)]! >> (i & 7)) & 1;
      target[at + i] = d * (((pair & 15) | (low << 4)) - 16);
      target[at + i + 16] = d * (((pair >> 4) | (high << 4)) - 16);
    }
  },

  Q8_0(bytes, from, target, at) {
    const d = half(bytes, from);
    for (let i = 0; i < 32; i++) target[at + i] = d * signed(bytes[from + 2 + i]!);
  },

  /** d, dmin: f16; 12 bytes of 6-bit scales and minima; 128 bytes, two sub-blocks in each 32. */
  Q4_K(bytes, from, target, at) {
    const d = half(bytes, from);
    const dmin = half(bytes, from + 2);
    for (let sub = 0; sub < 8; sub++) {
      const [scale, minimum] = scaleAndMinimum(bytes, from + 4, sub);
      const values = from + 16 + 32 * (sub >> 1);
      const shift = 4 * (sub & 1);
      for (let i = 0; i < 32; i++) {
        const q = (bytes[values + i]! >> shift) & 15;
        target[at + 32 * sub + i] = d * scale * q - dmin * minimum;
      }
    }
  },

  /** As Q4_K with 32 bytes of fifth bits before the values: bit `sub` of byte i. */
  Q5_K(bytes, from, target, at) {
    const d = half(bytes, from);
    const dmin = half(bytes, from + 2);
    for (let sub = 0; sub < 8; sub++) {
      const [scale, minimum] = scaleAndMinimum(bytes, from + 4, sub);
      const values = from + 48 + 32 * (sub >> 1);
      const shift = 4 * (sub & 1);
      for (let i = 0; i < 32; i++) {
        const fifth = (bytes[from + 16 + i]! >> sub) & 1;
        const q = ((bytes[values + i]! >> shift) & 15) | (fifth << 4);
        target[at + 32 * sub + i] = d * scale * q - dmin * minimum;
      }
    }
  },

  /** 128 bytes of low halves, 64 of the upper two bits, 16 signed scales, d: f16. */
  Q6_K(bytes, from, target, at) {
    const d = half(bytes, from + 208);
    for (let part = 0; part < 2; part++) {
      for (let quarter = 0; quarter < 4; quarter++) {
        for (let i = 0; i < 32; i++) {
          const low = bytes[from + 64 * part + 32 * (quarter & 1) + i]! >> (4 * (quarter >> 1));
          const high = bytes[from + 128 + 32 * part + i]! >> (2 * quarter);
          const scale = signed(bytes[from + 192 + 8 * part + 2 * quarter + (i >> 4)]!);
          const q = ((low & 15) | ((high & 3) << 4)) - 32;
          target[at + 128 * part + 32 * quarter + i] = d * scale * q;
        }
      }
    }
  },
};

/** Sub-block `sub` of a K format: its scale and minimum, 6 bits each. The upper four borrow bits of the lower. */
function scaleAndMinimum(bytes: Uint8Array, from: number, sub: number): [scale: number, minimum: number] {
  if (sub < 4) return [bytes[from + sub]! & 63, bytes[from + sub + 4]! & 63];
  const both = bytes[from + sub + 4]!;
  return [(both & 15) | ((bytes[from + sub - 4]! >> 6) << 4), (both >> 4) | ((bytes[from + sub]! >> 6) << 4)];
}
