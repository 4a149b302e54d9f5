import { z } from 'zod';
import { takeSchema, type Take } from '../core/contract/job.ts';
import { PusaError } from '../core/errors.ts';
import { readTake } from '../media/read-take.ts';

/** What the export of a timeline says about itself. */
const timelineInfoSchema = z.strictObject({
  software: z.string(),
  project: z.string(),
  createdAt: z.iso.datetime(),
});
export type TimelineInfo = z.infer<typeof timelineInfoSchema>;

/**
 * Reads what a file made by Pusa Studio says about itself.
 * @throws PusaError MEDIA_UNREADABLE when it says nothing or nothing valid
 */
export async function takeOfFile(path: string): Promise<Take> {
  const value = await readTake(path);
  const parsed = takeSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const timeline = timelineInfoSchema.safeParse(value);
  if (timeline.success) {
    throw new PusaError(
      'MEDIA_UNREADABLE',
      `The file is an exported timeline of the project “${timeline.data.project}”, not a single take.`,
      'Open that project, or choose an exported take.',
    );
  }
  throw new PusaError(
    'MEDIA_UNREADABLE',
    value === null
      ? 'The file holds no settings of a take.'
      : 'The settings inside the file are damaged or of another version.',
    'Choose a file exported by Pusa Studio that no other program has written again.',
  );
}
