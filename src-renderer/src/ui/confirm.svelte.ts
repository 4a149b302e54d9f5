export interface Question {
  readonly title: string;
  readonly text: string;
  /** What the button that does it says. */
  readonly action: string;
  readonly danger?: boolean;
}

let current = $state.raw<(Question & { readonly answer: (yes: boolean) => void }) | null>(null);

export const question = {
  get current(): Question | null {
    return current;
  },
  answer(yes: boolean): void {
    const asked = current;
    current = null;
    asked?.answer(yes);
  },
};

/** Asks before something that cannot be undone. A question that is open is answered with no. */
export function confirm(asked: Question): Promise<boolean> {
  question.answer(false);
  return new Promise((answer) => (current = { ...asked, answer }));
}
