import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { workPhase, type WorkPhase } from '../../core/contract/work-phase.ts';
import { toPusaError, type PusaError } from '../../core/errors.ts';
import { hashFile } from '../../engine/weights/package.ts';
import type { ModelServer } from './address.ts';
import { downloadFile, type DownloadedFile, type WantedFile } from './download-file.ts';
import { partBytesOf } from './part-file.ts';
import {
  ask,
  nameOf,
  Passing,
  patience as usualPatience,
  unreachable,
  wait,
  type Patience,
} from './request.ts';
import { requireSpace } from './space.ts';

/** Files that are downloaded at once. */
const parallel = 3;

export interface SetOptions {
  readonly signal: AbortSignal;
  /** Bytes of all files together; `total` is null while the server has not said all sizes. */
  readonly onBytes?: (done: number, total: number | null) => void;
  /** What is being done, a sentence. */
  readonly onPhase?: (phase: WorkPhase) => void;
  /** Told of each file, as it was asked for, when it is whole. */
  readonly onFile?: (file: WantedFile, done: DownloadedFile) => void | Promise<void>;
  /** Bytes that will be written there besides, once all files are there. */
  readonly besides?: number;
  readonly patience?: Patience;
}

/** Where a file of a repository lies below a folder for downloads. */
export function placeOf(
  folder: string,
  { repository, path }: Pick<WantedFile, 'repository' | 'path'>,
): string {
  return join(folder, ...repository.split('/'), ...path.split('/'));
}

/**
 * Downloads files below a folder, some at once, going on from what is there; a file that is there whole is only read
 * and proven. Asks for sizes that are not known and looks whether all fits before the first byte.
 * @returns them in their order
 * @throws PusaError of the first file that fails, the others having kept what they have; DISK_FULL beforehand
 */
export async function downloadSet(
  server: ModelServer,
  files: readonly WantedFile[],
  folder: string,
  options: SetOptions,
): Promise<DownloadedFile[]> {
  const { signal, onBytes, onPhase } = options;
  if (files.some(({ bytes }) => bytes === null)) onPhase?.(workPhase('ask'));
  const known: WantedFile[] = [];
  for (const file of files) {
    const isKnown = file.bytes !== null && (file.sha256 !== null || !(await isThere(folder, file)));
    known.push(isKnown ? file : await complete(server, file, options));
  }
  const done = await Promise.all(
    known.map(async (file) =>
      (await isThere(folder, file)) ? file.bytes! : partBytesOf(placeOf(folder, file)),
    ),
  );
  const missing = known.reduce((sum, { bytes }, i) => sum + Math.max(0, (bytes ?? 0) - done[i]!), 0);
  const { besides = 0 } = options;
  const what = besides === 0 ? 'The download' : 'The download, with what is converted of it,';
  await requireSpace(folder, missing + besides, what);

  const totals = known.map(({ bytes }) => bytes);
  const tell = (): void => {
    const total = totals.every((bytes) => bytes !== null)
      ? totals.reduce<number>((sum, bytes) => sum + bytes, 0)
      : null;
    onBytes?.(
      done.reduce((sum, bytes) => sum + bytes, 0),
      total,
    );
  };
  tell();
  // One failure ends the others: a person is told at once, and resuming takes them all up again.
  const failure = new AbortController();
  const all = AbortSignal.any([signal, failure.signal]);
  const results: DownloadedFile[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < known.length && !all.aborted) {
      const index = next++;
      const file = known[index]!;
      const here = await wholeFile(folder, file, all, onPhase);
      if (here === null) onPhase?.(workPhase('download', nameOf(file.path)));
      const result =
        here ??
        (await downloadFile(server, file, placeOf(folder, file), {
          signal: all,
          onBytes: (bytes, total) => {
            done[index] = bytes;
            totals[index] = total ?? totals[index] ?? null;
            tell();
          },
          onNote: (sentence) => onPhase?.(workPhase('retry', sentence)),
          ...(options.patience === undefined ? {} : { patience: options.patience }),
        }));
      results[index] = result;
      await options.onFile?.(files[index]!, result);
    }
  };
  const workers = Array.from({ length: Math.min(parallel, known.length) }, () =>
    work().catch((thrown: unknown) => {
      failure.abort();
      throw thrown;
    }),
  );
  const settled = await Promise.allSettled(workers);
  // The first to fail says why; the others were only stopped.
  const reasons = settled.flatMap((one) => (one.status === 'rejected' ? [toPusaError(one.reason)] : []));
  const [reason] = reasons.sort((a, b) => Number(isStop(a)) - Number(isStop(b)));
  if (reason !== undefined) throw reason;
  signal.throwIfAborted();
  return results;
}

function isStop({ code }: PusaError): boolean {
  return code === 'CANCELLED';
}

/** A file with what the server says of it where that is not known. */
async function complete(
  server: ModelServer,
  file: WantedFile,
  { signal, patience = usualPatience }: Pick<SetOptions, 'signal' | 'patience'>,
): Promise<WantedFile> {
  for (let failures = 0; ; failures++) {
    const limit = AbortSignal.timeout(patience.stallMs);
    try {
      const { facts } = await ask(server, file, { method: 'HEAD', signal: AbortSignal.any([signal, limit]) });
      return { ...file, bytes: file.bytes ?? facts.total, sha256: file.sha256 ?? facts.sha256 };
    } catch (thrown) {
      signal.throwIfAborted();
      const pause = patience.retryMs[failures];
      const isPassing = thrown instanceof Passing || limit.aborted;
      if (!isPassing || pause === undefined) {
        throw thrown instanceof Passing
          ? thrown.error
          : limit.aborted
            ? unreachable(file, null, thrown)
            : toPusaError(thrown);
      }
      await wait(Math.max(pause, (thrown instanceof Passing ? thrown.afterMs : null) ?? 0), signal);
    }
  }
}

/** Whether a file of the right size lies where the download would put it: an end between naming and noting leaves one. */
async function isThere(folder: string, file: WantedFile): Promise<boolean> {
  const found = await stat(placeOf(folder, file)).catch(() => null);
  return found?.isFile() === true && found.size === file.bytes;
}

/** A file that is there, if its hash proves that it is the one that is wanted. */
async function wholeFile(
  folder: string,
  file: WantedFile,
  signal: AbortSignal,
  onPhase: SetOptions['onPhase'],
): Promise<DownloadedFile | null> {
  const { bytes, sha256 } = file;
  if (bytes === null || sha256 === null || !(await isThere(folder, file))) return null;
  onPhase?.(workPhase('reread', nameOf(file.path)));
  const path = placeOf(folder, file);
  const found = await hashFile(path, () => signal.throwIfAborted());
  return found === sha256 ? { path, bytes, sha256 } : null;
}
