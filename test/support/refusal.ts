import { PusaError } from '../../src-main/core/errors.ts';

/** The sentence that something is refused with; anything else that happens fails the test. */
export async function refusal(promise: Promise<unknown>): Promise<PusaError> {
  const thrown: unknown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  if (!(thrown instanceof PusaError)) throw new Error(`expected a PusaError, got ${String(thrown)}`);
  return thrown;
}
