import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { PusaError, type ErrorCode } from '../../src-main/core/errors.ts';
import type { MediaStore } from '../../src-main/library/media-store.ts';

/** A folder for the files of one test file, removed after it. */
export const root = await mkdtemp(join(tmpdir(), 'pusa-media-store-'));
const mounts: string[] = [];
afterAll(async () => {
  for (const mount of mounts) execFileSync('umount', [mount]);
  await rm(root, { recursive: true, force: true });
});

let folders = 0;
/** Path of a folder that is not there yet. */
export function fresh(name = 'store'): string {
  return join(root, `${name}-${++folders}`);
}

/** SHA-256 in hex. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The code of the error that work ends with; its two sentences are checked on the way. */
export async function codeOf(work: Promise<unknown>): Promise<ErrorCode> {
  const thrown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(PusaError);
  const { code, message, remedy } = thrown as PusaError;
  for (const sentence of [message, remedy]) expect(sentence).toMatch(/^\S.{5,400}[.)]$/s);
  return code;
}

/** A medium, or a range of it, read through. */
export async function read(
  store: MediaStore,
  hash: string,
  range: { start?: number; end?: number } = {},
): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of store.read(hash, range)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Bytes as a stream. */
export async function* pieces(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve();
    yield bytes.subarray(at, at + size);
  }
}

/** Everything below a folder but its markers; for telling that nothing was left. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && entry.name !== 'pusa-media.json')
    .map((entry) => entry.name)
    .sort();
}

/** Expects these media and no others, each with the bytes its name says. */
export async function expectSound(store: MediaStore, hashes: readonly string[]): Promise<void> {
  expect((await store.list()).sort()).toEqual([...hashes].sort());
  for (const hash of hashes) expect(await store.verify(hash)).toBe('sound');
}

/** A small disk of its own, where the tests run as root on Linux; null elsewhere, said aloud. */
export function smallDisk(bytes: number): string | null {
  const folder = fresh('disk');
  mkdirSync(folder);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    process.stderr.write('SKIPPED: tests of a full disk, because no small disk can be mounted here\n');
    return null;
  }
  mounts.push(folder);
  return folder;
}

/** What a library answers that names these media. */
export function named(known: readonly string[]): (hashes: readonly string[]) => ReadonlySet<string> {
  return (hashes) => new Set(hashes.filter((hash) => known.includes(hash)));
}
