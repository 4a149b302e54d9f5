import type { Input, Output } from '../../core/contract/api.ts';
import { jobStates, type JobRecord, type JobState } from '../../core/contract/records.ts';
import { PusaError } from '../../core/errors.ts';
import type { Edit, Store } from '../../library/store.ts';

/** States of a job that is still in the queue, and of one that is over. */
export const queueStates: readonly JobState[] = ['running', 'waiting', 'paused'];
export const overStates: readonly JobState[] = ['done', 'failed', 'cancelled'];

/** The queue in its order, what runs first. */
export function queueOf(store: Store): JobRecord[] {
  const jobs = store.lists.jobs(queueStates);
  return [
    ...jobs.filter(({ state }) => state === 'running'),
    ...jobs.filter(({ state }) => state !== 'running'),
  ];
}

/** A position at the end of the queue, or before all that wait. */
export function placeFor(store: Store, place: 'next' | 'last'): number {
  const queue = queueOf(store);
  const positions = queue.map(({ position }) => position);
  const waiting = queue.filter(({ state }) => state !== 'running').map(({ position }) => position);
  if (place === 'last' || waiting.length === 0) return Math.max(0, ...positions) + 1;
  const first = Math.min(...waiting);
  const running = Math.max(...positions.filter((position) => position < first), first - 2);
  return (running + first) / 2;
}

/**
 * Puts a job before another one, or last.
 * @throws PusaError EDIT_INVALID when either does not wait
 */
export function reorderJob(store: Store, edit: Edit, jobId: string, before: string | null): JobRecord {
  const waiting = queueOf(store).filter(({ state }) => state !== 'running');
  const others = waiting.filter(({ id }) => id !== jobId);
  const at = before === null ? others.length : others.findIndex(({ id }) => id === before);
  if (others.length === waiting.length || at === -1) {
    edit.require('jobs', jobId);
    if (before !== null) edit.require('jobs', before);
    throw new PusaError(
      'EDIT_INVALID',
      'Only jobs that wait have an order.',
      'Look at the queue again: the job may have been started.',
    );
  }
  const below = others[at - 1]?.position ?? (others[at]?.position ?? 1) - 2;
  const above = others[at]?.position ?? below + 2;
  const position = (below + above) / 2;
  if (position > below && position < above) {
    return edit.update('jobs', jobId, (job) => ({ ...job, position }));
  }
  // The numbers between two places are used up: all are numbered anew.
  const moved = edit.require('jobs', jobId);
  for (const [index, job] of others.toSpliced(at, 0, moved).entries()) {
    edit.update('jobs', job.id, (record) => ({ ...record, position: index + 1 }));
  }
  return edit.require('jobs', jobId);
}

type JobPage = Output<'jobs.list'>;

/** A page of the queue, then of the history; a cursor says which of the two it goes on in. */
export function listJobs(store: Store, query: Input<'jobs.list'>): JobPage {
  const { cursor, limit, states = jobStates, projectId } = query;
  const inQueue = queueOf(store).filter(
    (job) => states.includes(job.state) && (projectId === undefined || job.projectId === projectId),
  );
  const over = overStates.filter((state) => states.includes(state));
  const history = (most: number, after: string | null) =>
    store.lists.jobHistory({ limit: most, after, states: over, projectId });
  const historyCursor = cursor?.startsWith('over ') === true ? cursor.slice(5) : null;
  if (historyCursor !== null) {
    const page = history(limit, historyCursor === '' ? null : historyCursor);
    return {
      items: [...page.items],
      next: page.next === null ? null : `over ${page.next}`,
      total: page.total + inQueue.length,
    };
  }
  const from = cursor === null ? 0 : queueCursor(cursor, inQueue);
  const items = inQueue.slice(from, from + limit);
  const last = items.at(-1);
  if (last !== undefined && from + limit < inQueue.length) {
    return {
      items,
      next: `queue ${last.position} ${last.id}`,
      total: inQueue.length + history(1, null).total,
    };
  }
  if (items.length === limit) {
    const { total } = history(1, null);
    return { items, next: total === 0 ? null : 'over ', total: inQueue.length + total };
  }
  const page = history(limit - items.length, null);
  return {
    items: [...items, ...page.items],
    next: page.next === null ? null : `over ${page.next}`,
    total: inQueue.length + page.total,
  };
}

/** Where to go on after a job of the queue, which may have left it. */
function queueCursor(cursor: string, queue: readonly JobRecord[]): number {
  const found = /^queue (\S+) (\S+)$/.exec(cursor);
  const position = Number(found?.[1]);
  if (found === null || Number.isNaN(position)) {
    throw new PusaError(
      'RECORD_INVALID',
      'This page of the list cannot be shown.',
      'Start at its first page.',
    );
  }
  const at = queue.findIndex(({ id }) => id === found[2]);
  if (at !== -1) return at + 1;
  const next = queue.findIndex((job) => job.state !== 'running' && job.position > position);
  return next === -1 ? queue.length : next;
}
