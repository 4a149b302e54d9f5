import { readFile } from 'node:fs/promises';
import type { AssetRecord } from '../../core/contract/records.ts';
import type { Download } from '../../core/contract/channel/contract.ts';
import { PusaError } from '../../core/errors.ts';
import type { PageQuery } from '../../library/lists.ts';
import { findMissing, type Match } from '../../library/relink.ts';
import { probeMedia } from '../../media/probe.ts';
import type { Thumbnail, ThumbnailSource } from '../../media/thumbnails.ts';
import type { StudioContext } from '../context.ts';
import type { HandlersOf } from '../handlers.ts';
import { requireAbsolute } from '../own-folders.ts';
import { relink, takeInBytes, takeInPath } from './asset-intake.ts';

/** Records changed in one edit, at most: an edit holds up the others. */
const mostPerEdit = 1000;

/** Media of the library: taken in, looked at, found again and thrown away. */
export function assetsHandlers(context: StudioContext): HandlersOf<'assets'> {
  const { store, media, thumbnails } = context;
  const get = (assetId: string): AssetRecord => store.require('assets', assetId);
  return {
    'assets.list': ({ cursor, limit, kind, state, sort }) => {
      const page = store.lists.assets({
        limit,
        after: cursor,
        kind,
        state,
        order: sort === 'imported' ? 'time' : sort,
      });
      return { ...page, items: [...page.items] };
    },
    'assets.get': ({ assetId }) => get(assetId),
    'assets.rename': async ({ assetId, name }) => {
      const { value } = await store.transact(null, 'Rename media', (edit) =>
        edit.update('assets', assetId, (asset) => ({ ...asset, name })),
      );
      return value;
    },
    'assets.import': ({ path, sequenceFps, task }, { signal }) =>
      takeInPath(context, requireAbsolute(path), sequenceFps, {
        report: context.reporter(task, 'bytes'),
        signal,
      }),
    'assets.upload': ({ name, task }, { signal, upload }) =>
      takeInBytes(context, upload, name, { report: context.reporter(task, 'bytes'), signal }),
    'assets.read': async ({ assetId, from = 0, bytes = Infinity }, { signal }) => {
      const { hash } = get(assetId);
      const total = await media.size(hash);
      const start = Math.min(from, total);
      const end = Math.min(total, start + bytes);
      return {
        output: { from: start, bytes: end - start, total },
        body: media.read(hash, { start, end, signal }),
      };
    },
    'assets.thumbnail': async ({ assetId, size, at }, { signal }) => {
      const source = await pictured(context, get(assetId));
      const options = { side: size, signal, ...(at === undefined ? {} : { at }) };
      return picture(await thumbnails.thumbnail(source, options));
    },
    'assets.filmstrip': async ({ assetId, from, to, frames, height }, { signal }) => {
      const source = await pictured(context, get(assetId));
      const stretch = { from: Math.min(from, to), to: Math.max(from, to) };
      const strip = await thumbnails.filmstrip(source, { frames, height, stretch, signal });
      const { output, body } = await picture(strip);
      return { output: { ...output, frames: strip.times.length }, body };
    },
    'assets.probe': async ({ assetId }) => {
      const { path, sequenceFps } = await pictured(context, get(assetId));
      const options = sequenceFps === undefined ? {} : { sequenceFps };
      const { codec, rotation, flip, hasAudio } = await probeMedia(path, options);
      return { codec: codec.slice(0, 60), rotation, flip, hasAudio };
    },
    'assets.missing': ({ cursor, limit }) => {
      const page = store.lists.assets({ limit, after: cursor, state: 'missing' });
      return { ...page, items: [...page.items] };
    },
    'assets.relink': async ({ assetId, path, accept, task }, { signal }) => {
      const watch = { report: context.reporter(task, 'bytes'), signal };
      return relink(context, get(assetId), requireAbsolute(path), accept, watch);
    },
    'assets.relinkFolder': async ({ path, task }, { signal }) => {
      const missing = allPages((query) => store.lists.assets({ ...query, state: 'missing' }));
      const report = context.reporter(task, 'files');
      const { matches, isCutShort } = await findMissing(missing, requireAbsolute(path), {
        signal,
        onProgress: ({ filesSeen }) => report(filesSeen, null),
      });
      const found = await takeMatches(context, matches, signal);
      if (isCutShort && found.length < missing.length) {
        context.notify({
          level: 'warning',
          code: 'SEARCH_CUT_SHORT',
          message: 'The folder holds more files than are looked through at once.',
          remedy: 'Choose the folder inside it where the media are likely to be.',
        });
      }
      return { found, stillMissing: missing.length - found.length };
    },
    'assets.unusedMedia': ({ cursor, limit }) => {
      const page = store.lists.unusedAssets({ limit, after: cursor });
      return { ...page, items: [...page.items] };
    },
    'assets.collectUnused': ({ assetIds }) => collectUnused(context, assetIds ?? null),
    'assets.moveStore': async ({ path, task }, { signal }) => {
      const { damaged } = await media.moveTo(path, { onBytes: context.reporter(task, 'bytes'), signal });
      if (damaged.length > 0) {
        context.notify({
          level: 'warning',
          code: 'MEDIA_DAMAGED',
          values: { count: damaged.length },
          message: `${damaged.length} media were damaged before they were moved.`,
          remedy: 'Relink them to their originals, if you have them.',
        });
      }
      return {};
    },
  };
}

