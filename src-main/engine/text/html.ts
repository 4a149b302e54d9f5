import { decodeHTML, decodeHTMLStrict } from 'entities';

/** Windows-1252's characters for the bytes 0x80 … 0x9F; the five bytes it leaves open stay themselves. */
export const windows1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';

/**
 * Decodes HTML character references as browsers do in text (the rules of Python's `html.unescape`, which Wan's
 * cleaning calls): numeric ones with or without a semicolon, named ones by the longest name that fits.
 */
export function unescapeHtml(text: string): string {
  return text.replace(
    /&(?:#([0-9]+);?|#[xX]([0-9a-fA-F]+);?|([^\t\n\f <&#;]{1,32};?))/g,
    (_whole, decimal: string | undefined, hex: string | undefined, name: string | undefined) => {
      if (decimal !== undefined) return fromNumber(Number.parseInt(decimal, 10));
      if (hex !== undefined) return fromNumber(Number.parseInt(hex, 16));
      return fromName(name!);
    },
  );
}

/**
 * Decodes only references that end in a semicolon, and all-caps forms of lower-case names (`&EACUTE;`), as ftfy
 * does: an informal "this&not that" stays what it is.
 */
export function unescapeStrict(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (whole) => {
    if (whole.startsWith('&#')) {
      const decoded = unescapeHtml(whole);
      return decoded.includes(';') ? whole : decoded;
    }
    const name = whole.slice(1, -1);
    const exact = reference(name);
    if (exact !== undefined) return exact;
    const lower = name.toLowerCase();
    const folded = reference(lower);
    if (folded === undefined || name !== name.toUpperCase() || unescapeHtml(whole) !== whole) return whole;
    return folded.toUpperCase();
  });
}

/** What `&name;` stands for. */
function reference(name: string): string | undefined {
  const whole = `&${name};`;
  const decoded = decodeHTMLStrict(whole);
  return decoded === whole ? undefined : decoded;
}

/** The longest name that fits, as in text: old names count without their semicolon. */
function fromName(name: string): string {
  return decodeHTML(`&${name}`);
}

function fromNumber(code: number): string {
  if (code === 0 || code > 0x10_ffff || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd';
  if (code === 0x0d) return '\r';
  if (code >= 0x80 && code <= 0x9f) return windows1252[code - 0x80]!;
  const noncharacter = (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) === 0xfffe;
  const control = code < 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0c;
  return noncharacter || control || code === 0x7f ? '' : String.fromCodePoint(code);
}
