import type { ModelTask } from '../../../src-main/core/contract/api/model-work.ts';

/** Work on models as it is shown. */
export interface TasksView {
  /** Running, paused or waiting, in the order they were begun. */
  readonly open: readonly ModelTask[];
  /** Ended without a result and not put away yet. */
  readonly failed: readonly ModelTask[];
  /** Both, then what ended well or by the person. */
  readonly all: readonly ModelTask[];
}

export function tasksView(tasks: readonly ModelTask[]): TasksView {
  const open = tasks.filter(isOpen);
  const failed = tasks.filter(({ state }) => state === 'failed');
  const over = tasks.filter(({ state }) => state === 'done' || state === 'cancelled');
  return { open, failed, all: [...open, ...failed, ...over] };
}

export function isOpen({ state }: Pick<ModelTask, 'state'>): boolean {
  return state === 'running' || state === 'paused' || state === 'waiting';
}

/** Share that is done, 0 … 1; null while the whole is not known. */
export function taskShare({
  done,
  total,
  state,
}: Pick<ModelTask, 'done' | 'total' | 'state'>): number | null {
  if (state === 'done') return 1;
  return total === null || total === 0 ? null : Math.min(1, done / total);
}

/** Seconds left at the speed of now; null where one of the two is not known. */
export function secondsLeft({
  done,
  total,
  bytesPerSecond,
  state,
}: Pick<ModelTask, 'done' | 'total' | 'bytesPerSecond' | 'state'>): number | null {
  if (state !== 'running' || total === null || bytesPerSecond === null || bytesPerSecond <= 0) return null;
  return Math.max(0, total - done) / bytesPerSecond;
}

/** Seconds as they are told: a jump of a few seconds is no news once there are minutes left. */
export function roundedLeft(seconds: number): number {
  return seconds < 120 ? seconds : Math.round(seconds / 60) * 60;
}

/** Share of all open work by its bytes, for one ring; null while nothing of it is known. */
export function openShare(tasks: readonly ModelTask[]): number | null {
  const known = tasks.filter((task) => isOpen(task) && task.total !== null && task.total > 0);
  const total = known.reduce((sum, task) => sum + (task.total ?? 0), 0);
  if (total === 0) return null;
  return Math.min(1, known.reduce((sum, task) => sum + task.done, 0) / total);
}

/** Which buttons a task has. */
export interface TaskActions {
  readonly pause: boolean;
  /** Goes on where it stopped, or tries again. */
  readonly resume: boolean;
  readonly cancel: boolean;
  readonly dismiss: boolean;
}

export function actionsOf(task: Pick<ModelTask, 'state' | 'canPause' | 'kind' | 'done'>): TaskActions {
  const { state, canPause } = task;
  return {
    pause: canPause && (state === 'running' || state === 'waiting'),
    resume: state === 'paused' || state === 'failed' || state === 'cancelled',
    cancel: isOpen(task),
    dismiss: !isOpen(task),
  };
}

/** Whether ending a task leaves half-written files that a person may want to keep, or to be rid of. */
export function leavesParts({ kind, done }: Pick<ModelTask, 'kind' | 'done'>): boolean {
  return done > 0 && (kind === 'download' || kind === 'bake');
}

/** A task laid over those that are known, in its place; new ones come last. */
export function withTask(tasks: readonly ModelTask[], task: ModelTask): readonly ModelTask[] {
  return tasks.some(({ id }) => id === task.id)
    ? tasks.map((each) => (each.id === task.id ? task : each))
    : [...tasks, task];
}

/** Tasks that were open and have ended since, well or not; what ended before the window looked is no news. */
export function endedSince(before: readonly ModelTask[], now: readonly ModelTask[]): readonly ModelTask[] {
  return now.filter((task) => {
    const was = before.find(({ id }) => id === task.id);
    return was !== undefined && isOpen(was) && !isOpen(task);
  });
}
