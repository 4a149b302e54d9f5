import { mkdir, readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { idSchema } from '../../core/contract/project.ts';
import { toPusaError } from '../../core/errors.ts';
import { listShelf, putOnShelf } from '../model-shelf.ts';
import type { Places } from '../places.ts';
import type { OwnFiles } from './own-files.ts';

/** Where models lie on the disk: what is downloaded, what is made of it, and what is not finished. */
export interface ModelFolders {
  /** Downloaded files, by repository. */
  readonly downloads: string;
  /** Packages, each in a folder named by its id. */
  readonly packages: string;
  /** Packages that are being made; not listed. */
  readonly unfinished: string;
}

/** @param folder the one a person chose; null: inside the data folder */
export function modelFolders(dataFolder: string, folder: string | null): ModelFolders {
  if (folder === null) {
    return {
      downloads: join(dataFolder, 'model-files'),
      packages: join(dataFolder, 'models'),
      unfinished: join(dataFolder, 'models-unfinished'),
    };
  }
  const root = resolve(folder);
  return {
    downloads: root,
    packages: join(root, 'packages'),
    unfinished: join(root, 'packages-unfinished'),
  };
}

/** An id that no model has: the wanted one as far as it is an id, else with a number behind it. */
export async function freeId(
  dataFolder: string,
  places: Pick<Places, 'resources'>,
  wanted: string,
  taken: ReadonlySet<string> = new Set(),
): Promise<string> {
  const ids = new Set([...taken, ...(await listShelf(dataFolder, places)).map(({ id }) => id)]);
  if (idSchema.safeParse(wanted).success && !ids.has(wanted)) return wanted;
  const base =
    wanted
      .replaceAll(/[^A-Za-z0-9_-]+/g, '-')
      .replaceAll(/^-+|-+$/g, '')
      .slice(0, 58) || 'model';
  for (let number = 1; ; number++) {
    const id = number === 1 ? base : `${base}-${number}`;
    if (!ids.has(id)) return id;
  }
}

/**
 * Puts a package that is whole where packages lie, and on the shelf.
 * @returns its folder
 * @throws PusaError DISK_FULL, WRITE_FAILED
 */
export async function settlePackage(
  dataFolder: string,
  own: OwnFiles,
  { packages }: ModelFolders,
  id: string,
  made: string,
): Promise<string> {
  const folder = join(packages, id);
  try {
    await mkdir(packages, { recursive: true });
    if (resolve(made) !== resolve(folder)) {
      await removeLeftover(folder);
      await rename(made, folder);
      // Only if nothing else is being made there.
      await rmdir(dirname(made)).catch(() => undefined);
    }
  } catch (thrown) {
    throw toPusaError(thrown);
  }
  await shelvePackage(dataFolder, own, id, folder);
  return folder;
}

/** Notes a package that the application made, and puts it on the shelf. @throws PusaError DISK_FULL, WRITE_FAILED */
export async function shelvePackage(
  dataFolder: string,
  own: OwnFiles,
  id: string,
  folder: string,
): Promise<void> {
  await own.notePackage(id, folder);
  // Those in the data folder are found there.
  if (dirname(resolve(folder)) === join(resolve(dataFolder), 'models') && basename(folder) === id) return;
  await putOnShelf(dataFolder, id, folder);
}

/** A folder without a manifest, as a removed model may leave; another model's is never touched. */
async function removeLeftover(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => null);
  if (names !== null && names.length === 0) await rmdir(folder);
}

/** Removes a folder with all it holds. @returns the bytes that frees */
export async function removeFolder(folder: string): Promise<number> {
  const bytes = await folderBytes(folder);
  await rm(folder, { recursive: true, force: true });
  return bytes;
}

/** Bytes of all files below a folder that no other name holds. */
export async function folderBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => [])) {
    if (!entry.isFile()) continue;
    const { size, nlink } = await stat(join(entry.parentPath, entry.name));
    if (nlink <= 1) bytes += size;
  }
  return bytes;
}
