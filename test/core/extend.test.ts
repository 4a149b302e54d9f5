import { describe, expect, it } from 'vitest';
import type { Project, Range } from '../../src-main/core/contract/project.ts';
import { planRange } from '../../src-main/core/plan/range.ts';
import { marksOfPlan, replanJob } from '../../src-main/core/plan/replan.ts';
import { newRange } from '../../src-main/core/presets/defaults.ts';
import { extendRange, extensionMarks, overlapOf, sharedFrames } from '../../src-main/core/presets/extend.ts';
import { cellMarks } from '../../src-main/core/timeline/marks.ts';
import { seenByRange } from '../../src-main/core/timeline/own-takes.ts';

const hash = 'ab'.repeat(32);
const project: Pick<Project, 'fps' | 'assets' | 'clips'> = {
  fps: 16,
  assets: [
    {
      id: 'take',
      kind: 'video',
      name: 'take.mp4',
      hash,
      bytes: 1,
      width: 96,
      height: 96,
      fps: 16,
      duration: 81 / 16,
    },
  ],
  clips: [{ id: 'clip', assetId: 'take', track: 0, start: 10, frames: 81, sourceStart: 0, fit: 'crop' }],
};
const clip = project.clips[0]!;
const base = newRange({ id: 'base' });
const msOf = (range: Range): number[] =>
  cellMarks(range.frames, range.marks, range.interpolation).map(({ m }) => m);

describe('a range that goes on from a take', () => {
  it('shares its first cells, the last of them held more and more loosely', () => {
    expect([1, 2, 4, 21].map(sharedFrames)).toEqual([1, 5, 13, 81]);
    const range = extendRange(clip, base, { rangeId: 'r', lastShared: 90, frames: 81, overlap: 4 });
    expect(range).toMatchObject({ id: 'r', start: 78, frames: 81, preset: 'extend' });
    expect(msOf(range).slice(0, 6)).toEqual([0, 0.3, 0.4, 0.5, 1, 1]);
    expect(msOf({ ...range, marks: extensionMarks(1) }).slice(0, 2)).toEqual([0, 1]);
    expect(msOf({ ...range, marks: extensionMarks(6) }).slice(0, 7)).toEqual([0, 0, 0, 0.3, 0.4, 0.5, 1]);
    expect(overlapOf(range, clip, planRange(project, range))).toBe(13);
    // Chained again and again, nothing limits the length but the timeline.
    const later = { ...clip, start: range.start };
    const next = extendRange(later, range, {
      rangeId: 'n',
      lastShared: range.start + 80,
      frames: 81,
      overlap: 4,
    });
    expect(next.start).toBe(146);
  });

  it('is refused where the take has too few frames or nothing would be new', () => {
    const wanted = { rangeId: 'r', lastShared: 20, frames: 81, overlap: 4 };
    expect(() => extendRange(clip, base, wanted)).toThrow(
      'The take has 11 frames up to there; 4 shared cells need 13.',
    );
    expect(() => extendRange(clip, base, { ...wanted, lastShared: 90, frames: 13 })).toThrow(
      'leaves nothing',
    );
  });

  it('is known by its marks: a restyled range or one with a cut of its own is not', () => {
    const range = extendRange(clip, base, { rangeId: 'r', lastShared: 90, frames: 81, overlap: 2 });
    const overlap = (change: Partial<Range>): number => {
      const changed = { ...range, ...change };
      return overlapOf(changed, clip, planRange(project, changed));
    };
    expect(overlap({})).toBe(5);
    expect(overlap({ marks: [{ frame: 0, kind: 'interpolated', m: 0.7 }] })).toBe(0);
    expect(overlap({ marks: [] })).toBe(0);
    expect(overlap({ start: 10, marks: extensionMarks(2) })).toBe(0);
    // The clip ends two frames after the range begins.
    expect(overlap({ start: 89 })).toBe(2);
    // All of the range is held: nothing of it is new.
    expect(overlap({ start: 60, frames: 5 })).toBe(0);
  });
});

describe('a range whose own take is on the timeline', () => {
  it('still starts from what lies under that take, and from the take where nothing does', () => {
    const own = { ...clip, id: 'own', assetId: 'own', start: 78, track: 5 };
    const shown = {
      ...project,
      id: 'p',
      assets: [...project.assets, { ...project.assets[0]!, id: 'own', hash: 'cd'.repeat(32) }],
      clips: [...project.clips, own],
    };
    const range = extendRange(clip, base, { rangeId: 'r', lastShared: 90, frames: 81, overlap: 4 });
    const take = { projectId: 'p', rangeId: 'r', fileHash: 'cd'.repeat(32) };
    const clipsUnder = (takes: readonly (typeof take)[]): (string | undefined)[] =>
      planRange(seenByRange(shown, range, takes), range).coverage.map((seen) => seen?.clipId);
    expect(new Set(clipsUnder([]))).toEqual(new Set(['own']));
    expect(clipsUnder([take])).toEqual([...Array<string>(13).fill('clip'), ...Array<string>(68).fill('own')]);
    // A hidden one is not there, however its track is counted.
    const hidden = { ...shown, tracks: [{ track: 5, locked: false, hidden: true }] };
    const bare = planRange(seenByRange(hidden, range, [take]), range).coverage.map((seen) => seen?.clipId);
    expect(bare).toEqual([...Array<string>(13).fill('clip'), ...Array<undefined>(68).fill(undefined)]);
    // Another range's take is a source like any other.
    expect(new Set(clipsUnder([{ ...take, rangeId: 'other' }]))).toEqual(new Set(['own']));
  });
});

describe('a frozen plan', () => {
  it('is made anew for another sampler as its range would be', () => {
    const range = { ...base, start: 30, frames: 21, marks: extensionMarks(3) };
    const { plan } = planRange(project, range);
    const job = { prompt: 'a', negativePrompt: 'b', sampler: range.sampler, plan };
    const sampler = { ...range.sampler, steps: 7, shift: 2.5, cfg: 1 };
    expect(replanJob(job, { sampler: { steps: 7, shift: 2.5, cfg: 1 }, prompt: 'c' })).toEqual({
      prompt: 'c',
      negativePrompt: 'b',
      sampler,
      plan: planRange(project, { ...range, sampler }).plan,
    });
    expect(replanJob(job, {})).toEqual(job);
    const unipc = { sampler: { solver: 'unipc' as const } };
    expect(() => replanJob(job, unipc)).toThrow('gives all frames one timestep');
    expect(planRange(project, { ...range, marks: marksOfPlan(plan) }).plan).toEqual(plan);
  });
});
