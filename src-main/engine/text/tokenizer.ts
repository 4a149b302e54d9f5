import { cleanPrompt } from './clean.ts';
import { createNormalizer } from './normalizer.ts';
import { parseSpiece } from './spiece.ts';
import { parseTokenizerJson } from './tokenizer-json.ts';
import { createUnigram } from './unigram.ts';

/** Ids of a text, padded with 0. */
export interface TokenIds {
  /** [maxLength] */
  readonly ids: Int32Array;
  /** How many of them are the text's, its end mark included: the ones of the attention mask. */
  readonly valid: number;
}

/** Prompt → ids, as Wan's scripts make them (spec §5): cleaned, split, ended, cut, padded. */
export interface Tokenizer {
  /** A text longer than `maxLength` ids is cut; the end mark stays the last. Empty text is the end mark alone. */
  encode(text: string, maxLength: number): TokenIds;
  /** How many ids the text has uncut, its end mark included. */
  count(text: string): number;
}

/**
 * A tokenizer from the bytes of a `spiece.model` or a `tokenizer.json` (unigram models).
 * @throws TOKENIZER_INVALID
 */
export function createTokenizer(file: Uint8Array): Tokenizer {
  const vocabulary = file[0] === 0x7b ? parseTokenizerJson(file) : parseSpiece(file);
  const normalize = createNormalizer(vocabulary);
  const split = createUnigram(vocabulary);
  const idsOf = (text: string): number[] => split(normalize(cleanPrompt(text)));
  return {
    encode(text, maxLength) {
      if (!Number.isInteger(maxLength) || maxLength < 1) {
        throw new RangeError(`The length of a text is at least 1, not ${maxLength}.`);
      }
      const kept = idsOf(text).slice(0, maxLength - 1);
      const ids = new Int32Array(maxLength);
      ids.set(kept);
      ids[kept.length] = vocabulary.endId;
      return { ids, valid: kept.length + 1 };
    },
    count: (text) => idsOf(text).length + 1,
  };
}
