import { lstat, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PusaError } from '../core/errors.ts';
import { flushFolder, place } from '../files/durable.ts';
import { wholeOf } from './temporary.ts';

/**
 * Moves pictures that were gathered in a temporary folder into the folder around it, undone if one fails. Many files
 * cannot appear at once, so the gathering folder first gets a name that says that they are all there: what a killed
 * process leaves after that is brought to its end by {@link finishPlacing}.
 * @throws PusaError WRITE_FAILED where a file of such a name has come in between; errors of the system
 */
export async function placePictures(temporary: string): Promise<void> {
  const whole = wholeOf(temporary);
  const folder = dirname(whole);
  await place(temporary, whole);
  const placed: string[] = [];
  try {
    for (const name of await readdir(whole)) {
      if (await isThere(join(folder, name))) throw taken(folder, name);
      await rename(join(whole, name), join(folder, name));
      placed.push(name);
    }
    await flushFolder(folder);
    await rmdir(whole);
  } catch (thrown) {
    for (const name of placed) await rm(join(folder, name), { force: true });
    await rm(whole, { recursive: true, force: true });
    throw thrown;
  }
}

/** Brings {@link placePictures} to its end for a process that was killed; files that are there by now stay. */
export async function finishPlacing(temporary: string): Promise<void> {
  const whole = wholeOf(temporary);
  if (!(await isThere(whole))) return;
  const folder = dirname(whole);
  for (const name of await readdir(whole)) {
    if (!(await isThere(join(folder, name)))) await rename(join(whole, name), join(folder, name));
  }
  await flushFolder(folder);
  await rm(whole, { recursive: true, force: true });
}

/** The error for a picture that would take another's place. */
export function taken(folder: string, name: string): PusaError {
  return new PusaError(
    'WRITE_FAILED',
    `The folder “${folder}” already holds “${name}” of another sequence.`,
    'Choose an empty folder or another name.',
  );
}

function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
