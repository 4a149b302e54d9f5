import type { WorkKind } from '../../core/contract/work-phase.ts';

/** Bytes a second are an average over so long. */
const windowMs = 5000;
const leastMs = 500;

/** Measures how quickly a count rises. */
export class Speed {
  readonly #now: () => number;
  #kind: WorkKind | null = null;
  #samples: { readonly at: number; readonly done: number }[] = [];

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @returns bytes per second over the last seconds; null where too little is known */
  at(kind: WorkKind, done: number): number | null {
    const at = this.#now();
    const last = this.#samples.at(-1);
    // What is counted is something else now, or begun anew.
    const isSame = this.#kind === null || this.#kind === kind;
    if (!isSame || (last !== undefined && done < last.done)) this.#samples = [];
    this.#kind = kind;
    if (last === undefined || at - last.at >= 50 || this.#samples.length === 0)
      this.#samples.push({ at, done });
    while (this.#samples.length > 2 && at - this.#samples[1]!.at > windowMs) this.#samples.shift();
    const first = this.#samples[0];
    if (first === undefined || at - first.at < leastMs) return null;
    return ((done - first.done) * 1000) / (at - first.at);
  }
}
