import type { Cost, JobRecord } from '../../../src-main/core/contract/records.ts';

/** What was forecast beside what it took, one line for each that is known at all. */
export interface CostLine {
  readonly of: 'time' | 'memory';
  /** Seconds, or bytes. */
  readonly forecast: number | null;
  readonly actual: number | null;
}

export function costLines({ cost }: Pick<JobRecord, 'cost'>): readonly CostLine[] {
  if (cost === undefined) return [];
  const line = (of: CostLine['of'], figure: (cost: Cost) => number | null): CostLine => ({
    of,
    forecast: figure(cost.forecast),
    actual: cost.actual === null ? null : figure(cost.actual),
  });
  return [line('time', ({ seconds }) => seconds), line('memory', ({ memoryBytes }) => memoryBytes)].filter(
    ({ forecast, actual }) => forecast !== null || actual !== null,
  );
}

/** A run of a few seconds is late by its start alone. */
const shortSeconds = 10;

/** How many times the forecast a job took, where that is worth a word: from one and a half on. */
export function lateBy({ cost }: Pick<JobRecord, 'cost'>): number | null {
  const forecast = cost?.forecast.seconds ?? null;
  const actual = cost?.actual?.seconds ?? null;
  if (forecast === null || actual === null || forecast <= 0 || actual - forecast < shortSeconds) return null;
  const times = actual / forecast;
  return times >= 1.5 ? Math.round(times * 10) / 10 : null;
}
