import { basename, dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { PusaError } from '../../core/errors.ts';
import type { DitConfig } from '../wan/dit-config.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { Expert } from './manifest.ts';

/** At or above this share of 1000 the high-noise expert works (spec §6, T2V A14B). */
export const textToVideoBoundary = 0.875;

interface DitPart {
  readonly config: DitConfig;
  readonly checkpoint: Checkpoint;
}

const word = /(?:^|[^a-z])(high|low)(?=noise|[^a-z]|$)/gi;

/**
 * Which expert of Wan2.2 a file belongs to. Both have the same tensors, so only the metadata (`pusa.expert`), the
 * file's name or its folder's can tell.
 * @returns null where none says so
 */
export function expertNamed({ path, metadata }: Pick<Checkpoint, 'path' | 'metadata'>): Expert | null {
  const stated = metadata['pusa.expert'];
  if (stated === 'high' || stated === 'low') return stated;
  for (const name of [basename(path), basename(dirname(path))]) {
    const found = new Set([...name.matchAll(word)].map((match) => match[1]!.toLowerCase() as Expert));
    if (found.size === 1) return [...found][0]!;
  }
  return folderOf(path) === diffusersLow ? 'low' : null;
}

/** Diffusers keeps the high-noise expert in `transformer`, as any model, and the other one in a folder beside it. */
const diffusersLow = 'transformer_2';

function folderOf(path: string): string {
  return basename(dirname(path));
}

/** Whether files lie as Diffusers lays out the two experts of one model. */
export function isDiffusersPair(high: string, low: string): boolean {
  const isOne = dirname(dirname(high)) === dirname(dirname(low));
  return isOne && folderOf(high) === 'transformer' && folderOf(low) === diffusersLow;
}

/**
 * The two experts among diffusion models.
 * @returns null where the files are no such pair
 * @throws PusaError CHECKPOINT_INCOMPLETE where one is missing, CHECKPOINT_WRONG_FAMILY where nothing tells which is which
 */
export function pairExperts<P extends DitPart>(parts: readonly P[]): Record<Expert, P> | null {
  const [first, second] = parts;
  if (first !== undefined && parts.length === 1 && namesExpert(first.checkpoint)) {
    const expert = expertNamed(first.checkpoint)!;
    const other = expert === 'high' ? 'low' : 'high';
    throw new PusaError(
      'CHECKPOINT_INCOMPLETE',
      `"${basename(first.checkpoint.path)}" is the ${expert}-noise expert of Wan2.2; the ${other}-noise one is missing.`,
      `Put the ${other}-noise file of the same model beside it, or name both.`,
    );
  }
  if (first === undefined || second === undefined || parts.length > 2) return null;
  if (!isDeepStrictEqual(first.config, second.config)) return null;
  if (isDiffusersPair(first.checkpoint.path, second.checkpoint.path)) return { high: first, low: second };
  if (isDiffusersPair(second.checkpoint.path, first.checkpoint.path)) return { high: second, low: first };
  const [a, b] = [expertNamed(first.checkpoint), expertNamed(second.checkpoint)];
  if (a === 'high' && b === 'low') return { high: first, low: second };
  if (a === 'low' && b === 'high') return { high: second, low: first };
  // Neither speaks of experts: two models, not two parts of one.
  if (a === null && b === null) return null;
  throw new PusaError(
    'CHECKPOINT_WRONG_FAMILY',
    `Which of "${basename(first.checkpoint.path)}" and "${basename(second.checkpoint.path)}" is the high-noise expert and which the low-noise one cannot be told.`,
    'Name one high_noise and the other low_noise, as in the files of Wan2.2.',
  );
}

/** Whether a file's name or statement only makes sense for an expert: "high" alone may mean a quality. */
export function namesExpert({ path, metadata }: Pick<Checkpoint, 'path' | 'metadata'>): boolean {
  return (
    metadata['pusa.expert'] === 'high' ||
    metadata['pusa.expert'] === 'low' ||
    /(high|low)[-_ ]?noise/i.test(basename(path)) ||
    /^(high|low)[-_ ]?noise/i.test(folderOf(path)) ||
    folderOf(path) === diffusersLow
  );
}
