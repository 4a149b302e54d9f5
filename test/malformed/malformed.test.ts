import { describe, expect, it } from 'vitest';
import { failuresOf, runCases, table } from './run.ts';

describe('malformed inputs', () => {
  it('are refused with a code and sentences, or accepted for a reason, in 100 cases', async () => {
    const { sound, mutants } = await runCases({ seed: 20_260_102, count: 100, of: 'inputs' });
    // A reader that refuses everything would pass the rest.
    expect(sound).toHaveLength(7);
    expect(failuresOf(sound)).toEqual([]);
    expect(mutants).toHaveLength(100);
    expect(failuresOf(mutants)).toEqual([]);
    process.stdout.write(`${table(mutants)}\n`);
  }, 600_000);

  it('of weights in any format are refused, or accepted for a reason, in 100 cases', async () => {
    const { sound, mutants } = await runCases({ seed: 20_261_123, count: 100, of: 'checkpoints' });
    expect(sound).toHaveLength(3);
    expect(failuresOf(sound)).toEqual([]);
    expect(mutants).toHaveLength(100);
    expect(failuresOf(mutants)).toEqual([]);
    process.stdout.write(`${table(mutants)}\n`);
  }, 600_000);

  it('would not go unnoticed: crashes, hangs, memory, wrong acceptance, errors that are not for people', async () => {
    const { sound, mutants } = await runCases({ seed: 1, count: 10, of: 'faults' }, 5_000);
    expect(failuresOf(sound)).toEqual([]);
    expect(mutants.map(({ change, outcome }) => [change, outcome.is])).toEqual([
      ['refused rightly', 'refused'],
      ['crashes', 'failed'],
      ['is accepted wrongly', 'failed'],
      ['never ends', 'failed'],
      ['takes memory without bound', 'failed'],
      ['throws what is not for people', 'failed'],
      ['gives something invalid', 'failed'],
      ['is refused without a sentence', 'failed'],
      ['is refused as a fault of ours', 'failed'],
      ['is accepted rightly', 'accepted'],
    ]);
    expect(mutants[1]!.outcome).toMatchObject({
      because: expect.stringContaining('the process ended') as string,
    });
    expect(mutants[3]!.outcome).toMatchObject({ because: 'no answer within 5 s' });
    expect(mutants[4]!.outcome).toMatchObject({ because: expect.stringContaining('MiB') as string });
  }, 600_000);
});
