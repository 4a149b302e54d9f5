import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PusaError } from '../core/errors.ts';
import { openPackage, type ModelPackage } from '../engine/weights/package.ts';

/** The model used where a project names none. */
export const defaultModel = 'starter';

/**
 * Opens a model package by its id.
 * @param folder holds one folder per package, named by its id
 * @throws PusaError MODEL_NOT_FOUND naming the packages there are
 */
export async function findModel(folder: string, id: string = defaultModel): Promise<ModelPackage> {
  // Only names that are there are opened, so that an id from a project file is never used as a path.
  const ids = await listModels(folder);
  if (!ids.includes(id)) {
    throw new PusaError(
      'MODEL_NOT_FOUND',
      `There is no model "${id}".`,
      ids.length === 0 ? 'Install Pusa Studio again.' : `Choose one of: ${ids.join(', ')}.`,
    );
  }
  return openPackage(join(folder, id));
}

/** Ids of the packages in a folder. */
export async function listModels(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}
