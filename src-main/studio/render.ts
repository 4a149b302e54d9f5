import { access, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Progress, Take } from '../core/contract/job.ts';
import type { Note } from '../core/contract/note.ts';
import { JobFolder, readFrames } from '../engine/pipeline/job-folder.ts';
import type { Rates } from '../engine/pipeline/result.ts';
import type { Preview } from '../engine/protocol.ts';
import type { RenderOptions, Supervisor } from '../engine/supervisor.ts';
import { encodeTake } from '../media/encode.ts';
import { software } from './software.ts';

/** What a caller hears while a job runs. */
export interface RenderHooks {
  readonly onProgress?: (progress: Progress) => void;
  readonly onPreview?: (preview: Preview) => void;
  /** See {@link RenderOptions}. */
  readonly onNote?: (note: Note) => void;
  readonly onRestart?: () => void;
  /** Ends the job with CANCELLED; what is done stays in its folder and can be resumed. */
  readonly signal?: AbortSignal;
  /** See {@link RenderOptions}. */
  readonly provider?: NonNullable<RenderOptions['provider']> | null;
  readonly rates?: Rates;
  /** What becomes of the finished frames before they are written; `read` gives them anew at each call. */
  readonly finish?: (read: () => AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;
}

/** A rendered take: what is in the file beside its pictures, and what was done otherwise than asked. */
export interface Rendered {
  readonly take: Take;
  readonly notes: readonly Note[];
  /** Measured on the way, for the next job of the same kind. */
  readonly rates: Rates;
  /** Most bytes the engine held at once; null where that is not known. */
  readonly peakBytes: number | null;
}

/** True when a folder holds a frozen job. */
export async function holdsJob(folder: string): Promise<boolean> {
  return access(join(folder, 'job.json')).then(
    () => true,
    () => false,
  );
}

/**
 * Runs a frozen job (from where it stopped, if it did) and writes its take.
 * @param output the format follows its ending
 * @throws PusaError of the engine or the encoder, CANCELLED
 */
export async function renderJob(
  supervisor: Supervisor,
  jobFolder: string,
  packageFolder: string,
  output: string,
  hooks: RenderHooks = {},
): Promise<Rendered> {
  const { job } = await JobFolder.open(jobFolder);
  const result = await supervisor.render(jobFolder, packageFolder, hooks);
  hooks.onProgress?.({ phase: 'save', done: 0, total: result.frames, secondsLeft: null, fraction: 1 });
  const take: Take = {
    version: 1,
    software,
    jobId: job.id,
    createdAt: new Date().toISOString(),
    width: job.width,
    height: job.height,
    fps: job.fps,
    prompt: job.prompt,
    negativePrompt: job.negativePrompt,
    sampler: job.sampler,
    plan: job.plan,
    model: job.model,
    provider: result.provider,
    partial: result.partial,
  };
  const finish = hooks.finish ?? ((read) => read());
  await encodeTake({
    frames: countFrames(
      finish(() => readFrames(jobFolder, result)),
      result.frames,
      hooks.onProgress,
    ),
    width: job.width,
    height: job.height,
    fps: job.fps,
    path: output,
    metadata: JSON.stringify(take),
    ...(hooks.signal ? { signal: hooks.signal } : {}),
  });
  return { take, notes: result.notes, rates: result.rates, peakBytes: result.peakBytes ?? null };
}

/** Removes a job's folder once its take is safe. Only folders that hold a job are removed. */
export async function removeJob(folder: string): Promise<void> {
  if (await holdsJob(folder)) await rm(folder, { recursive: true });
}

async function* countFrames(
  frames: AsyncIterable<Uint8Array>,
  total: number,
  onProgress: RenderHooks['onProgress'],
): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const frame of frames) {
    yield frame;
    done++;
    onProgress?.({ phase: 'save', done, total, secondsLeft: null, fraction: 1 });
  }
}
