import { z } from 'zod';
import type { Phase } from '../../core/contract/job.ts';
import { noteSchema, type Note, type NoteCode, type Values } from '../../core/contract/note.ts';

/** When the memory ran out: in a phase, or so that the engine was ended for it. */
export type Cause = Extract<Phase, 'text' | 'sources' | 'denoise' | 'decode'> | 'ended';

const causes: Readonly<Record<Cause, string>> = {
  text: 'The memory ran out while the prompt was read',
  sources: 'The memory ran out while a source was encoded',
  denoise: 'The memory ran out while the video was generated',
  decode: 'The memory ran out while the result was decoded',
  ended: 'The engine ended without a word, most likely for want of memory',
};

/** @param measure what was done, as the end of a sentence */
export function memoryNote(cause: Cause, code: NoteCode, measure: string, values: Values = {}): Note {
  return { code, text: `${causes[cause]}; ${measure}.`, values: { phase: cause, ...values } };
}

/** Notes in a job's folder: those of an earlier version are sentences only. */
export const keptNoteSchema = z.union([
  noteSchema,
  z
    .string()
    .max(1000)
    .transform((text): Note => ({ code: null, text, values: {} })),
]);
