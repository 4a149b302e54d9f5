import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Mark } from '../../src-main/core/contract/project.ts';
import { cellOfFrame, firstFrameOf, lastFrameOf } from '../../src-main/core/timeline/cells.ts';
import { coverRange } from '../../src-main/core/timeline/coverage.ts';
import { cellMarks, paintCells } from '../../src-main/core/timeline/marks.ts';
import { preflight } from '../../src-main/core/timeline/preflight.ts';
import { planSources, runInFrames, type SourcePlan } from '../../src-main/core/timeline/sources.ts';
import { arbitraryInterpolation, arbitraryMarks } from '../support/project.ts';
import { arbitraryClips, arbitraryLength, clip, picture, project, range, video } from './fixtures.ts';

const fixed = (frame: number): Mark => ({ frame, kind: 'fixed' });

function sourcesOf(of: ReturnType<typeof project>, one: ReturnType<typeof range>): SourcePlan {
  return planSources(of, one, cellMarks(one.frames, one.marks, one.interpolation));
}

const times = (plan: SourcePlan, pass: number): (number | null)[] =>
  plan.passes[pass]!.frames.map(({ time }) => time);

describe('sources', () => {
  it('encode a clip from the first frame on whole, as the reference does', () => {
    const plan = sourcesOf(project(clip('v', video, 0, 200)), range(81, [fixed(0), fixed(80)]));
    expect(plan.passes).toHaveLength(1);
    expect(plan.passes[0]).toMatchObject({ firstCell: 0, cells: 21, dropCells: 0 });
    expect(times(plan, 0)).toEqual(Array.from({ length: 81 }, (_, i) => i / 16));
    expect(plan.originals).toEqual([0, 77, 78, 79, 80].map((frame) => ({ frame, source: 0, at: frame })));
    expect(plan.sourced.flatMap((own, cell) => (own ? [cell] : []))).toEqual([0, 20]);
  });

  it('keep the context of a clip whose first cells are not needed', () => {
    const plan = sourcesOf(project(clip('v', video, 0, 200)), range(17, [fixed(10)]));
    expect(plan.passes).toEqual([
      {
        firstCell: 3,
        cells: 1,
        dropCells: 3,
        frames: Array.from({ length: 13 }, (_, i) => ({ clipId: 'v', time: i / 16 })),
      },
    ]);
  });

  it('encode a later clip with a run-in of its source’s own earlier frames', () => {
    const one = range(81, paintCells(81, [], 18, 20, { kind: 'fixed' }));
    const plan = sourcesOf(project(clip('v', video, 69, 12, { sourceStart: 10 })), one);
    expect(plan.passes[0]).toMatchObject({ firstCell: 18, cells: 3, dropCells: 9 });
    expect(times(plan, 0)).toEqual(Array.from({ length: 45 }, (_, i) => 10 + (i - 33) / 16));
    expect(plan.originals[0]).toEqual({ frame: 69, source: 0, at: 33 });
    expect(plan.originals).toHaveLength(12);
  });

  it('repeat the first frame where the source begins with the clip', () => {
    const one = range(81, paintCells(81, [], 18, 20, { kind: 'fixed' }));
    const whole = sourcesOf(project(clip('v', video, 69, 12)), one);
    expect(times(whole, 0)).toEqual(Array.from({ length: 45 }, (_, i) => Math.max(0, i - 33) / 16));
    const partly = sourcesOf(project(clip('v', video, 69, 12, { sourceStart: 1 })), one);
    expect(times(partly, 0)).toEqual(Array.from({ length: 45 }, (_, i) => Math.max(0, 1 + (i - 33) / 16)));
  });

  it('repeat the nearest covered frame in a partly covered cell', () => {
    const plan = sourcesOf(
      project(clip('v', video, 6, 5, { sourceStart: 10 })),
      range(17, [...paintCells(17, [], 2, 3, { kind: 'fixed' })]),
    );
    // Frames 6 to 10 are covered; the cells 2 and 3 hold frames 5 to 12.
    const clipFrames = times(plan, 0).map((time) => (time! - 10) * 16);
    expect(clipFrames.slice(0, 33)).toEqual(Array.from({ length: 33 }, (_, i) => i - 33));
    expect(clipFrames.slice(33)).toEqual([0, 0, 1, 2, 3, 4, 4, 4]);
    expect(plan.originals).toEqual(
      [6, 7, 8, 9, 10].map((frame) => ({ frame, source: 0, at: 33 + frame - 5 })),
    );
  });

  it('encode a still as one frame for each cell that needs it', () => {
    const one = range(17, paintCells(17, [], 1, 2, { kind: 'fixed' }));
    const plan = sourcesOf(project(clip('s', picture, 0, 100)), one);
    const frames = [{ clipId: 's', time: null }];
    expect(plan.passes).toEqual([1, 2].map((firstCell) => ({ firstCell, cells: 1, dropCells: 0, frames })));
    expect(plan.originals).toEqual(
      [1, 2, 3, 4, 5, 6, 7, 8].map((frame) => ({ frame, source: frame < 5 ? 0 : 1, at: 0 })),
    );
    expect(
      sourcesOf(project(clip('s', picture, 0, 100)), { ...one, keepOriginalPixels: false }).originals,
    ).toEqual([]);
  });

  it('let the marked frame, then the topmost, then the longest clip own a shared cell', () => {
    const below = [clip('v', video, 0, 7), clip('w', video, 7, 50)];
    const own = (marks: Mark[], ...more: ReturnType<typeof clip>[]): string =>
      sourcesOf(project(...below, ...more), range(17, marks)).passes[0]!.frames[0]!.clipId;
    // Cell 2 holds frames 5 to 8: two of each clip, so the earlier owns it unless a mark says otherwise.
    expect(own([fixed(5), fixed(6), fixed(7), fixed(8)])).toBe('v');
    expect(own([fixed(7)])).toBe('w');
    const still = clip('s', picture, 8, 1, { track: 1 });
    expect(own(paintCells(17, [], 2, 2, { kind: 'fixed' }), still)).toBe('s');
    expect(own([fixed(8)], still)).toBe('s');
    expect(own([fixed(6)], still)).toBe('v');
    // A weaker mark in the same cell says nothing.
    expect(own([fixed(7), { frame: 5, kind: 'interpolated' }])).toBe('w');
  });

  it('hold for any clips and marks: every needed cell once, right phase, right run-in, right pixels', () => {
    const seenRunIns = new Set<boolean>();
    fc.assert(
      fc.property(
        arbitraryClips,
        arbitraryLength.chain((frames) =>
          fc.tuple(fc.constant(frames), arbitraryMarks(frames), arbitraryInterpolation),
        ),
        (clips, [frames, marks, interpolation]) => {
          const of = project(...clips);
          const one = range(frames, marks, { start: 20, interpolation });
          const cells = cellMarks(frames, marks, interpolation);
          const seen = coverRange(of, one);
          const plan = planSources(of, one, cells);

          const landed = new Map<number, number>();
          for (const [i, pass] of plan.passes.entries()) {
            expect(pass.frames).toHaveLength(1 + 4 * (pass.dropCells + pass.cells - 1));
            expect(pass.cells).toBeGreaterThanOrEqual(1);
            const owner = clips.find(({ id }) => id === pass.frames[0]!.clipId)!;
            expect(new Set(pass.frames.map(({ clipId }) => clipId))).toEqual(new Set([owner.id]));
            for (let cell = pass.firstCell; cell < pass.firstCell + pass.cells; cell++) {
              expect(landed.has(cell)).toBe(false);
              landed.set(cell, i);
            }
            // Both ends of a pass are needed: nothing is encoded for its own sake.
            expect(plan.sourced[pass.firstCell]).toBe(true);
            expect(plan.sourced[pass.firstCell + pass.cells - 1]).toBe(true);

            const placed = (index: number): number =>
              index - (pass.frames.length - 1) + lastFrameOf(pass.firstCell + pass.cells - 1);
            if (owner.assetId === 'picture') {
              expect(pass).toMatchObject({ cells: 1, dropCells: 0, frames: [{ time: null }] });
            } else {
              const whole = seen[0]?.clipId === owner.id && pass.frames[0]!.time === seen[0].time;
              const runIn = !(whole && pass.dropCells === pass.firstCell);
              if (runIn) expect(pass.dropCells).toBe((runInFrames - 1) / 4 + 1);
              seenRunIns.add(runIn);
              for (const [index, { time }] of pass.frames.entries()) {
                const shown = seen[placed(index)];
                const dropped = index <= 4 * (pass.dropCells - 1);
                // Wherever this clip is seen, it is that very frame.
                if (shown?.clipId === owner.id && !(runIn && dropped)) expect(time).toBe(shown.time);
                if (index > 0) expect(time!).toBeGreaterThanOrEqual(pass.frames[index - 1]!.time!);
                expect(time!).toBeGreaterThanOrEqual(0);
              }
              if (runIn) {
                const first = pass.frames[runInFrames]!.time!;
                for (let back = 1; back <= runInFrames; back++) {
                  expect(pass.frames[runInFrames - back]!.time).toBeCloseTo(
                    Math.max(0, first - back / 16),
                    9,
                  );
                }
              }
            }
          }
          for (const [cell, { m }] of cells.entries()) {
            const covered = seen
              .slice(firstFrameOf(cell), lastFrameOf(cell) + 1)
              .some((frame) => frame !== null);
            expect(plan.sourced[cell]).toBe(m < 1 && covered);
            if (plan.sourced[cell]!) expect(landed.has(cell)).toBe(true);
          }
          const frameSet = new Set<number>();
          for (const { frame, source, at } of plan.originals) {
            expect(frameSet.has(frame)).toBe(false);
            frameSet.add(frame);
            expect(cells[cellOfFrame(frame)]!.kind).toBe('fixed');
            expect(landed.get(cellOfFrame(frame))).toBe(source);
            expect(plan.passes[source]!.frames[at]).toEqual({
              clipId: seen[frame]!.clipId,
              time: seen[frame]!.time,
            });
          }
          // Of the frames under a fixed cell, just those of the clip that owns it are shown as they are.
          for (const [frame, shown] of seen.entries()) {
            const cell = cellOfFrame(frame);
            if (cells[cell]!.kind !== 'fixed' || shown === null) continue;
            const owner = plan.passes[landed.get(cell)!]!.frames[0]!.clipId;
            expect(frameSet.has(frame)).toBe(shown.clipId === owner);
          }
        },
      ),
      { numRuns: 300 },
    );
    expect(seenRunIns).toEqual(new Set([true, false]));
  });
});

