import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import type { Input, Output } from '../../core/contract/api.ts';
import { studioSteps } from '../../core/contract/api/projects.ts';
import type { Bytes, Download } from '../../core/contract/channel.ts';
import type { AssetRecord, TakeRecord, TakeSummary } from '../../core/contract/records.ts';
import { takeSummarySchema } from '../../core/contract/records.ts';
import { PusaError } from '../../core/errors.ts';
import type { Edit } from '../../library/store.ts';
import { openSource } from '../../media/frames.ts';
import type { StudioContext } from '../context.ts';
import type { HandlersOf } from '../handlers.ts';
import { editProject } from './project-edits.ts';
import { clipOfTake, extendTake, promoteTake, recreateTake } from './takes-edits.ts';

/** Results of generating, as the contract has them. */
export function takesHandlers(context: StudioContext): HandlersOf<'takes'> {
  const { store } = context;
  return {
    'takes.list': ({ cursor, limit, projectId, rangeId, minRating, tag, sort }) => {
      const order = sort === 'rating' ? 'rating' : 'time';
      const page = store.lists.takes({ limit, after: cursor, projectId, rangeId, minRating, tag, order });
      return { ...page, items: [...page.items] };
    },
    'takes.inMedia': ({ projectId }) => ({ takes: store.lists.takesInMedia(projectId) }),
    'takes.get': ({ takeId }) => store.require('takes', takeId),
    'takes.read': (input, { signal }) => readTake(context, input, signal),
    'takes.thumbnail': (input, { signal }) => thumbnail(context, input, signal),
    'takes.rate': ({ takeId, rating }) => note(context, takeId, 'Rate a take', { rating }),
    'takes.setTags': ({ takeId, tags }) => note(context, takeId, 'Tag a take', { tags }),
    'takes.promote': async ({ takeId, clipId, track }) => {
      const take = store.require('takes', takeId);
      const asset = await assetOf(context, take);
      return editProject(
        context,
        take.projectId,
        studioSteps.promote,
        (project) => promoteTake(project, take, asset, { clipId, track }),
        (edit) => {
          if (store.lists.assetOfHash(asset.hash) === null) edit.put('assets', asset);
          edit.update('takes', takeId, (record) => ({ ...record, promotedClipId: clipId }));
        },
      );
    },
    'takes.extend': async ({ takeId, clipId, ...wanted }) => {
      const take = store.require('takes', takeId);
      const asset = await assetOf(context, take);
      let isPromoted = false;
      return editProject(
        context,
        take.projectId,
        studioSteps.extend,
        (project) => {
          isPromoted = clipOfTake(project, take) === null;
          const shown = isPromoted ? promoteTake(project, take, asset, { clipId, track: null }) : project;
          return extendTake(shown, take, wanted);
        },
        (edit) => {
          if (!isPromoted) return;
          if (store.lists.assetOfHash(asset.hash) === null) edit.put('assets', asset);
          edit.update('takes', takeId, (record) => ({ ...record, promotedClipId: clipId }));
        },
      );
    },
    'takes.recreate': ({ takeId, rangeId }) => {
      const take = store.require('takes', takeId);
      let isGone = false;
      return editProject(
        context,
        take.projectId,
        studioSteps.recreate,
        (project) => {
          isGone = project.ranges.every(({ id }) => id !== take.rangeId);
          return recreateTake(project, take, rangeId);
        },
        (edit) => {
          // It stands for the range it was made for, so that the take can be promoted over it.
          if (isGone) edit.update('takes', takeId, (record) => ({ ...record, rangeId }));
        },
      );
    },
    'takes.delete': async ({ takeIds }) => {
      await deleteTakes(context, takeIds);
      return {};
    },
  };
}

/** Ratings and tags are notes on a take, not edits of the timeline: undoing there does not take them back. */
async function note(
  { store }: StudioContext,
  takeId: string,
  label: string,
  change: Partial<Pick<TakeRecord, 'rating' | 'tags'>>,
): Promise<TakeSummary> {
  const { value } = await store.transact(null, label, (edit) =>
    edit.update('takes', takeId, (take) => ({ ...take, ...change })),
  );
  return summaryOf(value);
}

function summaryOf(take: TakeRecord): TakeSummary {
  const fields = Object.keys(takeSummarySchema.shape) as (keyof TakeSummary)[];
  return Object.fromEntries(fields.map((field) => [field, take[field]])) as unknown as TakeSummary;
}

