/** Scripts written without spaces between words; Korean is, but its particles cling to them. */
const cjk = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}ー々]+/gu;
const word = /[\p{L}\p{N}\p{M}]+/gu;

interface Run {
  readonly text: string;
  readonly cjk: boolean;
}

/** Runs of a text: words, and stretches of Chinese, Japanese and Korean characters, lower-case and unified. */
function runsOf(text: string): Run[] {
  const unified = text.normalize('NFKC').toLowerCase();
  const runs: Run[] = [];
  for (const [found] of unified.matchAll(word)) {
    let at = 0;
    for (const match of found.matchAll(cjk)) {
      if (match.index > at) runs.push({ text: found.slice(at, match.index), cjk: false });
      runs.push({ text: match[0], cjk: true });
      at = match.index + match[0].length;
    }
    if (at < found.length) runs.push({ text: found.slice(at), cjk: false });
  }
  return runs;
}

/**
 * A text as it is indexed: words as they are, CJK stretches as overlapping pairs of characters with the last
 * character alone at the end ("日落港" → "日落 落港 港"), so that every character begins one token.
 */
export function indexText(text: string): string {
  return runsOf(text)
    .map((run) => {
      if (!run.cjk) return run.text;
      const characters = Array.from(run.text);
      return characters.map((one, i) => one + (characters[i + 1] ?? '')).join(' ');
    })
    .join(' ');
}

/** How words of a query match: as they are, or by their beginnings. */
export type WordMatch = 'whole' | 'beginning';

/**
 * What a person typed as an FTS5 query: every run must be there, a CJK stretch as a phrase of pairs. Null when there
 * is nothing to look for.
 * @param most runs that are looked at
 */
export function queryText(text: string, words: WordMatch, most = 16): string | null {
  const terms = runsOf(text)
    .slice(0, most)
    .map((run) => {
      const characters = Array.from(run.text);
      if (!run.cjk) return `"${run.text}"${words === 'beginning' ? ' *' : ''}`;
      // Every character begins a pair, or stands alone at the end of its stretch.
      if (characters.length === 1) return `"${run.text}" *`;
      const pairs = characters.slice(0, -1).map((one, i) => one + characters[i + 1]!);
      return `"${pairs.join(' ')}"`;
    });
  return terms.length === 0 ? null : terms.join(' AND ');
}

/** One token for an id of any letters, which the tokenizer neither cuts nor folds. */
export function idToken(prefix: string, id: string): string {
  return prefix + Buffer.from(id).toString('hex');
}
