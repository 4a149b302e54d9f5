import { describe, expect, test } from 'vitest';
import type { Sampler } from '../../src-main/core/contract/project.ts';
import { draftOf, hasDraft } from '../../src-main/core/plan/draft.ts';
import {
  baseBytes,
  passOperations,
  planMemory,
  smallestPlan,
  tokensOf,
  type MemoryInput,
  type ModelNeeds,
} from '../../src-main/core/plan/memory.ts';
import { memoryWarnings } from '../../src-main/core/plan/memory-warnings.ts';
import { defaultSampler } from '../../src-main/core/presets/defaults.ts';

const MB = 2 ** 20;
const GB = 2 ** 30;

type Precision = 'F32' | 'BF16' | 'int8';

/** A Wan2.1 denoiser of a width on the processor, as `readModelNeeds` reads it. */
function needsOf(dim: number, ffnDim: number, layers: number, precision: Precision): ModelNeeds {
  const inBlock = 8 * dim * dim + 2 * dim * ffnDim;
  const outside = dim * (4096 + dim + 256 + dim + 6 * dim + 64 + 64);
  const weights = (count: number, kind: Precision) =>
    kind === 'F32'
      ? { loaded: 0, mapped: 4 * count }
      : { loaded: kind === 'BF16' ? 4 * count : (1 + 4 / 32) * count, mapped: 0 };
  return {
    network: { dim, ffnDim, heads: dim / 128, layers, textLength: 512, patch: 2 },
    experts: 1,
    block: { ...weights(inBlock, precision), loading: precision === 'int8' ? inBlock : 0 },
    rest: weights(outside, precision === 'int8' ? 'F32' : precision),
    text: { layer: { loaded: 0, mapped: 0 }, layers: 24, dim: 0, ffnDim: 0, heads: 0 },
    vae: { weightBytes: 0, bytesPerLatent: 0, stride: [4, 8, 8] },
  };
}

/** Sizes whose tokens are so many: a cell of 30 × 52 patches has 1,560. */
const sizes = {
  780: { width: 832, height: 240, frames: 1 },
  1560: { width: 832, height: 480, frames: 1 },
  3120: { width: 832, height: 480, frames: 5 },
} as const;

function planOf(needs: ModelNeeds, availableBytes: number, change: Partial<MemoryInput> = {}) {
  return planMemory({
    needs,
    provider: 'cpu',
    availableBytes,
    ...sizes[1560],
    attention: 'fused',
    attentionRows: 0,
    level: 0,
    ...change,
  });
}

/**
 * Peaks of a process's own memory (RssAnon, sampled every 15 ms) above what it held before, in MB: one or two passes
 * of a denoiser of random blocks on the processor with two threads.
 */
const measured: readonly {
  readonly tokens: keyof typeof sizes;
  readonly dim: number;
  readonly ffnDim: number;
  readonly layers: number;
  readonly precision: Precision;
  /** MB the plan is told are free, for the plan that was measured. */
  readonly free: number;
  readonly plan: Partial<ReturnType<typeof planMemory>>;
  readonly level?: number;
  readonly peak: number;
}[] = [
  {
    tokens: 1560,
    dim: 1536,
    ffnDim: 8960,
    layers: 2,
    precision: 'F32',
    free: 1500,
    plan: { arena: false },
    peak: 259,
  },
  {
    tokens: 3120,
    dim: 1536,
    ffnDim: 8960,
    layers: 2,
    precision: 'F32',
    free: 2500,
    plan: { arena: false },
    peak: 531,
  },
  {
    tokens: 3120,
    dim: 768,
    ffnDim: 3072,
    layers: 2,
    precision: 'F32',
    free: 1200,
    plan: { arena: false },
    peak: 206,
  },
  {
    tokens: 3120,
    dim: 1536,
    ffnDim: 8960,
    layers: 2,
    precision: 'F32',
    free: 2500,
    level: 3,
    plan: { feedForwardChunks: 8 },
    peak: 404,
  },
  {
    tokens: 780,
    dim: 1536,
    ffnDim: 8960,
    layers: 3,
    precision: 'BF16',
    free: 1800,
    plan: { residentBlocks: 3, arena: false },
    peak: 801,
  },
  {
    tokens: 780,
    dim: 1536,
    ffnDim: 8960,
    layers: 3,
    precision: 'BF16',
    free: 850,
    plan: { residentBlocks: 0 },
    peak: 315,
  },
  {
    tokens: 780,
    dim: 1536,
    ffnDim: 8960,
    layers: 3,
    precision: 'int8',
    free: 1200,
    plan: { residentBlocks: 3, arena: false },
    peak: 332,
  },
  {
    tokens: 1560,
    dim: 1536,
    ffnDim: 8960,
    layers: 4,
    precision: 'F32',
    free: 9000,
    plan: { arena: true },
    peak: 1410,
  },
  {
    tokens: 1560,
    dim: 1536,
    ffnDim: 8960,
    layers: 4,
    precision: 'BF16',
    free: 9000,
    plan: { arena: true },
    peak: 2213,
  },
];

