import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../../src-main/core/contract/api/models.ts';
import { errorCodes } from '../../../src-main/core/errors.ts';
import type { MadeTake } from '../../../src-main/core/timeline/own-takes.ts';
import type { WarningCode } from '../../../src-main/core/timeline/preflight.ts';
import { inspector } from '../../../src-renderer/src/i18n/en/inspector.ts';
import { queue } from '../../../src-renderer/src/i18n/en/queue.ts';
import { inspector as inspectorZh } from '../../../src-renderer/src/i18n/zh/inspector.ts';
import { queue as queueZh } from '../../../src-renderer/src/i18n/zh/queue.ts';
import { loraControl, keepsCells, publishedDefaults } from '../../../src-renderer/src/inspector/defaults.ts';
import { formatDuration, tokenState, trimZeros } from '../../../src-renderer/src/inspector/format.ts';
import { generateState, modelOf } from '../../../src-renderer/src/inspector/generate.ts';
import { errorText } from '../../../src-renderer/src/inspector/messages.ts';
import { summarizeCells } from '../../../src-renderer/src/inspector/selection.ts';
import {
  formatChange,
  nameAspect,
  nearestSide,
  sizePresets,
} from '../../../src-renderer/src/inspector/sizes.ts';
import { outsideStarterWorld, unknownWords } from '../../../src-renderer/src/inspector/starter-world.ts';
import { parseSweep, shuffledSeeds } from '../../../src-renderer/src/inspector/sweep.ts';
import { applyCommand } from '../../../src-main/core/edit/apply.ts';
import { clip, picture, project, range, video } from '../../core/fixtures.ts';

const model: Model = {
  id: 'starter',
  name: 'Starter',
  licence: 'MIT',
  hash: '0'.repeat(64),
  bytes: 1,
  bundled: true,
  isDefault: true,
  unusable: null,
  recommended: { steps: 6, cfg: 2 },
  native: { width: 96, height: 96, fps: 8, frames: 17 },
  loras: [{ name: 'pusa', defaultStrength: 1.4, live: true }],
};

describe('whether a range can be generated', () => {
  const fixed = { frame: 0, kind: 'fixed' } as const;
  const ready = {
    project: project(clip('s', picture, 0, 1)),
    range: range(17, [fixed]),
    shownTakes: [],
    models: [model],
    connected: true,
  };

  it('can, with a plan', () => {
    const state = generateState(ready);
    expect(state).toMatchObject({ can: true, obstacle: null, warnings: [] });
    expect(state.plan?.plan.cells).toHaveLength(5);
  });

  it('starts from what lies under its own take, as it will be enqueued', () => {
    const hash = 'cd'.repeat(32);
    const made = { ...video, id: 'made', hash };
    const of = project(clip('s', picture, 0, 1), clip('own', made, 0, 17, { track: 1 }));
    const under = (shownTakes: MadeTake[]): string | undefined =>
      generateState({ ...ready, project: { ...of, assets: [picture, video, made] }, shownTakes }).plan
        ?.coverage[0]?.clipId;
    expect(under([])).toBe('own');
    const take = { projectId: of.id, rangeId: ready.range.id, fileHash: hash };
    expect(under([take])).toBe('s');
    // A copy of the project has the same ranges, and takes of its own.
    expect(under([{ ...take, projectId: 'copy' }])).toBe('own');
  });

  it('cannot, and says why', () => {
    const why = (more: Partial<Parameters<typeof generateState>[0]>): string | undefined =>
      generateState({ ...ready, ...more }).obstacle?.code;
    expect(why({ connected: false })).toBe('CONNECTION_CLOSED');
    expect(why({ project: null })).toBe('NO_PROJECT');
    expect(why({ range: null })).toBe('NO_RANGE');
    expect(why({ models: [] })).toBe('NO_MODEL');
    expect(why({ models: [{ ...model, unusable: 'Its files are gone.' }] })).toBe('MODEL_CANNOT');
    const coarse = { ...model, sizeMultiple: 32 };
    const halfway = { ...ready.project, width: 832, height: 464 };
    expect(why({ models: [coarse], project: halfway })).toBe('MODEL_CANNOT');
    expect(generateState({ ...ready, models: [coarse], project: halfway }).obstacle).toMatchObject({
      message: 'The model makes sizes whose sides are multiples of 32; 832×464 is none.',
      remedy: 'Choose 832×480, or another model.',
    });
    expect(why({ models: [model], project: halfway })).toBeUndefined();
    expect(why({ range: { ...ready.range, model: 'gone' } })).toBe('MODEL_NOT_FOUND');
    expect(why({ project: project() })).toBe('FIXED_WITHOUT_SOURCE');
    const unipc = { ...ready.range.sampler, solver: 'unipc' as const };
    expect(why({ range: { ...ready.range, sampler: unipc } })).toBe('SAMPLER_INVALID');
    const all = range(1, [fixed]);
    expect(why({ range: all })).toBe('MARK_INVALID');
  });

  it('tells what to know before', () => {
    const wide = { ...picture, width: 1920, height: 800 };
    const codes = generateState({
      ...ready,
      project: { ...ready.project, assets: [wide, video] },
      range: range(81, [fixed]),
    }).warnings.map(({ code }) => code);
    expect(codes).toEqual(['SHAPE_CROPPED', 'LENGTH_UNTRAINED']);
  });

  it('takes the model that a range names, never another in its place', () => {
    const other = { ...model, id: 'other', isDefault: false };
    expect(modelOf({ model: null }, [other, model])?.id).toBe('starter');
    expect(modelOf({ model: 'other' }, [other, model])?.id).toBe('other');
    expect(modelOf({ model: 'gone' }, [other, model])).toBeNull();
  });
});

