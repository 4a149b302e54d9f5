import type { Model } from '../../../src-main/core/contract/api/models.ts';
import { currentLanguage, t } from '../i18n/index.svelte.ts';
import { en } from '../i18n/en/index.ts';
import type { TextKey } from '../i18n/index.svelte.ts';

/** What a task is doing, in the window's language: by its sentence where that is known, else as the studio says it. */
export function phaseText(phase: string): string {
  if (currentLanguage() === 'en') return phase === '' ? t('models.state.running') : phase;
  const [, verb = '', rest = ''] = /^(\w+)\b\s*(.*?)\.?$/u.exec(phase) ?? [];
  const key = `models.phase.${verb.toLowerCase()}`;
  if (!isKey(key)) return phase === '' ? t('models.state.running') : phase;
  // A file's name is a name in any language.
  const file = /"([^"]+)"|(\S+\.(?:safetensors|gguf|pth|pt|json|model))/u.exec(rest);
  const name = file?.[1] ?? file?.[2];
  return name === undefined ? t(key) : `${t(key)} ${name}`;
}

function isKey(key: string): key is TextKey {
  return Object.hasOwn(en, key);
}

/** What a model recommends, in one line; empty where it recommends nothing. */
export function recommendedText({ steps, cfg, shift, solver }: Model['recommended']): string {
  return [
    solver,
    steps === undefined ? undefined : t('library.steps', { steps }),
    cfg === undefined ? undefined : t('library.cfg', { cfg }),
    shift === undefined ? undefined : t('library.shift', { shift }),
  ]
    .filter((each) => each !== undefined)
    .join(' · ');
}

/** What a model of the catalogue is for: in the window's language where that is known, else as the studio says it. */
export function purposeText({ id, purpose }: { readonly id: string; readonly purpose: string }): string {
  const key = `models.purpose.${id}`;
  return currentLanguage() !== 'en' && isKey(key) ? t(key) : purpose;
}
