import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  presetIds,
  projectSchema,
  rangeSchema,
  type PresetId,
  type Project,
} from '../../src-main/core/contract/project.ts';
import { planRange } from '../../src-main/core/plan/range.ts';
import { defaultSampler, newProject, newRange } from '../../src-main/core/presets/defaults.ts';
import { applyPreset, presets } from '../../src-main/core/presets/presets.ts';
import { negativePromptChinese, negativePromptEnglish } from '../../src-main/core/presets/prompts.ts';
import { cellMarks } from '../../src-main/core/timeline/marks.ts';
import { arbitrarySampler } from '../support/project.ts';
import { arbitraryClips, arbitraryLength, clip, codeOf, picture, project, range, video } from './fixtures.ts';

/** m of the cells a preset conditions, by cell. */
function placed(id: PresetId, of: Project, frames: number): Record<number, number> {
  const { marks, missing } = applyPreset(id, of, range(frames));
  expect(missing).toBeNull();
  const cells = cellMarks(frames, marks, { curve: 'linear', peak: 1 });
  return Object.fromEntries(cells.flatMap(({ kind, m }, cell) => (kind === 'noisy' ? [] : [[cell, m]])));
}

describe('presets', () => {
  const still = project(clip('s', picture, 0, 40), clip('t', picture, 60, 40));
  const whole = project(clip('v', video, 0, 200));

  it('place the published marks', () => {
    expect(placed('image-to-video', still, 81)).toEqual({ 0: 0.2 });
    expect(placed('start-end', still, 81)).toEqual({ 0: 0.2, 20: 0.4 });
    expect(placed('complete', whole, 81)).toEqual({ 0: 0.3, 20: 0.3 });
    expect(placed('extend', project(clip('v', video, 0, 13)), 81)).toEqual({ 0: 0, 1: 0.3, 2: 0.4, 3: 0.5 });
    expect(placed('transition', project(clip('a', video, 0, 9), clip('b', video, 69, 12)), 81)).toEqual({
      0: 0,
      1: 0,
      2: 0,
      18: 0,
      19: 0,
      20: 0,
    });
    expect(placed('restyle', project(clip('v', video, 8, 9)), 33)).toEqual({ 2: 0.7, 3: 0.7, 4: 0.7 });
    expect(placed('text-to-video', whole, 81)).toEqual({});
  });

  it('extend whatever the clip covers, and leave something to generate', () => {
    expect(placed('extend', project(clip('v', video, 0, 41)), 81)).toEqual(
      Object.fromEntries(Array.from({ length: 11 }, (_, cell) => [cell, 0])),
    );
    expect(placed('extend', project(clip('v', video, 0, 6)), 81)).toEqual({ 0: 0, 1: 0.3 });
    expect(placed('extend', whole, 81)).toEqual({ 0: 0, 1: 0.3, 2: 0.4, 3: 0.5 });
    expect(placed('extend', whole, 9)).toEqual({ 0: 0 });
    expect(placed('transition', whole, 17)).toEqual({ 0: 0, 1: 0, 3: 0, 4: 0 });
    expect(placed('transition', whole, 5)).toEqual({ 0: 0, 1: 0 });
  });

  it('hold each picture of a keyframe sequence where it begins, and the last where it ends', () => {
    const three = project(
      clip('a', picture, 0, 16),
      clip('v', video, 16, 20),
      clip('b', picture, 38, 10),
      clip('c', picture, 70, 11),
    );
    expect(placed('keyframes', three, 81)).toEqual({ 0: 0.2, 10: 0.4, 20: 0.4 });
    expect(applyPreset('keyframes', whole, range(81)).missing).toMatch(/picture/);
  });

  it('set the published sampler, the model’s wishes over it, and keep the seed', () => {
    const one = range(81, [], {
      sampler: { ...defaultSampler, steps: 99, cfg: 9, seed: 1234, solver: 'unipc' },
    });
    expect(applyPreset('image-to-video', still, one).sampler).toEqual({
      solver: 'euler',
      steps: 10,
      cfg: 3,
      shift: 5,
      seed: 1234,
      loraStrength: 1.4,
    });
    const wishes = { steps: 4, cfg: 1, solver: 'unipc' as const, loraStrength: undefined };
    expect(applyPreset('image-to-video', still, one, wishes).sampler).toMatchObject({
      solver: 'euler',
      steps: 4,
      cfg: 1,
      loraStrength: 1.4,
    });
    expect(applyPreset('text-to-video', still, one, wishes).sampler.solver).toBe('unipc');
  });

  it('say what is missing', () => {
    expect(applyPreset('start-end', project(clip('s', picture, 0, 1)), range(81)).missing).toBe(
      'Put a clip or picture under frames 77–80.',
    );
    expect(applyPreset('restyle', project(), range(81)).missing).toBe(
      'Put a clip or picture under the range.',
    );
    expect(applyPreset('text-to-video', project(), range(81)).missing).toBeNull();
  });

  it('always give a valid range, and one that can be planned when nothing is missing', () => {
    let planned = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...presetIds),
        arbitraryClips,
        arbitraryLength,
        arbitrarySampler,
        (id, clips, frames, sampler) => {
          const of = project(...clips);
          const before = range(frames, [], { start: 20, sampler });
          if (frames === 1 && !['keyframes', 'restyle', 'text-to-video'].includes(id)) {
            expect(codeOf(() => applyPreset(id, of, before))).toBe('PRESET_INVALID');
            return;
          }
          const { preset, marks, sampler: set, explanation, missing } = applyPreset(id, of, before);
          const after = { ...before, preset, marks, sampler: set };
          expect(rangeSchema.safeParse(after).success).toBe(true);
          expect(explanation).toMatch(/\.$/);
          expect(applyPreset(id, of, after)).toEqual(applyPreset(id, of, before));
          if (missing !== null) {
            expect(missing).toMatch(/\.$/);
            return;
          }
          planned++;
          expect(planRange(of, after).plan.frames).toBe(frames);
        },
      ),
      { numRuns: 300 },
    );
    expect(planned).toBeGreaterThan(0);
  });

  it('refuse what they cannot do with a code', () => {
    expect(codeOf(() => applyPreset('morph' as PresetId, still, range(81)))).toBe('PRESET_INVALID');
    expect(codeOf(() => applyPreset('toString' as PresetId, still, range(81)))).toBe('PRESET_INVALID');
    expect(codeOf(() => applyPreset('extend', still, { ...range(81), frames: NaN }))).toBe('RANGE_LENGTH');
    expect(Object.keys(presets).sort()).toEqual([...presetIds].sort());
  });
});

