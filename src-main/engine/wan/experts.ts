import type { Denoiser } from '../networks.ts';

export interface ExpertOptions {
  /** Takes the steps at timesteps of the boundary and above. */
  readonly high: Denoiser;
  /** Takes the steps below it. */
  readonly low: Denoiser;
  /** As a share of 1000; 0.875 for Wan2.2 text to video (spec §6). */
  readonly boundary: number;
  /** What the LoRA strength of a call is multiplied with for the low-noise expert; default 1. */
  readonly lowStrength?: number;
  /** false: what one expert has loaded is released before the other is used. */
  readonly keepBoth: boolean;
}

/**
 * Wan2.2's two experts as one denoiser (spec §6): the timestep of a step, before any cell's multiplier, decides which
 * one computes it, so that all cells of a step are computed by the same one. `beginStep` must be called before each.
 */
export function createExperts({ high, low, boundary, lowStrength = 1, keepBoth }: ExpertOptions): Denoiser {
  let current: Denoiser | null = null;
  return {
    async beginStep(timestep) {
      const next = timestep < 1000 * boundary ? low : high;
      if (current !== null && current !== next && !keepBoth) await current.release();
      current = next;
    },
    velocity(latents, timesteps, context, loraStrength, onSegment) {
      if (current === null) throw new RangeError('No step has begun, so neither expert is chosen.');
      const strength = current === low ? loraStrength * lowStrength : loraStrength;
      return current.velocity(latents, timesteps, context, strength, onSegment);
    },
    async release() {
      current = null;
      await high.release();
      await low.release();
    },
  };
}
