import { windows1252 } from './html.ts';

const byteOf = new Map<string, number>();
for (let byte = 0x80; byte <= 0xff; byte++) byteOf.set(String.fromCharCode(byte), byte);
for (let i = 0; i < windows1252.length; i++) byteOf.set(windows1252[i]!, 0x80 + i);

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Characters that follow a capital letter in honest text (brand marks, closing quotes, dashes, ellipsis). */
const plausibleAfterCapital = new Set('®™©°»›”’…–—·´\u00a0');

/**
 * Repairs text whose UTF-8 bytes were read as Latin-1 or Windows-1252 (`Ã©` for é, `â€™` for ’), also when it
 * happened twice or only to a part of the text. Sequences that honest text may hold (`CAFÉ®`) stay. Mix-ups with
 * other code pages are not guessed at.
 */
export function fixMojibake(text: string): string {
  let broken = text;
  for (;;) {
    const fixed = repairOnce(broken);
    if (fixed === broken) return fixed;
    broken = fixed;
  }
}

/** Every repair makes the text shorter or takes away an Ã, so repeating it ends. */
function repairOnce(text: string): string {
  const rows = findRows(text);
  // One sure sign says how the whole line came about.
  const sure = rows.some((row) => !row.doubtful);
  let out = '';
  let kept = 0;
  for (const { from, to, decoded } of sure ? rows : []) {
    out += text.slice(kept, from) + decoded;
    kept = to;
  }
  // `à` is Ã and a no-break space, which often became a plain space or merged with the one after it.
  return (out + text.slice(kept))
    .replace(/(^|[a-z]\s?)Ã (?=quel[ae]|quilo|s )/g, '$1à')
    .replace(/(^|[a-z]\s?)Ã {1,2}/g, '$1à ');
}

interface Row {
  readonly from: number;
  readonly to: number;
  readonly decoded: string;
  /** Honest text may hold it. */
  readonly doubtful: boolean;
}

/** Rows of characters that are valid UTF-8 when taken as bytes. */
function findRows(text: string): Row[] {
  const rows: Row[] = [];
  for (let from = 0; from < text.length;) {
    const to = rowEnd(text, from);
    if (to === from) {
      from++;
      continue;
    }
    // After a byte that continues a sequence this would be the middle of a larger garble.
    const before = from === 0 ? undefined : byteOf.get(text[from - 1]!);
    const row = text.slice(from, to);
    const decoded = before !== undefined && before < 0xc0 ? null : decode(row);
    if (decoded !== null) rows.push({ from, to, decoded, doubtful: isDoubtful(row) });
    from = to;
  }
  return rows;
}

/** End of the longest row of well-formed multi-byte sequences from `at` on; `at` when there is none. */
function rowEnd(text: string, at: number): number {
  for (;;) {
    const length = sequenceLength(byteOf.get(text[at] ?? '') ?? 0);
    if (length === 0) return at;
    for (let i = 1; i < length; i++) {
      const byte = byteOf.get(text[at + i] ?? '') ?? 0;
      if (byte < 0x80 || byte > 0xbf) return at;
    }
    at += length;
  }
}

function sequenceLength(lead: number): number {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

function decode(row: string): string | null {
  try {
    return strictUtf8.decode(Uint8Array.from(row, (character) => byteOf.get(character)!));
  } catch {
    return null;
  }
}

function isDoubtful(row: string): boolean {
  return row.length === 2 && !/^[ÃÂ]/.test(row) && plausibleAfterCapital.has(row[1]!);
}