describe('preflight', () => {
  const look = (
    of: ReturnType<typeof project>,
    one: ReturnType<typeof range>,
    more: Partial<Parameters<typeof preflight>[0]> = {},
  ): string[] => {
    const cells = cellMarks(one.frames, one.marks, one.interpolation);
    const sources = planSources(of, one, cells);
    const warnings = preflight({ project: of, range: one, cells, sources, ...more });
    for (const { text } of warnings) expect(text).toMatch(/^[A-Z“].*\.$/);
    return warnings.map(({ code }) => code);
  };

  it('says nothing about sources that fit', () => {
    const of = project(clip('v', video, 0, 81));
    expect(look(of, range(81, [fixed(0)]), { trainedFrames: 81 })).toEqual([]);
  });

  it('names what will be resampled, reshaped, enlarged or run out', () => {
    const small = { ...video, fps: 25, width: 320, height: 240, duration: 1 };
    const of = (fit: 'crop' | 'contain' | 'stretch'): ReturnType<typeof project> => ({
      ...project(clip('v', small, 0, 81, { fit })),
      assets: [small],
    });
    const marks = [fixed(0)];
    const common = ['SOURCE_ENLARGED', 'SOURCE_ENDS_EARLY'];
    expect(look(of('crop'), range(81, marks))).toEqual(['RATE_RESAMPLED', 'SHAPE_CROPPED', ...common]);
    expect(look(of('contain'), range(81, marks))).toEqual(['RATE_RESAMPLED', 'SHAPE_CONTAINED', ...common]);
    expect(look(of('stretch'), range(81, marks))).toEqual(['RATE_RESAMPLED', 'SHAPE_STRETCHED', ...common]);
    // A clip that nothing is taken from is no concern.
    expect(look(of('crop'), range(81))).toEqual([]);
    const film = { ...video, fps: 24_000 / 1001 };
    expect(look({ ...project(clip('v', film, 0, 81)), fps: 24, assets: [film] }, range(81, marks))).toEqual(
      [],
    );
  });

  it('names a static end, blends, colours, untrained lengths and an empty job', () => {
    const still = project(clip('s', picture, 70, 30));
    expect(look(still, range(81, [fixed(80)]))).toEqual(['STATIC_END']);
    expect(look(project(clip('s', picture, 0, 1)), range(1, [fixed(0)]))).toEqual(['NOTHING_TO_GENERATE']);
    expect(look(still, range(81, [fixed(80), { frame: 40, kind: 'interpolated', m: 0.5 }]))).toEqual([
      'STATIC_END',
      'CELLS_BLENDED',
    ]);
    expect(look(project(clip('v', video, 0, 161)), range(161, [fixed(0)]), { trainedFrames: 81 })).toEqual([
      'LENGTH_UNTRAINED',
    ]);
    const two = project(clip('a', video, 0, 9), clip('b', video, 69, 12));
    const marks = [fixed(0), fixed(80)];
    const colours = (shift: number): Map<string, [number, number, number]> =>
      new Map([
        ['a', [100, 110, 120]],
        ['b', [100, 110, 120 + shift]],
      ]);
    expect(look(two, range(81, marks), { colours: colours(60) })).toEqual(['COLOUR_MISMATCH']);
    expect(look(two, range(81, marks), { colours: colours(5) })).toEqual([]);
    expect(look(two, range(81, marks), { colours: new Map([['a', [0, 0, 0]]]) })).toEqual([]);
  });
});
