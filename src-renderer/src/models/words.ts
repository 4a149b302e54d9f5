import type { Model } from '../../../src-main/core/contract/api/models.ts';
import type { WorkPhase } from '../../../src-main/core/contract/work-phase.ts';
import { currentLanguage, t } from '../i18n/index.svelte.ts';
import { en } from '../i18n/en/index.ts';
import type { TextKey } from '../i18n/index.svelte.ts';

/** What a task is doing, in the window's language. */
export function phaseText(phase: WorkPhase | null): string {
  if (phase === null) return t('models.state.running');
  return t(`models.phase.${phase.kind}`, { subject: phase.subject }).trimEnd();
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
