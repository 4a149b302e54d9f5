import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  curves,
  fits,
  markKinds,
  presetIds,
  solvers,
  type Asset,
  type Clip,
  type Project,
} from '../../src-main/core/contract/project.ts';
import { validateProject } from '../../src-main/core/contract/validate-project.ts';
import { applyCommand, applyCommands } from '../../src-main/core/edit/apply.ts';
import { commandSchema, type Command } from '../../src-main/core/edit/commands.ts';
import { changeProject, diffProjects, projectChangeSchema } from '../../src-main/core/edit/diff.ts';
import { PusaError } from '../../src-main/core/errors.ts';
import { newRange } from '../../src-main/core/presets/defaults.ts';
import { coverRange } from '../../src-main/core/timeline/coverage.ts';
import { clip, codeOf, picture, project, video } from './fixtures.ts';

/** Two clips of the video and a picture on a timeline with one range of 21 frames. */
function sample(): Project {
  return {
    ...project(
      clip('a', video, 0, 20, { sourceStart: 1 }),
      clip('b', video, 20, 20),
      clip('c', picture, 10, 30, { track: 1 }),
    ),
    ranges: [
      {
        ...newRange({ id: 'r', frames: 21 }),
        marks: [
          { frame: 0, kind: 'fixed' },
          { frame: 20, kind: 'fixed' },
        ],
      },
    ],
  };
}

const clipOf = (of: Project, id: string): Clip => of.clips.find((each) => each.id === id)!;
const edit = (command: Command, of = sample()): Project => applyCommand(of, command);

/** A project none of whose parts can be written to. */
function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(frozen);
  return Object.freeze(value);
}

describe('clips', () => {
  it('are added, moved together, put in order and removed', () => {
    const added = clip('d', picture, 100, 5);
    expect(edit({ type: 'addClip', clip: added }).clips.at(-1)).toEqual(added);
    const moved = edit({ type: 'moveClips', clipIds: ['a', 'c'], byFrames: 7, byTracks: 2 });
    expect(moved.clips.map(({ id, start, track }) => [id, start, track])).toEqual([
      ['a', 7, 2],
      ['b', 20, 0],
      ['c', 17, 3],
    ]);
    const order = (before: string | null): string[] =>
      edit({ type: 'reorderClip', clipId: 'b', before }).clips.map(({ id }) => id);
    expect([order('a'), order(null), order('b'), order('c')]).toEqual([
      ['b', 'a', 'c'],
      ['a', 'c', 'b'],
      ['a', 'b', 'c'],
      ['a', 'b', 'c'],
    ]);
    expect(edit({ type: 'removeClips', clipIds: ['a', 'c'] }).clips.map(({ id }) => id)).toEqual(['b']);
    expect(edit({ type: 'setFit', clipIds: ['c'], fit: 'contain' }).clips[2]!.fit).toBe('contain');
  });

  it('keep their pictures in place when trimmed', () => {
    const start = clipOf(edit({ type: 'trimClip', clipId: 'a', edge: 'start', to: 8 }), 'a');
    expect(start).toMatchObject({ start: 8, frames: 12, sourceStart: 1.5 });
    const end = clipOf(edit({ type: 'trimClip', clipId: 'a', edge: 'end', to: 8 }), 'a');
    expect(end).toMatchObject({ start: 0, frames: 8, sourceStart: 1 });
    // Lengthened to the left it shows the second before; there is no more.
    const moved = edit({ type: 'moveClips', clipIds: ['a'], byFrames: 40, byTracks: 0 });
    const longer = applyCommand(moved, { type: 'trimClip', clipId: 'a', edge: 'start', to: 24 });
    expect(clipOf(longer, 'a')).toMatchObject({ start: 24, frames: 36, sourceStart: 0 });
    expect(codeOf(() => edit({ type: 'trimClip', clipId: 'a', edge: 'start', to: 23 }, moved))).toBe(
      'EDIT_INVALID',
    );
    expect(clipOf(edit({ type: 'trimClip', clipId: 'c', edge: 'start', to: 0 }), 'c').sourceStart).toBe(0);
    for (const command of [
      { type: 'trimClip', clipId: 'a', edge: 'start', to: 20 },
      { type: 'trimClip', clipId: 'a', edge: 'end', to: 0 },
    ] as const) {
      expect(codeOf(() => edit(command))).toBe('EDIT_INVALID');
    }
  });

  it('show the same after they were split', () => {
    const stretch = { start: 0, frames: 41 };
    const times = (of: Project): unknown[] =>
      coverRange(of, stretch).map((seen) => (seen?.time === undefined ? seen : (seen.time ?? 'still')));
    for (let at = 1; at < 20; at++) {
      const split = edit({ type: 'splitClip', clipId: 'a', at, newId: 'a2' });
      expect(split.clips.map(({ id }) => id)).toEqual(['a', 'a2', 'b', 'c']);
      expect(clipOf(split, 'a').frames + clipOf(split, 'a2').frames).toBe(20);
      expect(times(split)).toEqual(times(sample()));
    }
    for (const at of [0, 20, 21]) {
      expect(codeOf(() => edit({ type: 'splitClip', clipId: 'a', at, newId: 'a2' }))).toBe('EDIT_INVALID');
    }
    expect(codeOf(() => edit({ type: 'splitClip', clipId: 'a', at: 5, newId: 'b' }))).toBe('EDIT_INVALID');
  });

  it('keep their time and still touch at another rate', () => {
    const faster = edit({ type: 'setRate', fps: 24 });
    expect(faster.clips.map(({ start, frames }) => [start, frames])).toEqual([
      [0, 30],
      [30, 30],
      [15, 45],
    ]);
    expect(faster.ranges[0]!.frames).toBe(21);
    const odd = edit({ type: 'setRate', fps: 23.976 });
    expect(clipOf(odd, 'a').start + clipOf(odd, 'a').frames).toBe(clipOf(odd, 'b').start);
    expect(edit({ type: 'setRate', fps: 1 }).clips.every(({ frames }) => frames >= 1)).toBe(true);
  });
});