describe('defaults', () => {
  it('make valid projects and ranges', () => {
    const now = '2026-01-02T03:04:05.000Z';
    const made = newProject({ id: 'p', name: '海边', now, width: 640, height: 352, fps: 24 });
    expect(projectSchema.parse(made)).toEqual(made);
    const one = newRange({ id: 'r', start: 12, recommended: { steps: 6 } });
    expect(rangeSchema.parse(one)).toEqual(one);
    expect(one).toMatchObject({
      frames: 81,
      negativePrompt: negativePromptEnglish,
      sampler: { steps: 6, cfg: 3 },
    });
    expect(planRange(made, one).plan.cells.every(({ kind }) => kind === 'noisy')).toBe(true);
    expect(negativePromptChinese.split('，')).toHaveLength(28);
  });

  it('refuse what no project or range can have', () => {
    const now = '2026-01-02T03:04:05.000Z';
    expect(codeOf(() => newProject({ id: 'p', name: 'x', now, width: 833 }))).toBe('SIZE_INVALID');
    expect(codeOf(() => newProject({ id: 'p', name: 'x', now, height: NaN }))).toBe('SIZE_INVALID');
    expect(codeOf(() => newProject({ id: 'p', name: '', now }))).toBe('PROJECT_INVALID');
    expect(codeOf(() => newProject({ id: 'p', name: 'x', now: 'today' }))).toBe('PROJECT_INVALID');
    expect(codeOf(() => newRange({ id: '../x' }))).toBe('PROJECT_INVALID');
    expect(codeOf(() => newRange({ id: 'r', frames: 80 }))).toBe('RANGE_LENGTH');
    expect(codeOf(() => newRange({ id: 'r', start: -1 }))).toBe('PROJECT_INVALID');
  });
});
