import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import type { Asset, Project } from '../../core/contract/project.ts';
import type { AssetRecord } from '../../core/contract/records.ts';
import type { Imported } from '../../library/media-types.ts';
import type { Edit } from '../../library/store.ts';
import { differs } from '../../library/media-receive.ts';
import { openSource } from '../../media/frames.ts';
import { probeMedia } from '../../media/probe.ts';
import { defaultSequenceFps } from '../../media/sequence.ts';
import { findFfmpeg } from '../../media/tools.ts';
import type { MediaProbe } from '../../media/types.ts';
import type { Report, StudioContext } from '../context.ts';

type Shared = Pick<StudioContext, 'store' | 'media'>;

/** How taking media in is watched and ended. */
export interface IntakeWatch {
  readonly report: Report;
  readonly signal: AbortSignal;
}

/** An asset, and whether the library had its bytes already. */
export interface TakenIn {
  readonly asset: AssetRecord;
  readonly known: boolean;
}

type Facts = Pick<Asset, 'kind' | 'width' | 'height' | 'fps' | 'duration'>;
type Original = AssetRecord['original'];

/**
 * Takes a file or a sequence in, by its path: looked at before it is copied, so that what cannot be used costs nothing,
 * and once more from the copy.
 * @throws PusaError of `probeMedia` and `MediaStore.import`
 */
export async function takeInPath(
  context: Shared,
  path: string,
  sequenceFps: number = defaultSequenceFps,
  { report, signal }: IntakeWatch,
): Promise<TakenIn> {
  const { bytes } = await probeMedia(path, { sequenceFps });
  const original = await originalOf(path, bytes);
  return takeIn(context, { source: path, name: labelOf(path), original, sequenceFps }, { report, signal });
}

/**
 * Takes bytes in as they come. The name is only a label: what the bytes are is found from themselves.
 * @throws PusaError of `probeMedia` and `MediaStore.import`; then nothing is kept
 */
export async function takeInBytes(
  context: Shared,
  source: AsyncIterable<Uint8Array>,
  name: string,
  watch: IntakeWatch,
): Promise<TakenIn> {
  return takeIn(context, { source, name, original: null, sequenceFps: defaultSequenceFps }, watch);
}

interface Intake {
  readonly source: string | AsyncIterable<Uint8Array>;
  readonly name: string;
  readonly original: Original;
  readonly sequenceFps: number;
}

async function takeIn(
  context: Shared,
  { source, name, original, sequenceFps }: Intake,
  { report, signal }: IntakeWatch,
): Promise<TakenIn> {
  const { store, media } = context;
  let taken: TakenIn | null = null;
  await media.import(source, {
    onBytes: report,
    signal,
    record: async (imported) => {
      const facts = await examine(context, imported, sequenceFps);
      const { value } = await store.transact(null, 'Import media', (edit) => {
        const known = store.lists.assetOfHash(imported.hash);
        if (known !== null) return { asset: markPresent(edit, known, original), known: true };
        const asset: AssetRecord = {
          id: randomUUID(),
          ...facts,
          name,
          hash: imported.hash,
          bytes: imported.bytes,
          importedAt: new Date().toISOString(),
          original,
          state: 'present',
        };
        edit.put('assets', asset);
        return { asset, known: false };
      });
      taken = value;
    },
  });
  // The record was made, or the import has failed.
  return taken!;
}

/**
 * Gives a missing asset its bytes again.
 * @param accept `any`: others than it had too; then every project that shows it shows the new ones
 * @returns the record of the bytes: where the library had them already under another id, that one
 * @throws PusaError MEDIA_DIFFERS; of `probeMedia` and `MediaStore.import`
 */
