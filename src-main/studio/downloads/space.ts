import { stat, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import { formatBytes } from '../../core/units.ts';

/** Left free on every disk: a system without any space stops working. */
const reserveBytes = 256 * 2 ** 20;

/** Free bytes on the disk of a folder, which need not exist yet; null where the system does not say. */
export async function freeBytesAt(folder: string): Promise<number | null> {
  const there = await nearestFolder(folder);
  const found = there === null ? null : await statfs(there).catch(() => null);
  return found === null ? null : found.bavail * found.bsize;
}

/**
 * Refuses to begin what would not fit.
 * @throws PusaError DISK_FULL with both figures
 */
export async function requireSpace(folder: string, bytes: number, what: string): Promise<void> {
  const free = await freeBytesAt(folder);
  if (bytes === 0 || free === null || free >= bytes + reserveBytes) return;
  throw new PusaError(
    'DISK_FULL',
    `${what} takes ${formatBytes(bytes)} more on the disk of "${folder}"; ${formatBytes(free)} are free.`,
    'Free some space there, or choose a folder on another disk.',
  );
}

async function nearestFolder(folder: string): Promise<string | null> {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const found = await stat(at).catch(() => null);
    if (found !== null) return found.isDirectory() ? at : null;
    if (dirname(at) === at) return null;
  }
}
