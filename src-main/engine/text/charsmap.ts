import { invalidTokenizer, limits } from './vocabulary.ts';

/** The replacement for the longest known sequence at a position, and how many bytes of the text it stands for. */
export interface Replacement {
  readonly text: string;
  readonly bytes: number;
}

const utf8 = new TextDecoder('utf-8');

/**
 * SentencePiece's compiled normaliser (`precompiled_charsmap`): a double-array trie (Darts) from UTF-8 sequences to
 * offsets in a list of zero-terminated replacements. Layout: trie size in bytes (u32), trie units (u32 each, little
 * endian), replacements.
 *
 * A unit: bit 31 marks a value (the other bits), else bits 0–7 are the label, bit 8 says that a value follows, and
 * bits 10–30 are the offset to the children, times 256 when bit 9 is set.
 */
export class Charsmap {
  private readonly units: Uint32Array;
  private readonly replacements: Uint8Array;

  /** @throws TOKENIZER_INVALID when the sizes do not fit */
  constructor(blob: Uint8Array) {
    const view = new DataView(blob.buffer, blob.byteOffset, blob.length);
    const trieBytes = blob.length < 4 ? 0 : view.getUint32(0, true);
    if (trieBytes === 0 || trieBytes % 4 !== 0 || 4 + trieBytes > blob.length) {
      throw invalidTokenizer('its replacement table is damaged');
    }
    this.units = new Uint32Array(trieBytes / 4);
    for (let i = 0; i < this.units.length; i++) this.units[i] = view.getUint32(4 + 4 * i, true);
    this.replacements = blob.subarray(4 + trieBytes);
  }

  /**
   * The replacement of the longest sequence that starts at byte `at`, or null when none does.
   * @throws TOKENIZER_INVALID when the table is damaged there
   */
  longest(text: Uint8Array, at: number): Replacement | null {
    let node = offsetOf(this.units[0]!);
    let value = -1;
    let bytes = 0;
    for (let i = at; i < text.length; i++) {
      node ^= text[i]!;
      // A damaged table may point outside; then the sequence is simply not known.
      const unit = this.units[node];
      if (unit === undefined || (unit & 0x8000_00ff) >>> 0 !== text[i]!) break;
      node ^= offsetOf(unit);
      if ((unit & 0x100) === 0) continue;
      const leaf = this.units[node];
      if (leaf === undefined) break;
      value = leaf & 0x7fff_ffff;
      bytes = i + 1 - at;
    }
    if (value < 0) return null;
    const end = value < this.replacements.length ? this.replacements.indexOf(0, value) : -1;
    if (end < 0 || end - value > limits.replacementBytes) {
      throw invalidTokenizer('its replacement table is damaged');
    }
    return { text: utf8.decode(this.replacements.subarray(value, end)), bytes };
  }
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
