import { z } from 'zod';
import type { MethodSpec } from '../channel/contract.ts';
import { clipSchema, idSchema, rangeSchema } from '../project.ts';
import { shownTakeSchema, tagSchema, takeRecordSchema, takeSummarySchema } from '../records.ts';
import {
  idsSchema,
  nothing,
  pageInput,
  pageOf,
  pathSchema,
  pictureSchema,
  taskSchema,
  writtenSchema,
} from './common.ts';
import { editedSchema, projectValues } from './projects.ts';

const takeId = idSchema;
const { rating, tags } = takeRecordSchema.shape;
/** Values of a take: its plan has up to 200 steps × 1,001 cells, twice. */
const takeValues = 500_000;
const frame = clipSchema.shape.start;

/** What is exported: a take, or the timeline from its frame `from` up to but not including `to`. */
const exportSchema = z.discriminatedUnion('what', [
  z.strictObject({ what: z.literal('take'), takeId }),
  z.strictObject({
    what: z.literal('timeline'),
    projectId: idSchema,
    /** Both left out: all of it. */
    from: frame.optional(),
    to: frame.optional(),
    /** The clips' own sound where their frames are shown, and under the frames of takes, which have none. */
    audio: z.boolean(),
  }),
]);
export type Export = z.infer<typeof exportSchema>;

/** Results of generating. Those that change a project answer as an edit of it does. */
export const takeMethods = {
  'takes.list': {
    input: z.strictObject({
      ...pageInput,
      projectId: idSchema.optional(),
      rangeId: idSchema.optional(),
      minRating: rating.optional(),
      tag: tagSchema.optional(),
      sort: z.enum(['created', 'rating']),
    }),
    output: pageOf(takeSummarySchema),
    writes: false,
  },
  /** Takes of any project whose files are among this one's media, however many it has made itself. */
  'takes.inMedia': {
    input: z.strictObject({ projectId: idSchema }),
    output: z.strictObject({ takes: z.array(shownTakeSchema).max(100_000) }),
    writes: false,
    maxOutputValues: projectValues,
  },
  'takes.get': {
    input: z.strictObject({ takeId }),
    output: takeRecordSchema,
    writes: false,
    maxOutputValues: takeValues,
  },
  /** Its video, whole, or from a byte on, at most `bytes` of them. */
  'takes.read': {
    input: z.strictObject({ takeId, from: z.int().min(0).optional(), bytes: z.int().min(1).optional() }),
    output: z.strictObject({ from: z.int().min(0), bytes: z.int().min(0), total: z.int().min(1) }),
    writes: false,
    download: true,
  },
  'takes.thumbnail': {
    input: z.strictObject({ takeId, size: z.int().min(16).max(2048), frame: frame.optional() }),
    output: pictureSchema,
    writes: false,
    download: true,
  },
  'takes.rate': { input: z.strictObject({ takeId, rating }), output: takeSummarySchema, writes: true },
  'takes.setTags': { input: z.strictObject({ takeId, tags }), output: takeSummarySchema, writes: true },
  /** Puts it on the timeline as a clip over its range; null: on an open track above what lies there. */
  'takes.promote': {
    input: z.strictObject({ takeId, clipId: idSchema, track: clipSchema.shape.track.nullable() }),
    output: editedSchema,
    writes: true,
    maxOutputValues: projectValues,
  },
  /**
   * A new range that goes on from one of its frames: its first cells are the take's last ones up to there. The take
   * is promoted first, under `clipId`, if it was not.
   */
  'takes.extend': {
    input: z.strictObject({
      takeId,
      fromFrame: frame,
      frames: rangeSchema.shape.frames,
      /** Cells shared with the take. */
      overlap: z.int().min(1).max(64),
      rangeId: idSchema,
      clipId: idSchema,
    }),
    output: editedSchema,
    writes: true,
    maxOutputValues: projectValues,
  },
  /** Puts everything that made it back into its range, or into a new one under `rangeId` if that is gone. */
  'takes.recreate': {
    input: z.strictObject({ takeId, rangeId: idSchema }),
    output: editedSchema,
    writes: true,
    maxOutputValues: projectValues,
  },
  /** Refused for a take whose clip is on a timeline. */
  'takes.delete': { input: z.strictObject({ takeIds: idsSchema }), output: nothing, writes: true },

  /** The name decides the format: `.mp4`, `.webm`, `.gif`, or a folder or pattern of pictures. */
  'exports.toPath': {
    input: z.strictObject({ export: exportSchema, path: pathSchema, task: taskSchema }),
    output: writtenSchema,
    writes: false,
    namesPath: true,
  },
  'exports.toStream': {
    input: z.strictObject({ export: exportSchema, format: z.enum(['mp4', 'webm', 'gif']), task: taskSchema }),
    output: z.strictObject({
      name: z.string().min(1).max(255),
      mime: z.enum(['video/mp4', 'video/webm', 'image/gif']),
      bytes: z.int().min(0),
    }),
    writes: false,
    download: true,
  },
} as const satisfies Record<string, MethodSpec>;