/** The asset that a take's video is, or will be once it is on a timeline. */
async function assetOf({ store, media }: StudioContext, take: TakeRecord): Promise<AssetRecord> {
  const known = store.lists.assetOfHash(take.fileHash);
  if (known !== null) return known;
  const { fileHash: hash, width, height, fps, plan, prompt } = take;
  return {
    id: randomUUID(),
    kind: 'video',
    name: `${/^.{1,60}/u.exec(prompt.replaceAll(/\s+/g, ' ').trim())?.[0] ?? 'Take'}.mp4`,
    hash,
    bytes: await media.size(hash),
    width,
    height,
    fps,
    duration: plan.frames / fps,
    importedAt: new Date().toISOString(),
    original: null,
    state: 'present',
  };
}

async function readTake(
  { store, media }: StudioContext,
  { takeId, from = 0, bytes }: Input<'takes.read'>,
  signal: AbortSignal,
): Promise<Download<Output<'takes.read'>>> {
  const { fileHash } = store.require('takes', takeId);
  const total = await media.size(fileHash);
  const start = Math.min(from, total);
  const end = bytes === undefined ? total : Math.min(total, start + bytes);
  return {
    output: { from: start, bytes: end - start, total },
    body: media.read(fileHash, { start, end, signal }),
  };
}

/** Longest side of the pictures that are kept. */
const keptSide = 1024;

/** A kept picture, or any one frame, which is drawn anew. */
async function thumbnail(
  { store, media, thumbnails }: StudioContext,
  { takeId, size, frame }: Input<'takes.thumbnail'>,
  signal: AbortSignal,
): Promise<Download<Output<'takes.thumbnail'>>> {
  const take = store.require('takes', takeId);
  const path = await media.path(take.fileHash);
  if (frame === undefined) {
    const side = Math.min(size, keptSide);
    const kept = await thumbnails.thumbnail({ hash: take.fileHash, path }, { side, signal });
    const picture = await readFile(kept.path);
    return { output: { mime: 'image/webp', width: kept.width, height: kept.height }, body: once(picture) };
  }
  if (frame >= take.plan.frames) {
    throw new PusaError(
      'EDIT_INVALID',
      `The take has frames 0 to ${take.plan.frames - 1}.`,
      'Choose one of them.',
    );
  }
  const scale = Math.min(1, size / Math.max(take.width, take.height));
  const width = Math.max(1, Math.round(take.width * scale));
  const height = Math.max(1, Math.round(take.height * scale));
  const source = await openSource(path);
  for await (const pixels of source.frames([frame / take.fps], { width, height }, 'stretch')) {
    const picture = await sharp(pixels, { raw: { width, height, channels: 3 } })
      .webp({ quality: 85 })
      .toBuffer();
    return { output: { mime: 'image/webp', width, height }, body: once(picture) };
  }
  throw new PusaError('MEDIA_UNREADABLE', 'The take’s video shows no frame.', 'Generate it again.');
}

async function* once(bytes: Uint8Array): Bytes & AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** All of them or none; a step to undo in each project. The videos stay while undoing can bring them back. */
async function deleteTakes(context: StudioContext, takeIds: readonly string[]): Promise<void> {
  const { store } = context;
  const takes = [...new Set(takeIds)].map((id) => store.require('takes', id));
  for (const take of takes) requireHidden(store, take);
  for (const projectId of new Set(takes.map((take) => take.projectId))) {
    const own = takes.filter((take) => take.projectId === projectId);
    const label = own.length === 1 ? studioSteps.deleteTake : studioSteps.deleteTakes;
    await store.transact(projectId, label, (edit) => {
      for (const take of own) {
        // Once more: it may have been put on the timeline meanwhile.
        requireHidden(edit, take);
        edit.remove('takes', take.id);
      }
    });
  }
}

/** @throws PusaError EDIT_INVALID for a take whose clip is on the timeline */
function requireHidden(records: Pick<Edit, 'require'>, take: TakeRecord): void {
  const project = records.require('projects', take.projectId);
  const isShown = project.assets.some(
    ({ id, hash }) => hash === take.fileHash && project.clips.some(({ assetId }) => assetId === id),
  );
  if (!isShown) return;
  throw new PusaError(
    'EDIT_INVALID',
    'A take whose clip is on the timeline cannot be deleted.',
    'Remove its clip from the timeline first.',
  );
}
