import { z } from 'zod';
import { errorCodes } from '../../errors.ts';
import type { EventSpec, MethodSpec } from '../channel/contract.ts';
import { providers } from '../device.ts';
import { noteCodes, valuesSchema } from '../note.ts';
import { idSchema } from '../project.ts';
import { tableNames } from '../records.ts';
import { nothing, pathSchema } from './common.ts';

/** What a person sets for the whole application. */
export const settingsSchema = z.strictObject({
  language: z.enum(['system', 'en', 'zh-CN']),
  theme: z.enum(['system', 'dark', 'light']),
  /** Null: what the system says. */
  reducedMotion: z.boolean().nullable(),
  /** Model of ranges that name none; null: the bundled one. */
  defaultModel: idSchema.nullable(),
  /** Null: the quickest that works. */
  provider: z.enum(providers).nullable(),
  /** Pictures of the result while it is generated. */
  previews: z.boolean(),
  /** Where exports are offered to go; null: the system's folder for videos. */
  exportFolder: pathSchema.nullable(),
});
export type Settings = z.infer<typeof settingsSchema>;

/** How the library is. `flaws` are sentences; empty while it is sound or not checked yet. */
const libraryStatusSchema = z.strictObject({
  state: z.enum(['checking', 'sound', 'damaged']),
  flaws: z.array(z.string().max(1000)).max(100),
  /** The studio ended without closing it. */
  endedUncleanly: z.boolean(),
  mediaFolder: pathSchema,
  /** It is not there, as while its disk is not connected; `library.findMedia` mends that. */
  mediaMissing: z.boolean(),
  mediaBytes: z.int().min(0),
});
export type LibraryStatus = z.infer<typeof libraryStatusSchema>;

const backupSchema = z.strictObject({
  name: z.string().min(1).max(255),
  createdAt: z.iso.datetime(),
  bytes: z.int().min(0),
});

/** Settings, and the library as a whole. */
export const settingsMethods = {
  'settings.get': { input: z.strictObject({}), output: settingsSchema, writes: false },
  /** What is left out stays. */
  'settings.set': { input: settingsSchema.partial(), output: settingsSchema, writes: true },
  'library.status': { input: z.strictObject({}), output: libraryStatusSchema, writes: false },
  'library.check': { input: z.strictObject({}), output: libraryStatusSchema, writes: false },
  /** Rebuilds what can be read; the damaged file is kept beside it. */
  'library.repair': { input: z.strictObject({}), output: libraryStatusSchema, writes: true },
  /**
   * While the media are missing: the folder where they are now. Or a new, empty one (`isNew`), into which they are
   * brought in again one by one.
   */
  'library.findMedia': {
    input: z.strictObject({ path: pathSchema, isNew: z.boolean() }),
    output: libraryStatusSchema,
    writes: true,
    namesPath: true,
  },
  'library.backups': {
    input: z.strictObject({}),
    output: z.strictObject({ backups: z.array(backupSchema).max(1000) }),
    writes: false,
  },
  /** One of those listed, by its name, in the place of the library; that is backed up first. */
  'library.restore': {
    input: z.strictObject({ name: backupSchema.shape.name }),
    output: nothing,
    writes: true,
  },
} as const satisfies Record<string, MethodSpec>;

/** What the studio tells by itself beside errors and the notes of jobs. */
export const noticeCodes = [
  // name
  'OPENED_AS_COPY',
  // name, count
  'SAVED_WITHOUT_MEDIA',
  'EXPORT_WITHOUT_SOUND',
  'SEARCH_CUT_SHORT',
  // count
  'MEDIA_DAMAGED',
] as const;

export const settingsEvents = {
  'settings.changed': { payload: settingsSchema, lossy: false },
  'library.changed': { payload: libraryStatusSchema, lossy: false },
  /** Records were made, changed or removed. Null where they are too many to name: read anew. */
  'records.changed': {
    payload: z.strictObject({
      table: z.enum(tableNames),
      ids: z.array(idSchema).min(1).max(1000).nullable(),
    }),
    lossy: false,
  },
  /** Of a long request that was given a task. `total` is null while it is not known. */
  'tasks.progress': {
    payload: z.strictObject({
      task: idSchema,
      done: z.int().min(0),
      total: z.int().min(0).nullable(),
      unit: z.enum(['bytes', 'frames', 'files']),
    }),
    lossy: true,
  },
  /** Something a person should know that answers no request of theirs; `values` are what its sentence names. */
  'notices.posted': {
    payload: z.strictObject({
      level: z.enum(['info', 'warning', 'error']),
      /** Null only for the note of a job that an earlier version began. */
      code: z.enum([...errorCodes, ...noteCodes, ...noticeCodes]).nullable(),
      values: valuesSchema,
      message: z.string().min(1).max(4000),
      remedy: z.string().max(4000).nullable(),
      projectId: idSchema.nullable(),
      jobId: idSchema.nullable(),
    }),
    lossy: false,
  },
} as const satisfies Record<string, EventSpec>;
