import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { PusaError } from '../core/errors.ts';
import { taken } from './place-pictures.ts';
import { findFfmpeg, requireFfmpeg, type Ffmpeg } from './tools.ts';
import type { Size } from './types.ts';

/** Where a take goes and who writes it. */
export type OutputPlan =
  | { readonly format: 'mp4'; readonly path: string; readonly by: MovieEncoder | 'wasm' }
  | { readonly format: 'webm'; readonly path: string; readonly by: MovieEncoder }
  | { readonly format: 'gif'; readonly path: string }
  /** Pictures `prefix00001suffix` … in `folder`. */
  | {
      readonly format: 'png';
      readonly folder: string;
      readonly prefix: string;
      readonly digits: number;
      readonly suffix: string;
      /** The folder is not there yet. */
      readonly isNew: boolean;
      /** The folder or pattern under which the sequence is found again. */
      readonly path: string;
    };

/** An encoder inside an ffmpeg. */
export interface MovieEncoder {
  readonly ffmpeg: Ffmpeg;
  readonly codec: 'libx264' | 'libopenh264' | 'libvpx-vp9';
}

/**
 * Decides how a take will be written, and refuses what would fail after hours of work: ask before generating.
 *
 * The name decides the format: `.mp4`, `.webm`, `.gif`, a numbered pattern `name-%05d.png`, `name.png` (which stands
 * for `name-%05d.png`), and a name without an ending or of a folder for `frame-%05d.png` in it.
 * @throws PusaError OUTPUT_UNSUPPORTED (format, size), FFMPEG_MISSING (webm), WRITE_FAILED (no such folder, or
 *   pictures of that name are there already)
 */
export async function planOutput(path: string, size: Size): Promise<OutputPlan> {
  const plan = await planFormat(path, size);
  const folder = plan.format === 'png' ? plan.folder : dirname(resolve(path));
  const parent = plan.format === 'png' && plan.isNew ? dirname(folder) : folder;
  if (!(await isFolder(parent))) {
    throw new PusaError('WRITE_FAILED', `There is no folder “${parent}”.`, 'Make it, or choose another one.');
  }
  if (plan.format === 'png') {
    if (!plan.isNew) await refuseOverwriting(plan);
  } else if (await isFolder(path)) {
    throw new PusaError('WRITE_FAILED', `“${path}” is a folder.`, 'Choose another name for the file.');
  }
  return plan;
}

/** File name of the n-th picture, n from 1. */
export function pictureName(plan: OutputPlan & { format: 'png' }, n: number): string {
  return `${plan.prefix}${String(n).padStart(plan.digits, '0')}${plan.suffix}`;
}

async function planFormat(path: string, size: Size): Promise<OutputPlan> {
  const extension = extname(path).toLowerCase();
  const name = basename(path);
  if (extension === '' || /[\\/]$/.test(path) || (await isFolder(path))) {
    const folder = resolve(path);
    const isNew = !(await isFolder(folder));
    return { format: 'png', folder, prefix: 'frame-', digits: 5, suffix: '.png', isNew, path: folder };
  }
  if (extension === '.png') {
    const folder = dirname(resolve(path));
    const pattern = /^([^%]*)%(?:0(\d))?d([^%]*)$/.exec(name);
    if (pattern === null && name.includes('%')) {
      throw new PusaError(
        'OUTPUT_UNSUPPORTED',
        `“${name}” is no pattern for numbered pictures.`,
        'Use one number, as in shot-%05d.png.',
      );
    }
    const stem = name.slice(0, -extension.length);
    const [prefix, digits, suffix] =
      pattern === null
        ? [`${stem}-`, 5, name.slice(stem.length)]
        : [pattern[1]!, Number(pattern[2] ?? 1), pattern[3]!];
    const number = digits === 1 ? '%d' : `%0${digits}d`;
    return {
      format: 'png',
      folder,
      prefix,
      digits,
      suffix,
      isNew: false,
      path: join(folder, `${prefix}${number}${suffix}`),
    };
  }
  if (extension === '.gif') {
    if (size.width > 65_535 || size.height > 65_535)
      throw wrongSize('gif', size, 'up to 65,535 pixels a side');
    return { format: 'gif', path };
  }
  if (extension === '.mp4') {
    if (size.width % 2 !== 0 || size.height % 2 !== 0) throw wrongSize('mp4', size, 'even sides');
    const ffmpeg = await findFfmpeg();
    const codec = (['libx264', 'libopenh264'] as const).find((known) => ffmpeg?.encoders.has(known));
    return { format: 'mp4', path, by: ffmpeg === null || codec === undefined ? 'wasm' : { ffmpeg, codec } };
  }
  if (extension === '.webm') {
    const ffmpeg = await requireFfmpeg('Writing webm');
    if (!ffmpeg.encoders.has('libvpx-vp9')) {
      throw new PusaError(
        'OUTPUT_UNSUPPORTED',
        'The ffmpeg found here was built without VP9, which webm needs.',
        'Choose mp4, or install an ffmpeg with libvpx.',
      );
    }
    return { format: 'webm', path, by: { ffmpeg, codec: 'libvpx-vp9' } };
  }
  throw new PusaError(
    'OUTPUT_UNSUPPORTED',
    `A take cannot be written as “${extension}”.`,
    'Give the file the ending .mp4, .webm, .gif or .png, or name a folder for pictures.',
  );
}

function wrongSize(format: string, { width, height }: Size, needs: string): PusaError {
  return new PusaError(
    'OUTPUT_UNSUPPORTED',
    `${format} cannot hold frames of ${width} × ${height} pixels: it needs ${needs}.`,
    'Change the size, or write a PNG sequence.',
  );
}

/** A shorter take over a longer one would leave the old one's end in place, to be taken for the new one's. */
async function refuseOverwriting(plan: OutputPlan & { format: 'png' }): Promise<void> {
  const found = (await readdir(plan.folder)).find(
    (name) =>
      name.startsWith(plan.prefix) &&
      name.endsWith(plan.suffix) &&
      /^\d+$/.test(name.slice(plan.prefix.length, name.length - plan.suffix.length)),
  );
  if (found !== undefined) throw taken(plan.folder, found);
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isDirectory(),
    () => false,
  );
}
