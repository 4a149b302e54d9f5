import type { Warning } from '../../../src-main/core/timeline/preflight.ts';
import type { Obstacle } from './generate.ts';
import { currentLanguage, t, type TextKey } from '../i18n/index.svelte.ts';
import { en } from '../i18n/en/index.ts';

/** What happened and what to do, in the window's language. */
export interface Told {
  readonly message: string;
  readonly remedy: string | null;
}

/**
 * A warning of the pre-flight in the window's language: by its code, with its figures; in the studio's own words where
 * the code is not known here.
 */
export function warningText({
  code,
  text,
  values,
}: Pick<Warning, 'text' | 'values'> & { readonly code: string }): string {
  const key = `queue.warning.${code}`;
  if (!isKey(key)) return text;
  // Cells are named "frames 5–8" in the figures; the sentence here has the word itself.
  const frames = values['frames'];
  return t(
    key,
    typeof frames === 'string' ? { ...values, frames: frames.replace(/frames? /gu, '') } : values,
  );
}

/** Sentences that name fields and types, as for those who wrote the file or the program. */
const technical = / is not valid(?: at [^:]+)?: | expected \S+, received | \(line \d+/u;
const technicalCodes: ReadonlySet<string | null> = new Set([
  'CONTRACT_VIOLATION',
  'ENGINE_PROTOCOL',
  'GRAPH_INVALID',
  'INTERNAL',
]);

/**
 * An error in the window's language. English has the studio's sentences, which know names and figures, unless they are
 * technical; other languages tell it by its code. The studio's sentence then is kept as `detail`.
 */
export function errorText(
  code: string | null,
  message: string,
  remedy: string | null,
): Told & { readonly detail: string | null } {
  const told = `queue.error.${code}`;
  const todo = `queue.remedy.${code}`;
  const isPlain = !technicalCodes.has(code) && !technical.test(message);
  if ((currentLanguage() === 'en' && isPlain) || !isKey(told)) return { message, remedy, detail: null };
  return { message: t(told), remedy: isKey(todo) ? t(todo) : remedy, detail: message };
}

function isKey(key: string): key is Extract<TextKey, string> {
  return Object.hasOwn(en, key);
}

/** What stands in the way of generating, in the window's language. */
export function obstacleText({ code, message, remedy }: Obstacle): Told {
  const key = `inspector.obstacle.${code}`;
  const todo = `${key}.remedy`;
  if (isKey(key) && isKey(todo)) return { message: t(key), remedy: t(todo) };
  return errorText(code, message, remedy);
}
