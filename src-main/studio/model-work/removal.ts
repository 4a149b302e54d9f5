import { realpath, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import type { Removal } from '../../core/contract/api/model-work.ts';
import { PusaError } from '../../core/errors.ts';
import { filesOf } from '../../engine/weights/manifest.ts';
import { readManifest } from '../../engine/weights/package.ts';
import { listShelf, takeFromShelf, type ShelvedModel } from '../model-shelf.ts';
import type { Places } from '../places.ts';
import { removePart } from '../downloads/part-file.ts';
import { folderBytes } from './model-folders.ts';
import type { OwnFile, OwnFiles } from './own-files.ts';

/** What removing a model would do, with what carries it out. */
interface Plan extends Removal {
  readonly model: ShelvedModel;
  /** The package's folder, where all of it goes. */
  readonly folder: string | null;
}

interface Place {
  readonly dataFolder: string;
  readonly places: Pick<Places, 'resources'>;
  readonly own: OwnFiles;
}

/** Files of a model by their real paths, with their sizes; empty where its manifest cannot be read. */
async function modelFiles(folder: string): Promise<Map<string, number>> {
  const files = new Map<string, number>();
  const manifest = await readManifest(folder).catch(() => null);
  for (const { path, bytes } of manifest === null ? [] : filesOf(manifest)) {
    const place = resolve(folder, path);
    files.set(await realpath(place).catch(() => place), bytes);
  }
  return files;
}

/** Which models use a file, by its real path. */
export async function usersOfFiles({ dataFolder, places }: Place): Promise<Map<string, string[]>> {
  const users = new Map<string, string[]>();
  for (const { id, folder } of await listShelf(dataFolder, places)) {
    for (const file of (await modelFiles(folder)).keys()) {
      users.set(file, [...(users.get(file) ?? []), id]);
    }
  }
  return users;
}

/**
 * Finds what goes and what stays when a model is removed. Only what the application made or downloaded goes, and of
 * that only what no other model uses.
 * @param inUse why the model cannot go now; null where it can
 * @throws PusaError MODEL_NOT_FOUND
 */
export async function planRemoval(at: Place, id: string, inUse: string | null): Promise<Plan> {
  const model = (await listShelf(at.dataFolder, at.places)).find((one) => one.id === id);
  if (model === undefined) {
    throw new PusaError('MODEL_NOT_FOUND', `There is no model "${id}".`, 'Look at the list of models again.');
  }
  const blocked = model.bundled ? `"${id}" comes with the application and is not removed.` : inUse;
  const own = await at.own.read();
  const folder = await realpath(model.folder).catch(() => model.folder);
  const isOwn =
    !model.bundled &&
    (isBelow(folder, await real(join(at.dataFolder, 'models'))) ||
      (await anyIs(
        own.packages.map((one) => one.folder),
        folder,
      )));
  const downloads = new Map<string, number>();
  for (const { place, bytes } of own.downloads) downloads.set(await real(place), bytes);
  const users = await usersOfFiles(at);

  const deletes: Removal['deletes'] = [];
  const keeps: Removal['keeps'] = [];
  let frees = 0;
  const goes = (path: string, bytes: number): void => {
    deletes.push({ path, bytes });
    frees += bytes;
  };
  for (const [path, bytes] of await modelFiles(model.folder)) {
    const others = (users.get(path) ?? []).filter((user) => user !== id);
    const isInside = isBelow(path, folder);
    if (others.length > 0) keeps.push({ path, bytes, why: `“${others[0]!}” uses it too.`.slice(0, 300) });
    else if (model.bundled) keeps.push({ path, bytes, why: 'It comes with the application.' });
    else if (isOwn && isInside) deletes.push({ path, bytes });
    else if (downloads.has(path)) goes(path, bytes);
    else keeps.push({ path, bytes, why: 'It is your own file.' });
  }
  // With the package's folder goes all that is in it, also what the manifest does not name.
  const keepsInside = keeps.some(({ path }) => isBelow(path, folder));
  if (isOwn && !keepsInside) frees += await folderBytes(folder);
  return { frees, deletes, keeps, blocked, model, folder: isOwn && !keepsInside ? folder : null };
}

/**
 * Forgets a model and deletes what {@link planRemoval} says.
 * @returns bytes that it freed
 * @throws PusaError MODEL_NOT_FOUND, MODEL_BUSY, WRITE_FAILED
 */
export async function removeModel(at: Place, id: string, inUse: string | null): Promise<number> {
  const plan = await planRemoval(at, id, inUse);
  if (plan.blocked !== null) {
    throw new PusaError(
      plan.model.bundled ? 'MODEL_NOT_FOUND' : 'MODEL_BUSY',
      plan.blocked,
      plan.model.bundled
        ? 'Choose another model as the default in the settings.'
        : 'Wait until it is finished, or cancel it.',
    );
  }
  await takeFromShelf(at.dataFolder, id);
  if (plan.folder !== null) {
    await rm(plan.folder, { recursive: true, force: true });
    await at.own.forget(new Set([plan.folder, resolve(plan.model.folder)]));
  }
  const going = new Set(plan.deletes.map(({ path }) => path));
  await removeDownloads(at.own, (_, path) => going.has(path));
  return plan.frees;
}

/**
 * Deletes downloaded files with what an interrupted download left beside them, and forgets them.
 * @param isGoing asked of each, with its real path
 * @returns bytes that it freed
 */
export async function removeDownloads(
  own: OwnFiles,
  isGoing: (file: OwnFile, path: string) => boolean,
): Promise<number> {
  const gone = new Set<string>();
  let bytes = 0;
  for (const file of (await own.read()).downloads) {
    const { place, path: inner } = file;
    if (!isGoing(file, await real(place))) continue;
    bytes += (await stat(place).catch(() => null))?.size ?? 0;
    await rm(place, { force: true });
    bytes += await removePart(place);
    gone.add(place);
    await removeEmptyFolders(dirname(place), inner.split('/').length + 1);
  }
  await own.forget(gone);
  return bytes;
}

/** The folders of a repository up to its owner's, where nothing is left in them. */
async function removeEmptyFolders(folder: string, levels: number): Promise<void> {
  let at = folder;
  for (let level = 0; level < levels; level++) {
    try {
      await rmdir(at);
    } catch {
      return;
    }
    at = dirname(at);
  }
}

function real(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}

async function anyIs(paths: readonly string[], wanted: string): Promise<boolean> {
  for (const path of paths) if ((await real(path)) === wanted) return true;
  return false;
}

function isBelow(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== '' && way.split(sep)[0] !== '..' && resolve(folder, way) === path;
}
