/** Bytes a second are an average over so long. */
const windowMs = 5000;
const leastMs = 500;

/** Measures how quickly a count rises. */
export class Speed {
  readonly #now: () => number;
  #phase: string | null = null;
  #samples: { readonly at: number; readonly done: number }[] = [];

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @returns bytes per second over the last seconds; null where too little is known */
  at(phase: string, done: number): number | null {
    const at = this.#now();
    const last = this.#samples.at(-1);
    // What is counted is something else now, or begun anew.
    const isSame = this.#phase === null || kindOf(this.#phase) === kindOf(phase);
    if (!isSame || (last !== undefined && done < last.done)) this.#samples = [];
    this.#phase = phase;
    if (last === undefined || at - last.at >= 50 || this.#samples.length === 0)
      this.#samples.push({ at, done });
    while (this.#samples.length > 2 && at - this.#samples[1]!.at > windowMs) this.#samples.shift();
    const first = this.#samples[0];
    if (first === undefined || at - first.at < leastMs) return null;
    return ((done - first.done) * 1000) / (at - first.at);
  }
}

/** The first word of a phase: "Downloading" of one file is the same work as of the next. */
export function kindOf(phase: string): string {
  return phase.split(' ', 1)[0] ?? '';
}
