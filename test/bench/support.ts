import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

/** Cores both sides of a comparison use. */
export const threads = availableParallelism();

/** Milliseconds of the quickest of `repeats` runs, after two that are not counted. */
export async function quickest(run: () => Promise<unknown>, repeats: number): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < repeats + 2; i++) {
    const start = performance.now();
    await run();
    best = i < 2 ? best : Math.min(best, performance.now() - start);
  }
  return best;
}

/** Runs a Python script that prints one JSON line; null where Python or PyTorch is not installed. */
export function runTorch(script: URL, args: readonly string[]): unknown {
  const done = spawnSync('python3', [script.pathname, ...args], { encoding: 'utf8' });
  return done.status === 0 ? JSON.parse(done.stdout) : null;
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
