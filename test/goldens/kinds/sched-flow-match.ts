import { join } from 'node:path';
import { trainingGrid } from '../fafm.ts';
import { flowMatchGrid } from '../../../src-main/core/plan/sigmas.ts';
import { compare, type Comparison, type Tolerance } from '../compare.ts';
import type { GoldenCase } from '../kinds.ts';
import { readTensors, type GoldenTensors } from '../tensors.ts';
import { goldenPlan } from '../plan.ts';

/**
 * Tables the application has no counterpart of: the library's constructor defaults, which every pipeline overrides,
 * and what the reference feeds when it runs in bfloat16. `trunc_fragile` is a mask for reading the others.
 */
const notOurs = /^diffsynth_default|\.bf16_model_timestep|\.trunc_fragile$/;

/** Grids, truncated timesteps as the plan has them, and the training grid with its weights. */
export function run(caseDir: string, { tolerance }: GoldenCase): Promise<Comparison[]> {
  const tensors = readTensors(join(caseDir, 'tensors.safetensors'));
  const results: Comparison[] = [];
  for (const name of tensors.names) {
    if (!notOurs.test(name)) results.push(compareTable(name, tensors, tolerance));
  }
  return Promise.resolve(results);
}

function compareTable(name: string, tensors: GoldenTensors, tolerance: Tolerance): Comparison {
  const expected = tensors.f32(name);
  const steps = expected.length;
  const part =
    /^(?:n\d+|lightx2v_4step|train1000)_s([\d.]+?)(?:_strength([\d.]+))?\.([a-z_]+)(?:_x([\d.]+))?$/.exec(
      name,
    );
  if (part === null) throw new Error(`The table ${name} is of no known kind.`);
  const [, shift, strength, kind, m] = part;
  const check = (actual: ArrayLike<number>): Comparison => compare(name, actual, expected, tolerance);
  switch (kind) {
    case 'sigmas':
      return check(flowMatchGrid(steps, Number(shift), Number(strength ?? 1)).sigmas.subarray(0, steps));
    case 'timesteps':
      return check(flowMatchGrid(steps, Number(shift)).timesteps);
    case 'weights':
      return check(trainingGrid(Number(shift)).weights);
    case 'timesteps_trunc':
    case 'trunc': {
      // Cell 1 makes the plan a conditioned one, so that timesteps are truncated.
      const plan = goldenPlan(2, { 0: Number(m ?? 1), 1: 0 }, { steps, shift: Number(shift) });
      const fragile = tensors.f32(name.replace(/\.[a-z_]+(_x[\d.]+)?$/, '.trunc_fragile'));
      return check(plan.timesteps.map(([t], k) => (fragile[k] === 1 ? orNeighbour(t!, expected[k]!) : t!)));
    }
    default:
      throw new Error(`The table ${name} is of no known kind.`);
  }
}

/** Where rounding decides between n − 1 and n, either is right: the expected one then stands for both. */
function orNeighbour(actual: number, expected: number): number {
  return Math.abs(actual - expected) === 1 ? expected : actual;
}
