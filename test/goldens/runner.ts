import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Provider } from '../../src-main/engine/runtime/runtime.ts';
import type { Comparison } from './compare.ts';
import { isSkipped, kindOf, loadKind, providerKinds, skipped } from './kinds.ts';

/** What is said about a case: its comparisons, or why it was skipped, or why it could not run. */
export type CaseReport =
  | {
      readonly name: string;
      readonly status: 'passed' | 'failed';
      readonly comparisons: readonly Comparison[];
    }
  | { readonly name: string; readonly status: 'skipped'; readonly reason: string }
  | { readonly name: string; readonly status: 'error'; readonly reason: string };

const caseSchema = z.looseObject({
  case: z.string(),
  config: z.record(z.string(), z.unknown()).default({}),
  tolerance: z.looseObject({ atol: z.number().min(0), rtol: z.number().min(0) }),
});

/** On a GPU provider the agreed tolerance replaces the case's. */
const gpuTolerance = { atol: 1e-3, rtol: 1e-3 };

/** The folder of the cases: GOLDENS_DIR, else the fixtures of this project. */
export function goldensFolder(): string {
  return process.env['GOLDENS_DIR'] ?? join(import.meta.dirname, '../fixtures/goldens');
}

/** Names of the case folders, sorted. A folder without cases is an error, so that nothing passes by being absent. */
export function findCases(folder: string): string[] {
  const names = readdirSync(folder)
    .filter((name) => statSync(join(folder, name)).isDirectory())
    .sort();
  if (names.length === 0) throw new Error(`There are no golden cases in ${folder}.`);
  return names;
}

/** Whether a case is compared on a GPU provider too. */
export function usesProvider(name: string): boolean {
  const kind = kindOf(name);
  return kind !== null && providerKinds.has(kind) && !isSkipped(name);
}

/** Runs one case; whatever goes wrong becomes a report, never an exception. */
export async function runCase(folder: string, name: string, provider: Provider): Promise<CaseReport> {
  try {
    const reason = skipped[name];
    if (reason !== undefined) return { name, status: 'skipped', reason };
    const kind = kindOf(name);
    if (kind === null) return { name, status: 'error', reason: 'unknown kind of case' };
    const dir = join(folder, name);
    const stated = caseSchema.parse(JSON.parse(readFileSync(join(dir, 'case.json'), 'utf8')));
    const { atol, rtol, ...limits } = stated.tolerance;
    const tolerance = provider === 'cpu' ? { atol, rtol } : gpuTolerance;
    const module = await loadKind(kind);
    const comparisons = await module.run(dir, { name, config: stated.config, tolerance, limits }, provider);
    if (comparisons.length === 0) return { name, status: 'error', reason: 'the case compared nothing' };
    return { name, status: comparisons.every((c) => c.ok) ? 'passed' : 'failed', comparisons };
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { name, status: 'error', reason };
  }
}

/** The failures of a case as text, empty when it passed or was skipped. */
export function failures(report: CaseReport): string[] {
  if (report.status === 'error') return [`${report.name}: ${report.reason}`];
  if (report.status !== 'failed') return [];
  return report.comparisons
    .filter((c) => !c.ok)
    .map(
      (c) =>
        `${report.name}: ${c.name} is off by ${c.maxError.toExponential(2)}` +
        ` (atol ${c.tolerance.atol}, rtol ${c.tolerance.rtol})${c.reason === undefined ? '' : `: ${c.reason}`}`,
    );
}

/** A line with the largest error of a case, or why there is none. */
export function formatReport(report: CaseReport): string {
  return `  ${report.name.padEnd(nameWidth)}  ${describe(report)}\n`;
}

/** A table with the largest error of every case. */
export function formatReports(reports: readonly CaseReport[], provider: Provider): string {
  return `Goldens on ${provider}\n${reports.map(formatReport).join('')}${formatSkippedParts(reports)}`;
}

/** A line for every part that is skipped of a case that otherwise ran. */
export function formatSkippedParts(reports: readonly CaseReport[]): string {
  return Object.entries(skipped)
    .filter(([name]) => reports.some((report) => name.startsWith(`${report.name}/`)))
    .map(([name, reason]) => `  ${name.padEnd(nameWidth)}  SKIPPED: ${reason}\n`)
    .join('');
}

const nameWidth = 30;

function describe(report: CaseReport): string {
  if (report.status === 'skipped') return `SKIPPED: ${report.reason}`;
  if (report.status === 'error') return `ERROR: ${report.reason.split('\n')[0]!}`;
  const worst = report.comparisons.reduce((a, b) => (b.share > a.share ? b : a));
  const largest = Math.max(...report.comparisons.map((c) => c.maxError));
  return (
    `${report.status === 'passed' ? 'ok    ' : 'FAILED'}  largest error ${largest.toExponential(2)}` +
    `  (${(worst.share * 100).toFixed(1)} % of the tolerance in ${worst.name}; ${report.comparisons.length} compared)`
  );
}
