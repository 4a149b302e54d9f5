import { z } from 'zod';
import { checkVocabulary, invalidTokenizer, limits, type Piece, type Vocabulary } from './vocabulary.ts';

const precompiledSchema = z.looseObject({
  type: z.literal('Precompiled'),
  precompiled_charsmap: z.base64().max(limits.charsmapBytes).nullish(),
});

/** `Replace` and `Strip` join and trim spaces, which every T5 tokenizer does; others would change the text unseen. */
const normalizerSchema = z.discriminatedUnion('type', [
  precompiledSchema,
  z.looseObject({
    type: z.literal('Sequence'),
    normalizers: z
      .array(
        z.discriminatedUnion('type', [
          precompiledSchema,
          z.looseObject({ type: z.literal('Replace') }),
          z.looseObject({ type: z.literal('Strip') }),
        ]),
      )
      .max(16),
  }),
]);

const fileSchema = z.looseObject({
  added_tokens: z
    .array(z.looseObject({ content: z.string(), special: z.boolean().default(false) }))
    .max(10_000)
    .nullish(),
  normalizer: normalizerSchema.nullish(),
  model: z.looseObject({
    type: z.literal('Unigram'),
    unk_id: z.int().min(0),
    byte_fallback: z.boolean().default(false),
    // Its entries are checked one by one below: a schema would collect hundreds of thousands of complaints.
    vocab: z.custom<unknown[]>((value) => Array.isArray(value) && value.length <= limits.pieces),
  }),
});

/** The end mark of the T5 family. */
const endMark = '</s>';

/**
 * Reads a `tokenizer.json` with a unigram model, as Hugging Face writes them from a SentencePiece model.
 * @throws TOKENIZER_INVALID
 */
export function parseTokenizerJson(bytes: Uint8Array): Vocabulary {
  if (bytes.length > limits.fileBytes) throw invalidTokenizer('the file is too large');
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (thrown) {
    throw invalidTokenizer('it is not valid JSON', thrown);
  }
  const result = fileSchema.safeParse(json);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw invalidTokenizer(`"${issue.path.join('.')}" is not as expected in a unigram model`);
  }
  const { model, normalizer, added_tokens: added } = result.data;
  const controls = new Set((added ?? []).filter((token) => token.special).map((token) => token.content));
  controls.add(endMark);
  const pieces = model.vocab.map((entry, id) => toPiece(entry, id, model.unk_id, controls));
  return checkVocabulary({
    pieces,
    unknownId: model.unk_id,
    endId: pieces.findIndex((piece) => piece.text === endMark),
    byteFallback: model.byte_fallback,
    charsmap: charsmapOf(normalizer ?? null),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
  });
}

function toPiece(entry: unknown, id: number, unknownId: number, controls: ReadonlySet<string>): Piece {
  if (!Array.isArray(entry) || typeof entry[0] !== 'string' || typeof entry[1] !== 'number') {
    throw invalidTokenizer(`piece ${id} is not a text and a score`);
  }
  const [text, score] = entry as [string, number];
  if (id === unknownId) return { text, score, kind: 'unknown' };
  if (controls.has(text)) return { text, score, kind: 'control' };
  return { text, score, kind: /^<0x[0-9A-F]{2}>$/.test(text) ? 'byte' : 'normal' };
}

/** The compiled replacement table, empty when the file has none. */
function charsmapOf(normalizer: z.infer<typeof normalizerSchema> | null): Uint8Array {
  const parts = normalizer?.type === 'Sequence' ? normalizer.normalizers : [normalizer];
  const table = parts.find((part) => part?.type === 'Precompiled')?.precompiled_charsmap;
  return new Uint8Array(Buffer.from(table ?? '', 'base64'));
}
