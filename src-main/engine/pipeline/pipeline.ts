import { createHash } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import type { Progress } from '../../core/contract/job.ts';
import type { Note } from '../../core/contract/note.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { memoryBudget } from '../../core/plan/memory.ts';
import { firstFitting, tilingLadder } from '../../core/plan/tiles.ts';
import type { Denoiser, OnSegment, Tensor, VideoCodec } from '../networks.ts';
import { seededNoise } from '../noise/randn.ts';
import type { LoadedModel } from '../weights/load-model.ts';
import type { JobFolder } from './job-folder.ts';
import { lockFolder } from './lock.ts';
import { MemoryLevel } from './memory-level.ts';
import { ProgressMeter } from './progress.ts';
import type { Rates, Result } from './result.ts';
import { decodeFrames } from './stages/decode.ts';
import { denoise, type DenoiseOutput } from './stages/denoise.ts';
import { encodeSources, sourceCells } from './stages/sources.ts';
import { encodeText, textPasses, type Context } from './stages/text.ts';
import { stepStore } from './step-store.ts';
import { Tiles } from './tiles.ts';
import { throwIfCancelled, type Watch, type Wish } from './watch.ts';

/** What a job needs of a loaded model package. */
export type JobModel = Pick<
  LoadedModel,
  'hash' | 'provider' | 'codecNeeds' | 'textEncoder' | 'denoiser' | 'codec'
>;

export interface PipelineHooks {
  onProgress(progress: Progress): void;
  /** Null when nobody looks. */
  readonly previews: {
    /** Called before denoising begins, with the codec loaded. @param onSegment asks between segments whether to go on */
    prepare(codec: VideoCodec, onSegment: OnSegment): Promise<void>;
    /** @param latents clean latents [C, F, H, W] as the last step predicts them */
    show(latents: Tensor): void;
  } | null;
  log(text: string): void;
  /** What a person should know: what is done otherwise than asked. */
  note?(note: Note): void;
  /** Asked between segments. */
  wish(): Wish;
}

export interface PipelineOptions {
  /** Rates of an earlier job of the same model and size. */
  readonly rates?: Rates;
  /** Begin with smaller tiles than before: the process ended here, most likely for want of memory. */
  readonly smallerTiles?: boolean;
  /** Begin with a smaller plan for the networks: the process ended there, most likely for want of memory. */
  readonly smallerPlan?: boolean;
  /** Most bytes the process has held so far. */
  readonly peakMemory?: () => number;
  /** Memory the autoencoder's tiles are planned with, in bytes. */
  readonly availableBytes: number;
}

/**
 * Runs a job to its result, from wherever an earlier run left it: text → sources → denoising → decoding, each stage
 * saved in the folder. Interrupted anywhere and run again it gives the same latents and frames byte by byte, on the
 * same provider and tiles. A finished job returns its result at once.
 * @throws PusaError JOB_MISMATCH for another model, JOB_BUSY, CANCELLED, DISK_FULL, JOB_INVALID, OUT_OF_MEMORY …
 */
export async function runJob(
  folder: JobFolder,
  model: JobModel,
  hooks: PipelineHooks,
  options: PipelineOptions,
): Promise<Result> {
  const { job } = folder;
  const unlock = await lockFolder(folder.lockPath);
  try {
    await folder.removeUnfinished();
    const finished = await folder.readResult();
    if (finished !== null) return finished;
    // What is finished stays so, whatever becomes of the model.
    if (job.model.hash !== model.hash) {
      throw new PusaError(
        'JOB_MISMATCH',
        'The job was made for another model, or the model was changed since.',
        'Duplicate the job to make it with the model as it is now, or bring back the one it was made for.',
      );
    }
    await checkSpace(folder);
    return await run(folder, model, hooks, options);
  } finally {
    await unlock();
  }
}

async function run(
  folder: JobFolder,
  model: JobModel,
  hooks: PipelineHooks,
  options: PipelineOptions,
): Promise<Result> {
  const { job } = folder;
  const { plan, sampler } = job;
  const meter = new ProgressMeter(
    {
      load: 1,
      text: textPasses(sampler.cfg),
      sources: sourceCells(folder),
      denoise: plan.steps,
      decode: plan.cells.length,
      save: 1,
    },
    options.rates ?? {},
    () => performance.now() / 1000,
  );
  const watch: Watch = {
    begin(phase, done = 0) {
      hooks.onProgress(meter.begin(phase, done));
      throwIfCancelled(hooks.wish());
    },
    advance(done) {
      hooks.onProgress(meter.advance(done));
      throwIfCancelled(hooks.wish());
    },
    wish: () => hooks.wish(),
    preview: (latents) => hooks.previews?.show(latents),
    log: (text) => hooks.log(text),
  };
  watch.begin('load');

  const codec = await model.codec();
  try {
    const shape = latentShape(folder, codec);
    const tiles = await openTiles(folder, shape, model, hooks, options);
    const level = await MemoryLevel.open(folder.path, (note) => hooks.note?.(note));
    if (options.smallerPlan === true) await level.shrink('ended');
    const context = await level.run('text', (at) => encodeText(folder, () => model.textEncoder(at), watch));
    const condition = await encodeSources(folder, codec, shape, tiles, watch);
    await preparePreviews(codec, hooks);
    // The denoiser is the largest network: nothing else stays loaded beside it.
    await codec.release();
    const denoised = await level.run('denoise', (at) =>
      denoiseJob(folder, () => model.denoiser(at), shape, context, condition, watch),
    );
    const decoded = await decodeFrames(folder, codec, denoised.latents, tiles, watch);
    const result: Result = {
      version: 1,
      jobId: job.id,
      width: job.width,
      height: job.height,
      fps: job.fps,
      frames: plan.frames,
      framesSha256: decoded.framesSha256,
      latentsSha256: digest(denoised.latents),
      provider: model.provider,
      partial: denoised.partial,
      stepsDone: denoised.steps,
      tiling:
        decoded.tiling === null
          ? null
          : { tile: [...decoded.tiling.tile], stride: [...decoded.tiling.stride] },
      notes: [...level.notes, ...tiles.notes],
      rates: meter.rates(),
      ...(options.peakMemory === undefined ? {} : { peakBytes: options.peakMemory() }),
    };
    await folder.writeResult(result);
    return result;
  } finally {
    await codec.release();
  }
}

