import { studioSteps, type Edited } from '../../../src-main/core/contract/api/projects.ts';
import type { TakeSummary } from '../../../src-main/core/contract/records.ts';
import { cellCount } from '../../../src-main/core/timeline/cells.ts';
import { t } from '../i18n/index.svelte.ts';
import type { Session } from '../state/session.svelte.ts';
import { keyParts } from '../state/shortcut.ts';
import { confirm } from '../ui/confirm.svelte.ts';

/** Cells that an extension shares with its take, as the preset does. */
const sharedCells = 4;

type Api = Session['client']['api']['takes'];

/** Something that changes the project through a take; what it did is shown at once. */
async function change(session: Session, ask: (api: Api) => Promise<Edited>): Promise<boolean> {
  try {
    await session.settled();
    session.accept(await ask(session.client.api.takes));
    await session.readTakes();
    return true;
  } catch (thrown) {
    session.fail(thrown);
    return false;
  }
}

/** Shows a take as the result; its project is opened first where it is another one. */
export async function showTake(session: Session, take: TakeSummary): Promise<void> {
  try {
    if (session.project?.id !== take.projectId) await session.open(take.projectId);
  } catch (thrown) {
    session.fail(thrown);
    return;
  }
  if (session.project?.ranges.some(({ id }) => id === take.rangeId) === true) session.showRange(take.rangeId);
  session.takeId = take.id;
  session.view = 'result';
}

/** @param track null: above what lies over its range, so that sources under a take stay as they are */
export function promoteTake(
  session: Session,
  take: Pick<TakeSummary, 'id'>,
  track: number | null = null,
): Promise<boolean> {
  return change(session, (api) => api.promote({ takeId: take.id, clipId: crypto.randomUUID(), track }));
}

/** A new range of the same length that goes on from the take's last frame. */
export async function extendTake(session: Session, take: TakeSummary): Promise<void> {
  const rangeId = crypto.randomUUID();
  const isDone = await change(session, async (api) => {
    const { plan } = await api.get({ takeId: take.id });
    return api.extend({
      takeId: take.id,
      fromFrame: plan.frames - 1,
      frames: plan.frames,
      overlap: Math.max(1, Math.min(sharedCells, cellCount(plan.frames) - 1)),
      rangeId,
      clipId: crypto.randomUUID(),
    });
  });
  if (isDone) session.showRange(rangeId);
}

export async function recreateTake(session: Session, take: TakeSummary): Promise<void> {
  const rangeId = crypto.randomUUID();
  const isDone = await change(session, (api) => api.recreate({ takeId: take.id, rangeId }));
  if (!isDone) return;
  const isThere = session.project?.ranges.some(({ id }) => id === take.rangeId) === true;
  session.showRange(isThere ? take.rangeId : rangeId);
}

export async function rateTake(session: Session, takeId: string, rating: number): Promise<void> {
  try {
    await session.client.api.takes.rate({ takeId, rating });
  } catch (thrown) {
    session.fail(thrown);
  }
}

export async function tagTake(session: Session, takeId: string, tags: string[]): Promise<void> {
  try {
    await session.client.api.takes.setTags({ takeId, tags });
  } catch (thrown) {
    session.fail(thrown);
  }
}

/**
 * Deletes a take. One of the project that is shown comes back with one step of undo, which is offered; one of another
 * project is asked for first.
 */
export async function deleteTake(session: Session, take: TakeSummary): Promise<void> {
  const isOwn = take.projectId === session.project?.id;
  if (!isOwn) {
    const isSure = await confirm({
      title: t('library.deleteTitle'),
      text: t('library.deleteText'),
      action: t('library.delete'),
      danger: true,
    });
    if (!isSure) return;
  }
  try {
    await session.settled();
    await session.client.api.takes.delete({ takeIds: [take.id] });
    await session.readTakes();
  } catch (thrown) {
    session.fail(thrown);
    return;
  }
  if (!isOwn) return;
  const undo = {
    label: t('library.undoDelete'),
    run: () => {
      if (session.steps.undo === studioSteps.deleteTake && session.project?.id === take.projectId)
        void session.undo();
      else
        session.tell(
          'info',
          t('library.undoLater'),
          t('library.undoLaterText', { key: keyParts('Mod+Z').join(' ') }),
        );
    },
  };
  session.tell('info', t('library.takeDeleted'), null, null, [undo]);
}
