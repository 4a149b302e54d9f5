/** Modal dialogs that are open, the topmost last. Nothing outside of the topmost can be pressed. */
class Stack {
  #open = $state.raw<readonly string[]>([]);

  /** Null: no dialog is open. */
  get top(): string | null {
    return this.#open.at(-1) ?? null;
  }

  /** @returns takes it out again */
  enter(id: string): () => void {
    this.#open = [...this.#open, id];
    return () => {
      this.#open = this.#open.filter((each) => each !== id);
    };
  }
}

export const stack = new Stack();