export async function relink(
  context: Shared,
  asset: AssetRecord,
  path: string,
  accept: 'same' | 'any',
  { report, signal }: IntakeWatch,
): Promise<AssetRecord> {
  const { store, media } = context;
  const sequenceFps = asset.fps > 0 ? asset.fps : defaultSequenceFps;
  const { bytes } = await probeMedia(path, { sequenceFps });
  if (accept === 'same' && bytes !== asset.bytes) throw differs(path);
  const original = await originalOf(path, bytes);
  let linked = asset;
  await media.import(path, {
    onBytes: report,
    signal,
    ...(accept === 'same' ? { expect: asset.hash } : {}),
    record: async (imported) => {
      const facts = await examine(context, imported, sequenceFps);
      const { value } = await store.transact(null, 'Relink media', (edit) => {
        const current = edit.require('assets', asset.id);
        if (imported.hash === current.hash) return markPresent(edit, current, original);
        return replaceBytes(context, edit, current, { ...facts, ...imported }, original);
      });
      linked = value;
    },
  });
  return linked;
}

/** What media in the store are; decodes a frame where that is possible, so that what is broken is refused now. */
async function examine({ media }: Shared, { hash }: Imported, sequenceFps: number): Promise<Facts> {
  const path = await media.path(hash);
  const probe = await probeMedia(path, { sequenceFps });
  if (probe.kind === 'video' && (await findFfmpeg()) !== null) await openSource(path, { probe });
  return factsOf(probe);
}

function factsOf({ kind, width, height, fps, duration }: MediaProbe): Facts {
  return { kind, width, height, fps, duration };
}

function markPresent(edit: Edit, asset: AssetRecord, original: Original): AssetRecord {
  if (asset.state === 'present') return asset;
  const present: AssetRecord = { ...asset, state: 'present', original: original ?? asset.original };
  edit.put('assets', present);
  return present;
}

/** Other bytes for an asset, in the library and in every project that shows it. */
function replaceBytes(
  { store }: Shared,
  edit: Edit,
  asset: AssetRecord,
  { hash, bytes, kind, width, height, fps, duration }: Facts & Pick<Imported, 'hash' | 'bytes'>,
  original: Original,
): AssetRecord {
  const projectIds = store.lists.projectsWithMedia(asset.hash);
  const known = store.lists.assetOfHash(hash);
  const changed: AssetRecord = known
    ? { ...known, state: 'present' }
    : { ...asset, hash, bytes, kind, width, height, fps, duration, original, state: 'present' };
  if (known !== null) edit.remove('assets', asset.id);
  edit.put('assets', changed);
  const modifiedAt = new Date().toISOString();
  for (const id of projectIds) {
    edit.update('projects', id, (project) => ({ ...showInstead(project, asset.hash, changed), modifiedAt }));
  }
  return changed;
}

/** A project that shows an asset where it showed the media of a hash. */
function showInstead<P extends Project>(project: P, hash: string, record: AssetRecord): P {
  const asset = assetOfRecord(record);
  const replaced = new Set(project.assets.filter((each) => each.hash === hash).map(({ id }) => id));
  const kept = project.assets.filter(({ id }) => !replaced.has(id) && id !== asset.id);
  const at = project.assets.findIndex(({ id }) => replaced.has(id));
  return {
    ...project,
    assets: kept.toSpliced(Math.min(at, kept.length), 0, asset),
    clips: project.clips.map((clip) => (replaced.has(clip.assetId) ? { ...clip, assetId: asset.id } : clip)),
  };
}

/** An asset as a project holds it. */
export function assetOfRecord(record: AssetRecord): Asset {
  const { id, kind, name, hash, bytes, width, height, fps, duration } = record;
  return { id, kind, name, hash, bytes, width, height, fps, duration };
}

/** What a file is called where there is only its path: of a sequence, the folder or the pattern. */
function labelOf(path: string): string {
  return (basename(resolve(path)) || 'media').slice(0, 255);
}

async function originalOf(path: string, size: number): Promise<Original> {
  const absolute = resolve(path);
  // A pattern names no file: then its folder's time stands for it.
  const info = await stat(absolute).catch(() => stat(dirname(absolute)));
  return absolute.length > 4096 ? null : { path: absolute, size, mtime: info.mtime.toISOString() };
}
