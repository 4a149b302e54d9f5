import type { AssetRecord } from '../../../src-main/core/contract/records.ts';
import { t } from '../i18n/index.svelte.ts';
import { bytesOf, pickFiles } from './bytes.ts';
import { bridge } from './connection.ts';
import type { Session } from './session.svelte.ts';
import { tasks } from './tasks.svelte.ts';

const mediaTypes = 'image/*,video/*,.mkv,.mov,.webm,.avif,.heic';

/** Brings files into the library; `.pusa` files among them are opened. What could not be imported is told. */
export async function importFiles(session: Session, files: readonly File[]): Promise<AssetRecord[]> {
  const imported: AssetRecord[] = [];
  for (const file of files) {
    if (/\.pusa$/i.test(file.name)) {
      await openProjectFile(session, file);
      continue;
    }
    const path = bridge()?.pathForFile(file) ?? null;
    const result = await tasks.follow(
      session,
      t('library.importing', { name: file.name }),
      ({ task, signal }) =>
        path === null
          ? session.client.api.assets.upload(
              { name: file.name.slice(0, 255), task },
              { upload: bytesOf(file), signal },
            )
          : session.client.api.assets.import({ path, task }, { signal }),
    );
    if (result === null) continue;
    imported.push(result.asset);
    if (result.known) session.tell('info', t('library.known', { name: result.asset.name }));
  }
  return imported;
}

/** Asks for media and imports it. */
export async function chooseMedia(session: Session): Promise<AssetRecord[]> {
  const desktop = bridge();
  if (desktop === undefined) return importFiles(session, await pickFiles(mediaTypes, true));
  const imported: AssetRecord[] = [];
  for (const path of await desktop.chooseOpen({ kind: 'media' })) {
    const name = path.split(/[\\/]/).at(-1) ?? path;
    const result = await tasks.follow(session, t('library.importing', { name }), ({ task, signal }) =>
      session.client.api.assets.import({ path, task }, { signal }),
    );
    if (result !== null) imported.push(result.asset);
  }
  return imported;
}

/** Opens a `.pusa` file that was dropped or chosen. */
export async function openProjectFile(session: Session, file: File): Promise<void> {
  const path = bridge()?.pathForFile(file) ?? null;
  const state = await tasks.follow(session, t('library.opening', { name: file.name }), ({ task, signal }) =>
    path === null
      ? session.client.api.files.upload({ task }, { upload: bytesOf(file), signal })
      : session.client.api.files.open({ path, task }, { signal }),
  );
  if (state === null) return;
  session.show(state);
  await session.readTakes();
}
