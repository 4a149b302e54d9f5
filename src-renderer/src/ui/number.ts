export interface NumberRule {
  readonly min: number;
  readonly max: number;
  readonly step: number;
  /** Digits after the point; left out: those of the step. */
  readonly digits?: number | undefined;
}

/** Digits after the point that a step needs. */
export function digitsOf(step: number): number {
  const text = step.toFixed(6).replace(/0+$/, '');
  return text.length - text.indexOf('.') - 1;
}

/** The value of the rule nearest to a number: on a step from zero, inside its ends. */
export function settle(value: number, rule: NumberRule): number {
  const stepped = Math.round(value / rule.step) * rule.step;
  const rounded = Number(stepped.toFixed(Math.max(digitsOf(rule.step), rule.digits ?? 0)));
  return Math.min(rule.max, Math.max(rule.min, rounded));
}

export function formatNumber(value: number, rule: NumberRule): string {
  return value.toFixed(rule.digits ?? digitsOf(rule.step));
}

/** What a person typed, or null when it is no number. A comma is a point. */
export function parseNumber(text: string): number | null {
  const trimmed = text.trim().replace(',', '.');
  if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(trimmed)) return null;
  return Number(trimmed);
}

/** How much one key press or wheel notch changes: Shift ten times, Alt a tenth (but no less than the step). */
export function pace(
  rule: NumberRule,
  keys: { readonly shiftKey: boolean; readonly altKey: boolean },
): number {
  if (keys.shiftKey) return rule.step * 10;
  if (keys.altKey && rule.digits !== undefined) return Math.max(rule.step / 10, 10 ** -rule.digits);
  return rule.step;
}

/**
 * Edits that follow one another closely belong to one gesture, and are one step to undo.
 * @param quietMs a longer pause begins a new one
 */
export class Gesture {
  #id = '';
  #last = -Infinity;
  readonly #quietMs: number;

  constructor(quietMs = 800) {
    this.#quietMs = quietMs;
  }

  /** The id for an edit made at a time in milliseconds. */
  at(now: number): string {
    if (now - this.#last > this.#quietMs) this.#id = crypto.randomUUID();
    this.#last = now;
    return this.#id;
  }

  /** The next edit begins a new one. */
  end(): void {
    this.#last = -Infinity;
  }
}
