import type { Project, Range } from '../../core/contract/project.ts';
import { PusaError } from '../../core/errors.ts';
import { draftOf } from '../../core/plan/draft.ts';
import { sizeMultipleOf } from '../../engine/weights/manifest.ts';
import type { StudioContext } from '../context.ts';
import { findUsableModel } from './models.ts';

/** Which range, and whether only a draft of it. */
export interface WantedInput {
  readonly projectId: string;
  readonly rangeId: string;
  readonly draft?: boolean | undefined;
}

/**
 * The range a request names and the project it lies in; for a draft both with the draft's size and steps.
 * @throws PusaError RECORD_NOT_FOUND, EDIT_INVALID, MODEL_NOT_FOUND
 */
export async function wantedRange(
  context: StudioContext,
  { projectId, rangeId, draft = false }: WantedInput,
): Promise<{ project: Project; range: Range }> {
  const project = context.store.require('projects', projectId);
  const range = project.ranges.find(({ id }) => id === rangeId);
  if (range === undefined) {
    throw new PusaError(
      'EDIT_INVALID',
      'This range is not on the timeline any more.',
      'Choose another range, or undo its removal.',
    );
  }
  if (!draft) return { project, range };
  const { manifest } = await findUsableModel(context, range.model);
  const { width, height, sampler } = draftOf({
    width: project.width,
    height: project.height,
    sampler: range.sampler,
    recommended: manifest.recommended,
    multiple: sizeMultipleOf(manifest),
  });
  return { project: { ...project, width, height }, range: { ...range, sampler } };
}
