import type { Model } from '../../../src-main/core/contract/api/models.ts';
import { sentenceText } from '../i18n/told.ts';

/** A model in a list to choose from; one that cannot be used says why. */
export function modelOption({ id, name, unusable }: Model): {
  readonly value: string;
  readonly label: string;
  readonly disabled: boolean;
} {
  const label = unusable === null ? name : `${name} – ${sentenceText(unusable)}`;
  return { value: id, label, disabled: unusable !== null };
}