describe('ranges', () => {
  const marksOf = (of: Project): unknown => of.ranges[0]!.marks;

  it('are painted, bent and cleared', () => {
    const painted = edit({
      type: 'paintCells',
      rangeId: 'r',
      first: 2,
      last: 1,
      kind: 'interpolated',
      m: 0.4,
    });
    expect(marksOf(painted)).toHaveLength(10);
    const automatic = applyCommand(painted, { type: 'setM', rangeId: 'r', first: 1, last: 1, m: null });
    expect(automatic.ranges[0]!.marks[1]).toEqual({ frame: 1, kind: 'interpolated' });
    expect(marksOf(applyCommand(painted, { type: 'clearCells', rangeId: 'r', first: 1, last: 5 }))).toEqual([
      { frame: 0, kind: 'fixed' },
    ]);
    const drawn = [
      { frame: 9, kind: 'fixed' },
      { frame: 3, kind: 'interpolated', m: 0.5 },
    ] as const;
    expect(marksOf(edit({ type: 'setMarks', rangeId: 'r', marks: [...drawn] }))).toEqual([
      drawn[1],
      drawn[0],
    ]);
    expect(codeOf(() => edit({ type: 'setMarks', rangeId: 'r', marks: [drawn[0], drawn[0]] }))).toBe(
      'MARK_INVALID',
    );
    expect(
      codeOf(() => edit({ type: 'setMarks', rangeId: 'r', marks: [{ frame: 21, kind: 'fixed' }] })),
    ).toBe('MARK_INVALID');
    expect(codeOf(() => edit({ type: 'clearCells', rangeId: 'r', first: 0, last: 6 }))).toBe('MARK_INVALID');
  });

  it('lose marks past their end when they become shorter', () => {
    expect(marksOf(edit({ type: 'resizeRange', rangeId: 'r', frames: 17 }))).toEqual([
      { frame: 0, kind: 'fixed' },
    ]);
    expect(codeOf(() => edit({ type: 'resizeRange', rangeId: 'r', frames: 16 }))).toBe('RANGE_LENGTH');
  });

  it('take a preset with its marks and sampler, and keep the seed', () => {
    const seeded = edit({ type: 'setSampler', rangeId: 'r', sampler: { seed: 77, steps: 3 } });
    const [range] = applyCommand(seeded, {
      type: 'setPreset',
      rangeId: 'r',
      preset: 'image-to-video',
      recommended: { steps: 6 },
    }).ranges;
    expect(range!.preset).toBe('image-to-video');
    expect(range!.marks).toEqual([{ frame: 0, kind: 'interpolated', m: 0.2 }]);
    expect([range!.sampler.seed, range!.sampler.steps]).toEqual([77, 6]);
  });

  it('are copied whole under a new id', () => {
    const copied = edit({ type: 'duplicateRange', rangeId: 'r', newId: 'r2', start: 50 });
    expect(copied.ranges[1]).toEqual({ ...copied.ranges[0], id: 'r2', start: 50 });
    expect(codeOf(() => edit({ type: 'duplicateRange', rangeId: 'r', newId: 'r', start: 0 }))).toBe(
      'EDIT_INVALID',
    );
    expect(edit({ type: 'removeRange', rangeId: 'r' }).ranges).toEqual([]);
  });

  it('change one value and leave the rest', () => {
    const prompted = edit({ type: 'setPrompt', rangeId: 'r', prompt: 'A harbour' });
    expect(prompted.ranges[0]).toEqual({ ...sample().ranges[0], prompt: 'A harbour' });
    expect(
      edit({ type: 'setInterpolation', rangeId: 'r', interpolation: { peak: 0.5 } }).ranges[0]!.interpolation,
    ).toEqual({
      curve: 'linear',
      peak: 0.5,
    });
  });
});

