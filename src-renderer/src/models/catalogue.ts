import type { CatalogueEntry } from '../../../src-main/core/contract/api/model-catalogue.ts';
import type { ModelTask } from '../../../src-main/core/contract/api/model-work.ts';
import { fileName } from './recipe.ts';
import { isOpen } from './tasks.ts';

/** Where an entry stands: nothing is here, some of it, all files but no model of them, the model, or it is on its way. */
export type EntryState = 'away' | 'partly' | 'files' | 'model' | 'coming';

export function entryState(entry: CatalogueEntry, tasks: readonly ModelTask[]): EntryState {
  if (entryTask(entry, tasks) !== null) return 'coming';
  if (entry.model !== null) return 'model';
  if (entry.missingBytes === 0 && entry.files.every(({ here }) => here !== null)) return 'files';
  return entry.files.some(({ here, partBytes }) => here !== null || partBytes > 0) ? 'partly' : 'away';
}

/** Whether some of an entry is here, and no model of it yet. */
export function isBegun(state: EntryState): boolean {
  return state === 'coming' || state === 'partly' || state === 'files';
}

/** The task that brings an entry now. */
export function entryTask({ id, task }: CatalogueEntry, tasks: readonly ModelTask[]): ModelTask | null {
  return tasks.find((each) => isOpen(each) && (each.id === task || each.entry === id)) ?? null;
}

/** What is left on the disk after a download; null where the system does not say, negative where it does not fit. */
export function freeAfter(missingBytes: number, freeBytes: number | null): number | null {
  return freeBytes === null ? null : freeBytes - missingBytes;
}

/** Licences of an entry, one line for each text: parts under the same one together. */
export function licenceLines(
  licences: CatalogueEntry['licences'],
): readonly { readonly of: readonly string[]; readonly name: string; readonly url: string }[] {
  const lines = new Map<string, { of: string[]; name: string; url: string }>();
  for (const { of, name, url } of licences) {
    const line = lines.get(url);
    if (line === undefined) lines.set(url, { of: [of], name, url });
    else line.of.push(of);
  }
  return [...lines.values()];
}

/** The files of an entry as they are listed, the largest first. */
export function entryFiles({
  files,
}: Pick<CatalogueEntry, 'files'>): readonly (CatalogueEntry['files'][number] & {
  readonly name: string;
})[] {
  return files
    .map((file) => ({ ...file, name: fileName(file.path) }))
    .toSorted((a, b) => (b.bytes ?? 0) - (a.bytes ?? 0));
}
