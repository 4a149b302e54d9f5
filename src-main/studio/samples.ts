import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readPusaFile } from '../library/pusa-file.ts';
import type { StudioContext } from './context.ts';
import { importPusaFile } from './pusa-import.ts';

/** The sample that a person sees first. */
const first = 'first.pusa';

/** Puts the bundled sample projects into a new library, the first one on top. Those that are there already stay. */
export async function importSamples(
  context: Pick<StudioContext, 'store' | 'media' | 'folders' | 'places'>,
): Promise<void> {
  const folder = join(context.places.resources, 'samples');
  const names = (await readdir(folder)).filter((name) => name.endsWith('.pusa')).sort();
  // The last one in is the latest, so it stands first in the list.
  for (const name of [...names.filter((one) => one !== first), ...names.filter((one) => one === first)]) {
    const file = await readPusaFile(join(folder, name));
    try {
      // One in the trash was begun and not finished.
      if (context.store.get('projects', file.project.id)?.trashedAt === null) continue;
      await importPusaFile(context, file, { path: null, report: () => undefined, asNew: true });
    } finally {
      file.close();
    }
  }
}
