import { describe, expect, it } from 'vitest';
import type { CatalogueEntry } from '../../../src-main/core/contract/api/model-catalogue.ts';
import type { ModelDetails, ModelPart } from '../../../src-main/core/contract/api/model-details.ts';
import type { Found, Inspection, ModelTask } from '../../../src-main/core/contract/api/model-work.ts';
import type { DeviceReport } from '../../../src-main/core/contract/device.ts';
import { setLanguage } from '../../../src-renderer/src/i18n/index.svelte.ts';
import {
  entryFiles,
  entryState,
  freeAfter,
  licenceLines,
} from '../../../src-renderer/src/models/catalogue.ts';
import {
  errorSummary,
  formatParameters,
  formatShare,
  mainFormat,
  precisionOf,
} from '../../../src-renderer/src/models/details.ts';
import {
  bakeForecast,
  fitOf,
  heldBytes,
  heldOfEntry,
  outcomeOf,
  passSeconds,
} from '../../../src-renderer/src/models/expect.ts';
import {
  candidates,
  changeLora,
  completed,
  emptyRecipe,
  fileName,
  filesOfRecipe,
  folderOf,
  importOf,
  type LoraChoice,
  missingParts,
  recipeOfSet,
  withFile,
  withLora,
} from '../../../src-renderer/src/models/recipe.ts';
import { parseMirror } from '../../../src-renderer/src/models/sources.svelte.ts';
import {
  actionsOf,
  endedSince,
  leavesParts,
  openShare,
  roundedLeft,
  secondsLeft,
  tasksView,
  taskShare,
  withTask,
} from '../../../src-renderer/src/models/tasks.ts';
import { phaseText, recommendedText } from '../../../src-renderer/src/models/words.ts';

function task(more: Partial<ModelTask> = {}): ModelTask {
  return {
    id: 't',
    kind: 'download',
    label: 'Wan',
    phase: { kind: 'download', subject: '' },
    done: 0,
    total: null,
    bytesPerSecond: null,
    state: 'running',
    canPause: true,
    error: null,
    entry: null,
    model: null,
    createdAt: '2026-01-01T00:00:00.000Z',
    finishedAt: null,
    ...more,
  };
}

function file(role: Inspection['role'], path: string, more: Partial<Inspection> = {}): Inspection {
  return {
    path,
    bytes: 1000,
    format: 'safetensors',
    role,
    what: null,
    details: {},
    tensors: 1,
    parameters: 500,
    formats: { F16: 1 },
    inPlace: true,
    convertedBytes: 0,
    refused: null,
    ...more,
  };
}

