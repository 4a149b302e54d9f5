import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import protobuf from 'protobufjs/minimal.js';
import { describe, expect, test } from 'vitest';
import { PusaError } from '../../src-main/core/errors.ts';
import { cleanPrompt } from '../../src-main/engine/text/clean.ts';
import { createNormalizer } from '../../src-main/engine/text/normalizer.ts';
import { parseSpiece } from '../../src-main/engine/text/spiece.ts';
import { createTokenizer } from '../../src-main/engine/text/tokenizer.ts';
import { createUnigram } from '../../src-main/engine/text/unigram.ts';

const fixtures = join(import.meta.dirname, '../fixtures');
const tiny = readFileSync(join(fixtures, 'goldens/spm_tiny/spiece.model'));
const { models } = JSON.parse(readFileSync(join(fixtures, 'sentencepiece.json'), 'utf8')) as {
  models: Record<'tiny' | 'plain' | 'loose', { model?: string; cases: [text: string, ids: number[]][] }>;
};
const plain = Buffer.from(models.plain.model!, 'base64');

/** The `tokenizer.json` that Hugging Face makes of a SentencePiece model, as far as a tokenizer reads it. */
function toTokenizerJson(spiece: Uint8Array): Record<string, unknown> {
  const vocabulary = parseSpiece(spiece);
  return {
    version: '1.0',
    added_tokens: [{ id: 0, content: '<pad>', special: true }],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Precompiled', precompiled_charsmap: Buffer.from(vocabulary.charsmap).toString('base64') },
        { type: 'Replace', pattern: { Regex: ' {2,}' }, content: '▁' },
      ],
    },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
    model: {
      type: 'Unigram',
      unk_id: vocabulary.unknownId,
      byte_fallback: vocabulary.byteFallback,
      vocab: vocabulary.pieces.map((piece) => [piece.text, piece.score]),
    },
  };
}

const toBytes = (json: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(json));

/** What a call refuses with; anything but a PusaError is thrown on. */
function codeOf(action: () => unknown): string {
  try {
    action();
    return 'accepted';
  } catch (thrown) {
    if (thrown instanceof PusaError) return thrown.code;
    throw thrown;
  }
}

describe('cleaning', () => {
  const { cases } = JSON.parse(readFileSync(join(fixtures, 'prompt-cleaning.json'), 'utf8')) as {
    cases: [text: string, cleaned: string][];
  };

  test.each(cases)('%j', (text, cleaned) => {
    expect(cleanPrompt(text)).toBe(cleaned);
  });

  test('honest text with accents and marks is not taken for damage', () => {
    for (const text of ['CAFÉ® NESTLÉ™', 'À propos… ÉTÉ – Ü', 'Ärger in Öl', 'Ωmega 5° ½', 'ÀÉ» «Ñ»']) {
      expect(cleanPrompt(text)).toBe(text);
    }
  });

  test('damage that only cleaning here repairs, in a line with other letters', () => {
    expect(cleanPrompt('plain start Å“uvre â„¢ then 猫 ok')).toBe('plain start œuvre ™ then 猫 ok');
  });

  test('any text comes to an end, well-formed and without outer or double spaces', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const cleaned = cleanPrompt(text);
        expect(cleaned).toBe(cleaned.trim());
        expect(cleaned).not.toMatch(/ {2}/);
      }),
      { seed: 11, numRuns: 500 },
    );
    expect(cleanPrompt('&amp;'.repeat(2000))).toBe('&'.repeat(2000));
    expect(cleanPrompt(`&${'amp;'.repeat(2500)}lt;`)).toBe('<');
    expect(cleanPrompt('Ã'.repeat(10_000))).toHaveLength(10_000);
    expect(cleanPrompt('\ud83d alone')).toBe('\ufffd alone');
  });
});

