import type { Sweep } from '../../../src-main/core/contract/api/jobs.ts';
import { t } from '../i18n/index.svelte.ts';
import { generateState } from '../inspector/generate.ts';
import { obstacleText } from '../inspector/messages.ts';
import { randomSeed } from '../inspector/sweep.ts';
import type { Session } from '../state/session.svelte.ts';
import { drafting } from './draft.svelte.ts';
import { seeds } from './seeds.svelte.ts';

/**
 * Queues the range that is shown: the Generate button. A seed that is not locked and was used already is exchanged
 * first, so that pressing again gives something else.
 * @returns whether a job was queued; what stands in the way is told
 */
export async function generate(session: Session): Promise<boolean> {
  const { obstacle } = generateState(session);
  const { project, range } = session;
  if (obstacle !== null || project === null || range === null) {
    if (obstacle !== null) {
      const { message, remedy } = obstacleText(obstacle);
      session.tell('warning', message, remedy, obstacle.code);
    }
    return false;
  }
  const draft = drafting.on;
  // A draft's seed is still free: the picture it promises is made with it.
  const used = draft ? `${range.id}:draft` : range.id;
  let { seed } = range.sampler;
  if (!seeds.locked && seeds.wasUsed(used, seed)) {
    seed = randomSeed(Math.random);
    void session.edit(t('inspector.edit.seed'), [
      { type: 'setSampler', rangeId: range.id, sampler: { seed } },
    ]);
  }
  return await tellingFailures(session, async () => {
    await session.settled();
    await session.client.api.jobs.enqueue({ projectId: project.id, rangeId: range.id, place: 'last', draft });
    seeds.note(used, seed);
    await session.readJobs();
  });
}

/** Queues one job for each value. */
export async function queueBatch(session: Session, sweep: Sweep): Promise<boolean> {
  const { project, range } = session;
  if (project === null || range === null) return false;
  return await tellingFailures(session, async () => {
    await session.settled();
    const { jobs } = await session.client.api.jobs.batch({
      projectId: project.id,
      rangeId: range.id,
      sweep,
      draft: drafting.on,
    });
    session.tell('info', t('inspector.batch.queued', { count: jobs.length }));
    await session.readJobs();
  });
}

/** Something asked of the queue; afterwards it is read again. */
export async function askQueue(
  session: Session,
  ask: (api: Session['client']['api']['jobs']) => Promise<unknown>,
): Promise<boolean> {
  return await tellingFailures(session, async () => {
    await ask(session.client.api.jobs);
    await session.readJobs();
  });
}

async function tellingFailures(session: Session, work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (thrown) {
    session.fail(thrown);
    return false;
  }
}
