import { z } from 'zod';
import { errorSchema, progressSchema, takeSchema } from './job.ts';
import { noteSchema } from './note.ts';
import { assetSchema, idSchema, projectSchema } from './project.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const finite = z.number().refine(Number.isFinite);
const time = z.iso.datetime();
/** A path as the system names it; only ever shown or looked at again, never trusted. */
const pathHint = z.string().min(1).max(4096);

/** A project as the library keeps it. */
export const projectRecordSchema = projectSchema.extend({
  /** When it was put into the trash; null while it is not there. */
  trashedAt: time.nullable(),
  /** The `.pusa` file it was opened from or last saved to. */
  pusaPath: pathHint.nullable(),
});
export type ProjectRecord = z.infer<typeof projectRecordSchema>;

/** Whether an asset's bytes are in the media folder. */
export const assetStates = ['present', 'missing'] as const;

/** A media file of the library. One record per hash: the same bytes imported twice are one asset. */
export const assetRecordSchema = assetSchema.extend({
  importedAt: time,
  /** Where the bytes came from, to find them again when they are missing: bytes, and the file's time. */
  original: z.strictObject({ path: pathHint, size: z.int().min(0), mtime: time }).nullable(),
  state: z.enum(assetStates),
});
export type AssetRecord = z.infer<typeof assetRecordSchema>;

export const tagSchema = z
  .string()
  .min(1)
  .max(60)
  .refine((tag) => tag === tag.trim(), 'A tag has no space around it.');

/** One result of generating a range, with all that made it. */
export const takeRecordSchema = takeSchema.extend({
  id: idSchema,
  projectId: idSchema,
  /** The range it was made for; the range may be gone by now. */
  rangeId: idSchema,
  /** SHA-256 of the video in the media folder. */
  fileHash: sha256,
  /** Stars; 0 means not rated. */
  rating: z.int().min(0).max(5),
  tags: z
    .array(tagSchema)
    .max(50)
    .refine((tags) => new Set(tags).size === tags.length, 'A tag is given once.'),
  /** The clip on the timeline that shows it, once promoted. */
  promotedClipId: idSchema.nullable(),
});
export type TakeRecord = z.infer<typeof takeRecordSchema>;

/** A take whose file is among a project's media: what is needed to look and listen past it. */
export const shownTakeSchema = takeRecordSchema.pick({
  id: true,
  projectId: true,
  rangeId: true,
  fileHash: true,
  promotedClipId: true,
});
export type ShownTake = z.infer<typeof shownTakeSchema>;

export const jobStates = ['waiting', 'running', 'paused', 'done', 'failed', 'cancelled'] as const;
export type JobState = (typeof jobStates)[number];

/** Seconds from a job's start to its end, and the most memory the engine held at once. */
const costSchema = z.strictObject({
  seconds: finite.min(0).nullable(),
  memoryBytes: finite.min(0).nullable(),
});
export type Cost = z.infer<typeof costSchema>;

/** A job in the queue. Its id names the folder of the frozen job. */
export const jobRecordSchema = z.strictObject({
  id: idSchema,
  projectId: idSchema,
  rangeId: idSchema,
  state: z.enum(jobStates),
  /** Place in the queue, lowest first; any number, so that moving one job writes one record. */
  position: finite,
  /** Counts starts; 0 = never started. */
  attempt: z.int().min(0).max(1_000_000),
  createdAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
  /** Where it stood when last written. */
  progress: progressSchema.nullable(),
  /** Why it failed. */
  error: errorSchema.nullable(),
  /** What was done otherwise than asked, such as a smaller plan after the memory ran out. */
  notes: z.array(noteSchema).max(20).optional(),
  /** What it was forecast to cost, and what it did cost; null where that is not known (a job that was resumed). */
  cost: z.strictObject({ forecast: costSchema, actual: costSchema.nullable() }).optional(),
});
export type JobRecord = z.infer<typeof jobRecordSchema>;

/** The library's records by table. */
export interface Records {
  readonly projects: ProjectRecord;
  readonly assets: AssetRecord;
  readonly takes: TakeRecord;
  readonly jobs: JobRecord;
}
export const tableNames = ['projects', 'assets', 'takes', 'jobs'] as const;
export type TableName = (typeof tableNames)[number];

/** What an edit did to one record: null before means created, null after means removed. */
export interface RecordDiff<T extends TableName = TableName> {
  readonly table: T;
  readonly id: string;
  readonly before: Records[T] | null;
  readonly after: Records[T] | null;
}

/** What a list shows of a project. */
export const projectSummarySchema = z.strictObject({
  id: idSchema,
  name: z.string(),
  width: z.int(),
  height: z.int(),
  fps: z.number(),
  clips: z.int(),
  ranges: z.int(),
  createdAt: time,
  modifiedAt: time,
  trashedAt: time.nullable(),
});
export type ProjectSummary = z.infer<typeof projectSummarySchema>;

/** What a list shows of a take. */
export const takeSummarySchema = takeRecordSchema.pick({
  id: true,
  projectId: true,
  rangeId: true,
  fileHash: true,
  rating: true,
  tags: true,
  promotedClipId: true,
  createdAt: true,
  prompt: true,
  width: true,
  height: true,
  fps: true,
  partial: true,
});
export type TakeSummary = z.infer<typeof takeSummarySchema>;

/** Where the next page of a list starts; the value is the list's own. */
export const cursorSchema = z.string().max(4000);

/** One page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Null on the last page. */
  readonly next: string | null;
  /** Records in all pages together; counted up to 10,000, which then means that many or more. */
  readonly total: number;
}

const searchKinds = ['project', 'prompt', 'asset', 'take'] as const;
export type SearchKind = (typeof searchKinds)[number];

export const searchQuerySchema = z.strictObject({
  text: z.string().max(200),
  kinds: z.array(z.enum(searchKinds)).max(searchKinds.length).optional(),
  /** Only what belongs to this project. */
  projectId: idSchema.optional(),
  limit: z.int().min(1).max(200),
});
export type SearchQuery = z.infer<typeof searchQuerySchema>;

/** Something found. `id` is the project's, asset's or take's, and a prompt's range's. */
export const searchHitSchema = z.strictObject({
  kind: z.enum(searchKinds),
  id: idSchema,
  projectId: idSchema.nullable(),
  /** The name, or the beginning of the prompt. */
  title: z.string(),
});
export type SearchHit = z.infer<typeof searchHitSchema>;
