/** The two sides of a player. */
export type Side = 'source' | 'result';

/** The last picture of each side that was there: shown on while the next one is decoded. */
export class Shown {
  readonly #last = new Map<Side, { readonly medium: string; readonly image: ImageBitmap }>();
  readonly #waiting = new Set<Side>();

  /** Whether a side shows another picture than it should. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  nothing(side: Side): void {
    this.#last.delete(side);
    this.#waiting.delete(side);
  }

  /** The picture asked for, else the last one of the same medium, else none. */
  latest(side: Side, medium: string, image: ImageBitmap | null): ImageBitmap | null {
    if (image !== null) {
      this.#waiting.delete(side);
      this.#last.set(side, { medium, image });
      return image;
    }
    this.#waiting.add(side);
    const last = this.#last.get(side);
    // A picture that has left the memory is closed, and has no size.
    return last?.medium === medium && last.image.width > 0 ? last.image : null;
  }
}
