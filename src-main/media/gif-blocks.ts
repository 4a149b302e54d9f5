/** Blocks of GIF89a: comments (section 24) and pictures (sections 20 to 22). */

const extension = 0x21;
const comment = 0xfe;
const picture = 0x2c;

/** A comment extension. The format wants ASCII: other characters of the JSON are written as \u escapes. */
export function commentBlock(json: string): Uint8Array {
  const ascii = json.replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const text = Buffer.from(ascii, 'latin1');
  const parts: Uint8Array[] = [Uint8Array.of(extension, comment)];
  for (let at = 0; at < text.length; at += 255) {
    const piece = text.subarray(at, at + 255);
    parts.push(Uint8Array.of(piece.length), piece);
  }
  return Buffer.concat([...parts, Uint8Array.of(0)]);
}

/** The comments of a GIF in order; of one that is cut short, those before the cut. */
export function* comments(gif: Uint8Array): Generator<string, void> {
  for (const block of blocks(gif)) {
    if (block.kind === extension && block.label === comment) yield subBlocks(gif, block.data);
  }
}

/**
 * The picture of a GIF that has one, as an image block with its palette inside, to be put into another GIF.
 * @param gif made by our own encoder, so it is whole
 */
export function singlePicture(gif: Uint8Array): Uint8Array {
  for (const { kind, start, data, end } of blocks(gif)) {
    if (kind !== picture) continue;
    const local = gif[start + 9]!;
    const palette = local & 0x80 ? gif.subarray(start + 10, data - 1) : gif.subarray(13, paletteEnd(gif, 10));
    const sizeBits = (local & 0x80 ? local : gif[10]!) & 7;
    const descriptor = Uint8Array.from(gif.subarray(start, start + 10));
    descriptor[9] = 0x80 | (local & 0x40) | sizeBits;
    return Buffer.concat([descriptor, palette, gif.subarray(data - 1, end)]);
  }
  throw new Error('The encoded GIF holds no picture.');
}

interface Block {
  readonly kind: number;
  /** Second byte: the kind of an extension. */
  readonly label: number | undefined;
  /** Where the block starts, where its first sub-block does, and where the next block starts. */
  readonly start: number;
  readonly data: number;
  readonly end: number;
}

function* blocks(gif: Uint8Array): Generator<Block, void> {
  let start = paletteEnd(gif, 10);
  while (start < gif.length) {
    const kind = gif[start]!;
    if (kind !== extension && kind !== picture) return;
    // A picture has its palette, if any, and the code size between its descriptor and its data.
    const data = kind === extension ? start + 2 : paletteEnd(gif, start + 9, start + 10) + 1;
    let end = data;
    for (let length = gif[end]; length !== undefined && length > 0; length = gif[end]) end += 1 + length;
    end += 1;
    yield { kind, label: gif[start + 1], start, data, end };
    start = end;
  }
}

/** End of a palette that the flags at one place announce and that starts at another. */
function paletteEnd(gif: Uint8Array, flagsAt: number, paletteAt = 13): number {
  const flags = gif[flagsAt] ?? 0;
  return paletteAt + (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
}

function subBlocks(gif: Uint8Array, at: number): string {
  const parts: Uint8Array[] = [];
  for (let length = gif[at]; length !== undefined && length > 0; length = gif[at]) {
    parts.push(gif.subarray(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return Buffer.concat(parts).toString('latin1');
}
