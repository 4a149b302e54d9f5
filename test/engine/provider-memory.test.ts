import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { providerHelp } from '../../src-main/engine/runtime/provider-help.ts';
import { ProviderMemory } from '../../src-main/engine/runtime/provider-memory.ts';
import { ranked } from '../../src-main/core/contract/device.ts';
import { providerOrder, quickest } from '../../src-main/engine/runtime/providers.ts';
import { parseEngineMessage, type EngineMessage } from '../../src-main/engine/protocol.ts';
import { createSupervisor } from '../../src-main/engine/supervisor.ts';
import { nodeFork, type EngineChild } from '../../src-main/engine/transport.ts';

const entry = join(import.meta.dirname, '../../src-main/engine/process.ts');
const application = 'Pusa Studio test';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'pusa-devices-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const outcome = {
  provider: 'webgpu',
  reason: null,
  forms: { attention: 'primitive', attentionRows: 1024, convolution: 'taps' },
  block: { provider: 'webgpu', tokens: 64, width: 128, milliseconds: 2, gflops: 9 },
  speed: 3.5,
  measuredAt: '2026-01-02T03:04:05.000Z',
} as const;

describe('what was measured of a device', () => {
  test('is known to the next process of the same application, until it is forgotten', async () => {
    const file = join(root, 'new', 'devices.json');
    const first = await ProviderMemory.open({ file, application });
    expect(first.recall('webgpu')).toBeNull();
    await first.begin('webgpu');
    await first.keep(outcome);
    const second = await ProviderMemory.open({ file, application });
    expect(second.recall('webgpu')).toEqual(outcome);
    expect(second.recall('cuda')).toBeNull();
    // Another version, or another driver, may do otherwise.
    const newer = await ProviderMemory.open({ file, application: 'Pusa Studio next' });
    expect(newer.recall('webgpu')).toBeNull();
    await second.forget();
    expect((await ProviderMemory.open({ file, application })).recall('webgpu')).toBeNull();
  });

  test.each([
    ['cut off', (text: string) => text.slice(0, 100)],
    ['of another version', (text: string) => text.replace('"version": 1', '"version": 9')],
    ['of a device there is not', (text: string) => text.replaceAll('"webgpu"', '"abacus"')],
    ['with numbers that are none', (text: string) => text.replace('3.5', '-1')],
    ['far too large', (text: string) => text + ' '.repeat(2 ** 20)],
  ])('counts for nothing in a file %s', async (_, damage) => {
    const file = join(root, 'damaged.json');
    await (await ProviderMemory.open({ file, application })).keep(outcome);
    expect((await ProviderMemory.open({ file, application })).recall('webgpu')).toEqual(outcome);
    writeFileSync(file, damage(readFileSync(file, 'utf8')));
    const memory = await ProviderMemory.open({ file, application });
    expect(memory.recall('webgpu')).toBeNull();
    await memory.keep(outcome);
    expect((await ProviderMemory.open({ file, application })).recall('webgpu')).toEqual(outcome);
    rmSync(file);
  });

  test('is kept for the process where the file cannot be written, and that is said', async () => {
    const file = join(root, 'a-folder');
    mkdirSync(file);
    const said: string[] = [];
    const memory = await ProviderMemory.open({ file, application }, (text) => said.push(text));
    await memory.keep(outcome);
    expect(memory.recall('webgpu')).toEqual(outcome);
    expect(said).toEqual([expect.stringContaining('cannot be kept') as string]);
  });

  test('a trial that never ends is begun three times, then not again by itself', async () => {
    const file = join(root, 'unfinished.json');
    for (let start = 0; start < 3; start++) {
      const memory = await ProviderMemory.open({ file, application });
      expect(memory.recall('webgpu')).toBeNull();
      await memory.begin('webgpu');
    }
    const memory = await ProviderMemory.open({ file, application });
    expect(memory.recall('webgpu')?.reason).toMatch(/3 times in a row/);
    expect(memory.recall('cuda')).toBeNull();
    await memory.forget();
    expect(memory.recall('webgpu')).toBeNull();
  });
});

