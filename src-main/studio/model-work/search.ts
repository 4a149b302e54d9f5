import { createHash } from 'node:crypto';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import type { Found } from '../../core/contract/api/model-work.ts';
import { modelName } from '../../engine/weights/model-name.ts';
import { checkpointNames, openCheckpoint } from '../../engine/weights/open-checkpoint.ts';
import { hashFile } from '../../engine/weights/package.ts';
import { carriesTokenizer, tokenizerNames } from '../../engine/weights/tokenizer-file.ts';
import type { RemoteFile } from '../downloads/address.ts';
import { inspectFile, shownInspection, type Inspected } from './inspect.ts';
import { expertNamed, isDiffusersPair, namesExpert } from '../../engine/weights/experts.ts';
import type { Expert } from '../../engine/weights/manifest.ts';
import { isPusa, recommendedStrength } from '../../engine/weights/describe-package.ts';
import { checkLoraFits, readLora } from '../../engine/weights/lora.ts';

type Where = Found['files'][number]['where'];

/** A folder to look through. */
export interface SearchRoot {
  readonly where: Where;
  readonly folder: string;
}

/** How far a search goes: it is asked for by a person who waits. */
const limits = { depth: 8, entries: 50_000, files: 500 };
/** Other weights than those of networks, by size: configurations and thumbnails are smaller. */
const leastBytes = 100_000;

interface Candidate extends SearchRoot {
  readonly path: string;
}

/** Where Hugging Face's programs keep what they downloaded, as their own settings say. */
export function huggingFaceHub(env: NodeJS.ProcessEnv = process.env): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = env as Record<
    string,
    string | undefined
  >;
  const cache = XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return HF_HUB_CACHE ?? HUGGINGFACE_HUB_CACHE ?? join(HF_HOME ?? join(cache, 'huggingface'), 'hub');
}

/** Folders in which models usually lie. */
export function usualRoots(env: NodeJS.ProcessEnv = process.env): SearchRoot[] {
  const home = homedir();
  const { COMFYUI_PATH } = env as Record<string, string | undefined>;
  const comfy = [
    ...(COMFYUI_PATH === undefined ? [] : [COMFYUI_PATH]),
    join(home, 'ComfyUI'),
    join(home, 'Documents', 'ComfyUI'),
    join(home, 'Downloads', 'ComfyUI'),
    join(home, 'ComfyUI_windows_portable', 'ComfyUI'),
    ...(process.platform === 'win32'
      ? [
          'C:\\ComfyUI',
          'C:\\ComfyUI_windows_portable\\ComfyUI',
          'D:\\ComfyUI',
          'D:\\ComfyUI_windows_portable\\ComfyUI',
        ]
      : []),
  ];
  return [
    { where: 'huggingface', folder: huggingFaceHub(env) },
    ...comfy.map((folder) => ({ where: 'comfyui' as const, folder: join(folder, 'models') })),
  ];
}

/**
 * A file of a repository in Hugging Face's cache, if its content is proven to be the one that is wanted: the cache
 * names files by their hashes.
 */
export async function inHuggingFaceCache(
  hub: string,
  {
    repository,
    path,
    sha256,
    bytes,
  }: RemoteFile & { readonly sha256: string | null; readonly bytes: number | null },
): Promise<{ place: string; sha256: string; bytes: number } | null> {
  const snapshots = join(hub, `models--${repository.replace('/', '--')}`, 'snapshots');
  for (const revision of await readdir(snapshots).catch(() => [])) {
    const place = join(snapshots, revision, ...path.split('/'));
    const real = await realpath(place).catch(() => null);
    if (real === null) continue;
    const { size } = await stat(real);
    if (bytes !== null && bytes !== size) continue;
    const name = basename(real);
    if (/^[0-9a-f]{64}$/.test(name)) {
      if (sha256 === null || sha256 === name) return { place, sha256: name, bytes: size };
    } else if (sha256 === null && size <= smallBytes && name === (await gitHash(real))) {
      return { place, sha256: await hashFile(real), bytes: size };
    }
  }
  return null;
}

/** Small files are named as git names them. */
const smallBytes = 64 * 2 ** 20;

async function gitHash(path: string): Promise<string> {
  const bytes = await readFile(path);
  return createHash('sha1').update(`blob ${bytes.byteLength}\0`).update(bytes).digest('hex');
}

/**
 * Looks through folders for checkpoints. Only headers are read, and no more folders and files than a person waits for.
 * @param users which models use a file, by its real path
 */
export async function searchModels(
  roots: readonly SearchRoot[],
  users: ReadonlyMap<string, readonly string[]>,
  signal: AbortSignal,
): Promise<Found> {
  const candidates: Candidate[] = [];
  const budget = { entries: limits.entries, files: limits.files };
  const looked: string[] = [];
  for (const root of roots) {
    if (!(await isFolder(root.folder))) continue;
    looked.push(root.folder);
    await collect(root, root.folder, limits.depth, budget, candidates, signal);
  }
  const inspected: (Candidate & { readonly file: Inspected; readonly real: string })[] = [];
  const seen = new Set<string>();
  const shards = new Set<string>();
  // Indexes first: what they name are parts of a model, no models.
  for (const candidate of candidates.sort((a, b) => Number(isIndex(b.path)) - Number(isIndex(a.path)))) {
    signal.throwIfAborted();
    const real = await realpath(candidate.path).catch(() => candidate.path);
    if (seen.has(real) || shards.has(candidate.path)) continue;
    seen.add(real);
    const file = await inspectFile(candidate.path).catch(() => null);
    if (file === null) continue;
    if (isIndex(candidate.path)) for (const shard of file.files) shards.add(shard);
    // Of the many files of other programs only those of Wan are of interest, and what says why one of those is none.
    if (file.role === null && !isOfInterest(file)) continue;
    inspected.push({ ...candidate, file, real });
  }
  return {
    files: inspected.map(({ file, where, folder, real }) => ({
      ...shownInspection(file),
      where,
      root: folder,
      models: [...(users.get(real) ?? [])],
    })),
    sets: await combine(inspected.map(({ file }) => file)),
    looked,
    cut: budget.entries <= 0 || budget.files <= 0,
  };
}

