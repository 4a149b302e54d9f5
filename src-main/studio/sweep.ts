import { randomUUID } from 'node:crypto';
import type { AssetRecord } from '../core/contract/records.ts';
import type { Store } from '../library/store.ts';
import { toAsset } from '../media/asset.ts';
import type { StudioContext } from './context.ts';

type Needs = Pick<StudioContext, 'store' | 'media'>;

/** The beginnings of hashes by which media are kept. */
const prefixes = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

/**
 * Brings media and records together after an unclean stop: files that no record names are removed, and assets marked
 * as {@link markMissing} does. Others may go on with the library meanwhile.
 * @throws PusaError CANCELLED, WRITE_FAILED, DISK_FULL, LIBRARY_DAMAGED
 */
export async function sweepLibrary({ store, media }: Needs, signal: AbortSignal): Promise<void> {
  await media.sweep((hashes) => store.namedAmong(hashes), signal);
  await markMissing({ store, media }, signal);
}

/**
 * Marks assets whose files are gone as missing, and those whose files are back as present. Others may go on with the
 * library meanwhile: it takes a few hundred assets after the other.
 */
export async function markMissing({ store, media }: Needs, signal: AbortSignal): Promise<void> {
  for (const prefix of prefixes) {
    if (signal.aborted) return;
    // First what is to be there, then what is: a file that comes in between is not looked for.
    const assets = store.lists.assetStates(prefix);
    if (assets.length === 0) continue;
    const there = new Set(await media.list(prefix));
    const found = assets.map((asset) => ({
      ...asset,
      is: there.has(asset.hash) ? ('present' as const) : ('missing' as const),
    }));
    await mark(
      store,
      found.filter(({ state, is }) => state !== is),
    );
  }
}

interface Found extends Pick<AssetRecord, 'id' | 'hash' | 'state'> {
  readonly is: AssetRecord['state'];
}

async function mark(store: Store, changed: readonly Found[]): Promise<void> {
  if (changed.length === 0) return;
  await store.transact(null, 'Look for media', (edit) => {
    for (const { id, hash, state, is } of changed) {
      const asset = edit.get('assets', id);
      if (asset?.hash === hash && asset.state === state) edit.put('assets', { ...asset, state: is });
    }
  });
}

/**
 * Makes assets of media that no record names, as after an older backup took the library's place: they are a person's
 * work, and the sweep would remove them.
 */
export async function adoptMedia({
  store,
  media,
  log,
}: Pick<StudioContext, 'store' | 'media' | 'log'>): Promise<void> {
  const known = store.mediaHashes();
  const importedAt = new Date().toISOString();
  const adopted: AssetRecord[] = [];
  for (const hash of await media.list()) {
    if (known.has(hash)) continue;
    try {
      const asset = await toAsset(await media.path(hash), randomUUID());
      adopted.push({
        ...asset,
        hash,
        name: `Recovered ${hash.slice(0, 8)}`,
        importedAt,
        original: null,
        state: 'present',
      });
    } catch (thrown) {
      log(thrown);
    }
  }
  if (adopted.length === 0) return;
  await store.transact(null, 'Recover media', (edit) => {
    for (const asset of adopted) edit.put('assets', asset);
  });
}
