import type { Phase, Progress } from '../core/contract/job.ts';
import type { PusaError } from '../core/errors.ts';

/** Exit codes, stable for scripts: `--help` prints them. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  badInput: 3,
  outOfSpace: 4,
  cancelled: 130,
} as const;

/** The exit code that belongs to an error. */
export function exitCodeOf(error: PusaError): number {
  switch (error.code) {
    case 'CANCELLED':
      return exitCodes.cancelled;
    case 'USAGE':
      return exitCodes.usage;
    case 'DISK_FULL':
    case 'OUT_OF_MEMORY':
      return exitCodes.outOfSpace;
    case 'ENGINE_CRASHED':
    case 'ENGINE_RESTARTED':
    case 'ENGINE_PROTOCOL':
    case 'CONTRACT_VIOLATION':
    case 'CONNECTION_CLOSED':
    case 'PROVIDER_UNAVAILABLE':
    case 'WRITE_FAILED':
    case 'DOWNLOAD_FAILED':
    case 'GRAPH_INVALID':
    case 'INTERNAL':
      return exitCodes.failed;
    default:
      return exitCodes.badInput;
  }
}

const phaseNames: Readonly<Record<Phase, string>> = {
  load: 'Loading the model',
  text: 'Reading the prompt',
  sources: 'Encoding sources',
  denoise: 'Denoising',
  decode: 'Decoding',
  save: 'Writing the file',
};

/** Seconds as a person says them: `8 s`, `1 min 20 s`, `2 h 5 min`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** One line of progress, the bar for the whole job: `Denoising ███████░░░ 7 of 10 · 12 s left`. */
export function progressLine(progress: Progress, width = 24): string {
  const { phase, done, total, secondsLeft, fraction } = progress;
  const filled = Math.round(fraction * width);
  const bar = '█'.repeat(filled) + '░'.repeat(width - filled);
  const left = secondsLeft === null ? '' : ` · ${formatSeconds(secondsLeft)} left`;
  return `${phaseNames[phase].padEnd(18)} ${bar} ${total === 0 ? '' : `${done} of ${total}`}${left}`;
}

/** Draws progress on one line of a terminal, or a line per phase where the stream is none. */
export class ProgressBar {
  private lastLine: string | null = null;
  private drawn = false;
  private readonly stream: NodeJS.WriteStream;

  constructor(stream: NodeJS.WriteStream) {
    this.stream = stream;
  }

  show(progress: Progress): void {
    const isTerminal = this.stream.isTTY;
    if (isTerminal) {
      this.stream.write(
        `\r\u001b[2K${progressLine(progress).slice(0, Math.max(20, this.stream.columns - 1))}`,
      );
      this.drawn = true;
      return;
    }
    // A log wants a line a phase, not one a step; the end of the longest phase carries its measured time left.
    const key =
      progress.phase === 'denoise' && progress.done === progress.total ? 'denoised' : progress.phase;
    if (key !== this.lastLine) this.stream.write(`${progressLine(progress)}\n`);
    this.lastLine = key;
  }

  /** Leaves the line, so that what is printed next starts on its own. */
  end(): void {
    if (this.drawn) this.stream.write('\r\u001b[2K');
    this.drawn = false;
  }
}
