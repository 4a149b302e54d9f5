import { bytePiece, type Vocabulary } from './vocabulary.ts';

/** How far below the worst piece an unknown character scores. */
const unknownPenalty = 10;

const utf8 = new TextEncoder();

/**
 * Splits normalised text into the pieces of highest total score (Viterbi), as SentencePiece's unigram model does.
 * The time is proportional to the text's length times the longest piece's.
 * @returns a function from normalised text to ids, without an end mark
 */
export function createUnigram(vocabulary: Vocabulary): (text: string) => number[] {
  const { pieces, unknownId, byteFallback } = vocabulary;
  const scores = pieces.filter((piece) => piece.kind === 'normal').map((piece) => piece.score);
  const lowest = scores.reduce((a, b) => Math.min(a, b));
  const highest = scores.reduce((a, b) => Math.max(a, b));
  const idOf = new Map<string, number>();
  const scoreOf = new Float64Array(pieces.length);
  let longest = 0;
  for (const [id, { text, score, kind }] of pieces.entries()) {
    if (kind !== 'normal' && kind !== 'user-defined') continue;
    idOf.set(text, id);
    longest = Math.max(longest, text.length);
    // A user-defined piece beats every split of the same text.
    scoreOf[id] = kind === 'normal' ? score : utf8.encode(text).length * highest - 0.1;
  }
  const unknownScore = lowest - unknownPenalty;
  const byteIds = byteFallback ? bytePieceIds(vocabulary) : null;

  return (text) => {
    const best = new Float64Array(text.length + 1).fill(-Infinity);
    const startOf = new Int32Array(text.length + 1);
    const pieceAt = new Int32Array(text.length + 1);
    best[0] = 0;
    const offer = (from: number, to: number, id: number, score: number): void => {
      if (best[from]! + score <= best[to]!) return;
      best[to] = best[from]! + score;
      startOf[to] = from;
      pieceAt[to] = id;
    };
    for (let from = 0; from < text.length;) {
      const step = text.codePointAt(from)! > 0xffff ? 2 : 1;
      let single = false;
      for (let to = from + step; to <= text.length && to - from <= longest; to++) {
        const id = idOf.get(text.slice(from, to));
        if (id === undefined) continue;
        offer(from, to, id, scoreOf[id]!);
        if (to === from + step) single = true;
      }
      if (!single) offer(from, from + step, unknownId, unknownScore);
      from += step;
    }
    const ids: number[] = [];
    for (let to = text.length; to > 0; to = startOf[to]!) {
      const id = pieceAt[to]!;
      if (id !== unknownId) {
        ids.push(id);
      } else if (byteIds !== null) {
        const bytes = utf8.encode(text.slice(startOf[to], to));
        for (let i = bytes.length - 1; i >= 0; i--) ids.push(byteIds[bytes[i]!]!);
      } else if (ids.at(-1) !== unknownId) {
        // A run of unknown characters is one unknown piece.
        ids.push(unknownId);
      }
    }
    return ids.reverse();
  };
}

function bytePieceIds({ pieces }: Vocabulary): number[] {
  const ids = new Map(pieces.map((piece, id) => [piece.kind === 'byte' ? piece.text : '', id]));
  return Array.from({ length: 256 }, (_, byte) => ids.get(bytePiece(byte))!);
}