describe('a project', () => {
  it('keeps an asset that is shown', () => {
    expect(codeOf(() => edit({ type: 'removeAsset', assetId: 'video' }))).toBe('EDIT_INVALID');
    const bare = edit({ type: 'removeClips', clipIds: ['c'] });
    expect(applyCommand(bare, { type: 'removeAsset', assetId: 'picture' }).assets).toEqual([video]);
    expect(codeOf(() => edit({ type: 'addAssets', assets: [picture] }))).toBe('EDIT_INVALID');
    const other = { ...video, hash: '1'.repeat(64) };
    expect(edit({ type: 'replaceAsset', asset: other }).assets).toEqual([picture, other]);
  });

  it('has its markers in order, moves them with the rate, and no field for none', () => {
    const at = (frame: number, id = `m${frame}`): { id: string; frame: number; colour: number } => ({
      id,
      frame,
      colour: 1,
    });
    const marked = edit({ type: 'setMarkers', markers: [at(32), at(8)] });
    expect(marked.markers).toEqual([at(8), at(32)]);
    const faster = applyCommand(marked, { type: 'setRate', fps: marked.fps * 2 });
    expect(faster.markers?.map(({ frame }) => frame)).toEqual([16, 64]);
    expect(codeOf(() => edit({ type: 'setMarkers', markers: [at(1, 'm'), at(2, 'm')] }))).toBe(
      'EDIT_INVALID',
    );
    expect(applyCommand(marked, { type: 'setMarkers', markers: [] })).toEqual(sample());
  });

  it('locks and hides tracks: what is locked stays as it is, whatever is asked', () => {
    const set = (track: number, locked: boolean, hidden: boolean): Command => ({
      type: 'setTrack',
      track,
      locked,
      hidden,
    });
    const locked = edit(set(0, true, false), edit(set(3, false, true)));
    expect(locked.tracks).toEqual([
      { track: 0, locked: true, hidden: false },
      { track: 3, locked: false, hidden: true },
    ]);
    const { track } = clipOf(locked, 'a');
    expect(track).toBe(0);
    const refused: Command[] = [
      { type: 'moveClips', clipIds: ['a'], byFrames: 1, byTracks: 0 },
      { type: 'moveClips', clipIds: ['a'], byFrames: 0, byTracks: 1 },
      { type: 'trimClip', clipId: 'a', edge: 'end', to: 8 },
      { type: 'splitClip', clipId: 'a', at: 8, newId: 'a2' },
      { type: 'removeClips', clipIds: ['a'] },
      { type: 'addClip', clip: clip('new', picture, 90, 1) },
      { type: 'reorderClip', clipId: 'a', before: null },
    ];
    for (const command of refused) {
      expect(codeOf(() => edit(command, locked))).toBe('TRACK_LOCKED');
    }
    expect(edit({ type: 'setRate', fps: 24 }, locked).tracks).toEqual(locked.tracks);
    const open = edit(set(3, false, false), edit(set(0, false, false), locked));
    expect(open).toEqual(sample());
    expect(open).not.toHaveProperty('tracks');
  });

  it('takes all of several commands or none', () => {
    const commands: Command[] = [
      { type: 'setName', name: 'Two' },
      { type: 'removeClips', clipIds: ['none'] },
    ];
    const before = frozen(sample());
    expect(codeOf(() => applyCommands(before, commands))).toBe('EDIT_INVALID');
    expect(applyCommands(before, commands.slice(0, 1)).name).toBe('Two');
    expect(codeOf(() => edit({ type: 'setSize', width: 833, height: 480 }))).toBe('SIZE_INVALID');
    expect(codeOf(() => edit({ type: 'setName', name: '' }))).toBe('EDIT_INVALID');
  });
});

