import { PusaError } from '../../core/errors.ts';

/** How a piece takes part in tokenizing. `unused` pieces keep their id and are never chosen. */
export type PieceKind = 'normal' | 'user-defined' | 'control' | 'unknown' | 'byte' | 'unused';

/** One entry of a vocabulary; its id is its position. `score` is a log probability. */
export interface Piece {
  readonly text: string;
  readonly score: number;
  readonly kind: PieceKind;
}

/** What a tokenizer file says, whichever format it came in. */
export interface Vocabulary {
  readonly pieces: readonly Piece[];
  readonly unknownId: number;
  readonly endId: number;
  /** Unknown characters become the pieces of their UTF-8 bytes. */
  readonly byteFallback: boolean;
  /** SentencePiece's compiled replacement table (see `charsmap.ts`); empty when there is none. */
  readonly charsmap: Uint8Array;
  /** Text starts as if a space stood before it. */
  readonly addDummyPrefix: boolean;
  /** Runs of spaces become one, none at the ends. */
  readonly removeExtraWhitespaces: boolean;
}

/** Bounds on what a tokenizer file may hold; umt5-xxl has 256,384 pieces and a file of 4.5 MB (tokenizer.json 17 MB). */
export const limits = {
  fileBytes: 128 * 1024 * 1024,
  pieces: 2_000_000,
  pieceLength: 128,
  /** Bytes one sequence of the replacement table may become; the longest real one has 33. */
  replacementBytes: 256,
  /** Characters of a normalised text; a prompt has at most 10,000, which may grow to 18 times as many. */
  textLength: 200_000,
  charsmapBytes: 16 * 1024 * 1024,
} as const;

/** The refusal of a broken tokenizer; `what` continues the sentence after a colon. */
export function invalidTokenizer(what: string, cause?: unknown): PusaError {
  return new PusaError(
    'TOKENIZER_INVALID',
    `The tokenizer cannot be used: ${what}.`,
    'Download spiece.model or tokenizer.json of google/umt5-xxl again.',
    cause === undefined ? undefined : { cause },
  );
}

/**
 * Checks what both formats have to hold.
 * @throws TOKENIZER_INVALID
 */
export function checkVocabulary(vocabulary: Vocabulary): Vocabulary {
  const { pieces, unknownId, endId, byteFallback } = vocabulary;
  const ids = new Map<string, number>();
  let normal = 0;
  for (const [id, { text, score, kind }] of pieces.entries()) {
    if (text === '') throw invalidTokenizer(`piece ${id} is empty`);
    if (text.length > limits.pieceLength) throw invalidTokenizer(`piece ${id} is too long`);
    if (!Number.isFinite(score)) throw invalidTokenizer(`the score of piece ${id} is not a number`);
    if (ids.has(text)) throw invalidTokenizer(`the pieces ${ids.get(text)!} and ${id} are the same`);
    ids.set(text, id);
    if (kind === 'normal') normal++;
  }
  if (normal === 0) throw invalidTokenizer('it has no pieces');
  if (pieces[unknownId]?.kind !== 'unknown') throw invalidTokenizer('it has no piece for unknown text');
  if (pieces[endId]?.kind !== 'control') throw invalidTokenizer('it has no piece for the end of a text');
  if (byteFallback) {
    for (let byte = 0; byte < 256; byte++) {
      const id = ids.get(bytePiece(byte));
      if (id === undefined || pieces[id]!.kind !== 'byte') {
        throw invalidTokenizer(`the piece of the byte ${byte} is missing`);
      }
    }
  }
  return vocabulary;
}

/** The name of a byte's piece. */
export function bytePiece(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}