describe('a batch', () => {
  it.each([
    ['2, 4, 10', [2, 4, 10]],
    ['2，4、10', [2, 4, 10]],
    ['1-5', [1, 2, 3, 4, 5]],
    ['2:10:4', [2, 6, 10]],
    ['4 .. 6', [4, 5, 6]],
    ['4..8 step 2, 10', [4, 6, 8, 10]],
    ['3 3 3', [3]],
  ])('reads "%s" as steps', (text, values) => {
    expect(parseSweep('steps', text)).toEqual({ ok: true, sweep: { over: 'steps', values } });
  });

  it('reaches the end of a stretch of fractions', () => {
    expect(parseSweep('loraStrength', '1:1.4:0.1')).toEqual({
      ok: true,
      sweep: { over: 'loraStrength', values: [1, 1.1, 1.2, 1.3, 1.4] },
    });
  });

  it.each([
    ['', 'empty'],
    [' , ', 'empty'],
    ['four', 'notNumbers'],
    ['1e9', 'notNumbers'],
    ['-3', 'notNumbers'],
    ['9:3', 'badRange'],
    ['1:9:0', 'badRange'],
    ['1:100000', 'tooMany'],
    ['0:10', 'outOfBounds'],
    ['2.5', 'outOfBounds'],
  ] as const)('refuses "%s" for steps as %s', (text, flaw) => {
    expect(parseSweep('steps', text)).toEqual({ ok: false, flaw });
  });

  it('whatever is written is read or refused, within what a batch holds', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parseSweep('cfg', text);
        if (!parsed.ok) return;
        expect(parsed.sweep.values.length).toBeLessThanOrEqual(200);
        expect(new Set(parsed.sweep.values).size).toBe(parsed.sweep.values.length);
      }),
    );
  });

  it('shuffles different seeds, the present one first', () => {
    const stuck = [0.5, 0.5, 0.25, 0.125];
    expect(shuffledSeeds(4, 7, () => stuck.shift()!)).toEqual([7, 500_000_000, 250_000_000, 125_000_000]);
  });
});

describe('figures', () => {
  const units = { h: 'h', min: 'min', s: 's' };
  it.each([
    [0, '0 s'],
    [0.2, '< 1 s'],
    [33, '33 s'],
    [59.6, '1 min'],
    [84, '1 min 24 s'],
    [700, '12 min'],
    [3599, '1 h'],
    [7500, '2 h 5 min'],
  ])('%d seconds are "%s"', (seconds, text) => expect(formatDuration(seconds, units)).toBe(text));

  it('has no zeros that say nothing', () => {
    expect([1.4, 3, 16.6667, 0.1 + 0.2].map((value) => trimZeros(value))).toEqual([
      '1.4',
      '3',
      '16.67',
      '0.3',
    ]);
  });

  it('knows how full a prompt is, its end mark counted', () => {
    expect([1, 2, 28, 29, 32, 33].map((tokens) => tokenState(tokens, 32))).toEqual([
      'empty',
      'fine',
      'fine',
      'near',
      'near',
      'over',
    ]);
  });
});

