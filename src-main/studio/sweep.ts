import { randomUUID } from 'node:crypto';
import type { AssetRecord } from '../core/contract/records.ts';
import type { Store } from '../library/store.ts';
import { toAsset } from '../media/asset.ts';
import type { StudioContext } from './context.ts';

type Needs = Pick<StudioContext, 'store' | 'media'>;

/**
 * Brings media and records together after an unclean stop: files that no record names are removed, and assets marked
 * as {@link markMissing} does. Nothing may be imported meanwhile.
 */
export async function sweepLibrary({ store, media }: Needs): Promise<void> {
  const { missing } = await media.sweep(store.mediaHashes());
  await mark(store, new Set(missing));
}

/**
 * Marks assets whose files are gone as missing, and those whose files are back as present. Others may go on with the
 * library meanwhile.
 */
export async function markMissing({ store, media }: Needs): Promise<void> {
  // First what is to be there, then what is: a file that comes in between is not looked for.
  const missing = store.mediaHashes();
  for (const hash of await media.list()) missing.delete(hash);
  await mark(store, missing);
}

async function mark(store: Store, missing: ReadonlySet<string>): Promise<void> {
  const changed = [
    ...assetsIn(store, 'missing').filter(({ hash }) => !missing.has(hash)),
    ...(missing.size === 0 ? [] : assetsIn(store, 'present').filter(({ hash }) => missing.has(hash))),
  ];
  if (changed.length === 0) return;
  await store.transact(null, 'Look for media', (edit) => {
    for (const { id, hash, state } of changed) {
      const asset = edit.get('assets', id);
      if (asset?.hash !== hash || asset.state !== state) continue;
      edit.put('assets', { ...asset, state: missing.has(hash) ? 'missing' : 'present' });
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

function assetsIn(store: Store, state: AssetRecord['state']): AssetRecord[] {
  const assets: AssetRecord[] = [];
  let after: string | null = null;
  do {
    const page = store.lists.assets({ limit: 500, after, state });
    assets.push(...page.items);
    after = page.next;
  } while (after !== null);
  return assets;
}
