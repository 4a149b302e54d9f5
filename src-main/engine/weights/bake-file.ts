import { createHash, type Hash } from 'node:crypto';
import { open, readFile, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import { PusaError, toPusaError } from '../../core/errors.ts';
import type { BakePlan, PlannedTensor } from './bake-plan.ts';
import type { BakedSlab, Slab } from './bake-slab.ts';
import type { SlabThreads } from './bake-threads.ts';
import { relativeErrorOf } from './quantise.ts';

/** A finished file. */
export interface BakedFile {
  readonly bytes: number;
  readonly sha256: string;
  /** Relative error of each quantised matrix, in the file's order. */
  readonly layers: readonly { readonly name: string; readonly error: number }[];
}

export interface BakeFileOptions {
  /** Called with the bytes that are in the file; first with those of an earlier call that were found right. */
  readonly onBytes?: ((done: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One line of a journal: so many tensors are written, the file up to there has this hash. */
const lineSchema = z.strictObject({
  tensors: z.int().min(0).max(1_000_000),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** Of the last of them, where it was quantised. */
  error: z.number().min(0).nullable(),
});
type Line = z.infer<typeof lineSchema>;
const firstLineSchema = z.strictObject({ plan: z.string() });

/** Reads are cut so that progress is told and cancelling is quick. */
const pieceBytes = 8 * 1024 * 1024;

/**
 * Writes a planned file as `path`, by way of `path.part`; `path.journal` stays beside it. What an earlier call left of the same plan
 * is read again and compared with the journal, and the first tensor that is not whole is gone on with.
 * @throws PusaError CHECKPOINT_INVALID, DISK_FULL, WRITE_FAILED, CANCELLED; what was written stays for the next call
 */
export async function bakeFile(
  plan: BakePlan,
  path: string,
  threads: SlabThreads,
  options: BakeFileOptions = {},
): Promise<BakedFile> {
  const part = `${path}.part`;
  const journalPath = `${path}.journal`;
  try {
    // A whole file is read again too: another one of the same package may have been interrupted.
    await rename(path, part).catch(() => undefined);
    await (await open(part, 'a')).close();
    const file = await open(part, 'r+');
    try {
      const known = await readJournal(journalPath, plan);
      const writer = await Writer.resume(file, plan, known, options);
      await writeFile(`${journalPath}.new`, writer.journal());
      await rename(`${journalPath}.new`, journalPath);
      const journal = await open(journalPath, 'a');
      try {
        await writeTensors(plan, writer, journal, threads, options);
      } finally {
        await journal.close();
      }
      await file.sync();
      await file.close();
      await rename(part, path);
      return writer.result();
    } finally {
      await file.close().catch(() => undefined);
    }
  } catch (thrown) {
    throw toPusaError(thrown);
  }
}

/** Bytes that an earlier call left for the next one. */
export async function leftBehind(path: string): Promise<number> {
  const sizes = await Promise.all([path, `${path}.part`].map((one) => stat(one).catch(() => null)));
  return sizes.reduce((sum, found) => sum + (found?.size ?? 0), 0);
}

/** Files beside `path` while it is being written. */
export function workFilesOf(path: string): readonly string[] {
  return ['.part', '.journal', '.journal.new'].map((ending) => `${path}${ending}`);
}

/** Ends the possibility to go on: to be called when nothing is left to be done. */
export async function forgetJournal(path: string): Promise<void> {
  for (const file of workFilesOf(path)) await rm(file, { force: true });
}

async function readJournal(path: string, plan: BakePlan): Promise<Line[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const [first, ...rest] = text.split('\n').map(parsed);
  if (firstLineSchema.safeParse(first).data?.plan !== plan.digest) return [];
  const lines: Line[] = [];
  for (const value of rest) {
    const line = lineSchema.safeParse(value).data;
    // The last line may be torn; nothing after a wrong one counts.
    if (line?.tensors !== lines.length + 1) break;
    lines.push(line);
  }
  return lines;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

/** The part file and the hash of what is in it. */
class Writer {
  readonly #file: FileHandle;
  readonly #plan: BakePlan;
  readonly #options: BakeFileOptions;
  readonly #lines: Line[] = [];
  #hash: Hash = createHash('sha256');
  #at = 0;

  private constructor(file: FileHandle, plan: BakePlan, options: BakeFileOptions) {
    this.#file = file;
    this.#plan = plan;
    this.#options = options;
  }

  /** Takes over what the journal says and the file confirms, and cuts off the rest. */
  static async resume(
    file: FileHandle,
    plan: BakePlan,
    known: readonly Line[],
    options: BakeFileOptions,
  ): Promise<Writer> {
    const writer = new Writer(file, plan, options);
    const buffer = new Uint8Array(pieceBytes);
    /** @returns whether so many more bytes are there */
    const take = async (bytes: number): Promise<boolean> => {
      for (let done = 0; done < bytes;) {
        if (options.signal?.aborted === true) throw cancelled();
        const wanted = Math.min(buffer.length, bytes - done);
        const { bytesRead } = await file.read(buffer, 0, wanted, writer.#at + done);
        if (bytesRead === 0) return false;
        writer.#hash.update(buffer.subarray(0, bytesRead));
        done += bytesRead;
        options.onBytes?.(writer.#at + done);
      }
      writer.#at += bytes;
      return true;
    };
    let sound = known.length > 0 && (await take(plan.header.length));
    // The state of the hash at the last tensor that is whole, and where that was.
    let whole = { hash: writer.#hash.copy(), at: writer.#at };
    for (const line of sound ? known : []) {
      const tensor = plan.tensors[line.tensors - 1];
      sound = tensor !== undefined && (await take(tensor.bytes));
      if (!sound || writer.#hash.copy().digest('hex') !== line.sha256) break;
      whole = { hash: writer.#hash.copy(), at: writer.#at };
      writer.#lines.push(line);
    }
    if (writer.#lines.length === 0) whole = { hash: createHash('sha256'), at: 0 };
    writer.#hash = whole.hash;
    writer.#at = whole.at;
    await file.truncate(whole.at);
    if (whole.at === 0) await writer.append(plan.header);
    return writer;
  }

  /** How many tensors are whole. */
  get tensors(): number {
    return this.#lines.length;
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#at + done);
      done += bytesWritten;
    }
    this.#at += bytes.length;
    this.#options.onBytes?.(this.#at);
  }

  /** Notes that one more tensor is whole. @returns its line for the journal */
  finish(error: number | null): string {
    const line: Line = { tensors: this.tensors + 1, sha256: this.#hash.copy().digest('hex'), error };
    this.#lines.push(line);
    return `${JSON.stringify(line)}\n`;
  }

  /** The journal of what is in the file. */
  journal(): string {
    return [{ plan: this.#plan.digest }, ...this.#lines].map((line) => `${JSON.stringify(line)}\n`).join('');
  }

  result(): BakedFile {
    const layers = this.#lines.flatMap(({ error }, index) =>
      error === null ? [] : [{ name: this.#plan.tensors[index]!.name.replace(/\.weight$/, ''), error }],
    );
    return { bytes: this.#at, sha256: this.#hash.copy().digest('hex'), layers };
  }
}

/** Slabs are handed in ahead of the one being written, as many as keep the threads busy. */
async function writeTensors(
  { tensors }: BakePlan,
  writer: Writer,
  journal: FileHandle,
  threads: SlabThreads,
  { signal }: BakeFileOptions,
): Promise<void> {
  const left = tensors.slice(writer.tensors);
  const slabs = left.flatMap((tensor) => tensor.slabs);
  const ahead = new Map<Slab, Promise<BakedSlab>>();
  let next = 0;
  const handIn = (slab: Slab): void => {
    const baked = threads.bake(slab);
    // Heard when its turn comes, if it comes.
    baked.catch(() => undefined);
    ahead.set(slab, baked);
  };
  for (const tensor of left) {
    const collected = startTensor(tensor);
    for (const slab of tensor.slabs) {
      if (signal?.aborted === true) throw cancelled();
      while (next < slabs.length && ahead.size < threads.inFlight) handIn(slabs[next++]!);
      const baked = await ahead.get(slab)!;
      ahead.delete(slab);
      await writer.append(baked.data);
      collected.add(baked);
    }
    for (const scales of collected.scales) await writer.append(scales);
    await journal.write(writer.finish(collected.error()));
  }
}

/** Scales stand behind all codes of their matrix: they are kept until then. */
function startTensor({ target }: PlannedTensor) {
  const scales: Uint8Array[] = [];
  let difference = 0;
  let size = 0;
  return {
    scales,
    add(baked: BakedSlab): void {
      if (baked.scales !== null) scales.push(baked.scales);
      difference += baked.error?.difference ?? 0;
      size += baked.error?.size ?? 0;
    },
    error: () =>
      target.kind === 'blocks' ? Number(relativeErrorOf({ difference, size }).toPrecision(6)) : null,
  };
}

/** The end of a bake that a person stopped. */
export function cancelled(): PusaError {
  return new PusaError(
    'CANCELLED',
    'Baking the model was cancelled.',
    'Start it again with the same choices when you want it: it goes on where it stopped.',
  );
}