describe('sizes', () => {
  it('begin with the model’s own, all with about its pixels, in multiples of 16, none twice', () => {
    const sizes = sizePresets({ width: 832, height: 480, fps: 16, frames: 81 });
    expect(sizes[0]).toEqual({ width: 832, height: 480, aspect: '16:9', native: true });
    expect(sizes.map(({ aspect }) => aspect)).toEqual([
      '16:9',
      '3:2',
      '4:3',
      '1:1',
      '3:4',
      '2:3',
      '9:16',
      '21:9',
    ]);
    for (const { width, height } of sizes) {
      expect([width % 16, height % 16]).toEqual([0, 0]);
      expect(Math.abs(Math.log((width * height) / (832 * 480)))).toBeLessThan(0.1);
      // Every one of them is accepted as an edit.
      expect(applyCommand(project(), { type: 'setSize', width, height })).toMatchObject({ width, height });
    }
    const small = sizePresets(model.native);
    expect(small[0]).toMatchObject({ width: 96, height: 96, aspect: '1:1', native: true });
    expect(new Set(small.map(({ width, height }) => `${width}x${height}`)).size).toBe(small.length);
  });

  it('are named and rounded', () => {
    expect([
      nameAspect(1280, 720),
      nameAspect(480, 832),
      nameAspect(512, 512),
      nameAspect(1600, 400),
    ]).toEqual(['16:9', '9:16', '1:1', '4:1']);
    expect([nearestSide(0), nearestSide(100), nearestSide(99_999), nearestSide(Number.NaN)]).toEqual([
      16, 96, 4096, 16,
    ]);
    // Wan2.2's 5B model compresses twice as much.
    expect([nearestSide(0, 32), nearestSide(720, 32)]).toEqual([32, 736]);
    const sizes = sizePresets({ width: 1280, height: 704, fps: 24, frames: 121 }, 32);
    expect(sizes.length).toBeGreaterThan(4);
    for (const { width, height } of sizes) expect([width % 32, height % 32]).toEqual([0, 0]);
  });

  it('say what changing them touches', () => {
    expect(formatChange(project(), 0)).toBeNull();
    expect(formatChange(project(clip('s', picture, 0, 1)), 2)).toEqual({ clips: 1, ranges: 0, takes: 2 });
  });
});

describe('settings of a model', () => {
  it('are published with what it recommends', () => {
    expect(publishedDefaults(model).sampler).toMatchObject({ steps: 6, cfg: 2, shift: 5, solver: 'euler' });
    expect(publishedDefaults(null)).toMatchObject({ sampler: { steps: 10, cfg: 3 }, frames: 81 });
  });

  it('show a LoRA as it can be set', () => {
    expect(loraControl(model)).toEqual({ kind: 'live', name: 'pusa', published: 1.4 });
    const baked = { ...model, loras: [{ name: 'pusa', defaultStrength: 1.2, live: false }] };
    expect(loraControl(baked)).toEqual({ kind: 'baked', name: 'pusa', strength: 1.2 });
    expect(loraControl({ ...model, loras: [] })).toEqual({ kind: 'none' });
  });

  it('know when only Euler keeps what is marked', () => {
    expect(keepsCells(range(17))).toBe(false);
    expect(keepsCells(range(17, [{ frame: 3, kind: 'interpolated', m: 0.4 }]))).toBe(true);
  });
});

it('the selected cells are told with what they have in common', () => {
  const marked = range(17, [
    { frame: 0, kind: 'fixed' },
    { frame: 1, kind: 'interpolated', m: 0.3 },
    { frame: 5, kind: 'interpolated', m: 0.3 },
    { frame: 9, kind: 'interpolated' },
  ]);
  expect(summarizeCells(marked, { first: 2, last: 1 })).toEqual({
    first: 1,
    last: 2,
    from: 1,
    to: 8,
    kind: 'interpolated',
    m: 0.3,
    automatic: false,
    interpolated: 2,
  });
  expect(summarizeCells(marked, { first: 0, last: 99 })).toMatchObject({ last: 4, kind: null, m: null });
  expect(summarizeCells(marked, { first: 3, last: 3 })).toMatchObject({ automatic: true });
  expect(summarizeCells(marked, { first: 7, last: 9 })).toBeNull();
  expect(summarizeCells(marked, null)).toBeNull();
});

