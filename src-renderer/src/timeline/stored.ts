import { z } from 'zod';
import { parseBounded } from '../../../src-main/core/contract/parse.ts';

/** What a window remembers of a project's timeline: how it is looked at, no part of the project itself. */
export const storedSchema = z.strictObject({
  planFolded: z.boolean(),
  snapping: z.boolean(),
});
export type Stored = z.infer<typeof storedSchema>;

export const fresh: Stored = {
  planFolded: true,
  snapping: true,
};

const keyOf = (projectId: string): string => `pusa.timeline.${projectId}`;

/** What was remembered of a project; the beginning where that is nothing, or cannot be read. */
export function readStored(storage: Pick<Storage, 'getItem'>, projectId: string): Stored {
  try {
    const text = storage.getItem(keyOf(projectId));
    if (text === null || text.length > 200_000) return fresh;
    const parsed = parseBounded(storedSchema, JSON.parse(text), 10_000);
    return parsed.ok ? parsed.value : fresh;
  } catch {
    return fresh;
  }
}

/** Remembers it; without room or permission it lasts as long as the window. */
export function writeStored(storage: Pick<Storage, 'setItem'>, projectId: string, stored: Stored): void {
  try {
    storage.setItem(keyOf(projectId), JSON.stringify(stored));
  } catch {
    // A full or forbidden storage costs no more than the memory of it.
  }
}
