import { z } from 'zod';
import { idSchema } from '../../core/contract/project.ts';
import { keptNoteSchema } from './notes.ts';

const finite = z.number().refine(Number.isFinite);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const pair = z.tuple([z.int().min(1), z.int().min(1)]);

/** Tile and stride in latent units; null = untiled. */
const tilingSchema = z.strictObject({ tile: pair, stride: pair }).nullable();

/**
 * Measured seconds for one unit of a phase's work on this machine (text: a prompt, sources and decode: a cell,
 * denoise: a step); left out where nothing was measured. They serve the next job of the same model and size.
 */
export const ratesSchema = z.strictObject({
  text: finite.min(0).optional(),
  sources: finite.min(0).optional(),
  denoise: finite.min(0).optional(),
  decode: finite.min(0).optional(),
});
export type Rates = z.infer<typeof ratesSchema>;

/** `result.json`: what came out of a job. The pixels lie in `frames.rgb` beside it: RGB8 [frames, height, width, 3]. */
export const resultSchema = z.strictObject({
  version: z.literal(1),
  jobId: idSchema,
  width: z.int().min(16),
  height: z.int().min(16),
  fps: finite.min(1).max(240),
  frames: z.int().min(1),
  framesSha256: sha256,
  /** SHA-256 of the decoded latents' bytes (float32 [C, F, H, W]). */
  latentsSha256: sha256,
  provider: z.string().max(40),
  /** True when the person stopped early and kept what there was. */
  partial: z.boolean(),
  stepsDone: z.int().min(1),
  tiling: tilingSchema,
  /** What was done otherwise than asked, such as smaller tiles after the memory ran out. */
  notes: z.array(keptNoteSchema).max(100),
  rates: ratesSchema,
  /** Most bytes the engine's process held at once in the run that ended it; left out where that is not known. */
  peakBytes: z.int().min(0).optional(),
});
export type Result = z.infer<typeof resultSchema>;
