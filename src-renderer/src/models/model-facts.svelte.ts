import { SvelteMap } from 'svelte/reactivity';
import type { Model } from '../../../src-main/core/contract/api/models.ts';
import type { ModelDetails } from '../../../src-main/core/contract/api/model-details.ts';
import { toPusaError, type PusaError } from '../../../src-main/core/errors.ts';
import type { Session } from '../state/session.svelte.ts';
import { precisionOf } from './details.ts';

export interface ModelFacts {
  readonly details: ModelDetails;
  /** Of the diffusion model, in a word; empty where it is mixed. */
  readonly precision: string;
}

/** By hash and id: what a model consists of never changes under one hash. */
const known = new SvelteMap<string, ModelFacts | PusaError>();
let asked: Readonly<Record<string, boolean>> = {};
const keyOf = ({ id, hash }: Pick<Model, 'id' | 'hash'>): string => `${id} ${hash}`;

/** What is known of a model's parts; null while nothing is. */
export function factsOf(model: Model): ModelFacts | null {
  const found = known.get(keyOf(model));
  return found === undefined || found instanceof Error ? null : found;
}

/** Why its parts are not known. */
export function factsError(model: Model): PusaError | null {
  const found = known.get(keyOf(model));
  return found instanceof Error ? found : null;
}

/** Asks the studio once for what a model consists of; again where that failed and `again` is wanted. */
export async function readFacts(session: Session, model: Model, again = false): Promise<void> {
  const key = keyOf(model);
  if (asked[key] === true && !(again && known.get(key) instanceof Error)) return;
  asked = { ...asked, [key]: true };
  try {
    const details = await session.client.api.models.details({ model: model.id });
    known.set(key, { details, precision: precisionOf(details) });
  } catch (thrown) {
    const error = toPusaError(thrown);
    // Without a line nothing was learnt of the model.
    if (error.code === 'CONNECTION_CLOSED') asked = { ...asked, [key]: false };
    else known.set(key, error);
  }
}
