/** Lets at most so many through at once; who waits is let in by turns, and may go away again. */
export class Gate {
  readonly #most: number;
  readonly #waiting = new Set<() => void>();
  #inside = 0;

  /** @param most > 0 */
  constructor(most: number) {
    this.#most = most;
  }

  /**
   * @param begin called at once or when there is room
   * @returns to be called once: it is done, or is not wanted any more
   */
  enter(begin: () => void): () => void {
    let state: 'waiting' | 'inside' | 'gone' = 'waiting';
    const come = (): void => {
      state = 'inside';
      this.#inside++;
      begin();
    };
    const leave = (): void => {
      const was = state;
      state = 'gone';
      this.#waiting.delete(come);
      if (was !== 'inside') return;
      this.#inside--;
      this.#admit();
    };
    this.#waiting.add(come);
    this.#admit();
    return leave;
  }

  #admit(): void {
    for (const come of this.#waiting) {
      if (this.#inside >= this.#most) return;
      this.#waiting.delete(come);
      come();
    }
  }
}

/** Lists ask for few pictures at a time, so that what is waited for elsewhere is not behind all of them. */
const gate = new Gate(3);
/** How near to its list's seen part a picture is fetched. */
const near = '120px';

/**
 * A small picture of a list: fetched when it comes into sight, a few at a time.
 * @param onfail it cannot be had
 */
export function thumb(url: string, onfail?: () => void): (image: HTMLImageElement) => () => void {
  return (image) => {
    let leave: (() => void) | null = null;
    const stop = (): void => {
      leave?.();
      leave = null;
    };
    const end = (): void => {
      observer.disconnect();
      stop();
    };
    const show = (): void => {
      end();
      image.style.visibility = '';
    };
    const fail = (): void => {
      end();
      onfail?.();
    };
    const observer = new IntersectionObserver(
      (entries) => {
        const isSeen = entries.at(-1)?.isIntersecting === true;
        if (!isSeen) {
          // What has begun is let finish; what waits gives way to what is in sight.
          if (!image.hasAttribute('src')) stop();
        } else leave ??= gate.enter(() => (image.src = url));
      },
      { rootMargin: near },
    );
    image.removeAttribute('src');
    // A browser frames what it has no picture of.
    image.style.visibility = 'hidden';
    image.addEventListener('load', show);
    image.addEventListener('error', fail);
    observer.observe(image);
    return () => {
      end();
      image.removeEventListener('load', show);
      image.removeEventListener('error', fail);
    };
  };
}
