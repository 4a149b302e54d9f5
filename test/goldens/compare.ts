/** The tolerance of a case: |a − b| ≤ atol + rtol·|b|, b being the reference. */
export interface Tolerance {
  readonly atol: number;
  readonly rtol: number;
}

/** The outcome of comparing one tensor (or one list of ids) with the reference. */
export interface Comparison {
  readonly name: string;
  readonly ok: boolean;
  /** Largest |a − b|; infinite where a number is not finite or the lengths differ. */
  readonly maxError: number;
  /** Largest |a − b| / (atol + rtol·|b|): at most 1 when ok. */
  readonly share: number;
  readonly tolerance: Tolerance;
  /** Why it failed, where a number does not say it. */
  readonly reason?: string;
}

/** Compares flat arrays element by element. A NaN or infinity on our side fails, and so does a differing length. */
export function compare(
  name: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
): Comparison {
  if (actual.length !== expected.length) {
    const reason = `${actual.length} elements instead of ${expected.length}`;
    return { name, ok: false, maxError: Infinity, share: Infinity, tolerance, reason };
  }
  let maxError = 0;
  let share = 0;
  let reason: string | undefined;
  for (let i = 0; i < expected.length; i++) {
    const b = expected[i]!;
    const error = Math.abs(actual[i]! - b);
    if (!Number.isFinite(error)) {
      reason ??= `element ${i} is ${actual[i]!}, expected ${b}`;
      maxError = Infinity;
      share = Infinity;
      continue;
    }
    maxError = Math.max(maxError, error);
    const allowed = tolerance.atol + tolerance.rtol * Math.abs(b);
    if (error > 0) share = Math.max(share, allowed > 0 ? error / allowed : Infinity);
  }
  const ok = share <= 1;
  return { name, ok, maxError, share, tolerance, ...(reason === undefined ? {} : { reason }) };
}
