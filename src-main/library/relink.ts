import { opendir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { Asset } from '../core/contract/project.ts';
import { PusaError } from '../core/errors.ts';
import { hashFile } from '../media/asset.ts';
import { listSequence } from '../media/sequence.ts';
import { cannotOpen } from '../media/sniff.ts';
import { throwIfAborted } from './media-files.ts';

/** What relinking needs to know of an asset. */
export type MissingAsset = Pick<Asset, 'id' | 'kind' | 'name' | 'hash' | 'bytes'>;

export interface Match {
  readonly assetId: string;
  readonly hash: string;
  /** The file, or the folder of a sequence. */
  readonly path: string;
}

export interface RelinkProgress {
  readonly filesSeen: number;
  readonly bytesRead: number;
  /** Media found so far, of how many looked for. */
  readonly found: number;
  readonly wanted: number;
}

export interface RelinkOptions {
  readonly onProgress?: (progress: RelinkProgress) => void;
  readonly signal?: AbortSignal;
  /** Files and folders looked at before the search ends. */
  readonly maxFiles?: number;
}

export interface RelinkResult {
  /** One for each asset that was found; assets of one hash share the file. */
  readonly matches: readonly Match[];
  readonly filesSeen: number;
  /** Whether there was more to look at than the limits allow: a narrower folder may find more. */
  readonly isCutShort: boolean;
}

const limits = { files: 500_000, depth: 32, candidates: 20_000 };

interface Candidate {
  readonly path: string;
  readonly bytes: number;
}

interface Walk {
  readonly candidates: Candidate[];
  filesSeen: number;
  isCutShort: boolean;
}

/**
 * Looks for missing media in a file or folder and all folders in it: files of the right length first, then by their
 * hash, those of the right name before others. A sequence is found as a folder that holds its pictures and no others.
 * Links to folders are not followed, hidden and unreadable ones are passed over. Nothing is written; take a match in
 * with `MediaStore.import(path, { expect: hash })`, which proves it once more.
 * @throws PusaError FILE_NOT_FOUND, MEDIA_UNREADABLE (the place itself), CANCELLED
 */
export async function findMissing(
  missing: readonly MissingAsset[],
  place: string,
  { onProgress = () => undefined, signal, maxFiles = limits.files }: RelinkOptions = {},
): Promise<RelinkResult> {
  const wanted = new Set(missing.map(({ hash }) => hash));
  const hashesOf = Map.groupBy(
    missing.map(({ hash }) => hash),
    (_, index) => missing[index]!.bytes,
  );
  const found = new Map<string, string>();
  const walk: Walk = { candidates: [], filesSeen: 0, isCutShort: false };
  let bytesRead = 0;
  const tell = (): void =>
    onProgress({ filesSeen: walk.filesSeen, bytesRead, found: found.size, wanted: wanted.size });

  await collect(resolve(place), new SizesOf(missing), walk, { maxFiles, signal, tell });
  for (const { path, bytes } of likelyFirst(walk.candidates, missing)) {
    throwIfAborted(signal);
    if (!hashesOf.get(bytes)?.some((hash) => !found.has(hash))) continue;
    try {
      const hash = await hashFile(path, { signal, onPiece: (piece) => (bytesRead += piece) });
      if (wanted.has(hash)) found.set(hash, path);
    } catch (thrown) {
      // A file that cannot be read is no match; the search goes on.
      if (thrown instanceof PusaError && thrown.code === 'CANCELLED') throw thrown;
    }
    tell();
  }
  const matches = missing.flatMap(({ id, hash }) => {
    const path = found.get(hash);
    return path === undefined ? [] : [{ assetId: id, hash, path }];
  });
  return { matches, filesSeen: walk.filesSeen, isCutShort: walk.isCutShort };
}

/** The lengths looked for, of files and of sequences apart. */
class SizesOf {
  readonly files: ReadonlySet<number>;
  readonly sequences: ReadonlySet<number>;

  constructor(missing: readonly MissingAsset[]) {
    this.files = new Set(missing.filter(({ kind }) => kind !== 'sequence').map(({ bytes }) => bytes));
    this.sequences = new Set(missing.filter(({ kind }) => kind === 'sequence').map(({ bytes }) => bytes));
  }
}

interface WalkOptions {
  readonly maxFiles: number;
  readonly signal: AbortSignal | undefined;
  readonly tell: () => void;
}

/** Goes through a place and keeps what has a length that is looked for. */
async function collect(place: string, sizes: SizesOf, walk: Walk, options: WalkOptions): Promise<void> {
  const info = await stat(place).catch((cause: unknown) => {
    throw cannotOpen(place, cause);
  });
  if (info.isFile()) {
    walk.filesSeen++;
    if (sizes.files.has(info.size)) walk.candidates.push({ path: place, bytes: info.size });
    return;
  }
  const open: { folder: string; depth: number }[] = [{ folder: place, depth: 0 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { folder, depth } = next;
    const lengths = new Map<string, number>();
    const entries = await opendir(folder).catch((cause: unknown) => {
      if (depth === 0) throw cannotOpen(folder, cause);
      return null;
    });
    if (entries === null) continue;
    for await (const entry of entries) {
      throwIfAborted(options.signal);
      if (walk.filesSeen >= options.maxFiles || walk.candidates.length >= limits.candidates) {
        walk.isCutShort = true;
        return;
      }
      if (entry.name.startsWith('.')) continue;
      walk.filesSeen++;
      if (walk.filesSeen % 1000 === 0) options.tell();
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (depth < limits.depth) open.push({ folder: path, depth: depth + 1 });
        else walk.isCutShort = true;
        continue;
      }
      const file = await stat(path).catch(() => null);
      if (!file?.isFile()) continue;
      if (sizes.sequences.size > 0) lengths.set(path, file.size);
      if (sizes.files.has(file.size)) walk.candidates.push({ path, bytes: file.size });
    }
    if (lengths.size > 0) await considerSequence(folder, lengths, sizes, walk);
  }
}

async function considerSequence(
  folder: string,
  lengths: ReadonlyMap<string, number>,
  sizes: SizesOf,
  walk: Walk,
): Promise<void> {
  const files = (await listSequence(folder).catch(() => null)) ?? [];
  const bytes = files.reduce((sum, file) => sum + (lengths.get(file) ?? 0), 0);
  if (files.length > 0 && sizes.sequences.has(bytes)) {
    walk.candidates.push({ path: folder, bytes });
  }
}

/** Candidates with the name of a missing asset of their length come first: they are the ones, nearly always. */
function likelyFirst(
  candidates: readonly Candidate[],
  missing: readonly MissingAsset[],
): readonly Candidate[] {
  const names = new Set(missing.map(({ name, bytes }) => `${bytes} ${name}`));
  const isLikely = ({ path, bytes }: Candidate): boolean => names.has(`${bytes} ${basename(path)}`);
  return [...candidates.filter(isLikely), ...candidates.filter((candidate) => !isLikely(candidate))];
}
