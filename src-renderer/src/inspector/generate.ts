import type { Model } from '../../../src-main/core/contract/api/models.ts';
import type { Project, Range } from '../../../src-main/core/contract/project.ts';
import { PusaError, toPusaError, type ErrorCode } from '../../../src-main/core/errors.ts';
import { sizeMultiple } from '../../../src-main/core/plan/draft.ts';
import { planRange, type RangePlan } from '../../../src-main/core/plan/range.ts';
import { checkSize } from '../../../src-main/core/plan/size.ts';
import { seenByRange, type MadeTake } from '../../../src-main/core/timeline/own-takes.ts';
import { preflight, type Warning } from '../../../src-main/core/timeline/preflight.ts';

/** What is looked at to know whether a range can be generated: a `Session` has all of it. */
export interface GenerateInput {
  readonly project: Project | null;
  readonly range: Range | null;
  /** Of the project: those of the range itself lie below what it was made from, as when it is enqueued. */
  readonly shownTakes: readonly MadeTake[];
  readonly models: readonly Model[];
  readonly connected: boolean;
}

/** Why nothing can be generated: a code of errors.ts, or one of the window's own states. */
export interface Obstacle {
  readonly code: ErrorCode | 'NO_PROJECT' | 'NO_RANGE' | 'NO_MODEL';
  /** In English; translated by code for the window. */
  readonly message: string;
  readonly remedy: string;
}

export interface GenerateState {
  readonly can: boolean;
  /** Null where it can. */
  readonly obstacle: Obstacle | null;
  /** Empty where there is no plan. */
  readonly warnings: readonly Warning[];
  readonly plan: RangePlan | null;
}

/** The model of a range: the one it names, else the default one; null where that is not there. */
export function modelOf(range: Pick<Range, 'model'> | null, models: readonly Model[]): Model | null {
  const wanted = range?.model ?? null;
  const model =
    wanted === null
      ? (models.find(({ isDefault }) => isDefault) ?? models[0])
      : models.find(({ id }) => id === wanted);
  return model ?? null;
}

/** Whether the range that is shown can be generated, why not, and what to know before. Pure. */
export function generateState({
  project,
  range,
  shownTakes,
  models,
  connected,
}: GenerateInput): GenerateState {
  if (!connected) {
    return blocked('CONNECTION_CLOSED', 'The studio is not connected.', 'Wait for it, or start it again.');
  }
  if (project === null) {
    return blocked('NO_PROJECT', 'No project is open.', 'Open a project or make a new one.');
  }
  if (range === null) {
    return blocked('NO_RANGE', 'There is nothing to generate yet.', 'Choose a task at the top.');
  }
  const seen = seenByRange(project, range, shownTakes);
  let plan: RangePlan;
  try {
    plan = planRange(seen, range);
  } catch (thrown) {
    const { code, message, remedy } = toPusaError(thrown);
    return blocked(code, message, remedy);
  }
  const model = modelOf(range, models);
  const warnings = preflight({
    project: seen,
    range,
    cells: plan.cells,
    sources: plan.sources,
    trainedFrames: model?.native.frames,
  });
  const flaw = modelFlaw(range, models, model) ?? sizeFlaw(project, model);
  if (flaw !== null) return { can: false, obstacle: flaw, warnings, plan };
  if (warnings.some(({ code }) => code === 'NOTHING_TO_GENERATE')) {
    const error = new PusaError(
      'MARK_INVALID',
      'Every frame is fixed, so there is nothing to generate.',
      'Mark some cells as noisy or interpolated.',
    );
    return { can: false, obstacle: error, warnings, plan };
  }
  return { can: true, obstacle: null, warnings, plan };
}

function modelFlaw(range: Range, models: readonly Model[], model: Model | null): Obstacle | null {
  if (models.length === 0) {
    return { code: 'NO_MODEL', message: 'There is no model.', remedy: 'Import a model in the library.' };
  }
  if (model === null) {
    return {
      code: 'MODEL_NOT_FOUND',
      message: `The model “${range.model}” of this range is not installed.`,
      remedy: 'Choose another model.',
    };
  }
  if (model.unusable === null) return null;
  return { code: 'MODEL_CANNOT', message: model.unusable, remedy: 'Choose another model.' };
}

function sizeFlaw({ width, height }: Project, model: Model | null): Obstacle | null {
  try {
    checkSize(width, height, model?.sizeMultiple ?? sizeMultiple);
    return null;
  } catch (thrown) {
    return toPusaError(thrown);
  }
}

function blocked(code: Obstacle['code'], message: string, remedy: string): GenerateState {
  return { can: false, obstacle: { code, message, remedy }, warnings: [], plan: null };
}
