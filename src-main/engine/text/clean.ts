import { unescapeHtml, unescapeStrict, windows1252 } from './html.ts';
import { fixMojibake } from './mojibake.ts';

/** What Python's `str.strip()` and `\s` take for white space; JavaScript's `\s` differs in a few characters. */
const space = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const spaces = new RegExp(`[${space}]+`, 'g');

const ligatures: Readonly<Record<string, string>> = {
  Ĳ: 'IJ',
  ĳ: 'ij',
  ŉ: 'ʼn',
  Ǳ: 'DZ',
  ǲ: 'Dz',
  ǳ: 'dz',
  Ǆ: 'DŽ',
  ǅ: 'Dž',
  ǆ: 'dž',
  Ǉ: 'LJ',
  ǈ: 'Lj',
  ǉ: 'lj',
  Ǌ: 'NJ',
  ǋ: 'Nj',
  ǌ: 'nj',
  ﬀ: 'ff',
  ﬁ: 'fi',
  ﬂ: 'fl',
  ﬃ: 'ffi',
  ﬄ: 'ffl',
  ﬅ: 'ſt',
  ﬆ: 'st',
};
const ligature = new RegExp(`[${Object.keys(ligatures).join('')}]`, 'g');

/** Colours and the like of a terminal: escape, `[`, numbers, a letter. */
const terminalEscape = new RegExp(`${String.fromCharCode(0x1b)}\\[[\\d;]*[a-zA-Z]`, 'g');

/**
 * Cleans a prompt as Wan's text encoder does before tokenizing (spec §5): fix the text (see {@link fixText}), decode
 * HTML references twice, make every run of white space one space, none at the ends.
 */
export function cleanPrompt(text: string): string {
  return unescapeHtml(unescapeHtml(fixText(text)))
    .replace(spaces, ' ')
    .replace(/^ | $/g, '');
}

/**
 * The part of ftfy's `fix_text` (version 6, default settings) that prompts meet, in its order and repeated until
 * nothing changes: HTML references that end in a semicolon (until a line holds `<`), UTF-8 read as Latin-1 or
 * Windows-1252, C1 controls read as Windows-1252, Latin ligatures, full-width and half-width forms, curly quotes,
 * line breaks, lone surrogates, terminal escapes, control characters, Unicode NFC.
 *
 * Left out: mix-ups with code pages other than these two, and sequences a byte of which was lost or became a space.
 */
export function fixText(text: string): string {
  let unescape = true;
  return text
    .split(/(?<=\n)/)
    .map((line) => {
      if (line.includes('<')) unescape = false;
      return fixLine(line, unescape);
    })
    .join('');
}

function fixLine(line: string, unescape: boolean): string {
  for (;;) {
    const fixed = fixMojibake(unescape ? unescapeStrict(line) : line)
      .replace(/[\x80-\x9f]/g, (c) => windows1252[c.charCodeAt(0) - 0x80]!)
      .replace(ligature, (c) => ligatures[c]!)
      .replace(/[\u3000\uff01-\uffef]/g, (c) => c.normalize('NFKC'))
      .replace(/[\u201c-\u201f]/g, '"')
      .replace(/[\u02bc\u2018-\u201b]/g, "'")
      .replace(/\r\n|[\r\u2028\u2029\x85]/g, '\n')
      .toWellFormed()
      .replace(terminalEscape, '')
      .replace(/[^\P{Cc}\t\n\f\r\x80-\x9f]|[\u206a-\u206f\ufeff\ufff9-\ufffc]/gu, '')
      .normalize('NFC');
    if (fixed === line) return line;
    line = fixed;
  }
}
