import { join } from 'node:path';
import type { Project } from '../core/contract/project.ts';
import { PusaError } from '../core/errors.ts';
import { readPusaFile } from '../library/pusa-file.ts';
import type { FindMedia } from './freeze.ts';

/** An opened project file. Whoever opens it closes it, or it cannot be written again on Windows. */
export interface OpenedProject {
  readonly project: Project;
  readonly findMedia: FindMedia;
  readonly close: () => void;
}

/**
 * Opens a project file and finds its media: those inside it are written to `folder` when they are first asked for.
 * @param folder of the caller, who removes it
 * @throws PusaError of `readPusaFile`
 */
export async function openProjectMedia(path: string, folder: string): Promise<OpenedProject> {
  const file = await readPusaFile(path);
  const extracted = new Set<string>();
  return {
    project: file.project,
    close: () => file.close(),
    findMedia: async (asset) => {
      if (!file.media.has(asset.hash)) {
        throw new PusaError(
          'FILE_NOT_FOUND',
          `The project file does not hold "${asset.name}".`,
          'Save the project with its media and try again.',
        );
      }
      // Named by hash: nothing of the file becomes a path.
      const target = join(folder, asset.hash);
      if (!extracted.has(asset.hash)) await file.extractMedia(asset.hash, target);
      extracted.add(asset.hash);
      return target;
    },
  };
}