async function denoiseJob(
  folder: JobFolder,
  load: () => Promise<Denoiser>,
  shape: readonly number[],
  context: Context,
  condition: Tensor | null,
  watch: Watch,
): Promise<DenoiseOutput> {
  const { plan, sampler } = folder.job;
  const kept = await readKept(folder);
  if (kept !== null) return kept;
  const denoiser = await load();
  try {
    const noise: Tensor = { data: seededNoise(sampler.seed, shape), shape };
    const store = stepStore(folder, shape, watch);
    const output = await denoise({ plan, sampler, context, noise, condition }, denoiser, store, watch);
    // The wish to keep must outlast a crash while the kept latents are decoded.
    if (output.partial) {
      const { latents, steps } = output;
      await folder.writeRecord('kept', { tensors: { latents }, meta: { steps } });
    }
    return output;
  } finally {
    await denoiser.release();
  }
}

/** A job does not fail for want of previews. */
async function preparePreviews(codec: VideoCodec, hooks: PipelineHooks): Promise<void> {
  try {
    await hooks.previews?.prepare(codec, () => throwIfCancelled(hooks.wish()));
  } catch (thrown) {
    throwIfCancelled(hooks.wish());
    hooks.log(`There are no previews: ${toPusaError(thrown).message}`);
  }
}

/** What an earlier process was asked to keep. */
async function readKept(folder: JobFolder): Promise<DenoiseOutput | null> {
  const kept = await folder.readRecord('kept');
  if (kept.state !== 'whole') return null;
  const { latents } = kept.content.tensors;
  const { meta } = kept.content;
  const steps = typeof meta === 'object' && meta !== null && 'steps' in meta ? Number(meta.steps) : NaN;
  if (latents === undefined || !Number.isInteger(steps) || steps < 1) return null;
  return { latents, steps, partial: true };
}

/** [C, F, H, W] of a job's latents. @throws PusaError MODEL_CANNOT for a size the model has no latents for */
function latentShape({ job }: JobFolder, codec: VideoCodec): [number, number, number, number] {
  const [time, rows, columns] = codec.stride;
  const cells = (job.plan.frames - 1) / time + 1;
  const [height, width] = [job.height / rows, job.width / columns];
  // The denoiser's patches are two latents wide and high.
  const fits = cells === job.plan.cells.length && height % 2 === 0 && width % 2 === 0;
  if (fits) return [codec.channels, cells, height, width];
  throw new PusaError(
    'MODEL_CANNOT',
    `The model cannot make ${job.plan.frames} frames of ${job.width}×${job.height}.`,
    `Choose a width that is a multiple of ${2 * columns} and a height that is a multiple of ${2 * rows}.`,
  );
}

async function openTiles(
  folder: JobFolder,
  [, , height, width]: readonly [number, number, number, number],
  model: JobModel,
  hooks: PipelineHooks,
  options: PipelineOptions,
): Promise<Tiles> {
  const rungs = tilingLadder(height, width);
  const size = { ...folder.job, frames: folder.job.plan.frames };
  const first = firstFitting(rungs, model.codecNeeds, size, memoryBudget(options.availableBytes));
  const tiles = await Tiles.open(folder.path, rungs, first, (note) => hooks.note?.(note));
  if (options.smallerTiles === true) await tiles.shrink('ended');
  return tiles;
}

/** Says at once, not after hours, that a disk is too small for the result. @throws PusaError DISK_FULL */
async function checkSpace(folder: JobFolder): Promise<void> {
  const { job, frameBytes } = folder;
  // Frames, and about ten times the latents (a 48th of the frames in number, four bytes each).
  const needed = job.plan.frames * frameBytes * 1.5;
  const { bavail, bsize } = await statfs(folder.path);
  const free = bavail * bsize;
  if (free >= needed) return;
  const megabytes = (bytes: number): number => Math.ceil(bytes / 1e6);
  throw new PusaError(
    'DISK_FULL',
    `The disk has ${megabytes(free)} MB free; this job needs ${megabytes(needed)} MB.`,
    'Free some space and resume; nothing saved is lost.',
  );
}

function digest({ data }: Tensor): string {
  return createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');
}