describe('the forecast of memory', () => {
  test.each(measured)(
    'of $layers $precision blocks $dim wide with $tokens tokens is near the $peak MB that were measured',
    ({ tokens, dim, ffnDim, layers, precision, free, plan, level = 0, peak }) => {
      const needs = needsOf(dim, ffnDim, layers, precision);
      const input = { ...sizes[tokens], level };
      expect(tokensOf({ needs, ...input })).toBe(tokens);
      const forecast = planOf(needs, free * MB, input);
      expect(forecast).toMatchObject(plan);
      const own = (forecast.leastBytes - baseBytes) / MB;
      expect(Math.abs(own / peak - 1)).toBeLessThan(0.12);
    },
  );
});

describe('the plan', () => {
  // 14B: 40 blocks 5,120 wide; 81 frames of 480p.
  const range = { width: 832, height: 480, frames: 81 };

  test('keeps what fits, loads the rest for its turn, and never plans with more than there is', () => {
    const needs = needsOf(5120, 13_824, 40, 'int8');
    let before = -1;
    for (const free of [8, 12, 16, 24, 32, 48, 64, 128]) {
      const plan = planOf(needs, free * GB, range);
      expect(plan.residentBlocks).toBeGreaterThanOrEqual(before);
      expect(plan.residentBlocks + plan.streamedBlocks).toBe(40);
      before = plan.residentBlocks;
      if (free >= 24) expect(plan.leastBytes).toBeLessThan(free * GB);
    }
    expect(before).toBe(40);
  });

  test('cuts the widest layer finer where the memory is short', () => {
    const needs = needsOf(1536, 8960, 30, 'F32');
    const wide = planOf(needs, 64 * GB, range);
    const narrow = planOf(needs, 8 * GB, range);
    expect(wide.feedForwardChunks).toBe(1);
    expect(narrow.feedForwardChunks).toBeGreaterThan(1);
    expect(narrow.leastBytes).toBeLessThan(wide.leastBytes);
  });

  test('gets smaller at every level, down to one block at a time', () => {
    const needs = needsOf(1536, 8960, 30, 'BF16');
    const plans = Array.from({ length: smallestPlan + 1 }, (_, level) =>
      planOf(needs, 64 * GB, { ...range, level }),
    );
    for (const [level, plan] of plans.entries()) {
      if (level === 0) continue;
      const larger = plans[level - 1]!;
      expect(plan.residentBlocks).toBeLessThan(larger.residentBlocks);
      expect(plan.feedForwardChunks).toBeGreaterThan(larger.feedForwardChunks);
      expect(plan.leastBytes).toBeLessThan(larger.leastBytes);
      expect(plan.arena).toBe(false);
    }
    expect(plans.at(-1)).toMatchObject({ residentBlocks: 0, keepText: false });
  });

  test('counts weights in the file as needed for speed, not for running', () => {
    const inFile = planOf(needsOf(1536, 8960, 30, 'F32'), 64 * GB);
    expect(inFile.residentBlocks).toBe(30);
    expect(inFile.bytes.denoise - inFile.leastBytes).toBeGreaterThan(30 * 180 * MB);
  });

  test('keeps two experts side by side only where both fit', () => {
    const needs = { ...needsOf(1536, 8960, 30, 'BF16'), experts: 2 };
    expect(planOf(needs, 64 * GB).keepBoth).toBe(true);
    expect(planOf(needs, 10 * GB)).toMatchObject({ keepBoth: false, residentBlocks: 30 });
    expect(planOf(needs, 64 * GB, { level: 1 }).keepBoth).toBe(false);
  });

  test('says before the start that it is short, and advises fewer bits only where there are more', () => {
    const warn = (free: number, isQuantised: boolean) =>
      memoryWarnings(planOf(needsOf(5120, 13_824, 40, 'int8'), free * GB, range), isQuantised);
    expect(warn(128, true)).toEqual([]);
    expect(warn(1, true)).toMatchObject([{ code: 'MEMORY_SHORT', values: { available: 1 } }]);
    const [wide] = warn(24, false);
    expect(wide).toMatchObject({ code: 'MODEL_STREAMED', values: { blocks: 40 } });
    expect(wide!.text).toContain('int8');
    const [narrow] = warn(24, true);
    expect(narrow).toMatchObject({ code: 'QUANTISED_STREAMED', values: wide!.values });
    expect(narrow!.text).not.toContain('int8');
  });

  test('limits the rows of a dispatch further where they were limited', () => {
    const needs = needsOf(5120, 13_824, 40, 'int8');
    const rows = [0, 1, 2, 3].map(
      (level) =>
        planOf(needs, 64 * GB, { ...range, attention: 'primitive', attentionRows: 1024, level })
          .attentionRows,
    );
    expect(rows).toEqual([1024, 256, 64, 64]);
  });
});

