import { z } from 'zod';
import type { EventSpec, MethodSpec } from '../channel/contract.ts';
import { progressSchema } from '../job.ts';
import { valuesSchema } from '../note.ts';
import { idSchema, rangeSchema, samplerSchema } from '../project.ts';
import { jobRecordSchema, jobStates } from '../records.ts';
import { bytesSchema, idsSchema, nothing, pageInput, pageOf } from './common.ts';

const jobId = idSchema;
const range = { projectId: idSchema, rangeId: idSchema };
/** At half the size and with fewer steps (`draftOf`), for a quick look. */
const draft = z.boolean().optional();
const { steps, cfg, shift, seed, loraStrength } = samplerSchema.shape;
const { prompt, negativePrompt } = rangeSchema.shape;
const most = 200;
const values = <T extends z.ZodType>(value: T) => z.array(value).min(1).max(most);
const enqueuedSchema = z.strictObject({ jobs: z.array(jobRecordSchema).min(1).max(most) });
const side = z.int().min(1).max(8192);

/** Over what a batch goes: one job for each value. */
export const sweepSchema = z.discriminatedUnion('over', [
  z.strictObject({ over: z.literal('seed'), values: values(seed) }),
  z.strictObject({ over: z.literal('steps'), values: values(steps) }),
  z.strictObject({ over: z.literal('cfg'), values: values(cfg) }),
  z.strictObject({ over: z.literal('shift'), values: values(shift) }),
  z.strictObject({ over: z.literal('loraStrength'), values: values(loraStrength) }),
]);
export type Sweep = z.infer<typeof sweepSchema>;

const jobDetailsSchema = z.strictObject({
  jobId,
  prompt,
  negativePrompt,
  sampler: samplerSchema,
  width: z.int().min(1),
  height: z.int().min(1),
  fps: z.number().min(0),
  frames: z.int().min(1),
  model: idSchema,
});
export type JobDetails = z.infer<typeof jobDetailsSchema>;

const queueStatusSchema = z.strictObject({
  running: z.array(jobId).max(16),
  waiting: z.int().min(0),
  paused: z.boolean(),
});

/** The queue. One job runs at a time; the others wait in their order. */
export const jobMethods = {
  /** Queue first in its order, then what is over, the latest first. */
  'jobs.list': {
    input: z.strictObject({
      ...pageInput,
      states: z.array(z.enum(jobStates)).max(jobStates.length).optional(),
      projectId: idSchema.optional(),
    }),
    output: pageOf(jobRecordSchema),
    writes: false,
  },
  'jobs.get': { input: z.strictObject({ jobId }), output: jobRecordSchema, writes: false },
  /** What a job was frozen with: to tell jobs apart, and to edit those that wait. */
  'jobs.details': {
    input: z.strictObject({ jobIds: idsSchema }),
    /** Without those that are not there any more. */
    output: z.strictObject({ details: z.array(jobDetailsSchema).max(1000) }),
    writes: false,
  },
  /** What generating a range would cost here, and what to know before; null where nothing was measured yet. */
  'jobs.forecast': {
    input: z.strictObject({ ...range, draft }),
    output: z.strictObject({
      seconds: z.number().min(0).nullable(),
      /** The most that will be held at once, weights that are read out of their file included. */
      memoryBytes: z.number().min(0).nullable(),
      /** What the seconds rest on: a job like it, one of another size, or a block timed on the device. */
      basis: z.enum(['measured', 'scaled', 'block']).nullable().optional(),
      warnings: z
        .array(
          z.strictObject({
            code: z.string().max(60),
            text: z.string().max(1000),
            values: valuesSchema,
          }),
        )
        .max(1000),
    }),
    writes: false,
  },
  /** Freezes a range as it is now: later edits do not change the job. */
  'jobs.enqueue': {
    input: z.strictObject({ ...range, place: z.enum(['next', 'last']), draft }),
    output: enqueuedSchema,
    writes: true,
  },
  'jobs.batch': {
    input: z.strictObject({ ...range, sweep: sweepSchema, draft }),
    output: enqueuedSchema,
    writes: true,
  },
  /** Before another waiting job, or last. */
  'jobs.reorder': {
    input: z.strictObject({ jobId, before: jobId.nullable() }),
    output: jobRecordSchema,
    writes: true,
  },
  /** Only while it waits. */
  'jobs.edit': {
    input: z.strictObject({
      jobId,
      prompt: prompt.optional(),
      negativePrompt: negativePrompt.optional(),
      sampler: samplerSchema.partial().optional(),
    }),
    output: jobRecordSchema,
    writes: true,
  },
  /** A running job stops after its step and keeps it. */
  'jobs.pause': { input: z.strictObject({ jobIds: idsSchema }), output: nothing, writes: true },
  'jobs.resume': { input: z.strictObject({ jobIds: idsSchema }), output: nothing, writes: true },
  'jobs.cancel': { input: z.strictObject({ jobIds: idsSchema }), output: nothing, writes: true },
  /** Stops a running job and makes a take of what there is. */
  'jobs.keep': { input: z.strictObject({ jobId }), output: nothing, writes: true },
  /** A failed or cancelled job again, from the last step it kept. */
  'jobs.retry': { input: z.strictObject({ jobId }), output: jobRecordSchema, writes: true },
  /** The same frozen job once more, with another seed where one is given. */
  'jobs.duplicate': {
    input: z.strictObject({ jobId, seed: seed.optional() }),
    output: jobRecordSchema,
    writes: true,
  },
  /** Jobs that are over leave the history; their takes stay. */
  'jobs.remove': { input: z.strictObject({ jobIds: idsSchema }), output: nothing, writes: true },
  /** How the queue is now; `jobs.queue` tells when that changes. */
  'jobs.status': { input: z.strictObject({}), output: queueStatusSchema, writes: false },
  /** Whether jobs are started at all. */
  'jobs.setQueuePaused': { input: z.strictObject({ paused: z.boolean() }), output: nothing, writes: true },
} as const satisfies Record<string, MethodSpec>;

/** Bytes of a preview: small pictures made from the latents. */
const previewBytes = 32 * 2 ** 20;

export const jobEvents = {
  'jobs.progress': { payload: z.strictObject({ jobId, progress: progressSchema }), lossy: true },
  /** Made only while somebody listens. `rgb`: RGB8 [cells, height, width, 3]. */
  'jobs.preview': {
    payload: z
      .strictObject({
        jobId,
        cells: z.int().min(1).max(4096),
        width: side,
        height: side,
        rgb: bytesSchema(previewBytes),
      })
      .refine(
        ({ cells, width, height, rgb }) => rgb.byteLength === cells * width * height * 3,
        'wrong length',
      ),
    lossy: true,
  },
  'jobs.queue': {
    payload: queueStatusSchema,
    lossy: false,
  },
} as const satisfies Record<string, EventSpec>;