function isIndex(path: string): boolean {
  return path.endsWith('.index.json');
}

/** Refused, but by its name or by its tensors near enough to be mistaken for a file of Wan. */
function isOfInterest({ refused, path }: Inspected): boolean {
  if (refused === null) return false;
  return refused.code === 'CHECKPOINT_INCOMPLETE' || /wan|pusa|umt5/i.test(basename(path));
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function collect(
  root: SearchRoot,
  folder: string,
  depth: number,
  budget: { entries: number; files: number },
  found: Candidate[],
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (--budget.entries <= 0 || budget.files <= 0) return;
    const path = join(folder, entry.name);
    // `blobs` are what the snapshots of Hugging Face's cache link to.
    if (entry.isDirectory()) {
      const isHidden = entry.name.startsWith('.') || entry.name === 'blobs' || entry.name === 'node_modules';
      if (depth > 0 && !isHidden) await collect(root, path, depth - 1, budget, found, signal);
      continue;
    }
    if (!checkpointNames.test(entry.name) && !tokenizerNames.has(entry.name)) continue;
    const status = await stat(path).catch(() => null);
    if (status?.isFile() !== true) continue;
    if (status.size < leastBytes && !isIndex(path) && !tokenizerNames.has(entry.name)) continue;
    budget.files--;
    found.push({ ...root, path });
  }
}

/** Whole models among the files: each diffusion model with the nearest VAE and text encoder that fit it. */
async function combine(files: readonly Inspected[]): Promise<Found['sets']> {
  const sets: Found['sets'] = [];
  const dits = files.filter(({ recognised }) => recognised?.family === 'dit');
  for (const dit of dits) {
    const config = dit.recognised?.family === 'dit' ? dit.recognised.config : null;
    if (config === null || sets.length >= 100) continue;
    // The two experts of Wan2.2 are one model.
    const expert = expertOf(dit);
    if (expert === 'low') continue;
    const isOther = (one: Inspected): boolean =>
      expert === null ? isDiffusersPair(dit.path, one.path) : expertOf(one) === 'low' && isLike(one, dit);
    const low = nearest(dit, dits, isOther);
    if (expert !== null && low === null) continue;
    const vae = nearest(
      dit,
      files,
      (one) => one.recognised?.family === 'vae' && one.recognised.config.zDim === config.inDim,
    );
    const text = nearest(
      dit,
      files,
      (one) => one.recognised?.family === 'umt5' && one.recognised.config.dim === config.textDim,
    );
    if (vae === null || text === null) continue;
    const carries = text.recognised !== null && carriesTokenizer(text.recognised.checkpoint);
    const tokenizer = carries ? null : nearest(text, files, ({ role }) => role === 'tokenizer');
    if (!carries && tokenizer === null) continue;
    const parts = [
      dit,
      ...(low === null ? [] : [low]),
      vae,
      text,
      ...(tokenizer === null ? [] : [tokenizer]),
    ];
    sets.push({
      name: modelName(dit.path, low !== null),
      paths: parts.map(({ path }) => path),
      bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
      loras: await fittingLoras(dit, files),
    });
  }
  return sets.sort((a, b) => b.loras.length - a.loras.length);
}

function expertOf({ recognised }: Inspected): Expert | null {
  if (recognised === null || !namesExpert(recognised.checkpoint)) return null;
  return expertNamed(recognised.checkpoint);
}

/** Of the same sizes and stored alike. */
function isLike(a: Inspected, b: Inspected): boolean {
  return a.parameters === b.parameters && a.inPlace === b.inPlace;
}

/** The fitting file with the longest common way; of those that can be used in place first. */
function nearest(
  to: Inspected,
  files: readonly Inspected[],
  fits: (file: Inspected) => boolean,
): Inspected | null {
  const common = ({ path }: Inspected): number => {
    const [a, b] = [path.split(/[/\\]/), to.path.split(/[/\\]/)];
    let same = 0;
    while (same < a.length && a[same] === b[same]) same++;
    return same;
  };
  const [best] = files
    .filter(fits)
    .sort((a, b) => common(b) - common(a) || Number(b.inPlace) - Number(a.inPlace) || a.bytes - b.bytes);
  return best ?? null;
}

async function fittingLoras(
  dit: Inspected,
  files: readonly Inspected[],
): Promise<Found['sets'][number]['loras']> {
  const base = dit.recognised?.checkpoint;
  const loras: Found['sets'][number]['loras'] = [];
  for (const file of files) {
    if (file.role !== 'lora' || base === undefined || loras.length >= 100) continue;
    const checkpoint = await openCheckpoint(file.path);
    try {
      checkLoraFits(await readLora(checkpoint), (name) => base.entries.get(name)?.shape);
      loras.push({
        path: file.path,
        strength: recommendedStrength(checkpoint, base),
        live: isPusa(checkpoint),
      });
    } catch {
      // It is for another model.
    } finally {
      await checkpoint.close();
    }
  }
  return loras.sort((a, b) => Number(b.live) - Number(a.live));
}
