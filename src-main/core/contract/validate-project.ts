import type { z } from 'zod';
import { PusaError } from '../errors.ts';
import { describeFlaw, parseBounded, within, type Flaw, type Parsed } from './parse.ts';
import { assetSchema, clipSchema, projectSchema, rangeSchema, type Project } from './project.ts';

/** Values (see `parseBounded`) a record may hold; a range has up to 4,001 marks of up to four values. */
const lists = [
  { name: 'assets', schema: assetSchema, maxLength: 100_000, maxValues: 100 },
  { name: 'clips', schema: clipSchema, maxLength: 100_000, maxValues: 100 },
  { name: 'ranges', schema: rangeSchema, maxLength: 10_000, maxValues: 20_000 },
] as const satisfies readonly {
  name: keyof Project;
  schema: z.ZodType;
  maxLength: number;
  maxValues: number;
}[];
const maxValues = 8_000_000;

/**
 * A project from outside, checked whole: its shape, then what no schema can say: ids are unique, clips show existing
 * assets, marks lie inside their range and no frame is marked twice.
 */
export function parseProject(value: unknown): Parsed<Project> {
  const flaw = listFlaw(value);
  if (flaw) return { ok: false, flaw };
  const parsed = parseBounded(projectSchema, value, maxValues);
  if (!parsed.ok) return parsed;
  const reference = referenceFlaw(parsed.value);
  return reference ? { ok: false, flaw: reference } : parsed;
}

/**
 * {@link parseProject} for those who cannot go on without a project.
 * @throws PusaError PROJECT_INVALID, naming the field
 */
export function validateProject(value: unknown): Project {
  const parsed = parseProject(value);
  if (parsed.ok) return parsed.value;
  throw new PusaError(
    'PROJECT_INVALID',
    describeFlaw('The project', parsed.flaw),
    'Open an earlier copy of the project, or correct the field if you wrote the file yourself.',
  );
}

/** The first bad record of a list. One at a time, so that a hostile list costs no more than its first bad record. */
function listFlaw(value: unknown): Flaw | null {
  if (typeof value !== 'object' || value === null) return null;
  for (const { name, schema, maxLength, maxValues } of lists) {
    const list: unknown = (value as Record<string, unknown>)[name];
    if (!Array.isArray(list)) continue;
    if (list.length > maxLength) {
      return { path: name, reason: `it has ${list.length} records, and at most ${maxLength} are allowed` };
    }
    for (const [index, record] of list.entries()) {
      const parsed = parseBounded<unknown>(schema, record, maxValues);
      if (!parsed.ok) return within(`${name}[${index}]`, parsed.flaw);
    }
  }
  return null;
}

function referenceFlaw(project: Project): Flaw | null {
  const assets = new Set(project.assets.map((asset) => asset.id));
  const duplicate =
    duplicateId('assets', project.assets) ??
    duplicateId('clips', project.clips) ??
    duplicateId('ranges', project.ranges) ??
    duplicateId('markers', project.markers ?? []);
  if (duplicate) return duplicate;
  for (const [index, clip] of project.clips.entries()) {
    if (!assets.has(clip.assetId)) {
      return { path: `clips[${index}].assetId`, reason: `there is no asset "${clip.assetId}"` };
    }
  }
  const tracks = new Set<number>();
  for (const [index, { track }] of (project.tracks ?? []).entries()) {
    if (tracks.has(track)) return { path: `tracks[${index}].track`, reason: `track ${track} is given twice` };
    tracks.add(track);
  }
  for (const [index, range] of project.ranges.entries()) {
    const marked = new Set<number>();
    for (const [at, { frame }] of range.marks.entries()) {
      const path = `ranges[${index}].marks[${at}].frame`;
      if (frame >= range.frames)
        return { path, reason: `frame ${frame} lies outside its range of ${range.frames} frames` };
      if (marked.has(frame)) return { path, reason: `frame ${frame} is marked twice` };
      marked.add(frame);
    }
  }
  return null;
}

function duplicateId(list: string, records: readonly { readonly id: string }[]): Flaw | null {
  const seen = new Set<string>();
  for (const [index, { id }] of records.entries()) {
    if (seen.has(id)) return { path: `${list}[${index}].id`, reason: `the id "${id}" is used twice` };
    seen.add(id);
  }
  return null;
}