describe('tokenizing', () => {
  test.each(Object.entries(models))(
    'the model %s splits as SentencePiece does',
    (_name, { model, cases }) => {
      const vocabulary = parseSpiece(model === undefined ? tiny : Buffer.from(model, 'base64'));
      const normalize = createNormalizer(vocabulary);
      const split = createUnigram(vocabulary);
      expect(cases.length).toBeGreaterThan(60);
      for (const [text, ids] of cases) expect([text, split(normalize(text))]).toEqual([text, ids]);
    },
  );

  test('ids are ended, cut with the end mark last, and padded with 0', () => {
    const tokenizer = createTokenizer(tiny);
    const text = 'the monk zooms in';
    expect(tokenizer.encode(text, 8)).toEqual({
      ids: Int32Array.of(278, 260, 284, 266, 1, 0, 0, 0),
      valid: 5,
    });
    expect(tokenizer.encode(text, 5)).toEqual({ ids: Int32Array.of(278, 260, 284, 266, 1), valid: 5 });
    expect(tokenizer.encode(text, 3)).toEqual({ ids: Int32Array.of(278, 260, 1), valid: 3 });
    expect(tokenizer.encode(text, 1)).toEqual({ ids: Int32Array.of(1), valid: 1 });
    expect(tokenizer.encode(' \n&nbsp; ', 3)).toEqual({ ids: Int32Array.of(1, 0, 0), valid: 1 });
    expect([tokenizer.count(text), tokenizer.count(''), tokenizer.count('☃')]).toEqual([5, 1, 5]);
    expect(() => tokenizer.encode(text, 0)).toThrow(RangeError);
  });

  test('tokenizer.json gives the same ids as spiece.model', () => {
    const fromJson = createTokenizer(toBytes(toTokenizerJson(tiny)));
    const fromSpiece = createTokenizer(tiny);
    for (const [text] of models.tiny.cases) {
      expect(fromJson.encode(text, 64)).toEqual(fromSpiece.encode(text, 64));
    }
  });

  test('a mark of the vocabulary in a prompt is text, not a command', () => {
    const { ids, valid } = createTokenizer(tiny).encode('</s> <0x41> <pad>', 64);
    expect([...ids.subarray(0, valid - 1)]).not.toContain(1);
    expect([...ids.subarray(0, valid)]).not.toContain(0);
  });
});

