import { en } from './en/index.ts';
import { zh } from './zh/index.ts';

export type TextKey = keyof typeof en;
export type Language = 'en' | 'zh-CN';

let language = $state<Language>(systemLanguage());

/** The language of those there are that the system's person reads first. */
export function systemLanguage(
  wanted: readonly string[] = typeof navigator === 'undefined' ? [] : navigator.languages,
): Language {
  const first = wanted.find((each) => /^(en|zh)\b/i.test(each));
  return first !== undefined && /^zh\b/i.test(first) ? 'zh-CN' : 'en';
}

export function currentLanguage(): Language {
  return language;
}

export function setLanguage(next: Language): void {
  language = next;
  if (typeof document !== 'undefined') document.documentElement.lang = next;
}

/** The text of a key in the window's language, its `{name}` places filled. */
export function t(key: TextKey, values: Readonly<Record<string, string | number>> = {}): string {
  const text: string = (language === 'en' ? en : zh)[key];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
