import { copyFile, link, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Job } from '../../core/contract/job.ts';
import type { Project, Range } from '../../core/contract/project.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { planRange } from '../../core/plan/range.ts';
import { replanJob, type JobChange } from '../../core/plan/replan.ts';
import { overlapOf } from '../../core/presets/extend.ts';
import { seenByRange } from '../../core/timeline/own-takes.ts';
import { parseJob } from '../../engine/pipeline/check-job.ts';
import type { JobFolder } from '../../engine/pipeline/job-folder.ts';
import type { Manifest } from '../../engine/weights/package.ts';
import { writeWhole } from '../../files/durable.ts';
import { joinFrames } from '../../media/seam.ts';
import type { StudioContext } from '../context.ts';
import { freezeJob } from '../freeze.ts';
import { holdsJob } from '../render.ts';

/** What was frozen; everything else in a job's folder is work done on it and can be made again. */
const frozen = { job: 'job.json', sources: 'sources', chain: 'chain.json' } as const;

/**
 * `chain.json`: the range goes on from a take. Its first `frames` frames are that take's, the first frames of source 0.
 */
const chainSchema = z.strictObject({ version: z.literal(1), frames: z.int().min(1).max(4001) });

/** How far a job had come when the process last died, and how often it died there. */
const deathsSchema = z.strictObject({
  version: z.literal(1),
  reached: z.int().min(0),
  times: z.int().min(1),
});
const deathsName = 'deaths.json';

/** job.json of the longest job (4001 frames, 200 steps) is far below this. */
const jobFileLimit = 64 * 2 ** 20;

/**
 * Freezes a range into a folder: whole when this resolves.
 * @throws PusaError of the plan or the media, DISK_FULL; the folder is removed again
 */
export async function freezeRange(
  { store, media }: Pick<StudioContext, 'store' | 'media'>,
  project: Project,
  range: Range,
  model: Pick<Manifest, 'id' | 'hash' | 'vae'>,
  folder: string,
  jobId: string,
): Promise<void> {
  try {
    const seen = sourcesOf(store, project, range);
    await freezeJob(seen, range, model, (asset) => media.path(asset.hash), folder, jobId);
    const planned = planRange(seen, range);
    const clip = project.clips.find((one) => one.id === planned.sources.passes[0]?.frames[0]?.clipId);
    const shown = project.assets.find((asset) => asset.id === clip?.assetId);
    const isTake = shown !== undefined && store.lists.takesOfFile(shown.hash).length > 0;
    const frames = clip !== undefined && isTake ? overlapOf(range, clip, planned) : 0;
    if (frames > 0) await writeJson(join(folder, frozen.chain), { version: 1, frames });
  } catch (thrown) {
    await rm(folder, { recursive: true, force: true });
    throw thrown;
  }
}

/** The project as a range looks at it for its sources; see {@link seenByRange}. */
export function sourcesOf(store: StudioContext['store'], project: Project, range: Range): Project {
  return seenByRange(project, range, store.lists.takesInMedia(project.id));
}

/**
 * Makes another job of a frozen one, with its own id and changes. Its pixels are shared with the other where the
 * disk can: they are never written again.
 * @param model the one that will make it, if not the other's
 * @throws PusaError JOB_INVALID, FILE_NOT_FOUND, SAMPLER_INVALID, DISK_FULL
 */
export async function copyJob(
  from: string,
  to: string,
  jobId: string,
  change: JobChange,
  model?: Job['model'],
): Promise<void> {
  const job = await readJob(from);
  const createdAt = new Date().toISOString();
  const copy = replanJob({ ...job, id: jobId, createdAt, model: model ?? job.model }, change);
  try {
    await mkdir(join(to, frozen.sources), { recursive: true });
    for (const index of job.sources.keys()) {
      const name = join(frozen.sources, `${index}.rgb`);
      await link(join(from, name), join(to, name)).catch(() => copyFile(join(from, name), join(to, name)));
    }
    const chain = await readJson(join(from, frozen.chain), chainSchema);
    if (chain !== null) await writeJson(join(to, frozen.chain), chain);
    await writeJob(to, copy);
  } catch (thrown) {
    await rm(to, { recursive: true, force: true });
    throw thrown;
  }
}

