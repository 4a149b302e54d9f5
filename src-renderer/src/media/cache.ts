/** Something that holds memory beyond the JavaScript heap until it is closed. */
export interface Closable {
  close(): void;
}

interface Entry<T> {
  readonly value: T;
  readonly bytes: number;
}

/**
 * Values kept while they fit into a number of bytes; those not asked for the longest leave first, and are closed. A
 * value larger than the whole is kept alone.
 */
export class ByteCache<T extends Closable> {
  readonly #maxBytes: number;
  readonly #entries = new Map<string, Entry<T>>();
  #bytes = 0;

  /** @param maxBytes what all values together may hold, > 0 */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** The value, which now is the one asked for last. */
  get(key: string): T | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** Keeps a value in the place of any other under its key. */
  set(key: string, value: T, bytes: number): void {
    this.#remove(key);
    this.#entries.set(key, { value, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes || oldest === key) break;
      this.#remove(oldest);
    }
  }

  clear(): void {
    for (const key of [...this.#entries.keys()]) this.#remove(key);
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    entry.value.close();
  }
}
