import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { markSchema, type Interpolation, type Mark } from '../../src-main/core/contract/project.ts';
import { openTrack, timelineEnd } from '../../src-main/core/timeline/tracks.ts';
import {
  cellCount,
  cellOfFrame,
  firstFrameOf,
  isRangeLength,
  lastFrameOf,
  maxFrames,
  nameFrames,
  nearestRangeLength,
} from '../../src-main/core/timeline/cells.ts';
import { coverRange, visibleRuns } from '../../src-main/core/timeline/coverage.ts';
import {
  aloneM,
  cellMarks,
  clearCells,
  paintCells,
  setM,
  trimMarks,
  type Paint,
} from '../../src-main/core/timeline/marks.ts';
import { arbitraryInterpolation, arbitraryMarks } from '../support/project.ts';
import { arbitraryClips, arbitraryLength, clip, codeOf, picture, project, range, video } from './fixtures.ts';

const linear: Interpolation = { curve: 'linear', peak: 1 };
const auto = (frame: number): Mark => ({ frame, kind: 'interpolated' });
const ms = (frames: number, marks: Mark[], interpolation = linear): number[] =>
  cellMarks(frames, marks, interpolation).map(({ m }) => m);

describe('cells', () => {
  it('partition the frames of every range', () => {
    for (let frames = 1; frames <= maxFrames; frames += 4) {
      const cells = cellCount(frames);
      expect(lastFrameOf(cells - 1)).toBe(frames - 1);
      if (frames > 101 && frames < maxFrames) continue;
      let frame = 0;
      for (let cell = 0; cell < cells; cell++) {
        expect(firstFrameOf(cell)).toBe(frame);
        for (; frame <= lastFrameOf(cell); frame++) expect(cellOfFrame(frame)).toBe(cell);
      }
      expect(frame).toBe(frames);
    }
    expect(cellCount(81)).toBe(21);
    expect(nameFrames(0)).toBe('frame 0');
    expect(nameFrames(20)).toBe('frames 77–80');
  });

  it('find the nearest valid length', () => {
    expect([1, 2, 3, 4, 5, 80, 82, 83].map(nearestRangeLength)).toEqual([1, 1, 5, 5, 5, 81, 81, 85]);
    expect([-7, 0, 1e300, Infinity, -Infinity].map(nearestRangeLength)).toEqual([
      1,
      1,
      maxFrames,
      maxFrames,
      1,
    ]);
    fc.assert(
      fc.property(fc.double({ min: -10, max: 5000, noNaN: true }), (wish) => {
        const length = nearestRangeLength(wish);
        expect(isRangeLength(length)).toBe(true);
        const distance = Math.abs(length - wish);
        for (const other of [length - 4, length + 4]) {
          if (isRangeLength(other)) expect(Math.abs(other - wish)).toBeGreaterThanOrEqual(distance);
        }
      }),
    );
  });

  it('refuse every other length with its code', () => {
    for (const frames of [NaN, Infinity, -Infinity, 0, -3, 2, 4, 5.5, maxFrames + 4, 1e300]) {
      expect(codeOf(() => cellCount(frames))).toBe('RANGE_LENGTH');
    }
    expect(codeOf(() => nearestRangeLength(NaN))).toBe('RANGE_LENGTH');
  });
});

