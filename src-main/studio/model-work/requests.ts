import { z } from 'zod';
import type { WorkPhase } from '../../core/contract/work-phase.ts';
import { bakeSchema, importSchema, modelTaskSchema } from '../../core/contract/api/model-work.ts';
import { pathSchema } from '../../core/contract/api/common.ts';
import { idSchema } from '../../core/contract/project.ts';

/** What a task was asked to do, whole: it can be done again after a restart. `id` is the new package's. */
const requestSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('download'), entry: idSchema, folder: pathSchema.nullable() }),
  z.strictObject({ kind: z.literal('import'), ...importSchema.shape, id: idSchema }),
  z.strictObject({ kind: z.literal('bake'), ...bakeSchema.shape, id: idSchema }),
  z.strictObject({ kind: z.literal('verify'), model: idSchema }),
]);
export type TaskRequest = z.infer<typeof requestSchema>;
export type RequestOf<K extends TaskRequest['kind']> = Extract<TaskRequest, { kind: K }>;

/** A task as it is kept on the disk. */
const keptTaskSchema = z.strictObject({
  // A phase is only shown: one that is not known is none.
  task: modelTaskSchema.extend({ phase: modelTaskSchema.shape.phase.catch(null) }),
  request: requestSchema,
});
export type KeptTask = z.infer<typeof keptTaskSchema>;

/** `model-tasks.json`. */
export const keptTasksSchema = z.strictObject({
  version: z.literal(1),
  tasks: z.array(keptTaskSchema).max(1000),
});
export type KeptTasks = z.infer<typeof keptTasksSchema>;

/** How far a task is. `total` is null while it is not known. */
export interface TaskProgress {
  readonly phase: WorkPhase;
  readonly done: number;
  readonly total: number | null;
}

/** Does what a task is for. */
export interface TaskRunner {
  /** @returns the model that came of it, or that was looked at */
  run(request: TaskRequest, signal: AbortSignal, report: (progress: TaskProgress) => void): Promise<string>;
  /** Removes what an unfinished task left on the disk. @returns bytes it freed */
  clear(request: TaskRequest): Promise<number>;
}