/** Changes a frozen job; steps it has are dropped. @throws PusaError as {@link copyJob} */
export async function changeJob(folder: string, change: JobChange): Promise<void> {
  const job = await readJob(folder);
  const changed = replanJob(job, change);
  if (JSON.stringify(changed) === JSON.stringify(job)) return;
  // Before the job, so that no result of the old one can pass for the new one's.
  const kept = new Set<string>(Object.values(frozen));
  for (const name of await readdir(folder)) {
    if (!kept.has(name)) await rm(join(folder, name), { recursive: true, force: true });
  }
  await writeJob(folder, changed);
}

/**
 * What becomes of a job's frames before they are written: of one that goes on from a take, they are joined to it.
 *
 * This is done here, once, to the frames of the take itself, and not where the timeline is shown: then the take on
 * the timeline, the exported file, the player and the next range of a chain all have the same pictures and know
 * nothing of overlaps; and the lossless frames of both are still there.
 */
export async function finishOf(
  folder: JobFolder,
): Promise<((read: () => AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>) | null> {
  const chain = await readJson(join(folder.path, frozen.chain), chainSchema);
  const source = folder.job.sources[0];
  if (chain === null || source === undefined) return null;
  await folder.checkSource(0);
  const frames = Math.min(chain.frames, source.frameCount);
  const originals = new Set(folder.job.originals.map(({ frame }) => frame));
  return (read) =>
    joinFrames(read, {
      frames,
      before: (index) => folder.readSource(0, index, 1),
      isOriginal: (index) => originals.has(index),
    });
}

/** Removes folders in which no job of the library lies. @param known ids of the jobs whose folders are needed */
export async function sweepJobs(folder: string, known: ReadonlySet<string>): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory() && !known.has(entry.name)) {
      await rm(join(folder, entry.name), { recursive: true, force: true });
    }
  }
}

/**
 * Notes that the process died while a job ran.
 * @returns how many times in a row it died without having come further
 */
export async function noteDeath(folder: string): Promise<number> {
  if (!(await holdsJob(folder))) return 1;
  const path = join(folder, deathsName);
  const before = await readJson(path, deathsSchema);
  const reached = await reachedIn(folder);
  const times = before !== null && reached <= before.reached ? before.times + 1 : 1;
  await writeJson(path, { version: 1, reached: Math.max(reached, before?.reached ?? 0), times });
  return times;
}

export async function forgetDeaths(folder: string): Promise<void> {
  await rm(join(folder, deathsName), { force: true });
}

/** A number that grows with what is saved in a job's folder. */
async function reachedIn(folder: string): Promise<number> {
  const names = await readdir(folder);
  const steps = names.map((name) => Number(/^step-(\d{1,4})\.bin$/.exec(name)?.[1] ?? 0));
  const others = names.filter((name) =>
    /^(context|condition-\d+|kept)\.bin$|^(frames\.rgb|result\.json)$/.test(name),
  );
  return Math.max(0, ...steps) + others.length;
}

/**
 * What was frozen. Unlike opening the folder it touches nothing there: an engine may be at work in it.
 * @throws PusaError FILE_NOT_FOUND, JOB_INVALID (also of another version)
 */
export async function readJob(folder: string): Promise<Job> {
  const path = join(folder, frozen.job);
  try {
    if ((await stat(path)).size > jobFileLimit) throw new RangeError('too large');
    return parseJob(JSON.parse(await readFile(path, 'utf8')));
  } catch (thrown) {
    const error = toPusaError(thrown);
    if (error.code !== 'INTERNAL') throw error;
    throw new PusaError('JOB_INVALID', 'The job’s file is damaged.', 'Generate the range again.', {
      cause: thrown,
    });
  }
}

async function writeJob(folder: string, job: Job): Promise<void> {
  await writeJson(join(folder, frozen.job), parseJob(job));
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeWhole(path, [new TextEncoder().encode(`${JSON.stringify(value, null, 1)}\n`)]);
}

/** Null where there is none or it cannot be used: what these files hold is a help, never a must. */
async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  try {
    return schema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return null;
  }
}

/** @throws PusaError JOB_INVALID when a job's frozen pixels are gone, as they are after its take was made */
export async function requireFrozen(folder: string): Promise<void> {
  if (await holdsJob(folder)) return;
  throw new PusaError(
    'JOB_INVALID',
    'What was frozen for this job is not there any more.',
    'Generate the range again.',
  );
}
