import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PusaError } from '../core/errors.ts';
import { cannotOpen, sniffFile } from './sniff.ts';
import { notMedia, probePicture } from './picture.ts';
import { limits, type MediaProbe } from './types.ts';

/**
 * Sequences of pictures: a folder (every picture in it), or a pattern in the last part of a path, either with a
 * number (`shot-%05d.png`) or with wildcards (`shot-*.png`). Order is natural: 2 before 10.
 */

/** Rate of a sequence when none is given: the models' native one, so that each picture is one frame. */
export const defaultSequenceFps = 16;

const pictureName = /\.(png|jpe?g|webp|avif|tiff?)$/i;
const natural = new Intl.Collator('en', { numeric: true });

/**
 * The files of a sequence in order, or null if the path is that of one file.
 * @throws PusaError FILE_NOT_FOUND (nothing there, nothing matches), MEDIA_UNSUPPORTED (a folder without pictures),
 *   MEDIA_UNREADABLE (a number is missing), FILE_TOO_LARGE (too many)
 */
export async function listSequence(path: string): Promise<readonly string[] | null> {
  const info = await stat(path).catch(() => null);
  if (info !== null) return info.isDirectory() ? listFolder(path) : null;
  const pattern = basename(path);
  const numbered = /^([^%]*)%(?:0(\d{1,2}))?d([^%]*)$/.exec(pattern);
  if (numbered !== null) {
    const digits = numbered[2] === undefined ? '\\d+' : `\\d{${Number(numbered[2])},}`;
    const matcher = new RegExp(`^${literal(numbered[1]!)}(${digits})${literal(numbered[3]!)}$`);
    return listNumbered(path, matcher);
  }
  if (/[*?]/.test(pattern)) {
    const matcher = new RegExp(`^${literal(pattern).replaceAll('\\*', '.*').replaceAll('\\?', '.')}$`);
    const found = (await names(dirname(path))).filter((name) => matcher.test(name));
    return inOrder(dirname(path), found, path);
  }
  return null;
}

/**
 * Properties of a sequence; its size is that of the first picture, which is decoded, the others when they are used.
 * @param files from {@link listSequence}
 * @param fps pictures per second
 * @throws PusaError as `probePicture`, MEDIA_UNSUPPORTED for a first file that is no picture
 */
export async function probeSequence(files: readonly string[], fps: number): Promise<MediaProbe> {
  if (!(fps > 0 && fps <= 1000)) {
    throw new PusaError(
      'MEDIA_UNSUPPORTED',
      `A sequence cannot run at ${fps} pictures per second.`,
      'Give a rate above 0 and up to 1000.',
    );
  }
  if (files.length / fps > limits.seconds) {
    throw new PusaError('FILE_TOO_LARGE', 'The sequence lasts more than a day.', 'Give it a higher rate.');
  }
  const sniffed = await sniffFile(files[0]!);
  if (sniffed.content.is !== 'picture') throw notMedia(basename(files[0]!), sniffed.content);
  const first = await probePicture(files[0]!, sniffed);
  let bytes = 0;
  for (const file of files) bytes += (await stat(file)).size;
  return {
    ...first,
    kind: 'sequence',
    fps,
    frames: files.length,
    duration: files.length / fps,
    lastFrame: (files.length - 1) / fps,
    bytes,
  };
}

async function listFolder(folder: string): Promise<readonly string[]> {
  const found = (await names(folder)).filter((name) => pictureName.test(name));
  if (found.length === 0) {
    throw new PusaError(
      'MEDIA_UNSUPPORTED',
      `The folder “${basename(folder)}” holds no pictures.`,
      'Choose a folder of PNG, JPEG, WebP, AVIF or TIFF files.',
    );
  }
  return inOrder(folder, found, folder);
}

async function listNumbered(path: string, matcher: RegExp): Promise<readonly string[]> {
  const byNumber = new Map<number, string>();
  for (const name of await names(dirname(path))) {
    const match = matcher.exec(name);
    if (match !== null) byNumber.set(Number(match[1]), name);
  }
  const numbers = [...byNumber.keys()].sort((a, b) => a - b);
  const gap = numbers.findIndex((number, index) => index > 0 && number !== numbers[index - 1]! + 1);
  if (gap > 0) {
    throw new PusaError(
      'MEDIA_UNREADABLE',
      `The sequence “${basename(path)}” has no picture number ${numbers[gap - 1]! + 1}.`,
      'Render the missing picture again, or give the folder or a pattern with * to take what there is.',
    );
  }
  return inOrder(
    dirname(path),
    numbers.map((number) => byNumber.get(number)!),
    path,
  );
}

function inOrder(folder: string, found: readonly string[], asked: string): readonly string[] {
  if (found.length === 0) {
    throw new PusaError('FILE_NOT_FOUND', `No file matches “${asked}”.`, 'Check the pattern and try again.');
  }
  if (found.length > limits.sequence) {
    throw new PusaError(
      'FILE_TOO_LARGE',
      `“${asked}” has ${found.length} pictures, more than can be used.`,
      `Split it into parts of at most ${limits.sequence}.`,
    );
  }
  return found
    .toSorted((a, b) => natural.compare(a, b) || (a < b ? -1 : 1))
    .map((name) => join(folder, name));
}

/** Names of the files in a folder, without hidden ones. */
async function names(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw cannotOpen(folder, cause);
  });
  return entries
    .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => name);
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
