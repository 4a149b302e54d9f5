import { sweepSchema, type Sweep } from '../../../src-main/core/contract/api/jobs.ts';

/** Over what a batch goes. */
export type SweepOver = Sweep['over'];

/** Most jobs of one batch, as the contract has it. */
export const mostJobs = 200;

/** Why a text is no list of values. */
export type SweepFlaw = 'empty' | 'notNumbers' | 'badRange' | 'tooMany' | 'outOfBounds';

export type ParsedSweep =
  { readonly ok: true; readonly sweep: Sweep } | { readonly ok: false; readonly flaw: SweepFlaw };

/**
 * Reads values as people write them: "2, 4, 10", "1–5" (steps of 1), "2:6:0.5" or "2..6 step 0.5". Parts can be mixed;
 * a value given twice is taken once. Chinese commas and spaces separate as well.
 */
export function parseSweep(over: SweepOver, text: string): ParsedSweep {
  const parts = text
    .replace(/\s*(?:step|步长)\s*/giu, ':')
    .replace(/\s*(\.\.|:|–|—|~)\s*/gu, '$1')
    .split(/[\s,，、;；]+/u)
    .filter((part) => part !== '');
  if (parts.length === 0) return { ok: false, flaw: 'empty' };
  const values: number[] = [];
  for (const part of parts) {
    const read = readPart(part);
    if (typeof read === 'string') return { ok: false, flaw: read };
    values.push(...read);
    if (values.length > mostJobs) return { ok: false, flaw: 'tooMany' };
  }
  const parsed = sweepSchema.safeParse({ over, values: [...new Set(values)] });
  return parsed.success ? { ok: true, sweep: parsed.data } : { ok: false, flaw: 'outOfBounds' };
}

const number = String.raw`\d+(?:\.\d+)?`;
const single = new RegExp(`^${number}$`, 'u');
const stretch = new RegExp(`^(${number})(?:\\.\\.|:|–|—|~|-)(${number})(?::(${number}))?$`, 'u');

function readPart(part: string): number[] | SweepFlaw {
  if (single.test(part)) return [Number(part)];
  const found = stretch.exec(part);
  if (found === null) return 'notNumbers';
  const from = Number(found[1]);
  const to = Number(found[2]);
  const step = Number(found[3] ?? 1);
  if (!(step > 0) || to < from) return 'badRange';
  // A hair more, so that 0.1 + 0.2 still reaches 0.3.
  const count = Math.floor((to - from) / step + 1e-9) + 1;
  if (count > mostJobs) return 'tooMany';
  return Array.from({ length: count }, (_, i) => Number((from + i * step).toFixed(6)));
}

/**
 * Different seeds to try, the one that is set first so that the others can be compared with it.
 * @param random 0 … 1, as `Math.random`
 */
export function shuffledSeeds(count: number, first: number, random: () => number): number[] {
  const seeds = new Set([first]);
  while (seeds.size < Math.min(Math.max(count, 1), mostJobs)) seeds.add(randomSeed(random));
  return [...seeds];
}

/** A seed that a person can read out: up to nine digits. */
export function randomSeed(random: () => number): number {
  return Math.floor(random() * 1_000_000_000);
}
