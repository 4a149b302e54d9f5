import { mkdir, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { idSchema } from '../core/contract/project.ts';
import { PusaError, toPusaError } from '../core/errors.ts';
import { openPackage, type ModelPackage } from '../engine/weights/package.ts';
import type { Places } from './places.ts';
import { StateFile } from './state-file.ts';

/** The model used where neither a project nor the settings name one. */
export const defaultModel = 'starter';

/** A model package that is there: its folder, and whether it came with the application. */
export interface ShelvedModel {
  readonly id: string;
  readonly folder: string;
  readonly bundled: boolean;
}

/** Packages that stay where a person keeps them. */
const shelfSchema = z.strictObject({
  version: z.literal(1),
  models: z
    .array(z.strictObject({ id: z.string().min(1).max(64), folder: z.string().min(1).max(4096) }))
    .max(1000),
});
type Shelf = z.infer<typeof shelfSchema>;

/**
 * All packages: those that stay in a person's own folders, those in the data folder, those that came along. Of one id
 * the first of these is taken.
 */
export async function listShelf(
  dataFolder: string,
  { resources }: Pick<Places, 'resources'>,
): Promise<ShelvedModel[]> {
  const found = new Map<string, ShelvedModel>();
  const { models } = await StateFile.read(shelfPath(dataFolder), shelfSchema, empty);
  for (const { id, folder } of models) found.set(id, { id, folder, bundled: false });
  for (const [folder, bundled] of [
    [join(dataFolder, 'models'), false],
    [join(resources, 'models'), true],
  ] as const) {
    const ids = await foldersIn(folder).catch((thrown: unknown) => {
      if (toPusaError(thrown).code === 'FILE_NOT_FOUND') return [];
      throw thrown;
    });
    for (const id of ids.sort()) if (!found.has(id)) found.set(id, { id, folder: join(folder, id), bundled });
  }
  return [...found.values()];
}

/**
 * Opens a model by its id.
 * @throws PusaError MODEL_NOT_FOUND naming the models there are, CHECKPOINT_INVALID
 */
export async function findModel(
  dataFolder: string,
  places: Pick<Places, 'resources'>,
  id: string = defaultModel,
): Promise<ModelPackage> {
  // Only what is on the shelf is opened, so that an id from a project file is never used as a path.
  const models = await listShelf(dataFolder, places);
  const found = models.find((one) => one.id === id);
  if (found !== undefined) return openPackage(found.folder);
  throw new PusaError(
    'MODEL_NOT_FOUND',
    `There is no model "${id}".`,
    models.length === 0
      ? 'Install Pusa Studio again.'
      : `Choose one of: ${models.map((one) => one.id).join(', ')}.`,
  );
}

/**
 * Remembers a package where it lies.
 * @throws PusaError LIBRARY_DAMAGED, WRITE_FAILED, DISK_FULL
 */
export async function putOnShelf(dataFolder: string, id: string, folder: string): Promise<void> {
  await mkdir(dataFolder, { recursive: true });
  const shelf = await openShelf(dataFolder);
  const place = await realpath(folder);
  await shelf.change(({ models }) => ({
    version: 1,
    models: [...models.filter((model) => model.id !== id), { id, folder: place }],
  }));
}

/**
 * Forgets a package; its files stay.
 * @returns whether it was remembered
 * @throws PusaError LIBRARY_DAMAGED, WRITE_FAILED, DISK_FULL
 */
export async function takeFromShelf(dataFolder: string, id: string): Promise<boolean> {
  const shelf = await openShelf(dataFolder);
  if (!shelf.value.models.some((model) => model.id === id)) return false;
  await shelf.change(({ models }) => ({ version: 1, models: models.filter((model) => model.id !== id) }));
  return true;
}

const empty: Shelf = { version: 1, models: [] };

function shelfPath(dataFolder: string): string {
  return join(dataFolder, 'models.json');
}

function openShelf(dataFolder: string): Promise<StateFile<Shelf>> {
  return StateFile.open(shelfPath(dataFolder), shelfSchema, empty);
}

async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  // A package that is still being baked is a folder whose name is no id.
  return entries
    .filter((entry) => entry.isDirectory() && idSchema.safeParse(entry.name).success)
    .map((entry) => entry.name);
}
