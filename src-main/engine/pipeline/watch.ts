import type { Phase } from '../../core/contract/job.ts';
import { PusaError } from '../../core/errors.ts';
import type { Tensor } from '../networks.ts';

/** What a person wants of a running job: go on, stop and throw away what is not saved, or stop and keep. */
export type Wish = 'run' | 'cancel' | 'keep';

/** How a stage tells what it does and hears what is wanted. */
export interface Watch {
  /** Starts a phase of which `done` units are there already. */
  begin(phase: Phase, done?: number): void;
  /**
   * Called between segments. @param done units of the phase done, parts included
   * @throws PusaError CANCELLED
   */
  advance(done: number): void;
  wish(): Wish;
  /** Shows what the clean latents [C, F, H, W] look like so far. */
  preview(latents: Tensor): void;
  log(text: string): void;
}

/** @throws PusaError CANCELLED when that is the wish */
export function throwIfCancelled(wish: Wish): void {
  if (wish !== 'cancel') return;
  throw new PusaError('CANCELLED', 'The job was cancelled.', 'Finished steps are kept; resume it to go on.');
}
