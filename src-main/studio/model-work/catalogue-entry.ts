import { realpath } from 'node:fs/promises';
import type { CatalogueEntry } from '../../core/contract/api/model-catalogue.ts';
import { bytesOfParts, convertedBytesOf, type KnownModel } from '../downloads/catalogue.ts';
import { placeOf } from '../downloads/download-set.ts';
import { partBytesOf } from '../downloads/part-file.ts';
import type { OwnFiles } from './own-files.ts';
import { filesHere } from './runner.ts';

/** What a catalogue's entry is, and what of it is on this machine. */
export async function describeEntry(
  own: OwnFiles,
  entry: KnownModel,
  folder: string,
): Promise<Omit<CatalogueEntry, 'model' | 'task'>> {
  const here = await filesHere(own, entry);
  const { bytes, exact } = bytesOfParts(entry.parts, (file) => here.get(file)?.bytes ?? null);
  const files: CatalogueEntry['files'] = [];
  let had = 0;
  for (const file of entry.files) {
    const found = here.get(file);
    const begun = found === undefined ? await partBytesOf(placeOf(folder, file)) : 0;
    had += found?.bytes ?? begun;
    const { repository, path, sha256 } = file;
    files.push({
      repository,
      path,
      bytes: file.bytes ?? found?.bytes ?? null,
      sha256,
      here: found === undefined ? null : await realpath(found.place).catch(() => found.place),
      partBytes: begun,
    });
  }
  return {
    id: entry.id,
    name: entry.name,
    purpose: entry.purpose,
    licences: entry.parts.map(({ name, licence }) => ({ of: name, ...licence })),
    bytes,
    missingBytes: here.size === entry.files.length ? 0 : Math.max(0, bytes - had),
    convertedBytes: convertedBytesOf(entry),
    exact,
    files,
  };
}
