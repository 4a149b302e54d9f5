/** What a list's method answers. */
export interface PageOf<T> {
  readonly items: readonly T[];
  readonly next: string | null;
  readonly total: number;
}

const pageSize = 60;
const largestPage = 200;

/**
 * A list that is read page by page as it is scrolled. What is answered to a question that is no longer asked is left
 * out.
 */
export class Paged<T extends { readonly id: string }> {
  items = $state.raw<readonly T[]>([]);
  total = $state(0);
  loading = $state(false);
  /** At least the first page is there. */
  ready = $state(false);
  #next: string | null = null;
  #asked = 0;
  readonly #read: (cursor: string | null, limit: number) => Promise<PageOf<T>>;
  readonly #fail: (thrown: unknown) => void;

  constructor(
    read: (cursor: string | null, limit: number) => Promise<PageOf<T>>,
    fail: (thrown: unknown) => void,
  ) {
    this.#read = read;
    this.#fail = fail;
  }

  get hasMore(): boolean {
    return this.#next !== null;
  }

  /** From the beginning, as many as were shown. @param fresh another question: only the first page */
  restart(fresh: boolean): Promise<void> {
    const limit = fresh ? pageSize : Math.min(largestPage, Math.max(pageSize, this.items.length));
    if (fresh) this.ready = false;
    return this.#ask(null, limit);
  }

  more(): Promise<void> {
    if (this.loading || this.#next === null) return Promise.resolve();
    return this.#ask(this.#next, pageSize);
  }

  async #ask(cursor: string | null, limit: number): Promise<void> {
    const mine = ++this.#asked;
    this.loading = true;
    try {
      const page = await this.#read(cursor, limit);
      if (mine !== this.#asked) return;
      this.items = joinPages(cursor === null ? [] : this.items, page.items);
      this.total = page.total;
      this.#next = page.next;
      this.ready = true;
    } catch (thrown) {
      if (mine === this.#asked) this.#fail(thrown);
    } finally {
      if (mine === this.#asked) this.loading = false;
    }
  }
}

/** What was there, and of the next page what was not. */
function joinPages<T extends { readonly id: string }>(before: readonly T[], next: readonly T[]): T[] {
  const byId = Object.fromEntries(before.map(({ id }) => [id, true]));
  return [...before, ...next.filter(({ id }) => byId[id] !== true)];
}

/** Calls once nothing new came for a while, in milliseconds. */
export function debounce(milliseconds: number): { run(work: () => void): void; stop(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    run(work) {
      clearTimeout(timer);
      timer = setTimeout(work, milliseconds);
    },
    stop: () => clearTimeout(timer),
  };
}
