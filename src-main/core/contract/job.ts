import { z } from 'zod';
import { errorCodes } from '../errors.ts';
import { idSchema, samplerSchema } from './project.ts';

const finite = z.number().refine(Number.isFinite);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** One cell of a plan: see `core/plan/plan.ts`, which makes it. */
const cellPlanSchema = z.strictObject({
  kind: z.enum(['fixed', 'noisy', 'interpolated']),
  /** Noise multiplier: 0 for fixed, 1 for noisy, between for interpolated. */
  m: finite.min(0).max(1),
  /** Where the clean latent comes from. `blend` mixes the latents of sourced cells by the weights given. */
  source: z.discriminatedUnion('from', [
    z.strictObject({ from: z.literal('none') }),
    z.strictObject({ from: z.literal('clip') }),
    z.strictObject({
      from: z.literal('blend'),
      of: z
        .array(z.strictObject({ cell: z.int().min(0), weight: finite.min(0).max(1) }))
        .min(1)
        .max(2),
    }),
  ]),
});
export type CellPlan = z.infer<typeof cellPlanSchema>;

/**
 * The plan: what marks and sampler mean for the model. `timesteps[k][f]` (0 … 1000) is fed for cell f at step k;
 * `sigmaSteps[k][f]` (≤ 0) multiplies the velocity. `sigmas` has steps + 1 entries, the last 0.
 */
export const planSchema = z.strictObject({
  frames: z.int().min(1),
  steps: z.int().min(1),
  sigmas: z.array(finite.min(0).max(1)),
  cells: z.array(cellPlanSchema).min(1),
  timesteps: z.array(z.array(finite.min(0).max(1000))),
  sigmaSteps: z.array(z.array(finite.min(-1).max(0))),
});
export type Plan = z.infer<typeof planSchema>;

/**
 * Pixels to encode in one pass of the VAE: `frameCount` = 1 + 4·(dropCells + cells − 1) frames of RGB8 at the job's
 * size, in the file `sources/<index>.rgb` of the job's folder. The first `dropCells` latents are run-in and thrown
 * away; the rest land in the cells from `firstCell` on. A still picture is one frame and one cell.
 */
const jobSourceSchema = z.strictObject({
  firstCell: z.int().min(0),
  cells: z.int().min(1),
  dropCells: z.int().min(0),
  frameCount: z.int().min(1),
  sha256,
});
export type JobSource = z.infer<typeof jobSourceSchema>;

/** A frozen, self-contained unit of work: everything but the model, which it names by id and hash. */
export const jobSchema = z.strictObject({
  version: z.literal(1),
  id: idSchema,
  software: z.string().max(100),
  createdAt: z.iso.datetime(),
  width: z.int().min(16).max(4096).multipleOf(16),
  height: z.int().min(16).max(4096).multipleOf(16),
  fps: finite.min(1).max(240),
  prompt: z.string().max(10_000),
  negativePrompt: z.string().max(10_000),
  sampler: samplerSchema,
  plan: planSchema,
  model: z.strictObject({ id: idSchema, hash: sha256 }),
  sources: z.array(jobSourceSchema).max(1001),
  /** Range frames whose pixels are shown as they are: frame index → source index and frame inside it. */
  originals: z
    .array(z.strictObject({ frame: z.int().min(0), source: z.int().min(0), at: z.int().min(0) }))
    .max(4001),
});
export type Job = z.infer<typeof jobSchema>;

export const phases = ['load', 'text', 'sources', 'denoise', 'decode', 'save'] as const;
export type Phase = (typeof phases)[number];

/** Progress of a job: measured, never guessed. `secondsLeft` is null until this machine has timed a step. */
export const progressSchema = z.strictObject({
  phase: z.enum(phases),
  /** Work units done and in all within the phase (steps, cells, tokens). */
  done: z.int().min(0),
  total: z.int().min(0),
  secondsLeft: finite.min(0).nullable(),
  /** Share of the whole job that is done, 0 … 1; never falls. */
  fraction: finite.min(0).max(1),
});
export type Progress = z.infer<typeof progressSchema>;

/** How an error crosses a process or a socket. */
export const errorSchema = z.strictObject({
  code: z.enum(errorCodes),
  message: z.string(),
  remedy: z.string(),
});
export type ErrorRecord = z.infer<typeof errorSchema>;

/** What is stored inside an exported file, enough to make the take again. */
export const takeSchema = z.strictObject({
  version: z.literal(1),
  software: z.string().max(100),
  jobId: idSchema,
  createdAt: z.iso.datetime(),
  width: z.int().min(16),
  height: z.int().min(16),
  fps: finite.min(1).max(240),
  prompt: z.string().max(10_000),
  negativePrompt: z.string().max(10_000),
  sampler: samplerSchema,
  plan: planSchema,
  model: z.strictObject({ id: idSchema, hash: sha256 }),
  provider: z.string().max(40),
  /** True when the person stopped early and kept what there was. */
  partial: z.boolean(),
});
export type Take = z.infer<typeof takeSchema>;
