import { studioSteps } from '../../../src-main/core/contract/api/projects.ts';
import type { Note } from '../../../src-main/core/contract/note.ts';
import { errorText, type Told } from '../inspector/messages.ts';
import { formatDuration } from '../inspector/format.ts';
import { en } from './en/index.ts';
import { currentLanguage, t, type TextKey } from './index.svelte.ts';

/** What the studio says by itself: by its code where that is known here, else in its own words. */
export interface Notice {
  readonly code: string | null;
  readonly values: Readonly<Record<string, string | number>>;
  readonly message: string;
  readonly remedy: string | null;
}

/** A notice in the window's language. What is told by its code alone keeps the studio's sentence as `detail`. */
export function noticeText({
  code,
  values,
  message,
  remedy,
}: Notice): Told & { readonly detail: string | null } {
  const told = `queue.notice.${code}`;
  const todo = `queue.notice.${code}.remedy`;
  if (!isKey(told))
    return code === null ? { message, remedy, detail: null } : errorText(code, message, remedy);
  const during = `queue.during.${values['phase']}`;
  const filled = isKey(during) ? { ...values, phase: t(during) } : values;
  return { message: t(told, filled), remedy: isKey(todo) ? t(todo, filled) : remedy, detail: null };
}

/** What a job did otherwise than asked. */
export function noteText({ code, text, values }: Note): string {
  return noticeText({ code, values, message: text, remedy: null }).message;
}

/** A step to undo: the studio names its own in English. */
export function stepText(label: string): string {
  const name = Object.entries(studioSteps).find(([, step]) => step === label)?.[0];
  const key = `queue.step.${name}`;
  return isKey(key) ? t(key) : label;
}

/**
 * A sentence that the studio has no code for: by what it looks like in English, its name put into the window's own
 * sentence; as it is where it is not known.
 */
export function sentenceText(sentence: string): string {
  if (currentLanguage() === 'en') return sentence;
  for (const [pattern, key] of sentences) {
    const found = pattern.exec(sentence);
    if (found !== null) return t(key, { name: found[1] ?? '' });
  }
  return sentence;
}

const sentences: readonly (readonly [RegExp, TextKey])[] = [
  [/^It is your own file\.$/u, 'models.sentence.own'],
  [/^It comes with the application\.$/u, 'models.sentence.bundled'],
  [/^“(.+)” uses it too\.$/u, 'models.sentence.shared'],
  [/^A clip is being generated with it\.$/u, 'models.sentence.generating'],
  [/^“(.+)” is being worked on\.$/u, 'models.sentence.worked'],
  [/^The folder ".*" holds the model "(.+)"\.$/u, 'models.sentence.other'],
];

/** Seconds in words: "1 min 24 s". */
export function timeText(seconds: number): string {
  return formatDuration(seconds, {
    h: t('inspector.unit.h'),
    min: t('inspector.unit.min'),
    s: t('inspector.unit.s'),
  });
}

function isKey(key: string): key is TextKey {
  return Object.hasOwn(en, key);
}
