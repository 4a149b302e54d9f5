import { createHash } from 'node:crypto';
import { access, mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { jobSchema, type Job, type JobSource } from '../../core/contract/job.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { removeUnfinished, WholeFile, writeWhole } from '../../files/durable.ts';
import { hashFile, openForReading, readExactly } from './files.ts';
import { checkJob, parseJob } from './check-job.ts';
import { readRecord, writeRecord, type RecordContent, type RecordState } from './record.ts';
import { resultSchema, type Result } from './result.ts';

/** A job whose sources have not been hashed yet. */
export type JobDraft = Omit<Job, 'sources'> & { readonly sources: readonly Omit<JobSource, 'sha256'>[] };

/** RGB8 pixels [T, H, W, 3] of one source, whole or in pieces of any length (a frame each, for instance). */
export type SourcePixels = Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** job.json of the longest job (4001 frames, 200 steps) is far below this. */
const jobFileLimit = 64 << 20;

/**
 * Freezes a job into a folder: `sources/<i>.rgb` first, `job.json` with their hashes last, so that a folder without
 * `job.json` is no job. The folder is made; a job that is already there is never overwritten.
 * @param sources pixels in the order of `draft.sources`, `frameCount` frames each at the job's size
 * @returns the job as written
 * @throws PusaError JOB_INVALID, DISK_FULL, WRITE_FAILED
 */
export async function createJobFolder(
  path: string,
  draft: JobDraft,
  sources: readonly SourcePixels[],
): Promise<Job> {
  // Checked before pixels are written: a hash of zeros stands in for those still to come.
  const zeros = '0'.repeat(64);
  checkJob(parseJob({ ...draft, sources: draft.sources.map((source) => ({ ...source, sha256: zeros })) }));
  if (sources.length !== draft.sources.length) {
    throw invalid(`it names ${draft.sources.length} sources but comes with ${sources.length}`);
  }
  try {
    await mkdir(join(path, 'sources'), { recursive: true });
  } catch (thrown) {
    throw toPusaError(thrown);
  }
  if (await exists(join(path, 'job.json'))) {
    throw invalid('its folder already holds a job');
  }
  const hashed: JobSource[] = [];
  for (const [i, source] of draft.sources.entries()) {
    const bytes = source.frameCount * draft.height * draft.width * 3;
    const sha256 = await writeSource(join(path, 'sources', `${i}.rgb`), sources[i]!, bytes, i);
    hashed.push({ ...source, sha256 });
  }
  const job = jobSchema.parse({ ...draft, sources: hashed });
  await writeWhole(join(path, 'job.json'), [new TextEncoder().encode(`${JSON.stringify(job, null, 1)}\n`)]);
  return job;
}

async function writeSource(path: string, pixels: SourcePixels, bytes: number, i: number): Promise<string> {
  const file = await WholeFile.create(path);
  try {
    for await (const piece of pixels instanceof Uint8Array ? [pixels] : pixels) {
      if (file.length + piece.byteLength > bytes) throw invalid(`source ${i} has more pixels than it states`);
      await file.append(piece);
    }
    if (file.length !== bytes) throw invalid(`source ${i} has ${file.length} bytes instead of ${bytes}`);
    return await file.finish();
  } catch (thrown) {
    await file.abandon();
    throw toPusaError(thrown);
  }
}

/** The folder of one job: what was frozen, what is done so far, and what came out. */
export class JobFolder {
  readonly path: string;
  readonly job: Job;
  /** SHA-256 of job.json: what binds the other files of the folder to this job. */
  private readonly key: string;

  private constructor(path: string, job: Job, key: string) {
    this.path = path;
    this.job = job;
    this.key = key;
  }

  /**
   * Opens and validates a folder; nothing in it is changed.
   * @throws PusaError JOB_INVALID, FILE_NOT_FOUND
   */
  static async open(path: string): Promise<JobFolder> {
    const file = join(path, 'job.json');
    let bytes: Uint8Array;
    try {
      if ((await stat(file)).size > jobFileLimit) throw invalid('job.json is too large');
      bytes = await readFile(file);
    } catch (thrown) {
      const error = toPusaError(thrown);
      if (error.code !== 'FILE_NOT_FOUND') throw error;
      throw new PusaError('FILE_NOT_FOUND', `There is no job in ${path}.`, 'Check the path and try again.');
    }
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch {
      throw invalid('job.json is not readable');
    }
    const job = parseJob(value);
    return new JobFolder(path, job, createHash('sha256').update(bytes).digest('hex'));
  }

  /** Clears what interrupted writes left. Only under the folder's lock: elsewhere it would be another's work. */
  async removeUnfinished(): Promise<void> {
    await removeUnfinished(this.path);
  }

  get framesPath(): string {
    return join(this.path, 'frames.rgb');
  }

  get lockPath(): string {
    return join(this.path, 'lock');
  }

  /** Bytes of one RGB8 frame. */
  get frameBytes(): number {
    return this.job.width * this.job.height * 3;
  }

  /** Makes sure that a source is what the job was made with, by size and hash. @throws PusaError JOB_INVALID */
  async checkSource(index: number): Promise<void> {
    const source = this.job.sources[index]!;
    const found = await hashFile(this.sourcePath(index));
    if (found === null) throw invalid(`sources/${index}.rgb is missing`);
    const bytes = source.frameCount * this.frameBytes;
    if (found.bytes !== bytes) {
      throw invalid(`sources/${index}.rgb has ${found.bytes} bytes instead of ${bytes}`);
    }
    if (found.sha256 !== source.sha256) throw invalid(`sources/${index}.rgb does not fit its hash`);
  }

  /** RGB8 pixels [count, height, width, 3] of a source from frame `first` on. @throws PusaError JOB_INVALID */
  async readSource(index: number, first: number, count: number): Promise<Uint8Array> {
    const handle = await openForReading(this.sourcePath(index));
    if (handle === null) throw invalid(`sources/${index}.rgb is missing`);
    try {
      const pixels = await readExactly(handle, first * this.frameBytes, count * this.frameBytes);
      if (pixels === null) throw invalid(`sources/${index}.rgb is too short`);
      return pixels;
    } finally {
      await handle.close();
    }
  }

  /** Reads `<name>.bin`; a record under another's name (a step renamed) is damaged. */
  readRecord(name: string): Promise<RecordState> {
    return readRecord(join(this.path, `${name}.bin`), { kind: name, job: this.key });
  }

  writeRecord(name: string, content: RecordContent): Promise<void> {
    return writeRecord(join(this.path, `${name}.bin`), { kind: name, job: this.key }, content);
  }

  /** Numbers k of the `step-<k>.bin` there are, falling. */
  async savedSteps(): Promise<number[]> {
    const numbers = (await readdir(this.path)).map((name) => /^step-(\d{1,4})\.bin$/.exec(name)?.[1]);
    return numbers
      .filter((text) => text !== undefined)
      .map(Number)
      .sort((a, b) => b - a);
  }

  async removeStep(k: number): Promise<void> {
    await rm(join(this.path, `step-${k}.bin`), { force: true });
  }

  /** The result, if the job is done and its frames are whole; null otherwise. */
  async readResult(): Promise<Result | null> {
    let value: unknown;
    try {
      value = JSON.parse(await readFile(join(this.path, 'result.json'), 'utf8'));
    } catch {
      return null;
    }
    const parsed = resultSchema.safeParse(value);
    if (!parsed.success || parsed.data.jobId !== this.job.id) return null;
    const frames = await hashFile(this.framesPath);
    const whole =
      frames !== null &&
      frames.bytes === parsed.data.frames * this.frameBytes &&
      frames.sha256 === parsed.data.framesSha256;
    return whole ? parsed.data : null;
  }

  async writeResult(result: Result): Promise<void> {
    const text = `${JSON.stringify(resultSchema.parse(result), null, 1)}\n`;
    await writeWhole(join(this.path, 'result.json'), [new TextEncoder().encode(text)]);
  }

  private sourcePath(index: number): string {
    return join(this.path, 'sources', `${index}.rgb`);
  }
}

/**
 * Reads the frames of a finished job one by one.
 * @yields RGB8 [height, width, 3]
 * @throws PusaError JOB_INVALID when frames.rgb is missing or short
 */
export async function* readFrames(jobFolder: string, result: Result): AsyncGenerator<Uint8Array> {
  const bytes = result.width * result.height * 3;
  const handle = await open(join(jobFolder, 'frames.rgb'), 'r').catch((thrown: unknown) => {
    throw toPusaError(thrown);
  });
  try {
    for (let frame = 0; frame < result.frames; frame++) {
      const pixels = await readExactly(handle, frame * bytes, bytes);
      if (pixels === null) throw invalid('frames.rgb is too short');
      yield pixels;
    }
  } finally {
    await handle.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function invalid(problem: string): PusaError {
  return new PusaError(
    'JOB_INVALID',
    `The job is not valid: ${problem}.`,
    'Make the job again from its project.',
  );
}
