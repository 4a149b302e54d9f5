import type { RecordDiff, Records, TableName } from '../core/contract/records.ts';

/**
 * What became of one field of a record. A list is told by the stretch that differs, so that painting one mark of one
 * range does not store all the others; a field that is not there has no value.
 */
type FieldChange =
  | { readonly field: string; readonly before?: unknown; readonly after?: unknown }
  | {
      readonly field: string;
      readonly at: number;
      readonly removed: readonly unknown[];
      readonly inserted: readonly unknown[];
    };

/** A {@link RecordDiff} as history stores it: enough to go back from after to before. */
export type StoredChange =
  | { readonly table: TableName; readonly id: string; readonly created: true }
  | { readonly table: TableName; readonly id: string; readonly removed: object }
  | { readonly table: TableName; readonly id: string; readonly fields: readonly FieldChange[] };

/** The record is no longer what the change left behind. */
export class ChangedSinceError extends Error {}

/** Makes a diff small. */
export function storeDiff({ table, id, before, after }: RecordDiff): StoredChange {
  if (before === null) return { table, id, created: true };
  if (after === null) return { table, id, removed: before };
  const old = before as Record<string, unknown>;
  const now = after as Record<string, unknown>;
  const fields = [...new Set([...Object.keys(old), ...Object.keys(now)])].flatMap((field) =>
    fieldChange(field, old[field], now[field]),
  );
  return { table, id, fields };
}

/**
 * What the record was before a change.
 * @param current the record as it is; must be as the change left it, in the fields the change touched
 * @returns null when the change created it
 * @throws ChangedSinceError
 */
export function undoChange<T extends TableName>(
  change: StoredChange,
  current: Records[T] | null,
): Records[T] | null {
  if ('removed' in change) {
    if (current !== null) throw new ChangedSinceError();
    return change.removed as Records[T];
  }
  if (current === null) throw new ChangedSinceError();
  if ('created' in change) return null;
  const record: Record<string, unknown> = { ...current };
  for (const one of change.fields) {
    const value = record[one.field];
    if ('at' in one) {
      if (!Array.isArray(value)) throw new ChangedSinceError();
      const list = value as unknown[];
      const end = one.at + one.inserted.length;
      if (!isSame(list.slice(one.at, end), one.inserted)) throw new ChangedSinceError();
      record[one.field] = [...list.slice(0, one.at), ...one.removed, ...list.slice(end)];
    } else {
      if (!isSame(value, one.after)) throw new ChangedSinceError();
      if (one.before === undefined) Reflect.deleteProperty(record, one.field);
      else record[one.field] = one.before;
    }
  }
  return record as unknown as Records[T];
}

/** Records are JSON with their keys in the schema's order, so equal ones have equal text. */
export function isSame(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

function fieldChange(field: string, before: unknown, after: unknown): FieldChange[] {
  if (isSame(before, after)) return [];
  if (!Array.isArray(before) || !Array.isArray(after)) {
    return [
      { field, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) },
    ];
  }
  const old = before.map((item) => JSON.stringify(item));
  const now = after.map((item) => JSON.stringify(item));
  const shorter = Math.min(old.length, now.length);
  let at = 0;
  while (at < shorter && old[at] === now[at]) at++;
  let end = 0;
  while (end < shorter - at && old[old.length - 1 - end] === now[now.length - 1 - end]) end++;
  return [
    {
      field,
      at,
      removed: before.slice(at, before.length - end),
      inserted: after.slice(at, after.length - end),
    },
  ];
}
