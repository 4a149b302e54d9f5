import { z } from 'zod';
import { recall, remember, type Storage } from '../state/memory.ts';

const key = 'seed-locked';

/** Whether seeds stay as they are, and which were used: kept by the window, since a seed itself belongs to a range. */
export class Seeds {
  readonly #storage: Storage | undefined;
  #locked = $state(false);
  #used: Readonly<Record<string, readonly number[]>> = {};

  /** @param storage left out: the browser's own */
  constructor(storage?: Storage) {
    this.#storage = storage;
    this.#locked = recall(key, z.boolean(), storage) ?? false;
  }

  get locked(): boolean {
    return this.#locked;
  }

  set locked(locked: boolean) {
    this.#locked = locked;
    remember(key, locked, this.#storage);
  }

  /** Whether a range was queued with a seed in this window. */
  wasUsed(rangeId: string, seed: number): boolean {
    return this.#used[rangeId]?.includes(seed) === true;
  }

  note(rangeId: string, seed: number): void {
    this.#used = { ...this.#used, [rangeId]: [...(this.#used[rangeId] ?? []), seed] };
  }
}

export const seeds = new Seeds();
