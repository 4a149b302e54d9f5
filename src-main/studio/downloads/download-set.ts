import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { toPusaError, type PusaError } from '../../core/errors.ts';
import type { ModelServer } from './address.ts';
import { downloadFile, type DownloadedFile, type WantedFile } from './download-file.ts';
import { partBytesOf } from './part-file.ts';
import { ask, Passing, patience as usualPatience, unreachable, wait, type Patience } from './request.ts';
import { requireSpace } from './space.ts';

/** Files that are downloaded at once. */
const parallel = 3;

export interface SetOptions {
  readonly signal: AbortSignal;
  /** Bytes of all files together; `total` is null while the server has not said all sizes. */
  readonly onBytes?: (done: number, total: number | null) => void;
  /** What is being done, a sentence. */
  readonly onPhase?: (phase: string) => void;
  /** Told of each file, as it was asked for, when it is whole. */
  readonly onFile?: (file: WantedFile, done: DownloadedFile) => void | Promise<void>;
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
 * Downloads files below a folder, some at once, going on from what is there. Asks for sizes that are not known and
 * looks whether all fits before the first byte.
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
  if (files.some(({ bytes }) => bytes === null)) onPhase?.('Asking the server for sizes');
  const known: WantedFile[] = [];
  for (const file of files) known.push(await complete(server, file, options));
  const done = await Promise.all(known.map((file) => partBytesOf(placeOf(folder, file))));
  const missing = known.reduce((sum, { bytes }, i) => sum + Math.max(0, (bytes ?? 0) - done[i]!), 0);
  await requireSpace(folder, missing, 'The download');

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
      onPhase?.(`Downloading ${file.path.split('/').at(-1) ?? file.path}`);
      const result = await downloadFile(server, file, placeOf(folder, file), {
        signal: all,
        onBytes: (bytes, total) => {
          done[index] = bytes;
          totals[index] = total ?? totals[index] ?? null;
          tell();
        },
        onNote: (sentence) => onPhase?.(sentence),
        ...(options.patience === undefined ? {} : { patience: options.patience }),
      });
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
  if (file.bytes !== null) return file;
  for (let failures = 0; ; failures++) {
    const limit = AbortSignal.timeout(patience.stallMs);
    try {
      const { facts } = await ask(server, file, { method: 'HEAD', signal: AbortSignal.any([signal, limit]) });
      return { ...file, bytes: facts.total, sha256: file.sha256 ?? facts.sha256 };
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

/** Whether a whole file of that size lies at a path. */
export async function isThere(path: string, bytes: number | null): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true && (bytes === null || found.size === bytes);
}
