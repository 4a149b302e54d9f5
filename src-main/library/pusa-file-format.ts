import { basename } from 'node:path';
import { z } from 'zod';
import { takeSchema } from '../core/contract/job.ts';
import type { Project } from '../core/contract/project.ts';
import { takeRecordSchema } from '../core/contract/records.ts';
import { PusaError } from '../core/errors.ts';

/** "Pusa" in ASCII: SQLite's `application_id` of every `.pusa` file. */
export const applicationId = 0x50757361;
export const pageBytes = 4096;
/** Media lie in rows of this many bytes (the last one shorter), so that no more than this is ever held. */
export const chunkBytes = 1024 * 1024;

/** What a file may claim at most. Anything larger is refused before it is read. */
export const limits = {
  fileBytes: 1024 ** 4,
  projectBytes: 32 * 1024 ** 2,
  settings: 1000,
  settingBytes: 64 * 1024,
  media: 100_000,
  /** Pictures of all sequences together. */
  parts: 1_000_000,
  takes: 10_000,
  takeBytes: 16 * 1024 ** 2,
  /** All takes' records together. */
  takesBytes: 256 * 1024 ** 2,
  /** Values in one take's record: 200 steps × 1,001 cells, twice, and some. */
  takeValues: 500_000,
} as const;

/**
 * The tables of a version, by name: the exact text SQLite keeps of them. Plain tables without indexes, so that a
 * file's schema is a handful of lines to compare. `media.first_chunk` and the ids after it are the blob's chunks.
 */
const tablesOfVersion1 = {
  project: 'CREATE TABLE project (id INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT',
  setting: 'CREATE TABLE setting (id INTEGER PRIMARY KEY, name TEXT NOT NULL, json TEXT NOT NULL) STRICT',
  media:
    'CREATE TABLE media (id INTEGER PRIMARY KEY, hash TEXT NOT NULL, bytes INTEGER NOT NULL, first_chunk INTEGER NOT NULL) STRICT',
  take: 'CREATE TABLE take (id INTEGER PRIMARY KEY, hash TEXT NOT NULL, json TEXT NOT NULL) STRICT',
  chunk: 'CREATE TABLE chunk (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT',
} as const;

/**
 * Version 2 holds sequences of pictures: one medium of all their bytes in order, and in `part` how many of them are
 * each picture's (`media` is the row's id there).
 */
const tablesOfVersion2 = {
  ...tablesOfVersion1,
  part: 'CREATE TABLE part (id INTEGER PRIMARY KEY, media INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT',
} as const;

/** Tables of each version, the first being version 1. */
export const tablesByVersion: readonly Readonly<Record<string, string>>[] = [
  tablesOfVersion1,
  tablesOfVersion2,
];
export const currentVersion = tablesByVersion.length;

/** A file's records as they stand in it, before they are validated against the current schemas. */
export interface RawRecords {
  readonly project: unknown;
  readonly settings: readonly { readonly name: string; readonly value: unknown }[];
  readonly takes: readonly { readonly hash: string; readonly take: unknown }[];
}

/** `migrations[v - 1]` turns the records of version v into those of version v + 1. */
export const migrations: readonly ((records: RawRecords) => RawRecords)[] = [
  // The records are the same; only media can be more.
  (records) => records,
];

/** A setting kept with a project, such as the part of the timeline last in view. */
const settingSchema = z.union([
  z.string().max(10_000),
  z.number().refine(Number.isFinite),
  z.boolean(),
  z.null(),
]);
export type SettingValue = z.infer<typeof settingSchema>;
export type Settings = Readonly<Record<string, SettingValue>>;
/** Settings as records: an object's keys could be names that mean something to the language. */
export const settingsSchema = z
  .array(z.strictObject({ name: z.string().regex(/^[a-z][A-Za-z0-9.-]{0,63}$/), value: settingSchema }))
  .max(limits.settings);
/** Values of that many settings, as `parseBounded` counts them. */
export const maxSettingValues = 1 + 3 * limits.settings;

/** SHA-256 in hex. */
export const hashPattern = /^[0-9a-f]{64}$/;

/** A medium in a file. `parts`: of a sequence the length of each picture, in order. */
export interface MediaFacts {
  readonly bytes: number;
  readonly parts?: readonly number[];
}

/**
 * What is wrong between a file's project, media and takes; null if nothing is. Assets' media may be left out, but what
 * is there must be an asset's or a take's, with the asset's length and, of a sequence, its number of pictures.
 */
export function mediaFlaw(
  project: Project,
  media: ReadonlyMap<string, MediaFacts>,
  takes: readonly { readonly hash: string }[],
): string | null {
  const used = new Set<string>();
  for (const take of takes) {
    used.add(take.hash);
    if (!media.has(take.hash)) return `the video of a take (${short(take.hash)}) is not in it`;
  }
  const sequences = new Set<string>();
  for (const asset of project.assets) {
    used.add(asset.hash);
    if (asset.kind === 'sequence') sequences.add(asset.hash);
    const found = media.get(asset.hash);
    if (found === undefined) continue;
    if (found.bytes !== asset.bytes) {
      return `asset "${asset.id}" should have ${asset.bytes} bytes of media, and the file has ${found.bytes}`;
    }
    // A sequence of one picture is stored as that picture.
    const pictures = found.parts?.length ?? 1;
    if (asset.kind === 'sequence' && pictures !== Math.round(asset.fps * asset.duration)) {
      return `the sequence "${asset.id}" should have ${Math.round(asset.fps * asset.duration)} pictures, and the file has ${pictures}`;
    }
  }
  for (const [hash, { bytes, parts }] of media) {
    if (parts === undefined) continue;
    if (!sequences.has(hash)) return `its media ${short(hash)} has several parts and is no sequence`;
    if (parts.reduce((sum, part) => sum + part, 0) !== bytes) {
      return `the pictures of the sequence ${short(hash)} do not fill its media`;
    }
  }
  for (const hash of media.keys()) {
    if (!used.has(hash)) return `it holds media (${short(hash)}) that no picture, clip or take in it uses`;
  }
  return null;
}

/** A take with what its library knows of it beside; a take that comes from a rendered file has none of that. */
export const fileTakeSchema = takeSchema.extend(
  takeRecordSchema.pick({ id: true, rangeId: true, rating: true, tags: true, promotedClipId: true }).partial()
    .shape,
);
export type FileTake = z.infer<typeof fileTakeSchema>;

/** What a take needs to be stored or found: its record and the hash of its video. */
export interface TakeEntry {
  readonly take: FileTake;
  readonly hash: string;
}

export function short(hash: string): string {
  return `${hash.slice(0, 12)}…`;
}

/** A file that cannot be opened; `reason` is a clause without a full stop. */
export function invalidFile(path: string, reason: string, cause?: unknown): PusaError {
  return new PusaError(
    'PROJECT_INVALID',
    `"${basename(path)}" cannot be opened as a Pusa project: ${reason}.`,
    'Open a backup of the file, or ask its sender for it again.',
    cause === undefined ? undefined : { cause },
  );
}
