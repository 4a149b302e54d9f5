import type { JobDetails } from '../../../src-main/core/contract/api/jobs.ts';
import type { Phase, Progress } from '../../../src-main/core/contract/job.ts';
import type { Project } from '../../../src-main/core/contract/project.ts';
import type { JobRecord, TakeSummary } from '../../../src-main/core/contract/records.ts';

/** The queue as it is shown. */
export interface QueueView {
  readonly running: readonly JobRecord[];
  /** In their order; paused ones stay where they are. */
  readonly waiting: readonly JobRecord[];
  /** Over, the latest first. */
  readonly history: readonly JobRecord[];
}

export function queueView(jobs: readonly JobRecord[]): QueueView {
  const byPlace = (a: JobRecord, b: JobRecord): number => a.position - b.position;
  const ended = ({ finishedAt, createdAt }: JobRecord): string => finishedAt ?? createdAt;
  return {
    running: jobs.filter(({ state }) => state === 'running').sort(byPlace),
    waiting: jobs.filter(({ state }) => state === 'waiting' || state === 'paused').sort(byPlace),
    history: jobs
      .filter(({ state }) => state === 'done' || state === 'failed' || state === 'cancelled')
      .sort((a, b) => ended(b).localeCompare(ended(a))),
  };
}

/** What is told of a job's progress: steps only where they are counted, time only where it was measured. */
export interface ProgressView {
  readonly phase: Phase | 'start';
  /** Step k of N while denoising; null in phases without steps. */
  readonly step: { readonly at: number; readonly of: number } | null;
  readonly secondsLeft: number | null;
  readonly fraction: number;
}

export function progressView(progress: Progress | null): ProgressView {
  if (progress === null) return { phase: 'start', step: null, secondsLeft: null, fraction: 0 };
  const { phase, done, total, secondsLeft, fraction } = progress;
  // The step that runs, not those that are over: "step 1 of 10" from the first moment on.
  const step = phase === 'denoise' && total > 0 ? { at: Math.min(done + 1, total), of: total } : null;
  return { phase, step, secondsLeft, fraction };
}

/** Newer progress than the record's where there is some. */
export function progressOf(job: JobRecord, newer: ReadonlyMap<string, Progress>): Progress | null {
  return newer.get(job.id) ?? job.progress;
}

/** Share of all queued work that is done, for one ring: running jobs by their fraction, waiting ones as none. */
export function queueFraction(view: QueueView, newer: ReadonlyMap<string, Progress>): number {
  const count = view.running.length + view.waiting.filter(({ state }) => state === 'waiting').length;
  if (count === 0) return 0;
  const done = view.running.reduce((sum, job) => sum + (progressOf(job, newer)?.fraction ?? 0), 0);
  return done / count;
}

/**
 * Where a waiting job goes when it is dropped.
 * @param to its new index among the waiting ones
 * @returns the job to come before, null for last; undefined where nothing moves
 */
export function reorderBefore(
  waiting: readonly JobRecord[],
  jobId: string,
  to: number,
): string | null | undefined {
  const from = waiting.findIndex(({ id }) => id === jobId);
  const target = Math.min(Math.max(to, 0), waiting.length - 1);
  if (from === -1 || from === target) return undefined;
  const others = waiting.filter(({ id }) => id !== jobId);
  return others[target]?.id ?? null;
}

/** What a job is called: its prompt, else what its range says now, else nothing known. */
export function jobTitle(
  job: Pick<JobRecord, 'projectId' | 'rangeId'>,
  details: JobDetails | undefined,
  project: Project | null,
): string | null {
  const range =
    project?.id === job.projectId ? project.ranges.find(({ id }) => id === job.rangeId) : undefined;
  const prompt = (details?.prompt ?? range?.prompt ?? '').trim().replace(/\s+/gu, ' ');
  return prompt === '' ? null : prompt;
}

/**
 * The job that is shown over the player: the running one of the range, else of the project the window shows; else
 * whichever runs.
 */
export function shownJob(
  running: readonly JobRecord[],
  projectId: string | null,
  rangeId: string | null,
): JobRecord | null {
  const ofProject = running.filter((job) => job.projectId === projectId);
  return ofProject.find((job) => job.rangeId === rangeId) ?? null;
}

/** The newest take of a finished job's range that was made after the job began. */
export function takeOfJob(job: JobRecord, takes: readonly TakeSummary[]): TakeSummary | null {
  const since = job.startedAt ?? job.createdAt;
  const until = job.finishedAt;
  const made = takes.filter(
    ({ rangeId, projectId, createdAt }) =>
      rangeId === job.rangeId &&
      projectId === job.projectId &&
      createdAt >= since &&
      // A take is recorded before its job is told to be over; its time may be the later by a moment.
      (until === null || Date.parse(createdAt) <= Date.parse(until) + 2000),
  );
  return made.sort((a, b) => b.createdAt.localeCompare(a.createdAt))[0] ?? null;
}
