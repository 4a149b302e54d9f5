import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Cores both sides of a comparison use. */
export const threads = availableParallelism();

/** A Python script beside the bench: it says what it is, then answers each line with the milliseconds of one run. */
export interface PythonBaseline {
  /** The script's first line. */
  readonly description: unknown;
  /** Milliseconds of one run. */
  run(): Promise<number>;
  close(): void;
}

/** Starts a Python baseline; null where Python or what the script imports is not installed. */
export async function startPython(script: URL, args: readonly string[]): Promise<PythonBaseline | null> {
  const python = spawn('python3', [fileURLToPath(script), ...args], { stdio: ['pipe', 'pipe', 'ignore'] });
  python.on('error', () => undefined);
  const lines = createInterface(python.stdout)[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done === true) return null;
  return {
    description: JSON.parse(first.value),
    async run() {
      python.stdin.write('run\n');
      return Number((await lines.next()).value);
    },
    close: () => python.stdin.end(),
  };
}

/** The middle one of some numbers (the upper of the middle two). */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!;

/**
 * Milliseconds of the median and of the quickest run of each contestant. They take turns, so that a machine whose speed drifts slows
 * all of them; the first two rounds are not counted.
 */
export async function takeTurns(
  contestants: readonly (() => Promise<number>)[],
  rounds: number,
): Promise<{ readonly median: number; readonly quickest: number }[]> {
  const times: number[][] = contestants.map(() => []);
  for (let round = 0; round < rounds + 2; round++) {
    for (const [i, run] of contestants.entries()) {
      const ms = await run();
      if (round >= 2) times[i]!.push(ms);
    }
  }
  return times.map((all) => ({ median: median(all), quickest: Math.min(...all) }));
}

/** Milliseconds that something takes. */
export async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

/** Random numbers of a normal-like spread (sum of uniforms), the same in every run. */
export function randomValues(count: number, scale: number, seed: number): Float32Array {
  const values = new Float32Array(count);
  let state = seed >>> 0 || 1;
  const next = (): number => {
    // xorshift32: quick, and good enough to keep kernels from seeing zeros.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32 - 0.5;
  };
  for (let i = 0; i < count; i++) values[i] = (next() + next() + next()) * 2 * scale;
  return values;
}

/** ‖a − b‖ / ‖b‖ */
export function relativeError(a: Float32Array, b: Float32Array): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

/** Prints rows with aligned columns. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string => row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ');
  process.stdout.write(`${rows.map(line).join('\n')}\n`);
}