/** The providers that are tried by the engines a supervisor starts; each trial in `fatal` ends its engine. */
async function triedIn(
  file: string,
  { fresh = false, fatal = false }: { readonly fresh?: boolean; readonly fatal?: boolean } = {},
) {
  const tried: string[] = [];
  const fork = (path: string): EngineChild => {
    const child = nodeFork()(path);
    child.onMessage((value) => {
      const message: EngineMessage = parseEngineMessage(value);
      if (message.type !== 'trying' || message.provider === null) return;
      tried.push(message.provider);
      if (fatal) child.kill();
    });
    return child;
  };
  const supervisor = createSupervisor({ entry, fork, memory: { file, application }, backoffMs: [10, 10] });
  try {
    return { tried, report: await supervisor.report({ fresh }) };
  } finally {
    await supervisor.close();
  }
}

// Of the platforms' providers only WebGPU is built in everywhere.
describe.skipIf(!providerOrder(process.platform).includes('webgpu'))('an engine', () => {
  test('does not try a driver again that ended one, unless it is asked to measure anew', async () => {
    const file = join(root, 'fatal.json');
    const first = await triedIn(file, { fatal: true });
    expect(first.tried).toContain('webgpu');
    expect(first.report.chosen).toBe('cpu');
    expect(existsSync(file)).toBe(true);
    const second = await triedIn(file);
    expect(second.tried).toEqual([]);
    const refused = second.report.providers.find(({ provider }) => provider === 'webgpu')!;
    expect(refused).toMatchObject({
      works: false,
      reason: 'The driver of WebGPU ended the engine while it started.',
    });
    // The processor is not timed again either.
    const timeOf = ({ report }: typeof first) =>
      report.providers.find(({ provider }) => provider === 'cpu')!.measuredAt;
    expect(timeOf(second)).toBe(timeOf(first));
    const third = await triedIn(file, { fresh: true, fatal: true });
    expect(third.tried).toContain('webgpu');
    expect(timeOf(third)! > timeOf(second)!).toBe(true);
  });
});

test('the quickest of those that work is chosen; of equals the first of the platform’s order', () => {
  const trial = (provider: string, speed: number | null, reason: string | null = null) => ({
    provider,
    speed,
    reason,
  });
  const trials = [trial('webgpu', 4), trial('dml', 9), trial('cpu', 1)];
  expect(quickest(trials)?.provider).toBe('dml');
  expect(quickest([trial('webgpu', 0.2), trial('cpu', 1)])?.provider).toBe('cpu');
  expect(quickest([trial('webgpu', 1), trial('cpu', 1)])?.provider).toBe('webgpu');
  expect(quickest([trial('webgpu', null, 'It computes wrongly.'), trial('cpu', 1)])?.provider).toBe('cpu');
  expect(quickest([trial('webgpu', null, 'No.')])).toBeUndefined();
  expect(ranked([trial('cuda', null, 'No.'), ...trials]).map(({ provider }) => provider)).toEqual([
    'dml',
    'webgpu',
    'cpu',
    'cuda',
  ]);
});

test('what CUDA needs is said with its size and a command that exists, where there is a card for it', () => {
  const help = providerHelp('cuda', [{ vendor: 'NVIDIA Corporation', model: 'H200' }])!;
  expect(help).toMatch(/215 to 250 MB.*600 MB.*CUDA 12 and cuDNN 9/);
  const [, script, option] = /node "(.+)" (--\S+)$/.exec(help)!;
  expect(readFileSync(script!, 'utf8')).toContain(option!);
  expect(providerHelp('cuda', [{ vendor: 'Intel', model: 'Arc' }])).toBeNull();
  expect(providerHelp('cuda', [])).toMatch(/^With a graphics card by NVIDIA/);
  expect(providerHelp('cpu', [])).toBeNull();
});
