import type { Plan } from '../../core/contract/job.ts';
import { createMultistep, logSnr, orderOf, predictClean } from './multistep.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * FlowUniPC of order 2 with B(h) = e^h − 1 ("bh2"), predicting x₀, lower order in the last step (spec §3.4; Zhao et
 * al., arXiv 2302.04867). Each step first corrects the latents it was given with the new prediction, then predicts
 * the next ones. It remembers the latents the last prediction started from and the clean predictions of the last
 * two steps, newest first.
 */
export function createUniPc(plan: Plan): Scheduler {
  const { sigmas, steps } = plan;

  /** UniC: the latents at σₖ again, from those at σₖ₋₁ and the prediction just made at σₖ. */
  function correct(
    k: number,
    clean: Float32Array,
    [started, newest, older]: readonly Float32Array[],
  ): Float32Array {
    const { keep, gain, hh } = coefficients(sigmas[k - 1]!, sigmas[k]!);
    if (orderOf(k - 1, steps) === 1) {
      return started!.map((x, i) => keep * x + gain * (newest![i]! + 0.5 * (clean[i]! - newest![i]!)));
    }
    // The two weights solve [[1, 1], [r, 1]]·ρ = b (order 2 of the Vandermonde system).
    const ratio = ratioBefore(k - 1);
    const [b1, b2] = rightHandSide(hh);
    const weightOld = (b1 - b2) / (1 - ratio);
    const weightNew = b1 - weightOld;
    return started!.map((x, i) => {
      const base = newest![i]!;
      return (
        keep * x + gain * (base + (weightOld * (older![i]! - base)) / ratio + weightNew * (clean[i]! - base))
      );
    });
  }

  /** UniP: the latents at σₖ₊₁. */
  function predict(
    k: number,
    latents: Float32Array,
    clean: Float32Array,
    newest: Float32Array | undefined,
  ): Float32Array {
    const { keep, gain } = coefficients(sigmas[k]!, sigmas[k + 1]!);
    if (orderOf(k, steps) === 1) return latents.map((x, i) => keep * x + gain * clean[i]!);
    const slope = 0.5 / ratioBefore(k);
    return latents.map((x, i) => keep * x + gain * (clean[i]! + slope * (newest![i]! - clean[i]!)));
  }

  /** r of the prediction one step older than σₖ, in units of the step from σₖ: negative. */
  function ratioBefore(k: number): number {
    const here = logSnr(sigmas[k]!);
    return (logSnr(sigmas[k - 1]!) - here) / (logSnr(sigmas[k + 1]!) - here);
  }

  return createMultistep(
    plan,
    (k, latents, velocity, memory) => {
      const clean = predictClean(latents, velocity, sigmas[k]!);
      const started = k === 0 ? latents.data : correct(k, clean, memory);
      const newest = memory[1];
      return {
        latents: predict(k, started, clean, newest),
        memory: [started, clean, ...(newest === undefined ? [] : [newest])],
      };
    },
    (k) => (k === 0 ? 0 : Math.min(k + 1, 3)),
  );
}

/** Of a step between two noise levels: the share of the latents kept, the weight of x₀, and −h. */
function coefficients(from: number, to: number): { keep: number; gain: number; hh: number } {
  const hh = logSnr(from) - logSnr(to);
  return { keep: to / from, gain: -(1 - to) * Math.expm1(hh), hh };
}

/** b of order 2: k!·φₖ₊₁(hh) / B(h) for k = 1, 2. */
function rightHandSide(hh: number): [number, number] {
  const first = Math.expm1(hh);
  const second = first / hh - 1;
  const third = second / hh - 0.5;
  return [second / first, (2 * third) / first];
}
