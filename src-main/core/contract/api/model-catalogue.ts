import { z } from 'zod';
import { idSchema } from '../project.ts';
import { pathSchema } from './common.ts';

const bytes = z.int().min(0);

/** A file as its publisher has it. */
export const catalogueFileSchema = z.strictObject({
  /** `owner/name`. */
  repository: z.string().regex(/^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/),
  /** Inside the repository. */
  path: z.string().min(1).max(500),
  /** Exact, or null where only the server knows. */
  bytes: bytes.nullable(),
  /** Hexadecimal; null where only the server knows. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
  /** Its whole file on this machine; null while it is not there. */
  here: pathSchema.nullable(),
  /** Bytes of it that an interrupted download left. */
  partBytes: bytes,
});

/** What a person can choose to download: a whole model. */
export const catalogueEntrySchema = z.strictObject({
  id: idSchema,
  /** As a person calls it. */
  name: z.string().min(1).max(200),
  /** What it is for, and what it asks of a machine: one or two English sentences. */
  purpose: z.string().min(1).max(600),
  /** What was agreed to by whoever downloads: name and where it can be read, of every part. */
  licences: z
    .array(
      z.strictObject({
        of: z.string().min(1).max(200),
        name: z.string().min(1).max(200),
        url: z.url().max(500),
      }),
    )
    .min(1)
    .max(16),
  /** All files together. */
  bytes,
  /** What is still to be downloaded. */
  missingBytes: bytes,
  /** What is written besides, once: files that cannot be used as they are. 0 where left out. */
  convertedBytes: bytes.optional(),
  /** False: some sizes are only known about, until the server was asked. */
  exact: z.boolean(),
  files: z.array(catalogueFileSchema).min(1).max(200),
  /** The model it became; null until then. */
  model: idSchema.nullable(),
  /** The task that downloads it. */
  task: idSchema.nullable(),
});
export type CatalogueEntry = z.infer<typeof catalogueEntrySchema>;

export const catalogueSchema = z.strictObject({
  entries: z.array(catalogueEntrySchema).max(200),
  /** Where downloads go unless another folder is named, and the space there. */
  folder: pathSchema,
  freeBytes: bytes.nullable(),
});
export type Catalogue = z.infer<typeof catalogueSchema>;
