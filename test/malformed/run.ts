import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Order } from './cases.ts';
import type { Message, Outcome } from './worker.ts';

/** A case and what came of it. */
export interface Report {
  readonly target: string;
  /** The input nothing was changed in, which must read as it was written. */
  readonly sound: boolean;
  readonly field: string;
  readonly change: string;
  readonly outcome: Outcome;
}

/** For a process to start and make the next input. */
const startMs = 180_000;
const worker = fileURLToPath(new URL('worker.ts', import.meta.url));

/**
 * Runs all cases of an order. A case that ends its process, or keeps it silent longer than `patienceMs`, has failed,
 * and a new process goes on with the next one.
 * @returns the sound inputs' reports and the mutants', in order
 */
export async function runCases(
  order: Order,
  patienceMs = 60_000,
): Promise<{ sound: Report[]; mutants: Report[] }> {
  const reports: Report[] = [];
  for (;;) {
    const { ended, begun, reason } = await runFrom(order, reports, patienceMs);
    if (ended) break;
    if (begun === null) throw new Error(`The cases could not be made: ${reason}.`);
    reports.push({ ...begun, outcome: { is: 'failed', because: reason } });
  }
  return {
    sound: reports.filter((report) => report.sound),
    mutants: reports.filter((report) => !report.sound),
  };
}

type Begun = Omit<Report, 'outcome'> | null;

/** One process, from the first case without a report on, until it is done or one case ends it. */
async function runFrom(
  order: Order,
  reports: Report[],
  patienceMs: number,
): Promise<{ ended: boolean; begun: Begun; reason: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'pusa-malformed-'));
  const child = fork(worker, [JSON.stringify(order), folder, String(reports.length)], {
    execArgv: ['--max-old-space-size=2048'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const state: { begun: Begun; silent: boolean } = { begun: null, silent: false };
  let said = '';
  child.stderr!.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-500)));
  let timer: NodeJS.Timeout | undefined;
  const expectWordWithin = (ms: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      state.silent = true;
      child.kill('SIGKILL');
    }, ms);
  };
  // Starting and making the inputs takes the machine's own time; reading one must not.
  expectWordWithin(startMs);
  child.on('message', (message: Message) => {
    if ('begins' in message) {
      const { sound, target, field, change } = message;
      state.begun = { sound, target, field, change };
      expectWordWithin(patienceMs);
    } else {
      reports.push({ ...state.begun!, outcome: message.outcome });
      state.begun = null;
      expectWordWithin(startMs);
    }
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.on('close', (...end) => resolve(end));
  });
  clearTimeout(timer);
  await rm(folder, { recursive: true, force: true });
  const reason = state.silent
    ? `no answer within ${patienceMs / 1000} s`
    : `the process ended (${signal ?? code}) ${said}`.trim();
  return { ended: code === 0, begun: state.begun, reason };
}

/** Target × outcome × code, counted; then each accepted mutant and why; then what failed. */
export function table(mutants: readonly Report[]): string {
  const counts = new Map<string, number>();
  for (const { target, outcome } of mutants) {
    const what =
      outcome.is === 'refused' ? outcome.code : outcome.is === 'accepted' ? outcome.because : 'see below';
    const row = `${target.padEnd(14)}${outcome.is.padEnd(10)}${what}`;
    counts.set(row, (counts.get(row) ?? 0) + 1);
  }
  const rows = [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([row, count]) => `${String(count).padStart(5)}  ${row}`);
  const accepted = mutants.flatMap(({ target, field, change, outcome }) =>
    outcome.is === 'accepted' ? [`accepted ${target}: ${field}: ${change}: ${outcome.because}`] : [],
  );
  const failures = failuresOf(mutants).map((line) => `FAILED ${line}`);
  const total = (is: Outcome['is']): number => mutants.filter(({ outcome }) => outcome.is === is).length;
  return [
    ...rows,
    `${mutants.length} cases: ${total('refused')} refused, ${total('accepted')} accepted, ${total('failed')} failed`,
    ...accepted,
    ...failures,
  ].join('\n');
}

/** What no reader may do; of sound inputs everything but reading them as they were written. */
export function failuresOf(reports: readonly Report[]): string[] {
  return reports.flatMap(({ target, sound, field, change, outcome }) => {
    if (outcome.is === 'failed') return [`${target}: ${field}: ${change}: ${outcome.because}`];
    const reads = outcome.is === 'accepted' && outcome.because === 'reads the same';
    return sound && !reads ? [`${target}: the sound input: ${JSON.stringify(outcome)}`] : [];
  });
}
