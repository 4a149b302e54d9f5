import { jobSchema, type Job, type Plan } from '../../core/contract/job.ts';
import { describeFlaw, parseBounded } from '../../core/contract/parse.ts';
import { PusaError } from '../../core/errors.ts';

/** Twice what the longest job holds: 200 steps of 1001 cells in two tables. */
const mostValues = 1_000_000;

const remedy = 'Make the job again from its project.';

/**
 * Reads what a job folder or another process calls a job.
 * @throws PusaError JOB_INVALID naming the first field that is wrong
 */
export function parseJob(value: unknown): Job {
  const parsed = parseBounded(jobSchema, value, mostValues);
  if (!parsed.ok) throw new PusaError('JOB_INVALID', describeFlaw('The job', parsed.flaw), remedy);
  checkJob(parsed.value);
  return parsed.value;
}

/**
 * Checks what the schema cannot say: that tables have the plan's size and that cells, sources and originals refer
 * to each other rightly.
 * @throws PusaError JOB_INVALID
 */
export function checkJob(job: Job): void {
  checkPlan(job.plan);
  const { plan, sources, originals, sampler } = job;
  expect(plan.steps === sampler.steps, 'plan.steps', 'differs from the sampler’s steps');
  const covered = new Set<number>();
  for (const [i, source] of sources.entries()) {
    const at = `sources[${i}]`;
    expect(source.firstCell + source.cells <= plan.cells.length, at, 'reaches beyond the last cell');
    const frames = 1 + 4 * (source.dropCells + source.cells - 1);
    expect(source.frameCount === frames, `${at}.frameCount`, `must be ${frames} for its cells`);
    for (let cell = source.firstCell; cell < source.firstCell + source.cells; cell++) covered.add(cell);
  }
  for (const [f, cell] of plan.cells.entries()) {
    const at = `plan.cells[${f}].source`;
    if (cell.kind === 'noisy') continue;
    if (cell.kind === 'fixed')
      expect(cell.source.from === 'clip', at, 'a fixed cell needs pixels of its own');
    expect(cell.source.from !== 'none', at, 'a conditioned cell needs a source');
    if (cell.source.from === 'clip') expect(covered.has(f), at, 'no source covers this cell');
    if (cell.source.from === 'blend') {
      for (const { cell: other } of cell.source.of) {
        expect(covered.has(other), at, `it blends cell ${other}, which has no source`);
      }
    }
  }
  const shown = new Set<number>();
  for (const [i, { frame, source, at }] of originals.entries()) {
    const field = `originals[${i}]`;
    expect(frame < plan.frames, field, 'its frame lies outside the range');
    expect(!shown.has(frame), field, `frame ${frame} is named twice`);
    expect(source < sources.length, field, 'its source does not exist');
    expect(at < sources[source]!.frameCount, field, 'it points past the end of its source');
    shown.add(frame);
  }
}

function checkPlan(plan: Plan): void {
  const cells = plan.cells.length;
  expect(plan.frames % 4 === 1, 'plan.frames', 'must be 4n+1');
  expect(
    cells === (plan.frames - 1) / 4 + 1,
    'plan.cells',
    'must have one cell more than groups of four frames',
  );
  expect(
    plan.sigmas.length === plan.steps + 1,
    'plan.sigmas',
    'must have one entry more than there are steps',
  );
  for (const field of ['timesteps', 'sigmaSteps'] as const) {
    const rows = plan[field];
    expect(rows.length === plan.steps, `plan.${field}`, 'must have one row a step');
    for (const [k, row] of rows.entries()) {
      expect(row.length === cells, `plan.${field}[${k}]`, 'must have one entry a cell');
    }
  }
  for (const [f, { kind, m }] of plan.cells.entries()) {
    const right = kind === 'fixed' ? m === 0 : kind === 'noisy' ? m === 1 : true;
    expect(right, `plan.cells[${f}].m`, `does not fit a cell that is ${kind}`);
  }
}

function expect(holds: boolean, field: string, problem: string): void {
  if (!holds) throw invalid(field, problem);
}

function invalid(field: string, problem: string): PusaError {
  return new PusaError('JOB_INVALID', describeFlaw('The job', { path: field, reason: problem }), remedy);
}
