import type { CellPlan, Plan } from '../contract/job.ts';
import { samplerSchema, type Sampler } from '../contract/project.ts';
import { PusaError } from '../errors.ts';
import { cellCount, firstFrameOf, nameFrames } from '../timeline/cells.ts';
import type { CellMark } from '../timeline/marks.ts';
import { samplerGrid } from './sigmas.ts';

/** What a plan is made of. */
export interface PlanInput {
  /** Length of the range, 4n+1. */
  readonly frames: number;
  /** One per cell, n+1; m is read for interpolated cells only. */
  readonly cells: readonly Pick<CellMark, 'kind' | 'm'>[];
  /** Per cell: whether it has a source of its own. */
  readonly sourced: readonly boolean[];
  readonly sampler: Sampler;
}

const fround = Math.fround;

/**
 * The plan: per step k and cell f the timestep and the σ-step (spec §3.2).
 *
 * With any conditioned cell (m < 1): t = trunc(1000·σ_k · m_f) for every cell, in float32 and in that order, and
 * Δσ = (σ_{k+1} − σ_k) · m_f, or 0 where that t is 0. Without one, the sampler's own grid for all cells alike, not
 * truncated for Euler (text → video). An interpolated cell with m = 1 counts as noisy and is planned as such.
 *
 * A fixed cell needs a source of its own. An interpolated one without starts from the nearest conditioned cells that
 * have one, on either side, each weighted by the distance to the other.
 * @throws RANGE_LENGTH, MARK_INVALID, SAMPLER_INVALID, FIXED_WITHOUT_SOURCE, NO_SOURCE_AT_ALL
 */
export function buildPlan({ frames, cells: marks, sourced, sampler }: PlanInput): Plan {
  const count = cellCount(frames);
  requireSampler(sampler);
  if (marks.length !== count || sourced.length !== count) {
    throw new PusaError(
      'MARK_INVALID',
      `A range of ${frames} frames has ${count} cells, not ${marks.length} marked and ${sourced.length} sourced ones.`,
      'Mark every cell of the range once.',
    );
  }
  const ms = marks.map(noiseMultiplier);
  const donors = ms.flatMap((m, cell) => (m < 1 && sourced[cell]! ? [cell] : []));
  const cells = marks.map(({ kind }, cell): CellPlan => {
    const m = ms[cell]!;
    if (m === 1) return { kind: 'noisy', m, source: { from: 'none' } };
    if (sourced[cell]!) return { kind, m, source: { from: 'clip' } };
    if (kind === 'fixed') throw fixedWithoutSource(cell);
    return { kind, m, source: blendOf(cell, donors) };
  });

  const conditioned = ms.some((m) => m < 1);
  if (conditioned && sampler.solver !== 'euler') {
    throw new PusaError(
      'SAMPLER_INVALID',
      `The solver ${sampler.solver} gives all frames one timestep, so it cannot keep fixed or interpolated ones.`,
      'Choose the solver euler, or clear the marks.',
    );
  }
  const { sigmas, timesteps } = samplerGrid(sampler);
  const rows = Array.from(timesteps, (t, k) => {
    const change = fround(sigmas[k + 1]! - sigmas[k]!);
    return ms.map((m) => {
      const own = conditioned ? Math.trunc(fround(t * fround(m))) : t;
      // A fixed cell has t = 0, so it never moves.
      return { timestep: own, sigmaStep: own === 0 ? 0 : fround(change * fround(m)) };
    });
  });
  return {
    frames,
    steps: sampler.steps,
    sigmas: [...sigmas],
    cells,
    timesteps: rows.map((row) => row.map(({ timestep }) => timestep)),
    sigmaSteps: rows.map((row) => row.map(({ sigmaStep }) => sigmaStep)),
  };
}

function noiseMultiplier({ kind, m }: Pick<CellMark, 'kind' | 'm'>, cell: number): number {
  if (kind === 'fixed') return 0;
  if (kind === 'noisy') return 1;
  // Written so that NaN fails too.
  if (m >= 0 && m <= 1) return m;
  throw new PusaError(
    'MARK_INVALID',
    `Cell ${cell} (${nameFrames(cell)}) has the noise multiplier ${m}; it must lie between 0 and 1.`,
    'Set m again, or leave it automatic.',
  );
}

function requireSampler(sampler: Sampler): void {
  const checked = samplerSchema.safeParse(sampler);
  if (checked.success) return;
  const field = checked.error.issues[0]?.path.join('.') ?? '';
  throw new PusaError(
    'SAMPLER_INVALID',
    field === '' ? 'The sampler settings are not valid.' : `The sampler setting "${field}" is not valid.`,
    'Use 1–200 steps, CFG 0–30, shift 0.1–50, a seed from 0 to 4294967295 and a LoRA strength from 0 to 4.',
  );
}

function fixedWithoutSource(cell: number): PusaError {
  return new PusaError(
    'FIXED_WITHOUT_SOURCE',
    `Frame ${firstFrameOf(cell)} is marked fixed, but no clip or picture lies under cell ${cell} (${nameFrames(cell)}).`,
    'Put a clip or picture there, or mark the frame as interpolated or noisy.',
  );
}

/** @param donors cells that have a source, ascending */
function blendOf(cell: number, donors: readonly number[]): CellPlan['source'] {
  const before = donors.findLast((donor) => donor < cell);
  const after = donors.find((donor) => donor > cell);
  if (before !== undefined && after !== undefined) {
    const weight = (after - cell) / (after - before);
    return {
      from: 'blend',
      of: [
        { cell: before, weight },
        { cell: after, weight: 1 - weight },
      ],
    };
  }
  const only = before ?? after;
  if (only === undefined) {
    throw new PusaError(
      'NO_SOURCE_AT_ALL',
      `Cell ${cell} (${nameFrames(cell)}) is interpolated, but no fixed or interpolated frame of the range has a clip or picture under it.`,
      'Put a clip or picture under a marked frame, or clear the marks to generate from text alone.',
    );
  }
  return { from: 'blend', of: [{ cell: only, weight: 1 }] };
}
