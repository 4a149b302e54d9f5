import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  presetIds,
  type Clip,
  type PresetId,
  type Project,
  type Range,
} from '../../../src-main/core/contract/project.ts';
import { applyCommands } from '../../../src-main/core/edit/apply.ts';
import { planRange } from '../../../src-main/core/plan/range.ts';
import { presetCommands, type PresetWish } from '../../../src-renderer/src/inspector/preset-commands.ts';
import { arbitraryClips, clip, picture, project, range, video } from '../../core/fixtures.ts';

const model = {
  recommended: { steps: 6, cfg: 2, shift: 3, loraStrength: 1 },
  native: { width: 832, height: 480, fps: 16, frames: 81 },
};
const small = { ...model, native: { ...model.native, frames: 17 } };

interface Made {
  readonly project: Project;
  readonly range: Range;
  readonly missing: string | null;
  clip(id: string): Clip;
  /** m by conditioned cell. */
  readonly cells: Record<number, number>;
}

function choose(preset: PresetId, of: Project, more: Partial<PresetWish> = {}): Made {
  const edit = presetCommands({
    project: of,
    range: of.ranges[0] ?? null,
    preset,
    playhead: 0,
    model,
    newRangeId: 'new',
    ...more,
  });
  const after = applyCommands(of, edit.commands);
  const made = after.ranges.find(({ id }) => id === edit.rangeId)!;
  let cells: Record<number, number> = {};
  if (edit.missing === null) {
    // It can be planned: nothing that is fixed lacks a source.
    const { plan } = planRange(after, made);
    cells = Object.fromEntries(plan.cells.flatMap(({ m }, cell) => (m < 1 ? [[cell, m]] : [])));
  }
  return {
    project: after,
    range: made,
    missing: edit.missing,
    cells,
    clip: (id) => after.clips.find((each) => each.id === id)!,
  };
}

describe('a preset without a range', () => {
  it('image → video starts at the picture and keeps one frame of it', () => {
    const made = choose('image-to-video', project(clip('v', video, 0, 50), clip('s', picture, 60, 80)), {
      playhead: 3,
    });
    expect(made.range).toMatchObject({ id: 'new', start: 60, frames: 81, preset: 'image-to-video' });
    expect(made.range.sampler).toMatchObject({ steps: 6, cfg: 2, shift: 3, loraStrength: 1 });
    expect(made.clip('s')).toMatchObject({ start: 60, frames: 1 });
    expect(made.clip('v').frames).toBe(50);
    expect(made.cells).toEqual({ 0: 0.2 });
  });

  it('a transition keeps 9 frames of the first clip and 12 of the second, and moves what follows', () => {
    const made = choose(
      'transition',
      project(clip('a', video, 0, 40), clip('b', video, 40, 40), clip('c', video, 80, 20)),
      { playhead: 38 },
    );
    expect(made.range).toMatchObject({ start: 31, frames: 81 });
    expect(made.clip('a')).toMatchObject({ start: 0, frames: 40 });
    expect(made.clip('b').start).toBe(31 + 81 - 12);
    expect(made.clip('c').start - made.clip('b').start).toBe(40);
    expect(made.cells).toEqual({ 0: 0, 1: 0, 2: 0, 18: 0, 19: 0, 20: 0 });
  });

  it('a transition keeps the gap that was left between the clips, to the next 4n+1', () => {
    const made = choose('transition', project(clip('a', video, 10, 20), clip('b', video, 53, 30)));
    expect(made.range).toMatchObject({ start: 21, frames: 45 });
    expect(made.clip('b').start).toBe(21 + 45 - 12);
  });

  it('a transition of a short model keeps less, and still both clips', () => {
    const made = choose('transition', project(clip('a', video, 0, 9), clip('b', video, 9, 12)), {
      model: small,
    });
    expect(made.range).toMatchObject({ start: 4, frames: 17 });
    expect(made.cells).toEqual({ 0: 0, 1: 0, 3: 0, 4: 0 });
    expect(made.clip('b').start).toBe(4 + 17 - 8);
  });

  it('a transition of two pictures gives them the frames it keeps', () => {
    const made = choose('transition', project(clip('a', picture, 0, 1), clip('b', picture, 1, 1)));
    expect(made.missing).toBeNull();
    expect(made.clip('a').frames).toBe(9);
    expect(made.clip('b').frames).toBe(12);
    expect(Object.keys(made.cells)).toHaveLength(6);
  });

  it('start–end holds the first picture and lets the second fill the last cell', () => {
    const made = choose('start-end', project(clip('a', picture, 0, 80), clip('b', picture, 80, 80)));
    expect(made.range).toMatchObject({ start: 0, frames: 81 });
    expect(made.clip('a')).toMatchObject({ start: 0, frames: 1 });
    expect(made.clip('b')).toMatchObject({ start: 77, frames: 4 });
    expect(made.cells).toEqual({ 0: 0.2, 20: 0.4 });
  });

  it('keyframes keep their places where they fit, and are spread where they do not', () => {
    const near = choose(
      'keyframes',
      project(clip('a', picture, 8, 10), clip('b', picture, 30, 10), clip('c', picture, 50, 10)),
    );
    expect(near.range).toMatchObject({ start: 8, frames: 45 });
    expect(near.cells).toEqual({ 0: 0.2, 6: 0.4, 11: 0.4 });
    const far = choose(
      'keyframes',
      project(clip('a', picture, 0, 80), clip('b', picture, 80, 80), clip('c', picture, 160, 80)),
    );
    expect(far.range).toMatchObject({ start: 0, frames: 81 });
    expect(far.cells).toEqual({ 0: 0.2, 10: 0.4, 20: 0.4 });
  });

  it('extension keeps 13 frames of the clip’s end', () => {
    const made = choose('extend', project(clip('v', video, 5, 60)));
    expect(made.range).toMatchObject({ start: 52, frames: 81 });
    expect(made.cells).toEqual({ 0: 0, 1: 0.3, 2: 0.4, 3: 0.5 });
    const short = choose('extend', project(clip('v', video, 0, 6)), { model: small });
    expect(short.range.start).toBe(1);
    expect(short.cells).toEqual({ 0: 0, 1: 0.3 });
  });

  it('completion and restyling lie over the clip', () => {
    expect(choose('complete', project(clip('v', video, 4, 31))).range).toMatchObject({
      start: 4,
      frames: 29,
    });
    expect(choose('restyle', project(clip('v', video, 4, 300))).range).toMatchObject({
      start: 4,
      frames: 81,
    });
  });

  it('text → video goes where no range is', () => {
    const made = choose(
      'text-to-video',
      { ...project(), ranges: [range(81, [], { prompt: 'A boat' })] },
      { range: null },
    );
    expect(made.range).toMatchObject({ id: 'new', start: 81 });
  });

  it('says what is missing', () => {
    const none: Record<PresetId, string | null> = {
      'image-to-video': 'picture',
      'start-end': 'picture',
      keyframes: 'picture',
      extend: 'clip',
      transition: 'clip',
      complete: 'clip',
      restyle: 'clip',
      'text-to-video': null,
    };
    for (const preset of presetIds) expect(choose(preset, project()).missing).toBe(none[preset]);
    expect(choose('transition', project(clip('v', video, 0, 30))).missing).toBe('secondClip');
    expect(choose('start-end', project(clip('s', picture, 0, 30))).missing).toBe('secondPicture');
    expect(choose('keyframes', project(clip('s', picture, 0, 30))).missing).toBe('secondPicture');
    const many = Array.from({ length: 30 }, (_, i) => clip(`s${i}`, picture, i, 1));
    expect(choose('keyframes', project(...many)).missing).toBe('room');
  });

  it('takes the clips that are selected', () => {
    const of = project(clip('a', video, 0, 30), clip('b', video, 30, 30), clip('c', video, 60, 30));
    expect(choose('transition', of, { clipIds: ['b', 'c'] }).range.start).toBe(60 - 9);
    expect(choose('extend', of, { clipIds: ['a'] }).range.start).toBe(30 - 13);
  });
});