async function takeMatches(
  { store, media }: StudioContext,
  matches: readonly Match[],
  signal: AbortSignal,
): Promise<string[]> {
  const found: string[] = [];
  for (const { assetId, hash, path } of matches) {
    try {
      await media.import(path, {
        signal,
        expect: hash,
        record: async () => {
          await store.transact(null, 'Relink media', (edit) => {
            edit.update('assets', assetId, (asset) => ({ ...asset, state: 'present' }));
          });
        },
      });
      found.push(assetId);
    } catch (thrown) {
      // Changed or gone since it was found: it stays missing, the others need not.
      const passing = thrown instanceof PusaError ? thrown.code : null;
      if (!['MEDIA_DIFFERS', 'FILE_NOT_FOUND', 'MEDIA_UNREADABLE'].includes(passing ?? '')) throw thrown;
    }
  }
  return found;
}

async function collectUnused(
  context: StudioContext,
  assetIds: readonly string[] | null,
): Promise<{ assets: number; bytes: number }> {
  const { store, media, thumbnails } = context;
  const removed: string[] = [];
  let isMore = true;
  while (isMore) {
    const { value } = await store.transact(null, 'Remove unused media', (edit) => {
      const unused = store.unusedAssetIds();
      if (assetIds !== null) requireUnused(assetIds, unused);
      const all = assetIds === null ? unused : [...new Set(assetIds)];
      const batch = all.slice(0, mostPerEdit);
      const hashes = batch.map((id) => edit.require('assets', id).hash);
      for (const id of batch) edit.remove('assets', id);
      return { hashes, isMore: assetIds === null && all.length > batch.length };
    });
    removed.push(...value.hashes);
    ({ isMore } = value);
  }
  let bytes = 0;
  for (const hash of removed) {
    // Named again meanwhile. Asking and removing in one turn: an import that comes between holds its medium.
    if (!store.lists.isNamed(hash)) bytes += await media.remove(hash);
  }
  await thumbnails.sweep(store.mediaHashes()).catch((thrown: unknown) => context.log(thrown));
  return { assets: removed.length, bytes };
}

function requireUnused(assetIds: readonly string[], unused: readonly string[]): void {
  const may = new Set(unused);
  if (assetIds.every((id) => may.has(id))) return;
  throw new PusaError(
    'EDIT_INVALID',
    'Some of these media are used by a project or a take, or would be after undoing.',
    'Look at the list of unused media again and choose from it.',
  );
}

/** Where to read an asset's pictures. @throws PusaError FILE_NOT_FOUND */
async function pictured(
  { media }: Pick<StudioContext, 'media'>,
  { hash, kind, fps }: AssetRecord,
): Promise<ThumbnailSource> {
  return { hash, path: await media.path(hash), ...(kind === 'sequence' ? { sequenceFps: fps } : {}) };
}

/** A small picture with its bytes. */
async function picture({
  path,
  width,
  height,
}: Thumbnail): Promise<Download<{ mime: 'image/webp'; width: number; height: number }>> {
  const bytes = await readFile(path);
  return { output: { mime: 'image/webp', width, height }, body: oneChunk(bytes) };
}

/* eslint-disable-next-line @typescript-eslint/require-await -- bytes that are there already */
async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield bytes;
}

/** Every record of a list. */
function allPages<T>(
  list: (query: PageQuery) => { readonly items: readonly T[]; readonly next: string | null },
): T[] {
  const all: T[] = [];
  let after: string | null = null;
  do {
    const { items, next } = list({ limit: 500, after });
    all.push(...items);
    after = next;
  } while (after !== null);
  return all;
}
