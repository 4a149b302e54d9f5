import type { Asset } from '../../../src-main/core/contract/project.ts';
import type { AssetRecord } from '../../../src-main/core/contract/records.ts';
import { PusaError } from '../../../src-main/core/errors.ts';
import { openTrack } from '../../../src-main/core/timeline/tracks.ts';
import { t } from '../i18n/index.svelte.ts';
import { bytesOf, pickFiles } from '../state/bytes.ts';
import { bridge } from '../state/connection.ts';
import { assetDrag, assetOf } from '../state/drag.svelte.ts';
import { importFiles } from '../state/import-files.ts';
import type { Session } from '../state/session.svelte.ts';
import { tasks } from '../state/tasks.svelte.ts';
import { clipFrames, dropAssets, freeFrame, insertionFrame } from '../timeline/edits.ts';
import { confirm } from '../ui/confirm.svelte.ts';

/** Puts media on the timeline where the playhead is, or as soon after it as there is room for them. */
export function addAtPlayhead(session: Session, ...assets: readonly Asset[]): void {
  const { project } = session;
  const [first] = assets;
  if (project === null || first === undefined) return;
  const added = assets.map(assetOf);
  const track = openTrack(0, project);
  const frames = added.reduce((sum, asset) => sum + clipFrames(asset, project.fps), 0);
  const start = freeFrame(project.clips, track, insertionFrame(project, session.playhead), frames);
  const { commands, clipIds } = dropAssets(project, added, { start, track }, () => crypto.randomUUID());
  void session.edit(t('library.edit.add', { name: first.name }).slice(0, 200), commands);
  session.selection = { clipIds, cells: null };
}

/** Whether something that is dragged could be put on the timeline. */
export function canDrop(event: DragEvent): boolean {
  return assetDrag.has(event) || event.dataTransfer?.types.includes('Files') === true;
}

/** Takes files and media that are dropped where no part of the window wants them itself. */
export async function dropAtPlayhead(session: Session, event: DragEvent): Promise<void> {
  const asset = assetDrag.read(event);
  const files = [...(event.dataTransfer?.files ?? [])];
  addAtPlayhead(session, ...(asset === null ? await importFiles(session, files) : [asset]));
}

/** Deletes a medium that nothing uses. */
export async function removeAsset(session: Session, asset: AssetRecord): Promise<void> {
  const { name } = asset;
  const isSure = await confirm({
    title: t('library.removeTitle', { name }),
    text: t('library.removeText'),
    action: t('library.remove'),
    danger: true,
  });
  if (!isSure) return;
  try {
    const { assets } = await session.client.api.assets.collectUnused({ assetIds: [asset.id] });
    if (assets > 0) session.tell('info', t('library.removed', { name }));
    else session.tell('warning', t('library.inUse', { name }), t('library.inUseText'));
  } catch (thrown) {
    session.fail(thrown);
  }
}

/** Gives a missing medium its file back. */
export async function relinkAsset(session: Session, asset: AssetRecord): Promise<void> {
  const desktop = bridge();
  const isBack =
    desktop === undefined
      ? await relinkByUpload(session, asset)
      : await relinkByPath(session, asset, (await desktop.chooseOpen({ kind: 'media' }))[0]);
  if (isBack) session.tell('info', t('library.relinked', { name: asset.name }));
}

async function relinkByPath(
  session: Session,
  { id, name }: AssetRecord,
  path: string | undefined,
): Promise<boolean> {
  if (path === undefined) return false;
  const relink = (accept: 'same' | 'any'): Promise<AssetRecord | null> =>
    tasks.follow(session, name, ({ task, signal }) =>
      session.client.api.assets
        .relink({ assetId: id, path, accept, task }, { signal })
        .catch((thrown: unknown) => {
          if (accept === 'same' && thrown instanceof PusaError && thrown.code === 'MEDIA_DIFFERS')
            return null;
          throw thrown;
        }),
    );
  if ((await relink('same')) !== null) return true;
  const isSure = await confirm({
    title: t('library.relinkTitle'),
    text: t('library.relinkText', { name }),
    action: t('library.relinkUse'),
  });
  return isSure && (await relink('any')) !== null;
}

/** A browser gives no path: the same bytes, sent once more, are the same medium again. */
async function relinkByUpload(session: Session, { id, name }: AssetRecord): Promise<boolean> {
  const [file] = await pickFiles('image/*,video/*', false);
  if (file === undefined) return false;
  const result = await tasks.follow(session, name, ({ task, signal }) =>
    session.client.api.assets.upload(
      { name: file.name.slice(0, 255), task },
      { upload: bytesOf(file), signal },
    ),
  );
  if (result === null) return false;
  if (result.asset.id === id && result.asset.state === 'present') return true;
  session.tell('warning', t('library.relinkOther'), t('library.relinkOtherText', { name }));
  return false;
}