describe('damaged and hostile tokenizers', () => {
  test('a model cut anywhere is refused', () => {
    const cuts = [0, 1, 2, 5, 100, 10_000, tiny.length - 1];
    const codes = cuts.map((length) => codeOf(() => createTokenizer(tiny.subarray(0, length))));
    expect(codes).toEqual(cuts.map(() => 'TOKENIZER_INVALID'));
  });

  test('random bytes and other formats are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(codeOf(() => createTokenizer(bytes))).toBe('TOKENIZER_INVALID');
      }),
      { seed: 5, numRuns: 500 },
    );
    for (const text of ['{', '{}', '{"model":{}}', '[]', 'not a model', '\x89PNG\r\n\x1a\n']) {
      expect(codeOf(() => createTokenizer(new TextEncoder().encode(text)))).toBe('TOKENIZER_INVALID');
    }
  });

  test('claims of huge lengths are refused before anything is allocated', () => {
    const varint = [0xff, 0xff, 0xff, 0xff, 0x0f];
    const heads = [
      [0x0a, ...varint],
      [0x12, ...varint],
      [0x1a, 0x06, 0x12, ...varint],
      [0x0a, 0x06, 0x0a, ...varint],
      // Groups within groups, which a careless reader follows without end.
      Array.from({ length: 5000 }, () => 0x7b),
    ];
    for (const head of heads) {
      expect(codeOf(() => createTokenizer(Uint8Array.from(head)))).toBe('TOKENIZER_INVALID');
    }
  });

  test('a model with one byte changed tokenizes or is refused, and never hangs', () => {
    const text = models.plain.cases.map(([sentence]) => sentence).join(' ');
    const codes = new Set<string>();
    for (let at = 0; at < plain.length; at++) {
      for (const bit of [0x01, 0x10, 0x80]) {
        const changed = Uint8Array.from(plain);
        changed[at]! ^= bit;
        codes.add(codeOf(() => createTokenizer(changed).encode(text, 512)));
      }
    }
    expect([...codes].sort()).toEqual(['TOKENIZER_INVALID', 'accepted']);
  });

  test('a damaged replacement table is refused or does no harm', () => {
    const good = toTokenizerJson(tiny);
    const table = parseSpiece(tiny).charsmap;
    const trieBytes = new DataView(table.buffer, table.byteOffset).getUint32(0, true);
    const tokenizeWith = (changed: Uint8Array): string => {
      const precompiled_charsmap = Buffer.from(changed).toString('base64');
      const file = toBytes({ ...good, normalizer: { type: 'Precompiled', precompiled_charsmap } });
      return codeOf(() => createTokenizer(file).encode('ﬁne ｆｕｌｌ été ﷺ 猫 ½', 512));
    };
    expect(tokenizeWith(table)).toBe('accepted');
    const sizes = [0, 2, trieBytes + 1, table.length, 0xffff_ffff];
    for (const size of sizes) {
      const changed = Uint8Array.from(table);
      new DataView(changed.buffer).setUint32(0, size, true);
      expect(tokenizeWith(changed)).toBe('TOKENIZER_INVALID');
    }
    // No replacements; replacements without an end; a trie of nonsense.
    expect(tokenizeWith(table.slice(0, 4 + trieBytes))).toBe('TOKENIZER_INVALID');
    expect(tokenizeWith(Uint8Array.from(table).fill(0x61, 4 + trieBytes))).toBe('TOKENIZER_INVALID');
    for (let seed = 1; seed <= 20; seed++) {
      const changed = Uint8Array.from(table);
      for (let at = 4; at < 4 + trieBytes; at++) changed[at] = (at * seed * 2_654_435_761) >>> 24;
      expect(['TOKENIZER_INVALID', 'accepted']).toContain(tokenizeWith(changed));
    }
  });

  test.each([
    ['no end mark', { 42: 77 }],
    ['another algorithm', { 3: 2 }],
    ['spaces at the end of words', { 24: 1 }],
    ['byte fallback without byte pieces', { 35: 1 }],
  ])('a model with %s is refused', (_what, settings) => {
    // A later message of the same field overrides single settings, as protobuf defines it.
    const writer = protobuf.Writer.create()
      .uint32((2 << 3) | 2)
      .fork();
    for (const [field, value] of Object.entries(settings)) writer.uint32(Number(field) << 3).uint32(value);
    const changed = Buffer.concat([plain, writer.ldelim().finish()]);
    expect(codeOf(() => createTokenizer(changed))).toBe('TOKENIZER_INVALID');
  });

  test('tokenizer.json is checked entry by entry', () => {
    const good = toTokenizerJson(plain);
    const model = good['model'] as { vocab: unknown[] };
    expect(codeOf(() => createTokenizer(toBytes(good)))).toBe('accepted');
    const vocabs: unknown[] = [
      [],
      [...model.vocab, ['a']],
      [...model.vocab, ['', 0]],
      [...model.vocab, ['new', '1']],
      [...model.vocab, ['new', null]],
      [...model.vocab, model.vocab.at(-1)],
      [...model.vocab, ['x'.repeat(5000), 0]],
      { length: 3 },
    ];
    for (const vocab of vocabs) {
      const changed = { ...good, model: { ...model, vocab } };
      expect(codeOf(() => createTokenizer(toBytes(changed)))).toBe('TOKENIZER_INVALID');
    }
    for (const change of [{ unk_id: -1 }, { unk_id: 1e9 }, { type: 'BPE' }, { byte_fallback: true }]) {
      const changed = { ...good, model: { ...model, ...change } };
      expect(codeOf(() => createTokenizer(toBytes(changed)))).toBe('TOKENIZER_INVALID');
    }
    const normalizers: unknown[] = [
      7,
      { type: 'Precompiled', precompiled_charsmap: 'AAAA' },
      { type: 'Precompiled', precompiled_charsmap: '?' },
      { type: 'Lowercase' },
      { type: 'Sequence', normalizers: [{ type: 'Sequence', normalizers: [] }] },
    ];
    for (const normalizer of normalizers) {
      expect(codeOf(() => createTokenizer(toBytes({ ...good, normalizer })))).toBe('TOKENIZER_INVALID');
    }
    const deep = `{"model":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    expect(codeOf(() => createTokenizer(new TextEncoder().encode(deep)))).toBe('TOKENIZER_INVALID');
  });
});
