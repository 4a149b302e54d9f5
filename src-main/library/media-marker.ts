import { randomUUID } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { PusaError } from '../core/errors.ts';
import { place, writeNew } from '../files/durable.ts';
import { incomingName, stats, systemCode } from './media-files.ts';

/** File that makes a folder a media store and says whose it is and what it is in the middle of. */
export const markerName = 'pusa-media.json';
const maxMarkerBytes = 64 * 1024;

const path = z.string().min(1).max(8192).refine(isAbsolute);
const common = { format: z.literal('pusa-media'), version: z.literal(1), id: z.uuid() };
const markerSchema = z.discriminatedUnion('state', [
  /** In use. `to`: being copied there. `from`: was moved from there, where files may be left over. */
  z.strictObject({ ...common, state: z.literal('ready'), from: path.optional(), to: path.optional() }),
  /** A copy that is being made; the store is still `from`. */
  z.strictObject({ ...common, state: z.literal('receiving'), from: path }),
  /** The store is at `to` now. Writing this is the moment of a move. */
  z.strictObject({ ...common, state: z.literal('moved'), to: path }),
]);

/** State of a media folder: see the schema's comments. `id` is the store's own and moves with it. */
export type Marker = z.infer<typeof markerSchema>;
export type ReadyMarker = Extract<Marker, { state: 'ready' }>;

/** The marker of a store in use. */
export function readyMarker(
  id: string,
  move: { readonly from?: string; readonly to?: string } = {},
): ReadyMarker {
  return { format: 'pusa-media', version: 1, id, state: 'ready', ...move };
}

/**
 * A folder's marker; null if the folder or the marker is not there.
 * @throws PusaError MEDIA_FOLDER_INVALID (not one of ours, of a newer version)
 */
export async function readMarker(folder: string): Promise<Marker | null> {
  const file = join(folder, markerName);
  const info = await stats(file);
  if (info === null) return null;
  const invalid = (reason: string, cause?: unknown): PusaError =>
    new PusaError(
      'MEDIA_FOLDER_INVALID',
      `“${folder}” cannot be used as a media folder: ${reason}.`,
      'Choose another folder, or restore this one from a backup.',
      { cause },
    );
  if (!info.isFile() || info.size > maxMarkerBytes) throw invalid(`its file ${markerName} is none of ours`);
  try {
    return markerSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (thrown) {
    if (systemCode(thrown) !== undefined) throw thrown;
    throw invalid(`its file ${markerName} is damaged or from a newer version`, thrown);
  }
}

/** Replaces a folder's marker: afterwards the old or the new one stands there, whatever happens. */
export async function writeMarker(folder: string, marker: Marker): Promise<void> {
  const temporary = join(folder, `.${markerName}-${randomUUID()}`);
  const text = Buffer.from(`${JSON.stringify(markerSchema.parse(marker), null, 2)}\n`);
  try {
    await writeNew(temporary, [text]);
    await place(temporary, join(folder, markerName));
  } catch (thrown) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw thrown;
  }
}

/** Removes what interrupted calls of {@link writeMarker} left. */
export async function removeUnfinishedMarkers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(`.${markerName}-`)) await rm(join(folder, name), { force: true });
  }
}

/**
 * Refuses a folder that holds something else already, so that media never lie among a person's files.
 * @throws PusaError MEDIA_FOLDER_INVALID
 */
export async function requireEmpty(folder: string): Promise<void> {
  // Of the system, or of an interrupted beginning of ours.
  const harmless = ['lost+found', 'System Volume Information', 'desktop.ini', 'Thumbs.db', incomingName];
  const other = (await readdir(folder)).find((name) => !/^[.$]/.test(name) && !harmless.includes(name));
  if (other === undefined) return;
  throw new PusaError(
    'MEDIA_FOLDER_INVALID',
    `“${folder}” cannot become the media folder: it holds “${other}” already.`,
    'Choose an empty folder, or make a new one inside it.',
  );
}
