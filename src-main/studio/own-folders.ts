import { realpath } from 'node:fs/promises';
import { basename, dirname, isAbsolute, relative, resolve, sep } from 'node:path';
import { PusaError } from '../core/errors.ts';
import type { StudioContext } from './context.ts';

/** A path from outside that does not depend on where the studio was started. @throws PusaError FILE_NOT_FOUND */
export function requireAbsolute(path: string): string {
  if (isAbsolute(path)) return path;
  throw new PusaError('FILE_NOT_FOUND', `There is no file "${path}".`, 'Name it with its whole path.');
}

/**
 * Refuses a place among the library's own files for what a person saves or exports: what lies there is thrown away, or
 * taken for media.
 * @throws PusaError WRITE_FAILED
 */
export async function refuseOwnFolders(
  { folders, media }: Pick<StudioContext, 'folders' | 'media'>,
  path: string,
): Promise<void> {
  const folder = await real(dirname(resolve(path)));
  for (const own of [folders.data, media.folder]) {
    const way = relative(await real(own), folder);
    if (way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)) continue;
    throw new PusaError(
      'WRITE_FAILED',
      `“${basename(path)}” cannot be saved among the library’s own files.`,
      'Choose another folder.',
    );
  }
}

function real(folder: string): Promise<string> {
  return realpath(folder).catch(() => folder);
}