describe('work on models', () => {
  it('stands in its groups, with the buttons that make sense', () => {
    const states = ['waiting', 'running', 'paused', 'done', 'failed', 'cancelled'] as const;
    const tasks = states.map((state) => task({ id: state, state }));
    const view = tasksView(tasks);
    expect(view.open.map(({ id }) => id)).toEqual(['waiting', 'running', 'paused']);
    expect([view.failed.length, view.all.length]).toEqual([1, tasks.length]);
    const buttons = tasks.map((each) =>
      Object.entries(actionsOf(each))
        .filter(([, can]) => can)
        .map(([name]) => name)
        .join(' '),
    );
    expect(buttons).toEqual([
      'pause cancel',
      'pause cancel',
      'resume cancel',
      'dismiss',
      'resume dismiss',
      'resume dismiss',
    ]);
    expect(actionsOf(task({ kind: 'verify', canPause: false })).pause).toBe(false);
    expect(leavesParts(task({ done: 5 }))).toBe(true);
    expect(leavesParts(task({ done: 0 }))).toBe(false);
    expect(leavesParts(task({ done: 5, kind: 'verify' }))).toBe(false);
  });

  it('tells share and time left only where they are known', () => {
    expect(taskShare(task())).toBeNull();
    expect(taskShare(task({ done: 5, total: 20 }))).toBe(0.25);
    expect(taskShare(task({ done: 30, total: 20 }))).toBe(1);
    expect(taskShare(task({ state: 'done' }))).toBe(1);
    const known = { done: 10, total: 110, bytesPerSecond: 2 };
    expect(secondsLeft(task(known))).toBe(50);
    expect(secondsLeft(task({ ...known, state: 'paused' }))).toBeNull();
    expect(secondsLeft(task({ ...known, bytesPerSecond: 0 }))).toBeNull();
    expect([roundedLeft(59), roundedLeft(352)]).toEqual([59, 360]);
    expect(openShare([task(), task({ state: 'done', done: 5, total: 5 })])).toBeNull();
    expect(openShare([task({ done: 10, total: 100 }), task({ done: 90, total: 100, state: 'paused' })])).toBe(
      0.5,
    );
  });

  it('is told once when it ends, and stays in its place', () => {
    const before = [task({ id: 'a' }), task({ id: 'b' })];
    const after = withTask(before, task({ id: 'a', state: 'done' }));
    expect(after.map(({ id }) => id)).toEqual(['a', 'b']);
    expect(endedSince(before, after).map(({ id }) => id)).toEqual(['a']);
    expect(endedSince(after, after)).toEqual([]);
    // Over before the window looked.
    expect(endedSince([], [task({ state: 'failed' })])).toEqual([]);
    expect(withTask(after, task({ id: 'c' })).map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  });
});

describe('a model of files', () => {
  const files = [
    file('dit', '/m/wan_t2v.safetensors'),
    file('vae', '/m/vae.safetensors'),
    file('textEncoder', 'C:\\m\\umt5.gguf', { inPlace: false, convertedBytes: 3000 }),
    file('tokenizer', '/m/spiece.model', { parameters: 0 }),
    file('lora', '/m/Wan21_PusaV1_LoRA.safetensors'),
    file('lora', '/m/lightx2v.safetensors'),
    file(null, '/m/wan_i2v.safetensors', {
      refused: { code: 'CHECKPOINT_WRONG_FAMILY', message: 'No.', remedy: 'Take another.' },
    }),
  ];
  const set: Found['sets'][number] = {
    name: 'Wan',
    paths: [files[0]!, files[1]!, files[2]!].map(({ path }) => path).concat('/m/config.json'),
    bytes: 3000,
    loras: [
      { path: '/m/lightx2v.safetensors', strength: 1, live: true },
      { path: '/m/Wan21_PusaV1_LoRA.safetensors', strength: 1.4, live: true },
    ],
  };

  it('begins with a set that was found: its parts, and Pusa’s LoRA', () => {
    const recipe = recipeOfSet(set, files);
    expect(recipe).toMatchObject({
      dit: '/m/wan_t2v.safetensors',
      secondDit: null,
      vae: '/m/vae.safetensors',
      textEncoder: 'C:\\m\\umt5.gguf',
      tokenizer: null,
      rest: ['/m/config.json'],
    });
    expect(recipe.loras).toEqual([{ path: '/m/Wan21_PusaV1_LoRA.safetensors', strength: 1.4, live: true }]);
    expect(missingParts(recipe)).toEqual([]);
    expect(importOf(recipe, { name: '  Boats ', precision: 'int8' })).toEqual({
      paths: ['/m/wan_t2v.safetensors', '/m/vae.safetensors', 'C:\\m\\umt5.gguf', '/m/config.json'],
      id: null,
      name: 'Boats',
      loras: recipe.loras,
      precision: 'int8',
    });
    // A set in a form of which no single file was looked at goes as it is.
    expect(importOf(recipeOfSet(set, []), { name: '', precision: 'asIs' })?.paths).toEqual(set.paths);
  });

  it('takes the Pusa LoRA of each expert of a pair, and one where the files name none', () => {
    const pair = [file('dit', '/m/wan2.2_high_noise.gguf'), file('dit', '/m/wan2.2_low_noise.gguf')];
    const lora = (path: string): LoraChoice => ({ path, strength: 1.4, live: true });
    const taken = (...paths: string[]): string[] =>
      recipeOfSet(
        {
          ...set,
          paths: pair.map(({ path }) => path),
          loras: [lora('/m/lightx2v_high.safetensors'), ...paths.map(lora)],
        },
        pair,
      ).loras.map(({ path }) => path);
    const high = '/m/Wan22_PusaV1_LoRA_high_rank512.safetensors';
    const low = '/m/LowNoise/pusa.safetensors';
    expect(taken(low, high)).toEqual([high, low]);
    expect(taken('/m/pusa_slow.safetensors', high)).toEqual(['/m/pusa_slow.safetensors']);
    expect(taken()).toEqual([]);
    expect(recipeOfSet({ ...set, loras: [lora(high), lora(low)] }, files).loras).toEqual([lora(high)]);
  });

  it('is put together part by part', () => {
    expect(importOf(emptyRecipe, { name: '', precision: 'asIs' })).toBeNull();
    expect(missingParts(emptyRecipe)).toEqual(['dit', 'vae', 'textEncoder']);
    const started = withFile(emptyRecipe, files[0]!);
    expect(missingParts(started)).toEqual(['vae', 'textEncoder']);
    const whole = completed(started, files);
    expect([whole.vae, whole.textEncoder, whole.tokenizer]).toEqual([
      '/m/vae.safetensors',
      'C:\\m\\umt5.gguf',
      '/m/spiece.model',
    ]);
    // Two that could play the part: a person chooses.
    expect(completed(emptyRecipe, [...files, file('vae', '/m/other-vae.safetensors')]).vae).toBeNull();
    // Refused files are never offered, nor taken.
    expect(withFile(emptyRecipe, files[6]!)).toBe(emptyRecipe);
    expect(candidates(files, null)).toEqual([]);
  });

  it('takes LoRAs with their strengths, each once', () => {
    const pusa = withLora(emptyRecipe, '/m/Wan21_PusaV1_LoRA.safetensors', true);
    expect(pusa.loras[0]).toMatchObject({ strength: 1.4, live: true });
    const both = withFile(pusa, files[5]!);
    expect(both.loras[1]).toMatchObject({ strength: 1, live: false });
    expect(withLora(both, '/m/lightx2v.safetensors', true)).toBe(both);
    const fixed = changeLora(both, '/m/lightx2v.safetensors', { strength: 0.8, live: false });
    expect(fixed.loras[1]).toEqual({ path: '/m/lightx2v.safetensors', strength: 0.8, live: false });
    expect(withLora(fixed, '/m/lightx2v.safetensors', false).loras).toHaveLength(1);
    expect([fileName('C:\\m\\umt5.gguf'), folderOf('C:\\m\\umt5.gguf'), folderOf('/m/x')]).toEqual([
      'umt5.gguf',
      'C:\\m',
      '/m',
    ]);
  });

  it('says what it takes on the disk', () => {
    const chosen = filesOfRecipe(recipeOfSet(set, files), files);
    expect(chosen).toHaveLength(4);
    expect(outcomeOf(chosen, 'asIs')).toEqual({ writes: 3000, weights: 6000, held: 3000 });
    // 500 numbers in 8 bits, with a scale of four bytes for 32 of them.
    expect(outcomeOf(chosen, 'int8')).toEqual({
      writes: 3000 + 563,
      weights: 5000 + 563,
      held: 2000 + 563,
    });
  });
});

const part = (more: Partial<ModelPart>): ModelPart => ({
  part: 'dit',
  name: 'dit.safetensors',
  path: '/m/dit.safetensors',
  files: 1,
  bytes: 4200,
  own: true,
  parameters: 1050,
  formats: { F32: 4200 },
  matrices: { numbers: 1000, bytes: 4000 },
  ...more,
});

describe('what a model is', () => {
  const none = { numbers: 0, bytes: 0 };
  const details: ModelDetails = {
    folder: '/m',
    family: 'wan2.1',
    parts: [
      part({}),
      part({ part: 'lora', name: 'pusa', bytes: 300, matrices: none }),
      part({ part: 'vae', bytes: 500, matrices: none }),
    ],
    baked: null,
  };

  it('is told in a word, and forecast when made smaller', () => {
    expect(precisionOf(details)).toBe('FP32');
    expect(mainFormat({ formats: { F32: 10, BF16: 10 } })).toBe('');
    expect(mainFormat({ formats: { int8: 30, F32: 10 } })).toBe('int8');
    expect(bakeForecast(details, 'int4', true)).toEqual({ writes: 825, weights: 1325, held: 1325 });
    expect(bakeForecast(details, 'F16', false)).toEqual({ writes: 2200, weights: 3000, held: 3000 });
    expect(heldBytes({ ...details, parts: [...details.parts, part({ part: 'textEncoder' })] })).toBe(5000);
    expect([14.29e9, 1.42e9, 127e6, 640_000].map(formatParameters)).toEqual([
      '14.3 B',
      '1.4 B',
      '127 M',
      '0.64 M',
    ]);
  });

  it('shows how far a bake is from its source', () => {
    expect(errorSummary([])).toBeNull();
    const summary = errorSummary([
      { name: 'blocks.0.ffn.0', error: 0.004 },
      { name: 'blocks.2.ffn.0', error: 0.01 },
      { name: 'blocks.0.ffn.2', error: 0.001 },
    ]);
    expect(summary?.mean).toBeCloseTo(0.005);
    expect(summary?.worst.name).toBe('blocks.2.ffn.0');
    expect(summary?.blocks).toEqual([0.004, 0, 0.01]);
    expect([0.0042, 0.1, 0].map(formatShare)).toEqual(['0.42 %', '10 %', '0 %']);
  });

  it('is held by what a machine has, and never refused', () => {
    const report = {
      memory: { totalBytes: 32e9, availableBytes: 20e9 },
      gpus: [{ vendor: 'v', model: 'g', memoryBytes: 16e9 }],
      chosen: 'webgpu',
      providers: [{ provider: 'webgpu', block: { gflops: 10_000 } }],
    } as unknown as DeviceReport;
    expect([10e9, 20e9, 60e9].map((bytes) => fitOf(bytes, report))).toEqual(['graphics', 'memory', 'disk']);
    expect(fitOf(10e9, { ...report, chosen: 'cpu' })).toBe('memory');
    expect(passSeconds(14e9, 1000, report)).toBeCloseTo(2.8);
    expect(passSeconds(14e9, 1000, { ...report, chosen: 'cpu' })).toBeNull();
  });
});

describe('the catalogue', () => {
  const entry: CatalogueEntry = {
    id: 'wan',
    name: 'Wan',
    purpose: 'Clips.',
    licences: [
      { of: 'Wan', name: 'Apache 2.0', url: 'https://example.org/a' },
      { of: 'Pusa', name: 'MIT', url: 'https://example.org/b' },
      { of: 'VAE', name: 'Apache 2.0', url: 'https://example.org/a' },
    ],
    bytes: 30,
    missingBytes: 30,
    exact: true,
    files: [
      { repository: 'o/r', path: 'a/small.json', bytes: null, sha256: null, here: null, partBytes: 0 },
      { repository: 'o/r', path: 'b/large.safetensors', bytes: 30, sha256: null, here: null, partBytes: 0 },
    ],
    model: null,
    task: null,
  };
  const here = (path: string | null): CatalogueEntry => ({
    ...entry,
    missingBytes: 0,
    files: entry.files.map((each) => ({ ...each, here: path })),
  });

  it('knows where an entry stands', () => {
    expect(entryState(entry, [])).toBe('away');
    expect(entryState({ ...entry, files: [{ ...entry.files[0]!, partBytes: 4 }] }, [])).toBe('partly');
    expect(entryState(here('/m/x'), [])).toBe('files');
    expect(entryState({ ...here('/m/x'), model: 'wan' }, [])).toBe('model');
    expect(entryState(entry, [task({ entry: 'wan' })])).toBe('coming');
    expect(entryState(entry, [task({ entry: 'wan', state: 'failed' })])).toBe('away');
  });

  it('shows files and licences so that they can be read', () => {
    expect(entryFiles(entry).map(({ name }) => name)).toEqual(['large.safetensors', 'small.json']);
    expect(licenceLines(entry.licences)).toEqual([
      { of: ['Wan', 'VAE'], name: 'Apache 2.0', url: 'https://example.org/a' },
      { of: ['Pusa'], name: 'MIT', url: 'https://example.org/b' },
    ]);
    expect([freeAfter(30, 100), freeAfter(30, 10), freeAfter(30, null)]).toEqual([70, -20, null]);
  });

  it('counts what is held at once: no text encoder, 8-bit floats twice as wide', () => {
    const of = (path: string, bytes: number): CatalogueEntry['files'][number] => ({
      ...entry.files[0]!,
      path,
      bytes,
    });
    const files = [of('dit_fp8_scaled.safetensors', 14), of('umt5.pth', 11), of('vae.safetensors', 1)];
    expect(heldOfEntry({ bytes: 26, files })).toBe(29);
  });

  it('takes an address for a mirror, and nothing else', () => {
    expect(parseMirror('  ')).toBeNull();
    expect(parseMirror(' https://mirror.example.org/ ')).toBe('https://mirror.example.org');
    expect(['mirror', 'ftp://x.org', 'file:///etc'].map(parseMirror)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('words', () => {
  it('tell what is done in the window’s language, and names as they are', () => {
    const file = { kind: 'download', subject: 'wan.safetensors' } as const;
    expect(phaseText(file)).toBe('Downloading wan.safetensors');
    try {
      setLanguage('zh-CN');
      expect(phaseText(file)).toBe('正在下载 wan.safetensors');
      expect(phaseText({ kind: 'read', subject: '' })).toBe('正在读取并校验文件');
      expect(phaseText({ kind: 'download', subject: '' })).toBe('正在下载');
      expect(phaseText(null)).toBe('进行中');
      expect(recommendedText({ steps: 10, cfg: 2 })).toBe('10 步 · CFG 2');
    } finally {
      setLanguage('en');
    }
    expect(recommendedText({})).toBe('');
  });
});
