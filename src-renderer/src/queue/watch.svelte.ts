import { onDestroy } from 'svelte';
import type { JobDetails } from '../../../src-main/core/contract/api/jobs.ts';
import type { JobRecord, JobState } from '../../../src-main/core/contract/records.ts';
import { t } from '../i18n/index.svelte.ts';
import type { Session } from '../state/session.svelte.ts';
import { askQueue } from './actions.ts';
import { takeOfJob } from './jobs.ts';
import { panel } from './panel.svelte.ts';

/** Frozen settings of jobs, by id, as far as they were asked for. */
export const details = $state<{ byId: Readonly<Record<string, JobDetails>> }>({ byId: {} });

/**
 * Follows the queue for as long as a component lives: previews are listened to only while they are wanted and a job
 * runs, since the studio makes them only for listeners; jobs that end are told, and a first take is shown.
 * Call it while a component is initialised, once.
 */
export function watchQueue(session: Session): void {
  const wanted = $derived(
    session.connected &&
      session.settings?.previews === true &&
      session.jobs.some(({ state }) => state === 'running'),
  );
  $effect(() => {
    if (!wanted) return;
    const stop = session.client.on('jobs.preview', (preview) => (session.preview = preview));
    return () => {
      stop();
      session.preview = null;
    };
  });

  session.jobActions = (jobId) => [
    { label: t('queue.show'), run: () => (panel.open = true) },
    { label: t('queue.retry'), run: () => void askQueue(session, (api) => api.retry({ jobId })) },
  ];
  onDestroy(() => (session.jobActions = () => []));

  $effect(() => {
    if (!session.connected) return;
    // A change told while the answer is on its way is the newer one.
    let told = false;
    const stop = session.client.on('jobs.queue', ({ paused }) => {
      told = true;
      panel.paused = paused;
    });
    void session.client.api.jobs.status({}).then(
      ({ paused }) => {
        if (!told) panel.paused = paused;
      },
      // Until it is told, it is taken to run.
      () => undefined,
    );
    return stop;
  });

  let before: Readonly<Record<string, JobState>> | null = null;
  $effect(() => {
    const { jobs } = session;
    const known = before;
    before = Object.fromEntries(jobs.map(({ id, state }) => [id, state]));
    // What was over before the window opened is history, not news.
    if (known === null) return;
    for (const job of jobs) {
      const was = known[job.id];
      if (was !== 'running' && was !== 'waiting') continue;
      if (job.state === 'done') void tellDone(session, job);
    }
  });

  $effect(() => {
    const missing = session.jobs.map(({ id }) => id).filter((id) => details.byId[id] === undefined);
    if (missing.length > 0 && session.connected) void readDetails(session, missing.slice(0, 200));
  });
}

let asked: Readonly<Record<string, true>> = {};

/** Reads what jobs were frozen with; what cannot be read stays unknown, and the range's words stand for it. */
export async function readDetails(session: Session, jobIds: readonly string[], again = false): Promise<void> {
  const wanted = jobIds.filter((id) => again || asked[id] !== true);
  if (wanted.length === 0) return;
  asked = { ...asked, ...Object.fromEntries(wanted.map((id) => [id, true as const])) };
  try {
    const found = await session.client.api.jobs.details({ jobIds: wanted });
    details.byId = {
      ...details.byId,
      ...Object.fromEntries(found.details.map((each) => [each.jobId, each])),
    };
  } catch {
    // The range's own words stand for what is not known.
    return;
  }
}

async function tellDone(session: Session, job: JobRecord): Promise<void> {
  if (job.projectId !== session.project?.id) return;
  await session.readTakes();
  const take = takeOfJob(job, session.takes);
  if (take === null || job.rangeId !== session.rangeId) return;
  // The newest result of the range that is looked at is what the person waits for.
  session.takeId = take.id;
  if (session.view === 'source') session.view = 'result';
}
