import { afterAll, expect, test } from 'vitest';
import { providers, type Provider } from '../../src-main/engine/runtime/runtime.ts';
import {
  failures,
  findCases,
  formatReports,
  goldensFolder,
  runCase,
  usesProvider,
  type CaseReport,
} from './runner.ts';
import { skipped } from './kinds.ts';

const folder = goldensFolder();
const wanted = process.env['GOLDENS_PROVIDER'] ?? 'cpu';
const provider: Provider | undefined = providers.find((p) => p === wanted);
if (provider === undefined) throw new Error(`GOLDENS_PROVIDER=${wanted} is none of ${providers.join(', ')}.`);

const present = findCases(folder);
const chosen = provider === 'cpu' ? present : present.filter(usesProvider);
// A skipped case is named in the table even where its files are not kept.
const absent =
  provider === 'cpu' ? Object.keys(skipped).filter((n) => !n.includes('/') && !present.includes(n)) : [];
const reports: CaseReport[] = [];

test.each([...chosen, ...absent])('golden %s', async (name) => {
  const report = await runCase(folder, name, provider);
  reports.push(report);
  expect(failures(report)).toEqual([]);
});

test('an unknown kind of case fails', async () => {
  expect(await runCase(folder, 'mystery', provider)).toMatchObject({ status: 'error' });
});

afterAll(() => {
  process.stdout.write(`\n${formatReports(reports, provider)}`);
});
