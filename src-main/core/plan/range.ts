import type { Plan } from '../contract/job.ts';
import type { Range } from '../contract/project.ts';
import { coverRange, type ClipsOf, type CoveredFrame } from '../timeline/coverage.ts';
import { cellMarks, type CellMark } from '../timeline/marks.ts';
import { planSources, type SourcePlan } from '../timeline/sources.ts';
import { buildPlan } from './plan.ts';

/** A range worked out: what the window draws, the terminal prints and a job freezes. */
export interface RangePlan {
  readonly cells: readonly CellMark[];
  readonly coverage: readonly (CoveredFrame | null)[];
  readonly sources: SourcePlan;
  readonly plan: Plan;
}

/**
 * From a project and one of its ranges to the plan and the frames to encode.
 * @throws the errors of `cellMarks`, `coverRange` and `buildPlan`
 */
export function planRange(project: ClipsOf, range: Range): RangePlan {
  const cells = cellMarks(range.frames, range.marks, range.interpolation);
  const coverage = coverRange(project, range);
  const sources = planSources(project, range, cells, coverage);
  const plan = buildPlan({
    frames: range.frames,
    cells,
    sourced: sources.sourced,
    sampler: range.sampler,
  });
  return { cells, coverage, sources, plan };
}