describe('the small world of the starter model', () => {
  it('has the words it was trained with, in both languages, and no others', () => {
    expect(unknownWords('A gold ball falls down on a green meadow.')).toEqual([]);
    expect(unknownWords('在草地上一个绿色的方块上下弹跳')).toEqual([]);
    expect(unknownWords('the BOAT leaves the old harbour, the boat')).toEqual([
      'boat',
      'leaves',
      'old',
      'harbour',
    ]);
    expect(unknownWords('在草地上一个绿色的小船落下')).toEqual(['小船']);
    expect(unknownWords('')).toEqual([]);
  });

  it('lacks pictures of another size that are sources, and is of no account for other models', () => {
    const ranged = range(17, [{ frame: 0, kind: 'fixed' }]);
    const of = project(clip('s', picture, 0, 1), clip('far', video, 90, 4));
    const { plan } = generateState({
      project: of,
      range: ranged,
      shownTakes: [],
      models: [model],
      connected: true,
    });
    const { sources } = plan!;
    const own = { ...ranged, prompt: 'a red star stays still' };
    expect(outsideStarterWorld(model, of, own, sources)).toEqual({ words: [], sources: [picture.name] });
    const small = { ...of, assets: of.assets.map((asset) => ({ ...asset, width: 96, height: 96 })) };
    expect(outsideStarterWorld(model, small, own, sources)).toBeNull();
    expect(outsideStarterWorld(model, small, { prompt: 'a wolf' }, null)).toEqual({
      words: ['wolf'],
      sources: [],
    });
    expect(outsideStarterWorld({ ...model, bundled: false }, of, own, sources)).toBeNull();
  });
});

describe('words', () => {
  it('are for people: what names fields and types is told by its code, and kept as a detail', () => {
    const technical = 'The job is not valid at version: expected 1.';
    expect(errorText('JOB_INVALID', technical, 'Make the job again from its project.')).toEqual({
      message: queue['queue.error.JOB_INVALID'],
      remedy: queue['queue.remedy.JOB_INVALID'],
      detail: technical,
    });
    const internal = 'Something unexpected went wrong: Cannot read properties of undefined.';
    expect(errorText('INTERNAL', internal, null).detail).toBe(internal);
    const plain = '“boat.png” is empty.';
    expect(errorText('FILE_EMPTY', plain, 'Choose another.')).toMatchObject({ message: plain, detail: null });
  });

  it('there are for every error and every warning, in both languages, with the same places to fill', () => {
    const warnings: Record<WarningCode, true> = {
      RATE_RESAMPLED: true,
      SHAPE_CROPPED: true,
      SHAPE_CONTAINED: true,
      SHAPE_STRETCHED: true,
      SOURCE_ENLARGED: true,
      SOURCE_ENDS_EARLY: true,
      STATIC_END: true,
      LENGTH_UNTRAINED: true,
      COLOUR_MISMATCH: true,
      CELLS_BLENDED: true,
      NOTHING_TO_GENERATE: true,
    };
    const keys = [
      ...errorCodes.flatMap((code) => [`queue.error.${code}`, `queue.remedy.${code}`]),
      ...Object.keys(warnings).map((code) => `queue.warning.${code}`),
    ];
    expect(keys.filter((key) => !Object.hasOwn(queue, key))).toEqual([]);
  });

  it('are translated with the same places to fill', () => {
    const places = (text: string): string[] => [...new Set(text.match(/\{\w+\}/gu) ?? [])].sort();
    const texts: Readonly<Record<string, string>> = { ...inspector, ...queue };
    const others: Readonly<Record<string, string>> = { ...inspectorZh, ...queueZh };
    const mine = Object.keys(texts);
    expect(mine.length).toBeGreaterThan(200);
    for (const key of mine) {
      expect([key, ...places(others[key] ?? '')]).toEqual([key, ...places(texts[key] ?? '')]);
    }
    const words = (text = ''): string => text.replace(/\{\w+\}/gu, '');
    const untranslated = mine.filter(
      (key) => texts[key] === others[key] && /[a-z]{4}/u.test(words(texts[key])),
    );
    expect(untranslated).toEqual(['inspector.solver.euler']);
  });
});
