import { z } from 'zod';
import { errorSchema, planSchema, progressSchema } from './job.ts';

/** State of the sample's generation. */
export const sampleStatuses = ['idle', 'running', 'done', 'failed', 'cancelled'] as const;

/** What the page shows: the sample project, what the machine can do, and the generation under way. */
export const pageStateSchema = z.strictObject({
  sample: z.strictObject({
    name: z.string(),
    prompt: z.string(),
    model: z.string(),
    width: z.int().min(16),
    height: z.int().min(16),
    fps: z.number().min(1),
    plan: planSchema,
  }),
  /** Facts about the machine, label and value; null while the engine measures. */
  machine: z.array(z.tuple([z.string(), z.string()])).nullable(),
  generation: z.strictObject({
    status: z.enum(sampleStatuses),
    progress: progressSchema.nullable(),
    /** Counts previews; 0 = none. Part of the picture's address, so that each is asked for once. */
    preview: z.int().min(0),
    /** Counts takes; 0 = none. */
    take: z.int().min(0),
    error: errorSchema.nullable(),
  }),
});
export type PageState = z.infer<typeof pageStateSchema>;