describe('marks', () => {
  it('give one mark per cell, the strongest', () => {
    const marks: Mark[] = [
      { frame: 1, kind: 'noisy' },
      { frame: 2, kind: 'interpolated', m: 0.5 },
      { frame: 3, kind: 'interpolated', m: 0.25 },
      auto(4),
      { frame: 5, kind: 'interpolated', m: 0.5 },
      { frame: 8, kind: 'fixed' },
      { frame: 12, kind: 'noisy' },
    ];
    const expected = [
      { kind: 'noisy', m: 1, automatic: false },
      { kind: 'interpolated', m: 0.25, automatic: false },
      { kind: 'fixed', m: 0, automatic: false },
      { kind: 'noisy', m: 1, automatic: false },
    ];
    expect(cellMarks(13, marks, linear)).toEqual(expected);
    expect(cellMarks(13, marks.toReversed(), linear)).toEqual(expected);
  });

  it('raise automatic m as a hill between two conditioned cells', () => {
    const ends: Mark[] = [
      { frame: 0, kind: 'fixed' },
      { frame: 16, kind: 'interpolated', m: 0.4 },
    ];
    const hill = [...ends, auto(1), auto(5), auto(9)];
    expect(ms(17, hill)).toEqual([0, 0.5, 1, 0.7, 0.4]);
    expect(ms(17, hill, { curve: 'linear', peak: 0.6 })).toEqual([0, 0.3, 0.6, 0.5, 0.4]);
    expect(ms(17, hill, { curve: 'hold', peak: 0.6 })).toEqual([0, 0.6, 0.6, 0.6, 0.4]);
    const eased = ms(
      21,
      [...hill.slice(0, 1), auto(1), auto(5), auto(9), auto(13), { frame: 20, kind: 'fixed' }],
      {
        curve: 'ease',
        peak: 1,
      },
    );
    // Smoothstep at 2/5 and 4/5 of the way up.
    [0, 0.352, 0.896, 0.896, 0.352, 0].forEach((m, cell) => expect(eased[cell]).toBeCloseTo(m, 12));
  });

  it('ramp automatic m to 1 beside a noisy cell and at the end of the range', () => {
    expect(ms(17, [{ frame: 0, kind: 'fixed' }, auto(1), auto(5), auto(9)])).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(ms(13, [{ frame: 0, kind: 'fixed' }, auto(1), auto(5), auto(9)])).toEqual([0, 0.25, 0.5, 0.75]);
    expect(ms(13, [auto(1), auto(5), { frame: 9, kind: 'interpolated', m: 0.25 }])).toEqual([
      1, 0.75, 0.5, 0.25,
    ]);
    expect(ms(9, [auto(1)])).toEqual([1, aloneM, 1]);
    expect(ms(1, [auto(0)])).toEqual([aloneM]);
  });

  it('keep automatic m between 0 and 1, and what is set by hand as it is', () => {
    fc.assert(
      fc.property(
        arbitraryLength.chain((frames) =>
          fc.tuple(fc.constant(frames), arbitraryMarks(frames), arbitraryInterpolation),
        ),
        ([frames, marks, interpolation]) => {
          const cells = cellMarks(frames, marks, interpolation);
          expect(cells).toHaveLength(cellCount(frames));
          for (const [cell, { kind, m, automatic }] of cells.entries()) {
            const own = marks.filter(({ frame }) => cellOfFrame(frame) === cell);
            expect(m).toBeGreaterThanOrEqual(0);
            expect(m).toBeLessThanOrEqual(1);
            if (own.some((mark) => mark.kind === 'fixed')) expect([kind, m]).toEqual(['fixed', 0]);
            else if (own.some((mark) => mark.kind === 'interpolated')) expect(kind).toBe('interpolated');
            else expect([kind, m]).toEqual(['noisy', 1]);
            const set = own.flatMap((mark) =>
              mark.kind === 'interpolated' && mark.m !== undefined ? [mark.m] : [],
            );
            if (kind === 'interpolated') expect(automatic).toBe(set.length === 0);
            if (kind === 'interpolated' && !automatic) expect(m).toBe(Math.min(...set));
          }
        },
      ),
    );
  });

  it('paint idempotently, in either direction, without touching other cells', () => {
    const paint: fc.Arbitrary<Paint> = fc.oneof(
      fc.record({ kind: fc.constantFrom('fixed' as const, 'noisy' as const) }),
      fc.record({
        kind: fc.constant('interpolated' as const),
        m: fc.option(fc.constantFrom(0.2, 0.7), { nil: undefined }),
      }),
    );
    fc.assert(
      fc.property(
        arbitraryLength.chain((frames) => {
          const cell = fc.integer({ min: 0, max: cellCount(frames) - 1 });
          return fc.tuple(fc.constant(frames), arbitraryMarks(frames), cell, cell, paint);
        }),
        ([frames, marks, a, b, what]) => {
          const before = structuredClone(marks);
          const once = paintCells(frames, marks, a, b, what);
          expect(marks).toEqual(before);
          expect(paintCells(frames, once, a, b, what)).toEqual(once);
          expect(paintCells(frames, marks, b, a, what)).toEqual(once);
          for (const mark of once) expect(markSchema.safeParse(mark).success).toBe(true);
          expect(new Set(once.map(({ frame }) => frame)).size).toBe(once.length);
          const cells = cellMarks(frames, once, linear);
          const [from, to] = [Math.min(a, b), Math.max(a, b)];
          for (let cell = from; cell <= to; cell++) {
            expect(cells[cell]!.kind).toBe(what.kind);
            if (what.kind === 'interpolated' && what.m !== undefined) expect(cells[cell]!.m).toBe(what.m);
          }
          const outside = (list: readonly Mark[]): Mark[] =>
            list
              .filter(({ frame }) => cellOfFrame(frame) < from || cellOfFrame(frame) > to)
              .sort((x, y) => x.frame - y.frame);
          expect(outside(once)).toEqual(outside(marks));
          expect(clearCells(frames, once, a, b)).toEqual(outside(marks));
        },
      ),
    );
  });

  it('set m of interpolated cells only, and trim with the range', () => {
    let marks = paintCells(17, [], 0, 0, { kind: 'fixed' });
    marks = paintCells(17, marks, 2, 4, { kind: 'interpolated' });
    marks = setM(17, marks, 0, 3, 0.35);
    expect(cellMarks(17, marks, linear).map(({ m, automatic }) => [m, automatic])).toEqual([
      [0, false],
      [1, false],
      [0.35, false],
      [0.35, false],
      [expect.closeTo(0.675, 12), true],
    ]);
    expect(setM(17, setM(17, marks, 2, 3, undefined), 2, 3, 0.35)).toEqual(marks);
    expect(Math.max(...trimMarks(9, marks).map(({ frame }) => frame))).toBe(8);
    expect(cellMarks(9, trimMarks(9, marks), linear)).toHaveLength(3);
  });

  it('refuse malformed marks, cells and curves with their code', () => {
    const bad: Mark[] = [
      { frame: NaN, kind: 'fixed' },
      { frame: -1, kind: 'fixed' },
      { frame: 17, kind: 'noisy' },
      { frame: 1e300, kind: 'fixed' },
      { frame: 0.5, kind: 'fixed' },
      { frame: 0, kind: 'interpolated', m: NaN },
      { frame: 0, kind: 'interpolated', m: 0 },
      { frame: 0, kind: 'interpolated', m: 1 },
      { frame: 0, kind: 'interpolated', m: -1e300 },
      { frame: 0, kind: 'frozen' } as unknown as Mark,
      { frame: 0, kind: 'constructor' } as unknown as Mark,
    ];
    for (const mark of bad) {
      expect(codeOf(() => cellMarks(17, [mark], linear))).toBe('MARK_INVALID');
      expect(codeOf(() => paintCells(17, [mark], 1, 1, { kind: 'fixed' }))).toBe('MARK_INVALID');
      expect(codeOf(() => setM(17, [mark], 1, 1, 0.5))).toBe('MARK_INVALID');
    }
    for (const cell of [-1, 5, 0.5, NaN, Infinity]) {
      expect(codeOf(() => paintCells(17, [], cell, 0, { kind: 'fixed' }))).toBe('MARK_INVALID');
      expect(codeOf(() => clearCells(17, [], 0, cell))).toBe('MARK_INVALID');
    }
    for (const m of [NaN, 0, 1, -1, Infinity]) {
      expect(codeOf(() => paintCells(17, [], 0, 0, { kind: 'interpolated', m }))).toBe('MARK_INVALID');
      expect(codeOf(() => setM(17, [auto(0)], 0, 0, m))).toBe('MARK_INVALID');
    }
    for (const peak of [NaN, -0.1, 1.1, Infinity]) {
      expect(codeOf(() => cellMarks(17, [], { curve: 'linear', peak }))).toBe('MARK_INVALID');
    }
    const unknown = { curve: 'wave', peak: 1 } as unknown as Interpolation;
    expect(codeOf(() => cellMarks(17, [], unknown))).toBe('MARK_INVALID');
    expect(codeOf(() => cellMarks(NaN, [], linear))).toBe('RANGE_LENGTH');
  });
});

