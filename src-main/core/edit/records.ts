import type { z } from 'zod';
import { describeFlaw, parseBounded } from '../contract/parse.ts';
import type { Marker, Project, Track } from '../contract/project.ts';
import { PusaError } from '../errors.ts';

/** Records a project may hold, as `projectSchema` has it. */
export const limits = { assets: 100_000, clips: 100_000, ranges: 10_000, markers: 1000 } as const;

/** Values of one record: a range may have 4,001 marks of up to four values. */
const maxValues = 20_000;

interface Identified {
  readonly id: string;
}

/** What cannot be done to a project, and what can. */
export function editInvalid(message: string, remedy: string): PusaError {
  return new PusaError('EDIT_INVALID', message, remedy);
}

/** @throws PusaError EDIT_INVALID when the value is not what the schema says; `subject` begins the sentence */
export function checked<T>(schema: z.ZodType<T>, value: unknown, subject: string): T {
  const parsed = parseBounded(schema, value, maxValues);
  if (parsed.ok) return parsed.value;
  throw editInvalid(describeFlaw(subject, parsed.flaw), 'Choose another value.');
}

/** @throws PusaError EDIT_INVALID when there is none */
export function find<T extends Identified>(records: readonly T[], id: string, kind: string): T {
  const record = records.find((each) => each.id === id);
  if (record !== undefined) return record;
  throw editInvalid(
    `There is no ${kind} "${id}" in the project.`,
    'It may have been removed; choose another one.',
  );
}

/** @throws PusaError EDIT_INVALID when an id is used twice, or the list becomes too long */
export function addRecords<T extends Identified>(
  records: readonly T[],
  added: readonly T[],
  most: number,
): T[] {
  const ids = new Set(records.map(({ id }) => id));
  for (const { id } of added) {
    if (ids.has(id)) throw editInvalid(`The id "${id}" is used already.`, 'Use a new one.');
    ids.add(id);
  }
  if (ids.size > most) {
    throw editInvalid(`A project holds at most ${most} of these.`, 'Go on in another project.');
  }
  return [...records, ...added];
}

export function replaceRecord<T extends Identified>(records: readonly T[], record: T): T[] {
  return records.map((each) => (each.id === record.id ? record : each));
}

/**
 * Moves a record before another one, or to the end.
 * @throws PusaError EDIT_INVALID when one of them is not there
 */
export function reorder<T extends Identified>(
  records: readonly T[],
  id: string,
  before: string | null,
  kind: string,
): T[] {
  const record = find(records, id, kind);
  if (before === null) return [...records.filter((each) => each !== record), record];
  const next = find(records, before, kind);
  if (next === record) return [...records];
  return records.flatMap((each) => (each === record ? [] : each === next ? [record, each] : [each]));
}

/** The project with these tracks noted, ascending; where none is locked or hidden the field is left out. */
export function withTracks<P extends Project>(project: P, tracks: readonly Track[]): P {
  const changed = { ...project };
  if (tracks.length === 0) delete changed.tracks;
  else changed.tracks = tracks.toSorted((a, b) => a.track - b.track);
  return changed;
}

/** The project with these markers, in order; where there are none the field is left out. */
export function withMarkers<P extends Project>(project: P, markers: readonly Marker[]): P {
  const changed = { ...project };
  if (markers.length === 0) delete changed.markers;
  else changed.markers = markers.toSorted((a, b) => a.frame - b.frame);
  return changed;
}
