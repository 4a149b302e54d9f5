import type { z } from 'zod';

/** What is wrong with a value, and where: `path` in the form `ranges[0].marks[2].frame`, empty for the whole. */
export interface Flaw {
  readonly path: string;
  /** A clause without a full stop, at most 200 characters. */
  readonly reason: string;
}

export type Parsed<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly flaw: Flaw };

/**
 * Checks a value from outside against a schema, in bounded memory. Zod reports every flaw it finds, about 600 bytes
 * each, and overflows the stack when an inner array has too many of them; so the number of values is bounded first.
 * @param maxValues most values (objects, arrays and leaves) in it
 */
export function parseBounded<T>(schema: z.ZodType<T>, value: unknown, maxValues: number): Parsed<T> {
  if (hasMoreValues(value, maxValues)) {
    return { ok: false, flaw: { path: '', reason: `it holds more than ${maxValues} values` } };
  }
  try {
    const result = schema.safeParse(value);
    if (result.success) return { ok: true, value: result.data };
    return { ok: false, flaw: toFlaw(result.error.issues[0]!) };
  } catch (thrown) {
    if (thrown instanceof RangeError)
      return { ok: false, flaw: { path: '', reason: 'almost nothing in it is valid' } };
    throw thrown;
  }
}

/** Puts a flaw of a part into its whole. */
export function within(path: string, flaw: Flaw): Flaw {
  const dot = flaw.path === '' || flaw.path.startsWith('[') ? '' : '.';
  return { path: `${path}${dot}${flaw.path}`, reason: flaw.reason };
}

/** A sentence: "The project is not valid at ranges[0].frames: expected number, received NaN." */
export function describeFlaw(subject: string, flaw: Flaw): string {
  return `${subject} is not valid${flaw.path === '' ? '' : ` at ${flaw.path}`}: ${flaw.reason}.`;
}

/** True when a value holds more than `limit` values; looks at no more than that, however deep they are nested. */
function hasMoreValues(value: unknown, limit: number): boolean {
  const open: unknown[] = [value];
  let count = 1;
  while (open.length > 0) {
    const next = open.pop();
    // Binary is one value however long it is.
    if (typeof next !== 'object' || next === null || ArrayBuffer.isView(next)) continue;
    const children: readonly unknown[] = Array.isArray(next) ? next : Object.values(next);
    count += children.length;
    if (count > limit) return true;
    for (const child of children) open.push(child);
  }
  return false;
}

function toFlaw(issue: z.core.$ZodIssue): Flaw {
  const path = issue.path.reduce<string>(
    (text, key) =>
      typeof key === 'number' ? `${text}[${key}]` : `${text}${text === '' ? '' : '.'}${String(key)}`,
    '',
  );
  const [first = ''] = issue.message;
  const reason = (first.toLowerCase() + issue.message.slice(1))
    .replace(/^invalid input: /, '')
    .replace(/\.$/, '');
  return { path: clip(path), reason: clip(reason) };
}

function clip(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 199)}…`;
}
