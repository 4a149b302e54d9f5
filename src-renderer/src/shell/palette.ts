/**
 * How well a text fits what was typed: every typed character in order. Higher is better; null: it does not fit.
 * Beginnings of words and runs of characters count more.
 */
export function fuzzyScore(text: string, typed: string): number | null {
  const wanted = typed.trim().toLowerCase();
  if (wanted === '') return 0;
  const where = text.toLowerCase();
  const whole = where.indexOf(wanted);
  if (whole >= 0) return 1000 - whole + (isWordStart(text, whole) ? 500 : 0);
  let score = 0;
  let at = -1;
  for (const character of wanted) {
    if (character === ' ') continue;
    const next = where.indexOf(character, at + 1);
    if (next < 0) return null;
    score += (next === at + 1 ? 6 : 1) + (isWordStart(text, next) ? 8 : 0);
    at = next;
  }
  return score;
}

function isWordStart(text: string, at: number): boolean {
  return at === 0 || /[\s\-_./–:]/.test(text[at - 1] ?? '');
}

/** Those that fit, best first; in their own order where nothing is typed. */
export function rank<T>(all: readonly T[], typed: string, textOf: (each: T) => string): T[] {
  return all
    .map((each) => ({ each, score: fuzzyScore(textOf(each), typed) }))
    .filter((ranked): ranked is { each: T; score: number } => ranked.score !== null)
    .sort((a, b) => b.score - a.score)
    .map(({ each }) => each);
}
