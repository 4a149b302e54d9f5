import { Charsmap } from './charsmap.ts';
import { invalidTokenizer, limits, type Vocabulary } from './vocabulary.ts';

/** The visible mark that SentencePiece writes for a space. */
export const spaceMark = '▁';

const utf8 = new TextEncoder();

/**
 * SentencePiece's normaliser: replaces characters by the model's table, trims and joins spaces, puts one before the
 * text, and writes spaces as ▁. User-defined pieces pass unchanged.
 * @returns a function from text to normalised text; empty text gives none
 */
export function createNormalizer(vocabulary: Vocabulary): (text: string) => string {
  const charsmap = vocabulary.charsmap.length === 0 ? null : new Charsmap(vocabulary.charsmap);
  const { addDummyPrefix, removeExtraWhitespaces } = vocabulary;
  const literals = new Set(
    vocabulary.pieces.filter((piece) => piece.kind === 'user-defined').map((piece) => piece.text),
  );
  const longestLiteral = [...literals].reduce((longest, piece) => Math.max(longest, piece.length), 0);

  function literalAt(text: string, at: number): string | undefined {
    for (let length = longestLiteral; length > 0; length--) {
      const part = text.slice(at, at + length);
      if (literals.has(part)) return part;
    }
    return undefined;
  }

  function replaceCharacters(text: string): string[] {
    const bytes = utf8.encode(text);
    const parts: string[] = [];
    let byte = 0;
    for (let at = 0; at < text.length;) {
      const kept = literalAt(text, at);
      const character = String.fromCodePoint(text.codePointAt(at)!);
      const replacement = kept === undefined ? (charsmap?.longest(bytes, byte) ?? null) : null;
      let consumed = kept ?? character;
      if (replacement !== null) {
        // The table knows whole characters only, so the bytes end where a character ends.
        while (utf8Length(consumed) < replacement.bytes) {
          consumed += String.fromCodePoint(text.codePointAt(at + consumed.length)!);
        }
      }
      parts.push(replacement?.text ?? consumed);
      at += consumed.length;
      byte += utf8Length(consumed);
    }
    return parts;
  }

  return (text) => {
    let out = '';
    let afterSpace = removeExtraWhitespaces;
    for (const part of replaceCharacters(text.toWellFormed())) {
      const kept = afterSpace ? part.replace(/^ +/, '') : part;
      if (kept === '') continue;
      out += kept;
      if (out.length > limits.textLength) throw invalidTokenizer('the text becomes too long with it');
      afterSpace = removeExtraWhitespaces && kept.endsWith(' ');
    }
    if (removeExtraWhitespaces) out = out.replace(/ +$/, '');
    if (out === '') return '';
    return (addDummyPrefix ? ` ${out}` : out).replaceAll(' ', spaceMark);
  };
}

function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const point = character.codePointAt(0)!;
    length += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x1_0000 ? 3 : 4;
  }
  return length;
}
