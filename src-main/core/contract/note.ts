import { z } from 'zod';

/** Names and figures of a sentence, for those who say it in another language. */
export const valuesSchema = z.record(z.string().max(60), z.union([z.string().max(1000), z.number()]));
export type Values = Readonly<Record<string, string | number>>;

/**
 * What was done otherwise than asked after the memory ran out; `phase` says when, or `ended` where the engine was
 * ended for it. `MEMORY_TILES` has the latents of a tile as `rows` and `columns`.
 */
export const noteCodes = ['MEMORY_TILES', 'MEMORY_HALF', 'MEMORY_QUARTER', 'MEMORY_SINGLE'] as const;
export type NoteCode = (typeof noteCodes)[number];

/** Something a job did otherwise than asked; the code is null in a sentence of an earlier version. */
export const noteSchema = z.strictObject({
  code: z.enum(noteCodes).nullable(),
  /** The sentence in English. */
  text: z.string().max(1000),
  values: valuesSchema,
});
export type Note = z.infer<typeof noteSchema>;