describe('a preset with a range', () => {
  const lying = (r: Range, ...clips: Clip[]): Project => ({ ...project(...clips), ranges: [r] });

  it('leaves a range with its sources where it lies', () => {
    const of = lying(range(33, [], { start: 2, prompt: 'A boat' }), clip('s', picture, 0, 20));
    const made = choose('image-to-video', of, { playhead: 10 });
    expect(made.range).toMatchObject({ id: 'r', start: 2, frames: 33 });
    expect(made.clip('s').frames).toBe(20);
  });

  it('moves it over the clips, with the length a person gave it', () => {
    const of = lying(range(33, [], { prompt: 'A boat' }), clip('a', video, 0, 20), clip('b', video, 20, 20));
    const made = choose('transition', of);
    expect(made.range).toMatchObject({ id: 'r', start: 11, frames: 33, prompt: 'A boat' });
    expect(made.clip('b').start).toBe(11 + 33 - 12);
  });

  it('makes another where work would be lost, with the same seed', () => {
    const mine = range(17, [], { prompt: 'A boat' });
    const of = lying({ ...mine, sampler: { ...mine.sampler, seed: 77 } }, clip('s', picture, 100, 50));
    const made = choose('image-to-video', of, { playhead: 110 });
    expect(made.range).toMatchObject({ id: 'new', start: 100 });
    expect(made.range.sampler.seed).toBe(77);
    expect(made.project.ranges).toHaveLength(2);
  });

  it('goes on after a clip that fills it, and leaves the first range', () => {
    const of = lying(range(17, [], { prompt: 'A boat' }), clip('v', video, 0, 40));
    expect(choose('extend', of).range).toMatchObject({ id: 'new', start: 35, frames: 17 });
  });
});

it('whatever lies on the timeline, a preset that misses nothing can be planned, and applies as commands', () => {
  fc.assert(
    fc.property(
      arbitraryClips,
      fc.constantFrom(...presetIds),
      fc.integer({ min: 0, max: 120 }),
      fc.boolean(),
      fc.constantFrom(model, small),
      (clips, preset, playhead, ranged, of) => {
        const base = project(...clips.map((each, index) => ({ ...each, id: `c${index}` })));
        const given = ranged ? { ...base, ranges: [range(33, [], { start: 20 })] } : base;
        const edit = presetCommands({
          project: given,
          range: given.ranges[0] ?? null,
          preset,
          playhead,
          model: of,
          newRangeId: 'new',
        });
        const after = applyCommands(given, edit.commands);
        const made = after.ranges.find(({ id }) => id === edit.rangeId)!;
        expect(made.preset).toBe(preset);
        if (edit.missing === null && preset !== 'transition') planRange(after, made);
      },
    ),
    { numRuns: 400 },
  );
});
