import { z } from 'zod';
import { idSchema } from '../project.ts';
import { cursorSchema } from '../records.ts';

/** A path on the studio's machine, as its system writes it. */
export const pathSchema = z.string().min(1).max(4096);

/** Records named together in one request. */
export const idsSchema = z.array(idSchema).min(1).max(1000);

/** A name the caller makes up for something long; `tasks.progress` tells how far it is. */
export const taskSchema = idSchema.optional();

/** Binary of at most `max` bytes, in a message of its own size; longer ones are streams. */
export const bytesSchema = (max: number) =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.byteLength <= max, 'binary expected');

/** Which page of a list: null is the first one. */
export const pageInput = {
  cursor: cursorSchema.nullable(),
  limit: z.int().min(1).max(200),
};

/** A page of a list. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.strictObject({
    items: z.array(item).max(200),
    /** Where the next page starts; null on the last one. */
    next: cursorSchema.nullable(),
    /** Records in all pages together. */
    total: z.int().min(0),
  });

export const nothing = z.strictObject({});

/** A picture as a browser shows it. */
export const pictureSchema = z.strictObject({
  mime: z.enum(['image/jpeg', 'image/webp', 'image/png']),
  width: z.int().min(1).max(32_768),
  height: z.int().min(1).max(32_768),
});

/** What is written to a file or streamed. */
export const writtenSchema = z.strictObject({ path: pathSchema, bytes: z.int().min(0) });
