import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { link, mkdir, open, readdir, realpath, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { formatBytes } from '../../core/units.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { lockFolder } from '../pipeline/lock.ts';
import { cancelled, leftBehind, workFilesOf } from './bake-file.ts';
import { expertOf, expertsOf, type Manifest, type PackageFile } from './manifest.ts';
import type { ModelPackage } from './package.ts';

/** Files that the new package has in common with the source. */
export function keptFiles(manifest: Manifest, withLoras: boolean): PackageFile[] {
  const all = [
    ...(withLoras
      ? expertsOf(manifest).flatMap((expert) => expertOf(manifest, expert).loras.map(({ file }) => file))
      : []),
    manifest.vae.file,
    ...manifest.textEncoder.files,
    ...(manifest.tokenizer.from === 'file' ? [manifest.tokenizer.file] : []),
  ];
  return [...new Map(all.map((file) => [file.path, file])).values()];
}

export function freeName(wanted: string, kept: readonly PackageFile[]): string {
  const taken = new Set(kept.map(({ path }) => path));
  for (let n = 1; ; n++) {
    const name = `${wanted}${n === 1 ? '' : `-${n}`}.safetensors`;
    if (!taken.has(name)) return name;
  }
}

/**
 * Puts what the packages share in place. A file that the source itself uses where it lies stays there; others become
 * links, of which a package cannot tell that they are any.
 * @returns those that have to be copied
 */
export async function placeAll(
  { folder, manifest }: ModelPackage,
  part: string,
  kept: readonly PackageFile[],
): Promise<PackageFile[]> {
  const copies: PackageFile[] = [];
  for (const file of kept) {
    if (isAbsolute(file.path)) continue;
    const target = join(part, file.path);
    if ((await stat(target).catch(() => null))?.size === file.bytes) continue;
    await mkdir(dirname(target), { recursive: true });
    await rm(target, { force: true });
    const from = await realpath(resolve(folder, file.path)).catch(() => {
      throw new PusaError(
        'MODEL_NOT_FOUND',
        `The model "${manifest.name}" has lost its file "${file.path}".`,
        'Bring the file back, or import the model again.',
      );
    });
    // Another disk, or one that knows no links.
    await link(from, target).catch(() => copies.push(file));
  }
  return copies;
}

/** Under another name until it is whole and is what the source's manifest says. */
export async function copyFile(
  { folder, manifest }: ModelPackage,
  part: string,
  file: PackageFile,
  signal: AbortSignal | undefined,
  onBytes: (done: number) => void,
): Promise<void> {
  const target = join(part, file.path);
  const hash = createHash('sha256');
  const writing = await open(`${target}.part`, 'w');
  try {
    let done = 0;
    const pieces = createReadStream(resolve(folder, file.path), { highWaterMark: 4 * 1024 * 1024 });
    for await (const piece of pieces as AsyncIterable<Buffer>) {
      if (signal?.aborted === true) throw cancelled();
      hash.update(piece);
      await writing.writeFile(piece);
      onBytes((done += piece.length));
    }
    await writing.sync();
  } finally {
    await writing.close();
  }
  if (hash.digest('hex') !== file.sha256) {
    await rm(`${target}.part`, { force: true });
    throw new PusaError(
      'CHECKPOINT_INVALID',
      `"${file.path}" of the model "${manifest.name}" has changed since it was imported.`,
      'Import the model again from its files.',
    );
  }
  await rename(`${target}.part`, target);
}

/** @throws PusaError DISK_FULL when what is still to be written does not fit */
export async function checkSpace(part: string, paths: readonly string[], totalBytes: number): Promise<void> {
  let there = 0;
  for (const path of paths) there += await leftBehind(join(part, path));
  const { bavail, bsize } = await statfs(part);
  const needed = totalBytes - there;
  if (bavail * bsize >= needed) return;
  throw new PusaError(
    'DISK_FULL',
    `The baked model takes ${formatBytes(totalBytes)}, and ${formatBytes(bavail * bsize)} are free on its disk.`,
    'Free space there, choose a folder on another disk, or bake to fewer bits.',
  );
}

const claimed = new Set<string>();

/**
 * Claims the folder of an unfinished package for this call; what another process claims that has ended is free.
 * @returns gives it back
 * @throws PusaError JOB_BUSY
 */
export async function claimFolder(part: string): Promise<() => Promise<void>> {
  const busy = (): PusaError =>
    new PusaError(
      'JOB_BUSY',
      'This model is being baked already.',
      'Wait for it, or cancel it where it was started.',
    );
  // The lock tells processes apart, this the calls inside one.
  if (claimed.has(part)) throw busy();
  claimed.add(part);
  try {
    const unlock = await lockFolder(`${part}.lock`);
    return async () => {
      claimed.delete(part);
      await unlock();
    };
  } catch (thrown) {
    claimed.delete(part);
    throw toPusaError(thrown).code === 'JOB_BUSY' ? busy() : thrown;
  }
}

/** Removes what a call with other choices left in the folder of an unfinished package. */
export async function removeStrangers(
  part: string,
  kept: readonly PackageFile[],
  baked: readonly string[],
): Promise<void> {
  const known = new Set(
    [
      ...kept.filter(({ path }) => !isAbsolute(path)).map(({ path }) => path),
      ...baked.flatMap((path) => [path, ...workFilesOf(path)]),
    ].map((path) => join(part, path)),
  );
  for (const entry of await readdir(part, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isDirectory() && !known.has(path)) await rm(path, { force: true });
  }
}
