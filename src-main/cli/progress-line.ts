import type { WorkKind, WorkPhase } from '../core/contract/work-phase.ts';
import { formatBytes } from '../core/units.ts';
import type { TaskProgress } from '../studio/model-work/requests.ts';
import { Speed } from '../studio/model-work/speed.ts';
import { formatSeconds } from './terminal.ts';

/** What it is doing, as a person reads it. */
function phaseText({ kind, subject }: WorkPhase): string {
  const texts: Record<WorkKind, string> = {
    ask: 'Asking the server for sizes',
    download: `Downloading ${subject}`.trimEnd(),
    retry: subject,
    reread: `Reading ${subject}, which is there already`,
    read: 'Reading and hashing the files',
    convert: `Converting ${subject}`,
    copy: `Copying ${subject}`,
    write: `Writing ${subject}`,
    search: `Searching the best scales and writing ${subject}`,
    merge: `Merging LoRAs and writing ${subject}`,
    compare: 'Reading and comparing the files',
  };
  return texts[kind];
}

/** One line of bytes: `Downloading x.safetensors  4.1 GB of 14.3 GB · 35.2 MB a second · 4 min 50 s left`. */
class ProgressLine {
  readonly #speed = new Speed();
  #shown = 0;
  #phase = '';

  show({ phase: { kind, subject }, done, total }: TaskProgress): void {
    const rate = this.#speed.at(kind, done);
    const phase = phaseText({ kind, subject });
    if (!process.stderr.isTTY) {
      // A log wants a line a phase.
      if (phase !== this.#phase) process.stderr.write(`${phase}\n`);
      this.#phase = phase;
      return;
    }
    const now = performance.now();
    if (phase === this.#phase && now - this.#shown < 100 && done !== total) return;
    [this.#shown, this.#phase] = [now, phase];
    const left = rate !== null && rate > 0 && total !== null ? (total - done) / rate : null;
    const text = [
      `${phase}  ${formatBytes(done)}${total === null ? '' : ` of ${formatBytes(total)}`}`,
      ...(rate === null ? [] : [`${formatBytes(rate)} a second`]),
      ...(left === null ? [] : [`${formatSeconds(left)} left`]),
    ].join(' · ');
    process.stderr.write(`\r\u001b[2K${text.slice(0, Math.max(20, process.stderr.columns - 1))}`);
  }

  end(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[2K');
  }
}

/** Runs what a person may stop with Ctrl-C, its progress on one line. */
export async function withProgress<T>(
  run: (signal: AbortSignal, report: (progress: TaskProgress) => void) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const line = new ProgressLine();
  try {
    return await run(stop.signal, (progress) => line.show(progress));
  } finally {
    line.end();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}
