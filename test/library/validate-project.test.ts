import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseBounded } from '../../src-main/core/contract/parse.ts';
import { takeSchema } from '../../src-main/core/contract/job.ts';
import { validateProject } from '../../src-main/core/contract/validate-project.ts';
import { toPusaError } from '../../src-main/core/errors.ts';
import { arbitraryProject, sampleProject, sampleTake } from '../support/project.ts';

function messageFor(value: unknown): string {
  try {
    validateProject(value);
  } catch (thrown) {
    const error = toPusaError(thrown);
    expect(error.code).toBe('PROJECT_INVALID');
    expect(error.remedy).toMatch(/\.$/);
    return error.message;
  }
  throw new Error('The project was accepted.');
}

/** The sample with one field set, by a path such as `clips.0.assetId`. */
function sampleWith(path: string, value: unknown): unknown {
  const project: unknown = structuredClone(sampleProject());
  const keys = path.split('.');
  const last = keys.pop()!;
  const parent = keys.reduce((node, key) => (node as Record<string, unknown>)[key], project);
  (parent as Record<string, unknown>)[last] = value;
  return project;
}

describe('validateProject', () => {
  it('gives back every valid project unchanged', () => {
    fc.assert(
      fc.property(arbitraryProject, (project) => {
        expect(validateProject(project)).toEqual(project);
      }),
    );
    expect(validateProject(sampleProject())).toEqual(sampleProject());
  });

  it.each([
    ['name', '', 'The project is not valid at name: '],
    ['fps', Number.NaN, 'The project is not valid at fps: expected number, received NaN.'],
    ['width', 100, 'The project is not valid at width: '],
    ['height', 4112, 'The project is not valid at height: '],
    ['assets.1.hash', 'AB'.repeat(32), 'at assets[1].hash: '],
    ['assets.1.id', 'sunset', 'at assets[1].id: the id "sunset" is used twice.'],
    ['clips.1.id', 'clip-1', 'at clips[1].id: the id "clip-1" is used twice.'],
    ['clips.1.assetId', 'moon', 'at clips[1].assetId: there is no asset "moon".'],
    ['clips.0.sourceStart', Number.POSITIVE_INFINITY, 'at clips[0].sourceStart: '],
    ['ranges.0.frames', 22, 'at ranges[0].frames: A range has 4n+1 frames.'],
    ['ranges.0.marks.2.m', Number.NaN, 'at ranges[0].marks[2].m: expected number, received NaN.'],
    [
      'ranges.0.marks.2.frame',
      21,
      'at ranges[0].marks[2].frame: frame 21 lies outside its range of 21 frames.',
    ],
    ['ranges.0.marks.2.frame', 8, 'at ranges[0].marks[2].frame: frame 8 is marked twice.'],
    ['ranges.0.marks.0.m', 0.5, 'at ranges[0].marks[0]: '],
    ['ranges.0.sampler.seed', 2 ** 32, 'at ranges[0].sampler.seed: '],
    ['extra', true, 'The project is not valid: unrecognized key: "extra".'],
    ['version', 2, 'at version: '],
  ])('names the field: %s = %s', (path, value, expected) => {
    expect(messageFor(sampleWith(path, value)).toLowerCase()).toContain(expected.toLowerCase());
  });

  it('refuses what is no project at all', () => {
    for (const value of [null, undefined, 1, 'x', [], {}, { assets: 3 }])
      expect(messageFor(value)).toMatch(/\.$/);
  });

  it('refuses hostile amounts after the first bad record, without running out of stack or memory', () => {
    const many = Array.from({ length: 99_999 }, () => ({}));
    expect(messageFor(sampleWith('assets', many))).toContain('at assets[0]');
    expect(
      messageFor(
        sampleWith(
          'clips',
          Array.from({ length: 100_001 }, () => 0),
        ),
      ),
    ).toContain('at clips: it has 100001 records');
    const marks = Array.from({ length: 500_000 }, () => 'mark');
    expect(messageFor(sampleWith('ranges.0.marks', marks))).toContain('at ranges[0]: it holds more than');
    expect(messageFor(sampleWith('x'.repeat(1_000_000), 0)).length).toBeLessThan(400);
  });

  it('turns an overflow of inner flaws into a refusal', () => {
    const take = {
      ...sampleTake(),
      plan: { ...sampleTake().plan, timesteps: [new Array(400_000).fill('x')] },
    };
    const parsed = parseBounded(takeSchema, take, 500_000);
    expect(parsed).toMatchObject({ ok: false, flaw: { reason: expect.stringMatching(/./) as string } });
    expect(parseBounded(takeSchema, take, 300_000)).toMatchObject({
      flaw: { reason: 'it holds more than 300000 values' },
    });
    expect(parseBounded(takeSchema, sampleTake(), 500_000)).toEqual({ ok: true, value: sampleTake() });
  });
});