describe('coverage', () => {
  it('shows the topmost clip with its source time', () => {
    const seen = coverRange(
      project(
        clip('below', video, 8, 20, { sourceStart: 2 }),
        clip('above', picture, 12, 2, { track: 1 }),
        clip('elsewhere', video, 40, 5, { track: 9 }),
      ),
      { start: 10, frames: 21 },
    );
    expect(seen[0]).toEqual({ clipId: 'below', track: 0, clipFrame: 2, time: 2.125 });
    expect(seen[2]).toEqual({ clipId: 'above', track: 1, clipFrame: 0, time: null });
    expect(seen.map((frame) => frame?.clipId.at(0) ?? '-').join('')).toBe('bbaabbbbbbbbbbbbbb---');
  });

  it('sees nothing of hidden tracks', () => {
    fc.assert(
      fc.property(arbitraryClips, arbitraryLength, fc.uniqueArray(fc.nat(3)), (clips, frames, hidden) => {
        const tracks = hidden.map((track) => ({ track, locked: false, hidden: true }));
        const others = clips.filter(({ track }) => !hidden.includes(track));
        expect(coverRange({ ...project(...clips), tracks }, { start: 20, frames })).toEqual(
          coverRange(project(...others), { start: 20, frames }),
        );
      }),
    );
  });

  it('finds the end of what is seen, and the next open track', () => {
    const timeline = project(clip('low', video, 0, 10), clip('high', picture, 30, 5, { track: 2 }));
    const tracks = [
      { track: 1, locked: true, hidden: false },
      { track: 2, locked: false, hidden: true },
    ];
    expect([timelineEnd(timeline), timelineEnd({ ...timeline, tracks })]).toEqual([35, 10]);
    expect([0, 1, 2, 3].map((from) => openTrack(from, { tracks }))).toEqual([0, 3, 3, 3]);
    const all = Array.from({ length: 64 }, (_, track) => ({ track, locked: true, hidden: false }));
    expect(openTrack(0, { tracks: all })).toBe(63);
  });

  it('equals looking at every clip for every frame', () => {
    fc.assert(
      fc.property(arbitraryClips, arbitraryLength, (clips, frames) => {
        const seen = coverRange(project(...clips), { start: 20, frames });
        for (let f = 0; f < frames; f++) {
          const at = 20 + f;
          let top: (typeof clips)[number] | null = null;
          for (const one of clips) {
            if (at < one.start || at >= one.start + one.frames) continue;
            if (
              top === null ||
              one.track > top.track ||
              (one.track === top.track && one.start >= top.start)
            ) {
              top = one;
            }
          }
          expect(seen[f]?.clipId ?? null).toBe(top?.id ?? null);
          if (top !== null) {
            expect(seen[f]!.clipFrame).toBe(at - top.start);
            const time = top.assetId === 'picture' ? null : top.sourceStart + (at - top.start) / 16;
            expect(seen[f]!.time).toBe(time);
          }
        }
      }),
    );
  });

  it('tells a whole timeline by runs, however long its clips are', () => {
    const timeline = project(
      clip('low', video, 100, 9_000_000),
      clip('mid', picture, 500, 1_000_000, { track: 1 }),
      clip('top', video, 2000, 10, { track: 2 }),
      clip('hidden', picture, 2002, 3, { track: 1 }),
      clip('after', picture, 9_500_000, 5),
    );
    const seen = visibleRuns(timeline, { start: 0, frames: 10_000_000 });
    expect(seen.map(({ clip: { id }, asset, start, frames }) => [id, asset.id, start, frames])).toEqual([
      ['low', 'video', 100, 400],
      ['mid', 'picture', 500, 1500],
      ['top', 'video', 2000, 10],
      ['mid', 'picture', 2010, 998_490],
      ['low', 'video', 1_000_500, 7_999_600],
      ['after', 'picture', 9_500_000, 5],
    ]);
    const part = visibleRuns(timeline, { start: 2005, frames: 20 });
    expect(part.map(({ clip: { id }, start, frames }) => [id, start, frames])).toEqual([
      ['top', 2005, 5],
      ['mid', 2010, 15],
    ]);
    expect(visibleRuns(timeline, { start: 0, frames: 100 })).toEqual([]);
  });

  it('looks at a hundred thousand overlapping clips of the longest range in one go', () => {
    const clips = Array.from({ length: 100_000 }, (_, i) =>
      clip(`c${i}`, video, 0, 10_000_000, { track: i % 64 }),
    );
    const seen = coverRange(project(...clips), { start: 0, frames: maxFrames });
    // Of the clips on the top track that start together, the last.
    expect(new Set(seen.map((frame) => frame?.clipId))).toEqual(new Set(['c99967']));
  });

  it('refuses malformed clips and ranges with their code', () => {
    const one = range(17);
    for (const bad of [
      { start: NaN },
      { start: -1 },
      { frames: 0 },
      { frames: Infinity },
      { track: -1 },
      { sourceStart: NaN },
      { sourceStart: -2 },
      { assetId: 'gone' },
    ]) {
      expect(codeOf(() => coverRange(project(clip('c', video, 0, 5, bad)), one))).toBe('PROJECT_INVALID');
    }
    expect(codeOf(() => coverRange({ ...project(), fps: NaN }, one))).toBe('PROJECT_INVALID');
    expect(codeOf(() => coverRange(project(), { start: NaN, frames: 17 }))).toBe('PROJECT_INVALID');
    expect(codeOf(() => coverRange(project(), { start: 0, frames: 1e9 }))).toBe('RANGE_LENGTH');
  });
});