// Wishes around the edges of what is allowed, with ids that are there, are not, or become used.
const clipId = fc.constantFrom('a', 'b', 'c', 'x1', 'x2', 'none');
const clipIds = fc.array(clipId, { minLength: 1, maxLength: 4 });
const rangeId = fc.constantFrom('r', 'r', 'r', 'y1', 'none');
const newId = fc.constantFrom('a', 'x1', 'x2', 'x3', 'y1', 'y2');
const frame = fc.oneof(fc.integer({ min: 0, max: 60 }), fc.constantFrom(9_999_999, 10_000_000));
const cell = fc.integer({ min: 0, max: 12 });
const m = fc.constantFrom(null, 0.001, 0.5, 0.999);
const frames = fc.integer({ min: 0, max: 12 }).map((n) => 4 * n + 1);
const mark = fc.oneof(
  fc.record({ frame: fc.nat(60), kind: fc.constantFrom('fixed' as const, 'noisy' as const) }),
  fc.record({ frame: fc.nat(60), kind: fc.constant('interpolated' as const), m: fc.constantFrom(0.2, 0.9) }),
);
const sampler = fc.record(
  {
    solver: fc.constantFrom(...solvers),
    steps: fc.integer({ min: 1, max: 200 }),
    cfg: fc.constantFrom(0, 30),
    shift: fc.constantFrom(0.1, 50),
    seed: fc.constantFrom(0, 4_294_967_295),
    loraStrength: fc.constantFrom(0, 4),
  },
  { requiredKeys: [] },
);
const is = <T extends string>(type: T): fc.Arbitrary<T> => fc.constant(type);
const newClip = fc
  .record({
    id: newId,
    asset: fc.constantFrom(picture, video, { ...picture, id: 'gone' }),
    start: frame,
    frames: fc.integer({ min: 1, max: 40 }),
  })
  .map(({ id, asset, start, frames: length }) => clip(id, asset, start, length));
const arbitraryCommand: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ type: is('setName'), name: fc.string({ minLength: 1, maxLength: 200 }) }),
  fc.record({ type: is('setSize'), width: fc.constantFrom(16, 4096), height: fc.constantFrom(16, 832) }),
  fc.record({ type: is('setRate'), fps: fc.constantFrom(1, 23.976, 60, 240) }),
  fc.record({
    type: is('setMarkers'),
    markers: fc.array(fc.record({ id: newId, frame, colour: fc.nat(15) }), { maxLength: 3 }),
  }),
  fc.record({ type: is('setTrack'), track: fc.nat(2), locked: fc.boolean(), hidden: fc.boolean() }),
  fc.record({
    type: is('addAssets'),
    assets: fc.constantFrom<Asset[][]>(
      [picture],
      [{ ...video, id: 'new' }],
      [{ ...video, id: 'gone' }, video],
    ),
  }),
  fc.record({
    type: is('replaceAsset'),
    asset: fc.constantFrom({ ...video, kind: 'image' as const, fps: 0 }, { ...picture, id: 'none' }),
  }),
  fc.record({ type: is('removeAsset'), assetId: fc.constantFrom('picture', 'new', 'spare') }),
  fc.record({ type: is('addClip'), clip: newClip }),
  fc.record({
    type: is('moveClips'),
    clipIds,
    byFrames: fc.integer({ min: -30, max: 30 }),
    byTracks: fc.integer({ min: -1, max: 63 }),
  }),
  fc.record({
    type: is('trimClip'),
    clipId,
    edge: fc.constantFrom('start' as const, 'end' as const),
    to: frame,
  }),
  fc.record({ type: is('splitClip'), clipId, at: frame, newId }),
  fc.record({ type: is('slipClip'), clipId, sourceStart: fc.constantFrom(0, 1.5, 86_400) }),
  fc.record({ type: is('setFit'), clipIds, fit: fc.constantFrom(...fits) }),
  fc.record({ type: is('removeClips'), clipIds }),
  fc.record({ type: is('reorderClip'), clipId, before: fc.option(clipId) }),
  fc
    .record({ id: newId, length: frames, start: frame, marks: fc.array(mark, { maxLength: 3 }) })
    .map(({ id, length, start, marks }) => ({
      type: 'addRange' as const,
      range: { ...newRange({ id, frames: length, start }), marks },
    })),
  fc.record({ type: is('moveRange'), rangeId, start: frame }),
  fc.record({ type: is('resizeRange'), rangeId, frames }),
  fc.record({ type: is('duplicateRange'), rangeId, newId, start: frame }),
  fc.record({ type: is('removeRange'), rangeId }),
  fc.record({ type: is('reorderRange'), rangeId, before: fc.option(rangeId) }),
  fc.record({
    type: is('paintCells'),
    rangeId,
    first: cell,
    last: cell,
    kind: fc.constantFrom(...markKinds),
    m,
  }),
  fc.record({ type: is('setM'), rangeId, first: cell, last: cell, m }),
  fc.record({ type: is('clearCells'), rangeId, first: cell, last: cell }),
  fc.record({ type: is('setMarks'), rangeId, marks: fc.array(mark, { maxLength: 6 }) }),
  fc.record({
    type: is('setInterpolation'),
    rangeId,
    interpolation: fc.record(
      { curve: fc.constantFrom(...curves), peak: fc.constantFrom(0, 1) },
      { requiredKeys: [] },
    ),
  }),
  fc.record(
    { type: is('setPrompt'), rangeId, prompt: fc.string(), negativePrompt: fc.string() },
    { requiredKeys: ['type', 'rangeId'] },
  ),
  fc.record({ type: is('setSampler'), rangeId, sampler }),
  fc.record({ type: is('setModel'), rangeId, model: fc.constantFrom(null, 'tiny') }),
  fc.record({ type: is('setKeepOriginalPixels'), rangeId, keepOriginalPixels: fc.boolean() }),
  fc.record({ type: is('setPreset'), rangeId, preset: fc.constantFrom(null, ...presetIds) }),
);