test('operations of a pass are those of its matrix products', () => {
  // One block, 1,560 tokens: 2·n·(6·d² + 2·d·h) + attention 4·n²·d + cross attention 4·n·m·d, and the text's 4·m·d².
  const needs = needsOf(1536, 8960, 1, 'F32');
  const [n, m, d, h] = [1560, 512, 1536, 8960];
  const expected = 2 * n * (6 * d * d + 2 * d * h) + 4 * n * n * d + 4 * n * m * d + 4 * m * d * d;
  expect(passOperations(needs, n)).toBe(expected);
  expect(passOperations(needsOf(1536, 8960, 30, 'F32'), n)).toBe(30 * expected);
});

describe('a draft', () => {
  const sampler: Sampler = { ...defaultSampler, steps: 30, seed: 7 };

  test('has half the size and half the steps, of the model where the range has more', () => {
    expect(draftOf({ width: 832, height: 480, sampler })).toEqual({
      width: 416,
      height: 240,
      sampler: { ...sampler, steps: 15 },
    });
    expect(draftOf({ width: 832, height: 480, sampler, recommended: { steps: 10 } }).sampler.steps).toBe(5);
    expect(draftOf({ width: 832, height: 480, sampler: { ...sampler, steps: 6 } }).sampler.steps).toBe(4);
    // A distilled model needs each of its steps.
    expect(draftOf({ width: 832, height: 480, sampler: { ...sampler, steps: 4 } }).sampler.steps).toBe(4);
    expect(draftOf({ width: 832, height: 480, sampler: { ...sampler, steps: 2 } }).sampler.steps).toBe(2);
  });

  test.each([16, 32])(
    'has a size the model can make: multiples of %i, never larger than the project',
    (multiple) => {
      for (let width = multiple; width <= 2048; width += multiple) {
        const draft = draftOf({ width, height: 480, sampler, multiple });
        expect(draft.width % multiple).toBe(0);
        expect(draft.width).toBeLessThanOrEqual(width);
        expect(draft.width).toBeGreaterThanOrEqual(Math.min(width, 48));
        if (width > 128) expect(Math.abs(draft.width - width / 2)).toBeLessThanOrEqual(multiple / 2);
      }
    },
  );

  test('is told apart from a range that cannot be any quicker', () => {
    const least = { ...sampler, steps: 4 };
    expect(hasDraft({ width: 48, height: 48, sampler: least })).toBe(false);
    expect(hasDraft({ width: 48, height: 64, sampler: least })).toBe(true);
    expect(hasDraft({ width: 48, height: 48, sampler })).toBe(true);
  });
});