describe('any commands', () => {
  it('leave a project valid, and the one before as it was', () => {
    let done = 0;
    let refused = 0;
    const types = new Set<string>();
    fc.assert(
      fc.property(fc.array(arbitraryCommand, { maxLength: 30 }), (commands) => {
        let now = frozen({ ...sample(), assets: [picture, video, { ...picture, id: 'spare' }] });
        for (const command of commands) {
          expect(commandSchema.parse(command)).toEqual(command);
          try {
            now = frozen(applyCommand(now, command));
            types.add(command.type);
            done++;
          } catch (thrown) {
            if (!(thrown instanceof PusaError)) throw thrown;
            expect(thrown.code).not.toBe('INTERNAL');
            refused++;
          }
        }
        expect(validateProject(now)).toEqual(now);
      }),
      { numRuns: 400 },
    );
    // The wishes lie on both sides of what is allowed, and every command was carried out.
    expect(Math.min(done, refused)).toBeGreaterThan(500);
    expect(types.size).toBe(commandSchema.options.length);
  });

  it('are told as a change that leads there and back', () => {
    fc.assert(
      fc.property(fc.array(arbitraryCommand, { maxLength: 20 }), fc.nat(10), (commands, skipped) => {
        const states = [sample()];
        for (const command of commands) {
          try {
            states.push(applyCommand(states.at(-1)!, command));
          } catch (thrown) {
            if (!(thrown instanceof PusaError)) throw thrown;
          }
        }
        const before = states[Math.min(skipped, states.length - 1)]!;
        const after = { ...states.at(-1)!, modifiedAt: '2026-02-03T04:05:06.000Z' };
        for (const [from, to] of [
          [before, after],
          [after, before],
        ] as const) {
          const change = projectChangeSchema.parse(JSON.parse(JSON.stringify(diffProjects(from, to))));
          expect(changeProject(from, change)).toEqual(to);
        }
        expect(diffProjects(after, structuredClone(after))).toEqual({ fields: {} });
      }),
      { numRuns: 200 },
    );
  });

  it('are told shortly', () => {
    const before = sample();
    const change = diffProjects(before, edit({ type: 'setFit', clipIds: ['b'], fit: 'stretch' }, before));
    expect(change).toEqual({
      fields: {},
      clips: { put: [{ ...clipOf(before, 'b'), fit: 'stretch' }], removed: [] },
    });
    expect(
      diffProjects(before, edit({ type: 'reorderClip', clipId: 'a', before: null }, before)).clips,
    ).toEqual({
      put: [],
      removed: [],
      order: ['b', 'c', 'a'],
    });
  });
});
