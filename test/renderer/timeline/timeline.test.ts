import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Project } from '../../../src-main/core/contract/project.ts';
import { applyCommands } from '../../../src-main/core/edit/apply.ts';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import { planRange } from '../../../src-main/core/plan/range.ts';
import { cellMarks, paintCells } from '../../../src-main/core/timeline/marks.ts';
import {
  copyCells,
  copyClips,
  pasteCells,
  pasteClips,
  readCopied,
} from '../../../src-renderer/src/timeline/clipboard.ts';
import { heatIndex, heatTable } from '../../../src-renderer/src/timeline/draw/palette.ts';
import { filmInterval } from '../../../src-renderer/src/timeline/draw/pictures.ts';
import {
  boundMove,
  clipsToSplit,
  dropAssets,
  gapAt,
  freeFrame,
  insertionFrame,
  rippleDelete,
  slipTo,
  splitAt,
  transitionBetween,
  trimBounds,
  trimTo,
} from '../../../src-renderer/src/timeline/edits.ts';
import type { GestureContext, Outcome, Pointer } from '../../../src-renderer/src/timeline/gesture.ts';
import { selectOnClick, selectOnPress, startGesture } from '../../../src-renderer/src/timeline/gestures.ts';
import {
  handleM,
  handleY,
  hitTest,
  type Hit,
  type HitInput,
} from '../../../src-renderer/src/timeline/hit.ts';
import { itemRows, neighbour, type ItemInput } from '../../../src-renderer/src/timeline/items.ts';
import { layoutRows, rulerHeight, trackNear } from '../../../src-renderer/src/timeline/layout.ts';
import {
  coverageOf,
  marksOfCurve,
  resizeStart,
  runsOfKind,
  strokeTo,
} from '../../../src-renderer/src/timeline/marks-edit.ts';
import {
  assignLanes,
  buildScene,
  RangeWorks,
  TrackIndex,
  workOut,
} from '../../../src-renderer/src/timeline/scene.ts';
import { cellBorder, snap, snapMove, type SnapLines } from '../../../src-renderer/src/timeline/snap.ts';
import { TimelineActs } from '../../../src-renderer/src/timeline/acts.ts';
import { PointerDriver } from '../../../src-renderer/src/timeline/pointer.ts';
import { setLanguage } from '../../../src-renderer/src/i18n/index.svelte.ts';
import { Player } from '../../../src-renderer/src/player/player.svelte.ts';
import { Session } from '../../../src-renderer/src/state/session.svelte.ts';
import { TimelineState } from '../../../src-renderer/src/timeline/state.svelte.ts';
import { drawnWords, tipOf } from '../../../src-renderer/src/timeline/words.ts';
import { fresh, readStored, writeStored } from '../../../src-renderer/src/timeline/stored.ts';
import {
  clampView,
  fit,
  fitAll,
  frameToX,
  reveal,
  scaleToSlider,
  sliderToScale,
  ticks,
  tickStep,
  timecode,
  xToFrame,
  zoomAbout,
  type View,
} from '../../../src-renderer/src/timeline/view.ts';
import { asset, clip, largeProject, range, transitionProject } from './page/projects.ts';
import { smallStudio } from './page/studio.ts';

let ids = 0;
const newId = (): string => `new-${++ids}`;
const defaults = { id: 'made', seed: 7, frames: 81 };
const project = transitionProject();
const view: View = { start: -2, scale: 8, width: 1000 };

function layoutOf(of: Project): ReturnType<typeof layoutRows> {
  const scene = buildScene(of);
  return layoutRows({
    tracks: scene.tracks.length,
    lanes: scene.laneCount,
    steps: 10,
    planFolded: false,
    takeIds: ['t1'],
  });
}

describe('view', () => {
  it('keeps the frame under the pointer while it zooms, and stays in its bounds', () => {
    const at = 400;
    const frame = xToFrame(view, at);
    for (const factor of [1.5, 4, 0.7]) {
      const zoomed = zoomAbout({ ...view, start: 498 }, at, factor, 2000, 16);
      expect(frameToX(zoomed, frame + 500)).toBeCloseTo(at, 6);
    }
    // From one frame across the window to an hour in it.
    expect(zoomAbout(view, at, 1e9, 2000, 16).scale).toBe(1000);
    expect(zoomAbout(view, at, 1e-9, 100_000, 16).scale).toBeCloseTo(1000 / (3600 * 16), 10);
    expect(frameToX(clampView({ ...view, start: -500 }, 100, 16), 0)).toBeCloseTo(16);
    expect(clampView({ ...view, start: 99_999 }, 300, 16).start).toBeLessThan(300);
    const whole = fit(view, 0, 81, 81, 16);
    expect(frameToX(whole, 0)).toBeCloseTo(16);
    expect(frameToX(whole, 81)).toBeCloseTo(984);
    // All of it, with room behind: neither a picture nor an empty timeline is drawn out over the whole width.
    for (const [content, least, most] of [
      [0, 850, 950],
      [1, 20, 100],
      [81, 850, 950],
      [10_000, 850, 950],
    ] as const) {
      const end = frameToX(fitAll(view, content, 16), content === 0 ? 97 : content);
      expect(end).toBeGreaterThan(least);
      expect(end).toBeLessThan(most);
    }
  });

  it('reveals a frame only when it is out of sight', () => {
    expect(reveal(view, 50, 5000, 16)).toBe(view);
    const moved = reveal(view, 900, 5000, 16);
    const x = frameToX(moved, 900);
    expect(x).toBeGreaterThan(0);
    expect(x).toBeLessThan(1000);
  });

  it('gives a slider that goes there and back', () => {
    for (const value of [0, 0.25, 0.5, 1]) {
      expect(scaleToSlider(sliderToScale(value, 1000, 16), 1000, 16)).toBeCloseTo(value, 10);
    }
  });

  it('labels ticks that have room, at every zoom', () => {
    for (const fps of [16, 24, 29.97, 60]) {
      for (let scale = 0.02; scale < 1000; scale *= 1.7) {
        const step = tickStep(scale, fps);
        expect(step.major * scale).toBeGreaterThanOrEqual(84);
        expect(Number.isInteger(step.minor) && Number.isInteger(step.major / step.minor)).toBe(true);
        const seen = ticks({ start: 0, scale, width: 1000 }, step);
        expect(seen.length).toBeLessThan(400);
        expect(seen.filter(({ isMajor }) => isMajor).every(({ frame }) => frame % step.major === 0)).toBe(
          true,
        );
      }
    }
    expect(tickStep(8, 16)).toEqual({ major: 16, minor: 2 });
  });

  it('writes a timecode', () => {
    expect(timecode(0, 16)).toBe('0:00:00');
    expect(timecode(81, 16)).toBe('0:05:01');
    expect(timecode(24 * 3661 + 5, 24)).toBe('1:01:01:05');
    expect(timecode(24 * 3661 + 5, 23.976)).toBe('1:01:01:05');
  });
});

describe('rows', () => {
  const rowsIn = (room: number, planFolded = false): ReturnType<typeof layoutRows> =>
    layoutRows({ tracks: 2, lanes: 1, steps: 10, planFolded, takeIds: ['t1', 't2'], room });
  const heightOf = (layout: ReturnType<typeof layoutRows>, kind: string): number =>
    layout.rows.find((row) => row.kind === kind)!.height;

  it('share what room there is, so that tracks, cells, the open plan and a take are in sight together', () => {
    // The timeline of a window of 1280 × 720.
    const small = rowsIn(236);
    const take = small.rows.find(({ kind }) => kind === 'take')!;
    expect(take.y + take.height).toBeLessThanOrEqual(236);
    expect(heightOf(small, 'track')).toBeGreaterThanOrEqual(30);
    expect(heightOf(small, 'plan')).toBeGreaterThanOrEqual(50);
    const large = rowsIn(600);
    expect(heightOf(large, 'track')).toBeGreaterThan(heightOf(small, 'track'));
    expect(heightOf(large, 'plan')).toBe(118);
  });

  it('never shrink as room grows, and lie one below the other', () => {
    let before = rowsIn(0);
    for (let room = 10; room <= 700; room += 10) {
      const rows = rowsIn(room);
      for (const kind of ['track', 'cells'])
        expect(heightOf(rows, kind)).toBeGreaterThanOrEqual(heightOf(before, kind));
      for (const [i, row] of rows.rows.entries()) {
        const last = rows.rows[i - 1];
        expect(row.y).toBe(last === undefined ? 0 : last.y + last.height + 1);
      }
      before = rows;
    }
  });
});

describe('scene', () => {
  it('finds the clips of a stretch as a search through all of them does', () => {
    const { clips } = largeProject(300, 3000);
    const overlapping = [...clips.filter(({ track }) => track === 0), clip('long', 'a1', 5, 2500)];
    const index = new TrackIndex(overlapping);
    for (const [from, to] of [
      [0, 1],
      [5, 6],
      [100, 180],
      [2400, 3100],
      [2999, 9999],
      [-20, 0],
    ] as const) {
      const expected = overlapping.filter(({ start, frames }) => start < to && start + frames > from);
      expect(new Set(index.query(from, to))).toEqual(new Set(expected));
    }
    expect(index.at(100)?.start).toBeGreaterThan(5);
  });

  it('shares what did not change, and puts ranges that overlap below each other', () => {
    const first = buildScene(project);
    const moved = buildScene({ ...project, clips: [...project.clips] }, first);
    expect(buildScene(project, first)).toBe(first);
    expect(moved.tracks).not.toBe(first.tracks);
    expect(moved.lanes).toBe(first.lanes);
    const { lanes, laneCount } = assignLanes([range('a', 0, 81), range('b', 77, 81), range('c', 81, 5)]);
    expect([lanes.get('a'), lanes.get('b'), lanes.get('c'), laneCount]).toEqual([0, 1, 0, 2]);
  });

  it('works ranges out by core, once, and says why one cannot run', () => {
    const works = new RangeWorks();
    const target = project.ranges[0]!;
    const takes: Parameters<typeof workOut>[2] = [];
    const worked = works.of(project, target, takes);
    expect(works.of({ ...project, name: 'other' }, target, takes)).toBe(worked);
    expect(worked.plan?.plan).toEqual(planRange(project, target).plan);
    expect(worked.bare).toEqual([
      { from: 9, to: 20 },
      { from: 44, to: 69 },
    ]);
    const bare = workOut({ ...project, clips: [] }, target, []);
    expect(bare.plan).toBeNull();
    expect(bare.error?.code).toBe('FIXED_WITHOUT_SOURCE');
    expect(bare.cells).toEqual(cellMarks(target.frames, target.marks, target.interpolation));
    expect([0, 2, 3, 5, 6].map((cell) => coverageOf(worked.coverage, cell))).toEqual([
      'all',
      'all',
      'none',
      'some',
      'all',
    ]);
    expect(runsOfKind(worked.cells, 2, 8).map(({ kind, first, last }) => [kind, first, last])).toEqual([
      ['fixed', 2, 2],
      ['interpolated', 3, 6],
      ['noisy', 7, 8],
    ]);
  });
});

describe('snapping', () => {
  const lines: SnapLines = { edges: [0, 9, 69, 81], points: [40], ranges: [{ start: 0, frames: 81 }] };

  it('goes to edges and the playhead before cells, and to whole frames without a line', () => {
    expect(snap(10.2, lines, 2)).toEqual({ frame: 9, line: 9 });
    expect(snap(40.9, lines, 2)).toEqual({ frame: 40, line: 40 });
    expect(snap(22, lines, 2)).toEqual({ frame: 21, line: 21 });
    expect(snap(22, { ...lines, ranges: [] }, 2)).toEqual({ frame: 22, line: null });
    expect(snap(8.6, { ...lines, ranges: [] }, 2, new Set([9]))).toEqual({ frame: 9, line: null });
    expect(snap(-3, { ...lines, edges: [] }, 0.5)).toEqual({ frame: 0, line: null });
  });

  it('knows the borders between cells: frame 0 alone, then four by four', () => {
    expect([0, 0.6, 2, 3.5, 6, 80, 200].map((at) => cellBorder(at, { start: 0, frames: 81 }))).toEqual([
      0, 1, 1, 5, 5, 81, 81,
    ]);
    expect(cellBorder(103, { start: 100, frames: 9 })).toBe(105);
  });

  it('lets whichever end comes nearest decide', () => {
    expect(snapMove([20, 30], 38.2, lines, 2, new Set())).toEqual({ by: 39, line: 69 });
    expect(snapMove([20, 30], 4.4, { ...lines, ranges: [] }, 2, new Set())).toEqual({ by: 4, line: null });
  });
});

describe('hitting', () => {
  const scene = buildScene(project);
  const layout = layoutOf(project);
  const current = project.ranges[0]!;
  const input: HitInput = {
    scene,
    layout,
    view,
    scrollY: 0,
    current,
    steps: 10,
    planFolded: false,
    markers: [{ id: 'm1', frame: 30 }],
    bounds: { in: 5, out: 60 },
    hidden: new Set(),
    cellsOf: ({ frames, marks, interpolation }) => cellMarks(frames, marks, interpolation),
  };
  const rowY = (kind: string, nth = 0): number => {
    const row = layout.rows.filter((each) => each.kind === kind)[nth]!;
    return rulerHeight + row.y + row.height / 2;
  };
  const at = (frame: number, y: number): Hit => hitTest(input, frameToX(view, frame), y);

  it('tells what lies under the pointer, row by row', () => {
    expect(at(50.5, 5)).toMatchObject({ on: 'ruler', frame: 50 });
    expect(at(30, rulerHeight - 4)).toMatchObject({ on: 'marker', markerId: 'm1' });
    expect(at(61, 4)).toMatchObject({ on: 'bound', bound: 'out' });
    expect(at(30, rowY('track', 0))).toMatchObject({ on: 'clip', clipId: 'c4', part: 'body', track: 1 });
    expect(at(69.2, rowY('track', 1))).toMatchObject({ on: 'clip', clipId: 'c2', part: 'start' });
    expect(at(98.8, rowY('track', 1))).toMatchObject({ on: 'clip', clipId: 'c2', part: 'end' });
    expect(at(15, rowY('track', 1))).toMatchObject({ on: 'track', track: 0 });
    expect(hitTest({ ...input, hidden: new Set([1]) }, frameToX(view, 30), rowY('track', 0)).on).toBe(
      'track',
    );
    expect(at(40, rowY('range'))).toMatchObject({ on: 'range', rangeId: 'r1', part: 'body' });
    expect(at(80.9, rowY('range'))).toMatchObject({ on: 'range', part: 'end' });
    expect(at(90, rowY('range'))).toMatchObject({ on: 'lane', lane: 0 });
    expect(at(10.5, rowY('cells') + 20)).toMatchObject({ on: 'cell', cell: 3, part: 'body' });
    expect(at(0.5, rowY('cells'))).toMatchObject({ on: 'cell', cell: 0 });
    expect(at(44, rowY('plan'))).toMatchObject({ on: 'plan', cell: 11, step: 5 });
    expect(at(90, rowY('plan')).on).toBe('nothing');
    expect(at(10, rowY('take'))).toMatchObject({ on: 'take', takeId: 't1', part: 'body' });
    expect(hitTest(input, frameToX(view, 81) - 12, rowY('take'))).toMatchObject({ part: 'delete' });
    expect(hitTest(input, frameToX(view, 81) - 40, rowY('take'))).toMatchObject({ part: 'promote' });
    expect(at(10, 5000).on).toBe('nothing');
  });

  it('takes hold of the handle of m, which stands where its m is', () => {
    const row = layout.rows.find(({ kind }) => kind === 'cells')!;
    const y = rulerHeight + row.y + handleY(0.35, row.height);
    expect(at(11, y)).toMatchObject({ on: 'cell', cell: 3, part: 'handle' });
    for (const m of [0.05, 0.5, 0.95]) expect(handleM(handleY(m, row.height), row.height)).toBeCloseTo(m, 2);
    expect(handleM(-50, row.height)).toBe(1);
    expect(handleM(500, row.height)).toBe(0);
  });

  it('rolls the rows: a scrolled timeline hits what is drawn', () => {
    const scrolled = hitTest({ ...input, scrollY: 60 }, frameToX(view, 40), rowY('range') - 60);
    expect(scrolled).toMatchObject({ on: 'range', rangeId: 'r1' });
    expect(trackNear(layout, -100)).toBe(1);
    expect(trackNear(layout, 9999)).toBe(0);
  });
});

describe('gestures', () => {
  const still: Omit<Pointer, 'x' | 'y'> = { alt: false, shift: false, mod: false };

  function context(of: Project, change: Partial<GestureContext> = {}): GestureContext {
    const scene = buildScene(of);
    return {
      project: of,
      scene,
      layout: layoutOf(of),
      view,
      scrollY: 0,
      selected: { clipIds: [], cells: null },
      brush: null,
      lines: { edges: scene.edges, points: [], ranges: scene.ordered },
      closed: new Set(),
      defaults,
      newId,
      worked: (each) => workOut(of, each, []),
      ...change,
    };
  }

  /** Presses on something, drags it by a number of frames and down by pixels. */
  function drag(
    hit: Hit,
    frames: number,
    down: number,
    in_: GestureContext,
    keys: Partial<Pointer> = {},
    fromY = 60,
  ): Outcome {
    const press = { ...still, ...keys, x: frameToX(view, hit.frame), y: fromY };
    const gesture = startGesture(hit, press, in_)!;
    return gesture.update({ ...press, x: press.x + frames * view.scale, y: press.y + down });
  }

  const clipHit = (
    clipId: string,
    frame: number,
    part: 'body' | 'start' | 'end' = 'body',
    track = 0,
  ): Hit => ({
    on: 'clip',
    clipId,
    frame,
    part,
    track,
  });
  const after = (of: Project, commands: readonly Command[]): Project => applyCommands(of, commands);
  const clipOf = (of: Project, id: string) => of.clips.find((each) => each.id === id)!;

  it('moves what is selected together, snaps one of the ends, and copies with Ctrl', () => {
    const base = context(project, { selected: { clipIds: ['c2', 'c3'], cells: null } });
    const moved = drag(clipHit('c2', 75), -5, 0, base, { shift: true }, 130);
    expect(moved.commands).toEqual([{ type: 'moveClips', clipIds: ['c2', 'c3'], byFrames: -5, byTracks: 0 }]);
    // One frame before the end of the range: drawn to it.
    expect(drag(clipHit('c2', 75), 11, 0, base, {}, 130)).toMatchObject({
      line: 81,
      commands: [{ byFrames: 12 }],
    });
    expect(drag(clipHit('c2', 75), 11, 0, base, { shift: true }, 130)).toMatchObject({
      line: null,
      commands: [{ byFrames: 11 }],
    });
    expect(drag(clipHit('c2', 75), -900, 0, base, { shift: true }, 130).commands).toMatchObject([
      { byFrames: -69 },
    ]);
    const copied = drag(clipHit('c2', 75), 40, 0, base, { mod: true, shift: true }, 130);
    const copy = after(project, copied.commands);
    expect(copy.clips).toHaveLength(6);
    expect(copied.selected?.clipIds).toHaveLength(2);
    expect(
      startGesture(clipHit('c2', 75), { ...still, x: 0, y: 0 }, context(project, { closed: new Set([0]) })),
    ).toBeNull();
  });

  it('moves a clip to another track, never out of them', () => {
    const layout = layoutOf(project);
    const y = (track: number): number => {
      const row = layout.rows.find((each) => each.kind === 'track' && each.track === track)!;
      return rulerHeight + row.y + row.height / 2;
    };
    const base = context(project);
    expect(drag(clipHit('c1', 4), 0, y(1) - y(0), base, {}, y(0)).commands).toMatchObject([{ byTracks: 1 }]);
    expect(drag(clipHit('c1', 4), 0, 500, base, {}, y(0)).commands).toEqual([]);
    const locked = context(project, { closed: new Set([1]) });
    expect(drag(clipHit('c1', 4), 0, y(1) - y(0), locked, {}, y(0)).commands).toEqual([]);
  });

  it('trims both ends inside the source, and slips what is shown', () => {
    const base = context(project);
    expect(drag(clipHit('c2', 99, 'end'), -10, 0, base, { shift: true }).commands).toEqual([
      { type: 'trimClip', clipId: 'c2', edge: 'end', to: 89 },
    ]);
    // The source of c1 has no earlier frames and 64 in all.
    expect(drag(clipHit('c1', 0, 'start'), -20, 0, base, { shift: true }).commands).toEqual([]);
    expect(drag(clipHit('c1', 9, 'end'), 400, 0, base, { shift: true }).commands).toMatchObject([{ to: 64 }]);
    expect(drag(clipHit('c2', 69, 'start'), 500, 0, base, { shift: true }).commands).toMatchObject([
      { to: 98 },
    ]);
    const slipped = after(project, drag(clipHit('c1', 4), -16, 0, base, { alt: true }).commands);
    expect(clipOf(slipped, 'c1').sourceStart).toBe(1);
    expect(drag(clipHit('c3', 104), -16, 0, base, { alt: true }).commands).toEqual([]);
  });

  it('moves and resizes a range by whole cells, marks staying with their frames', () => {
    const base = context(project, { lines: null });
    const grip = (frame: number, part: 'body' | 'start' | 'end'): Hit => ({
      on: 'range',
      rangeId: 'r1',
      frame,
      part,
    });
    expect(drag(grip(20, 'body'), 7, 0, base).commands).toEqual([
      { type: 'moveRange', rangeId: 'r1', start: 7 },
    ]);
    expect(drag(grip(81, 'end'), -9, 0, base).commands).toEqual([
      { type: 'resizeRange', rangeId: 'r1', frames: 73 },
    ]);
    const shorter = after(project, drag(grip(0, 'start'), 9, 0, base).commands).ranges[0]!;
    expect([shorter.start, shorter.frames]).toEqual([8, 73]);
    const was = cellMarks(81, project.ranges[0]!.marks, project.ranges[0]!.interpolation);
    const now = cellMarks(73, shorter.marks, shorter.interpolation);
    expect(now.slice(3).map(({ kind }) => kind)).toEqual(was.slice(5).map(({ kind }) => kind));
    // No further to the left than whole cells go.
    expect(resizeStart(range('x', 2, 81), -40)).toEqual([]);
  });

  it('draws a range, paints, draws a curve, sets m and selects cells', () => {
    const base = context(project, { lines: null });
    const drawn = drag({ on: 'lane', lane: 0, frame: 100 }, 30, 0, base);
    expect(after(project, drawn.commands).ranges[1]).toMatchObject({ id: 'made', start: 100, frames: 29 });
    expect(drag({ on: 'lane', lane: 0, frame: 100 }, 1, 0, base).commands).toEqual([]);

    const cell = (frame: number, part: 'body' | 'handle' = 'body'): Hit => ({
      on: 'cell',
      rangeId: 'r1',
      frame,
      cell: Math.ceil(frame / 4),
      part,
    });
    expect(drag(cell(29), 13, 0, { ...base, brush: 'interpolated' }).commands).toEqual([
      { type: 'paintCells', rangeId: 'r1', first: 8, last: 11, kind: 'interpolated', m: null },
    ]);
    expect(drag(cell(29), -500, 0, base).selected).toEqual({ clipIds: [], cells: { first: 0, last: 8 } });

    const row = base.layout.rows.find(({ kind }) => kind === 'cells')!;
    const y = (m: number): number => rulerHeight + row.y + handleY(m, row.height);
    const curve = drag(cell(29), 16, y(0.8) - y(0.2), base, { alt: true }, y(0.2));
    const curved = after(project, curve.commands).ranges[0]!;
    const ms = cellMarks(81, curved.marks, curved.interpolation).slice(8, 13);
    expect(ms.map(({ m }) => m)).toEqual([0.2, 0.35, 0.5, 0.65, 0.8]);
    const handle = drag(cell(11, 'handle'), 0, y(0.6) - y(0.35), base, {}, y(0.35));
    expect(handle.commands).toEqual([{ type: 'setM', rangeId: 'r1', first: 3, last: 3, m: 0.6 }]);
    expect(drag(cell(11, 'handle'), 0, -500, base, {}, y(0.35)).commands).toMatchObject([
      { type: 'paintCells', kind: 'noisy' },
    ]);
  });

  it('scrubs, drags markers, bands clips and promotes takes', () => {
    const base = context(project);
    expect(drag({ on: 'ruler', frame: 10 }, 33, 0, base).playhead).toBe(43);
    const markers = [
      { id: 'm1', frame: 30, colour: 0 },
      { id: 'm2', frame: 50, colour: 1 },
    ];
    const marked = context({ ...project, markers });
    const moved = drag({ on: 'marker', frame: 30, markerId: 'm1' }, 39.4, 0, marked);
    expect(after({ ...project, markers }, moved.commands).markers).toEqual([
      markers[1],
      { ...markers[0], frame: 69 },
    ]);
    // Its own place does not hold it.
    expect(drag({ on: 'marker', frame: 30, markerId: 'm1' }, 0.6, 0, marked)).toMatchObject({
      readout: '31',
      line: null,
    });
    const bound = drag({ on: 'bound', frame: 5, bound: 'in' }, 4.2, 0, base);
    expect([bound.bound, bound.commands]).toEqual([{ bound: 'in', frame: 9 }, []]);
    const band = drag({ on: 'track', track: 0, frame: 12 }, 60, 100, base, {}, rulerHeight + 2);
    expect(new Set(band.selected?.clipIds)).toEqual(new Set(['c4', 'c2']));
    const take: Hit = { on: 'take', takeId: 't1', part: 'body', frame: 10 };
    expect(drag(take, 0, -260, base, {}, 330).promote).toMatchObject({ takeId: 't1' });
    const locked = context(project, { closed: new Set([0, 1]) });
    expect(drag(take, 0, -260, locked, {}, 330).promote).toBeUndefined();
    expect(drag(take, 0, 5, base, {}, 330).promote).toBeUndefined();
  });

  it('selects on press, beside with Shift, and one of several on release', () => {
    const both = { clipIds: ['c1', 'c2'], cells: null };
    const press = { ...still, x: 0, y: 0 };
    expect(selectOnPress(clipHit('c1', 0), press, both)).toEqual(both);
    expect(selectOnClick(clipHit('c1', 0), press, both, both).clipIds).toEqual(['c1']);
    expect(selectOnPress(clipHit('c3', 0), { ...press, shift: true }, both).clipIds).toEqual([
      'c1',
      'c2',
      'c3',
    ]);
    expect(selectOnPress(clipHit('c2', 0), { ...press, shift: true }, both).clipIds).toEqual(['c1']);
    expect(selectOnClick(clipHit('c2', 0), { ...press, mod: true }, both, both).clipIds).toEqual(['c1']);
    expect(selectOnPress({ on: 'track', track: 0, frame: 0 }, press, both).clipIds).toEqual([]);
    expect(selectOnPress({ on: 'ruler', frame: 0 }, press, both)).toEqual(both);
  });
});

describe('a timeline of a window', () => {
  afterEach(() => vi.unstubAllGlobals());

  function open(): { readonly session: Session; readonly timeline: TimelineState } {
    const kept = new Map<string, string>();
    vi.stubGlobal('localStorage', {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => kept.set(key, value),
    });
    const session = new Session(smallStudio(project));
    return { session, timeline: new TimelineState(session) };
  }

  function show({ session, timeline }: ReturnType<typeof open>, of: Project): void {
    session.show({
      project: of,
      revision: 0,
      steps: { undo: null, redo: null },
      trashedAt: null,
      pusaPath: null,
    });
    timeline.enter(of.id);
  }

  it('shows all of a project at first, and then as it was left', () => {
    const window = open();
    const { timeline } = window;
    show(window, { ...project, id: 'one' });
    // The window says only later how large it is, and may say it again.
    for (const width of [500, 1400]) {
      timeline.resize(width, 130);
      expect(timeline.view).toEqual(fitAll({ start: 0, scale: 1, width }, 116, 16));
    }
    timeline.zoomBy(3, 400);
    timeline.scrollTo(30);
    const { view, scrollY } = timeline;
    expect(scrollY).toBe(30);
    timeline.resize(1200, 130);
    expect(timeline.view.scale).toBe(view.scale);
    timeline.resize(1400, 130);
    show(window, { ...project, id: 'two' });
    expect(frameToX(timeline.view, 116)).toBeLessThan(1400);
    expect(timeline.scrollY).toBe(0);
    show(window, { ...project, id: 'one' });
    expect([timeline.view.scale, timeline.scrollY]).toEqual([view.scale, 30]);
    // The panel was closed and is opened again.
    timeline.leave();
    const again = new TimelineState(window.session);
    again.enter('one');
    again.resize(1400, 130);
    expect([again.view.scale, again.scrollY]).toEqual([view.scale, 30]);
  });

  it('has in and out with the player: a new range covers them, another project has none', () => {
    const window = open();
    const { session, timeline } = window;
    show(window, { ...project, clips: [...project.clips, clip('c5', 'a3', 150, 50)] });
    const port = { postMessage: () => undefined, terminate: () => undefined, onmessage: null, onerror: null };
    const player = new Player(session, port, () => undefined);
    player.seek(120);
    player.mark('in');
    player.seek(152);
    player.mark('out');
    expect(player.stretch).toEqual({ first: 120, last: 152 });
    expect(session.bounds).toEqual({ in: 120, out: 152 });
    new TimelineActs(timeline).newRange();
    expect(session.range).toMatchObject({ start: 120, frames: 33 });
    timeline.setBound('in', 160);
    expect(session.bounds).toEqual({ in: 160, out: null });
    expect(player.stretch).toEqual({ first: 160, last: 199 });
    timeline.setBound('out', 10);
    expect(session.bounds).toEqual({ in: null, out: 10 });
    expect(player.stretch).toEqual({ first: 0, last: 10 });
    player.clearMarks();
    expect(session.bounds).toEqual({ in: null, out: null });
    expect(player.loop).toBe('range');
    player.mark('in');
    show(window, { ...project, id: 'other' });
    expect(session.bounds).toEqual({ in: null, out: null });
  });

  it('follows a drag past its edge, and lets go of it with nothing changed', () => {
    const window = open();
    const { session, timeline } = window;
    const frames: (() => void)[] = [];
    vi.stubGlobal('requestAnimationFrame', (run: () => void) => frames.push(run));
    vi.stubGlobal('cancelAnimationFrame', () => (frames.length = 0));
    show(window, { ...largeProject(40, 400), ranges: [] });
    timeline.resize(600, 200);
    timeline.zoomTo(8);
    timeline.pan(-9999);
    const driver = new PointerDriver(timeline, new TimelineActs(timeline));
    const free = { alt: false, shift: true, mod: false };
    const row = timeline.layout.rows.find((each) => each.kind === 'track' && each.track === 0)!;
    const y = rulerHeight + row.y + row.height / 2;
    const first = timeline.scene!.tracks[0]!.clips[0]!;
    const x = frameToX(timeline.view, first.start) + (first.frames * timeline.view.scale) / 2;
    driver.down({ ...free, shift: false, x, y }, false);
    driver.move({ ...free, x: 595, y });
    for (let i = 0; i < 30; i++) frames.shift()?.();
    const seen = timeline.view.start;
    expect(seen).toBeGreaterThan(20);
    const placed = timeline.preview!.clips.find(({ id }) => id === first.id)!;
    // What was taken hold of is still under the pointer.
    const grabbed = placed.start + first.frames / 2;
    expect(Math.abs(frameToX(timeline.view, grabbed) - 595)).toBeLessThan(2 * timeline.view.scale);
    driver.cancel();
    expect([timeline.preview, timeline.view.start]).toEqual([null, seen]);
    expect(session.project!.clips.find(({ id }) => id === first.id)).toEqual(first);
    expect(driver.isPressed).toBe(false);
  });

  it('moves in and out only when they are let go', () => {
    const window = open();
    const { session, timeline } = window;
    show(window, project);
    timeline.resize(1200, 200);
    timeline.setBound('in', 20);
    timeline.setBound('out', 60);
    const outcome = { commands: [], label: 'timeline.edit.move', line: null, readout: null } as const;
    timeline.show({ ...outcome, bound: { bound: 'in', frame: 70 } });
    expect([timeline.bounds, session.bounds]).toEqual([
      { in: 70, out: null },
      { in: 20, out: 60 },
    ]);
    timeline.abandon();
    expect(timeline.bounds).toEqual({ in: 20, out: 60 });
  });

  it('has the markers of the project, as steps to undo', () => {
    const window = open();
    const { session, timeline } = window;
    show(window, project);
    const acts = new TimelineActs(timeline);
    acts.addMarker(30);
    acts.addMarker(10);
    acts.addMarker(10);
    expect(session.project!.markers?.map(({ frame }) => frame)).toEqual([10, 30]);
    expect(timeline.markers).toBe(session.project!.markers);
    session.playhead = 30;
    acts.toggleMarker();
    expect(timeline.markers.map(({ frame }) => frame)).toEqual([10]);
    acts.clearMarkers();
    expect(session.project).not.toHaveProperty('markers');
  });

  it('pastes behind the end, where End leads', () => {
    const window = open();
    const { session, timeline } = window;
    show(window, { ...project, ranges: [], clips: project.clips.slice(0, 1) });
    const acts = new TimelineActs(timeline);
    acts.selectAll();
    const copied = acts.copy();
    session.playhead = 8;
    acts.paste(copied);
    expect(session.project!.clips.map(({ start, track }) => [start, track])).toEqual([
      [0, 0],
      [9, 0],
    ]);
  });

  it('selects what is dropped on it, and makes a range where there was nothing', () => {
    const window = open();
    const { session, timeline } = window;
    show(window, { ...project, clips: [], ranges: [], assets: [] });
    const acts = new TimelineActs(timeline);
    const dropped = (): string[] =>
      session.project!.clips.filter(({ id }) => session.selection.clipIds.includes(id)).map((c) => c.assetId);
    acts.drop([asset('p', 'image', 'p.png')], { start: 5, track: 0 });
    expect(dropped()).toEqual(['p']);
    expect(session.range?.start).toBe(5);
    // Wherever it is let go, the first of all begins at the beginning.
    show(window, { ...project, id: 'bare', clips: [], ranges: [], assets: [] });
    timeline.resize(800, 200);
    expect(acts.dropPlace(400, 60)).toMatchObject({ start: 0, track: 0 });
    show(window, { ...project, clips: [], ranges: [], assets: [] });
    acts.drop([asset('q', 'video', 'q.mp4'), asset('r', 'image', 'r.png')], { start: 40, track: 1 });
    expect(dropped()).toEqual(['q', 'r']);
  });

  it('plans as the studio does: what a range made lies below what it was made from', () => {
    const window = open();
    const { session, timeline } = window;
    const made = asset('made', 'video', 'made.mp4', 16, 6);
    const target = project.ranges[0]!;
    show(window, {
      ...project,
      assets: [...project.assets, made],
      clips: [...project.clips, clip('own', 'made', 0, 81, 3)],
    });
    const under = (): (string | undefined)[] =>
      [0, 30, 80].map((frame) => timeline.worked(target).coverage[frame]?.clipId);
    expect(under()).toEqual(['own', 'own', 'own']);
    session.shownTakes = [
      { id: 't', projectId: project.id, rangeId: target.id, fileHash: made.hash, promotedClipId: 'own' },
    ];
    expect(under()).toEqual(['c1', 'c4', 'c2']);
    expect(timeline.worked(target).plan?.coverage[50]?.clipId).toBe('own');
  });

  it('says in the language of the window why a range cannot run', () => {
    const bare = { ...project, clips: [] };
    const worked = workOut(bare, project.ranges[0]!, []);
    const tip = (): string | null | undefined =>
      tipOf({ on: 'range', rangeId: 'r1', part: 'body', frame: 0 }, buildScene(bare), () => worked, String)
        ?.more;
    expect(tip()).toBe(`${worked.error!.message} ${worked.error!.remedy}`);
    setLanguage('zh-CN');
    expect(tip()).toMatch(/有帧被固定/);
    expect(drawnWords().error(worked.error!)).toBe(tip());
    setLanguage('en');
  });
});

describe('acts', () => {
  it('splits what is selected, else all under the playhead', () => {
    const scene = buildScene(project);
    expect(clipsToSplit(scene, 30, [], new Set()).map(({ id }) => id)).toEqual(['c4']);
    expect(clipsToSplit(scene, 30, [], new Set([1]))).toEqual([]);
    expect(clipsToSplit(scene, 20, [], new Set())).toEqual([]);
    const done = applyCommands(project, splitAt(clipsToSplit(scene, 30, [], new Set()), 30, newId));
    expect(done.clips.filter(({ track }) => track === 1).map(({ start, frames }) => [start, frames])).toEqual(
      [
        [20, 10],
        [30, 14],
      ],
    );
  });

  it('puts things behind what ends at the playhead', () => {
    // c1 covers 0 … 8, c4 lies above nothing from 20 to 43, c3 is the last.
    expect([0, 7, 8, 15, 43, 98, 115].map((at) => insertionFrame(project, at))).toEqual([
      0, 7, 9, 15, 44, 99, 116,
    ]);
    // What is seen counts, not what lies below it.
    const under = { clips: [clip('low', 'a1', 0, 10), clip('high', 'a2', 0, 30, 1)] };
    expect(insertionFrame(under, 9)).toBe(9);
    const hidden = { ...under, tracks: [{ track: 1, locked: false, hidden: true }] };
    expect(insertionFrame(hidden, 9)).toBe(10);
  });

  it('finds the next place with room on a track', () => {
    const there = [
      clip('a', 'a1', 0, 10),
      clip('b', 'a1', 14, 6),
      clip('c', 'a1', 15, 20),
      clip('up', 'a1', 0, 90, 1),
    ];
    const places: readonly (readonly [from: number, frames: number, free: number])[] = [
      [0, 4, 10],
      [0, 5, 35],
      [10, 4, 10],
      [12, 3, 35],
      [40, 3, 40],
    ];
    for (const [from, frames, free] of places) expect(freeFrame(there, 0, from, frames)).toBe(free);
    expect(freeFrame(there, 1, 5, 1)).toBe(90);
    expect(freeFrame([], 0, 5, 1)).toBe(5);
  });

  it('trims to the playhead without moving the pictures', () => {
    const under = clipsToSplit(buildScene(project), 30, [], new Set());
    const start = applyCommands(project, trimTo(under, 'start', 30));
    expect(start.clips.find(({ id }) => id === 'c4')).toMatchObject({ start: 30, frames: 14 });
    const end = applyCommands(project, trimTo(under, 'end', 30));
    expect(end.clips.find(({ id }) => id === 'c4')).toMatchObject({ start: 20, frames: 10 });
  });

  it('closes gaps on the same track only, however many clips go', () => {
    const done = applyCommands(project, rippleDelete(project, ['c1', 'c2']));
    expect(done.clips.map(({ id, start }) => [id, start])).toEqual([
      ['c3', 61],
      ['c4', 20],
    ]);
    expect(rippleDelete(project, [])).toEqual([]);
  });

  it('bounds moves, trims and slips', () => {
    expect(boundMove(project.clips, -500, -3)).toEqual({ byFrames: 0, byTracks: 0 });
    const [first] = project.clips;
    expect(trimBounds({ ...first!, start: 30, sourceStart: 1 }, project.assets[0], 16)).toEqual({
      start: [14, 38],
      end: [31, 78],
    });
    expect(slipTo(first!, project.assets[0], 1000, 16)).toBeCloseTo(4 - 9 / 16);
    expect(slipTo(first!, project.assets[2], 10, 16)).toBeNull();
  });

  it('puts dropped assets one after the other, a picture into the cell it was dropped on', () => {
    const fresh = asset('new', 'video', 'n.mp4', 16, 2);
    const dropped = dropAssets(project, [fresh, project.assets[2]!], { start: 40, track: 0 }, newId);
    const done = applyCommands(project, dropped.commands);
    expect(done.assets).toHaveLength(4);
    expect(done.clips.slice(-2).map(({ start, frames }) => [start, frames])).toEqual([
      [40, 32],
      [72, 16],
    ]);
    const onCell = dropAssets(project, [project.assets[2]!], { start: 77, track: 0, frames: 4 }, newId);
    expect(applyCommands(project, onCell.commands).clips.at(-1)).toMatchObject({ start: 77, frames: 4 });
  });

  it('makes a transition of two clips, apart or touching', () => {
    const apart = applyCommands(
      { ...project, ranges: [] },
      transitionBetween(project, 'c2', 'c1', { ...defaults, id: 'apart' }),
    );
    expect(apart.ranges[0]).toMatchObject({ start: 0, frames: 81, preset: 'transition' });
    expect(
      planRange(apart, apart.ranges[0]!)
        .cells.map(({ kind }) => kind)
        .slice(0, 4),
    ).toEqual(['fixed', 'fixed', 'fixed', 'noisy']);
    const close: Project = {
      ...project,
      ranges: [],
      clips: [clip('x', 'a1', 0, 40), clip('y', 'a2', 40, 40), clip('z', 'a2', 90, 10)],
    };
    const done = applyCommands(close, transitionBetween(close, 'x', 'y', defaults));
    expect(done.ranges[0]).toMatchObject({ start: 31, frames: 81 });
    expect(done.clips.map(({ start }) => start)).toEqual([0, 100, 150]);
    expect(planRange(done, done.ranges[0]!).plan.cells.at(-1)).toMatchObject({ kind: 'fixed' });
    expect(gapAt(buildScene(project), 0, 30)).toMatchObject({ before: { id: 'c1' }, after: { id: 'c2' } });
    expect(gapAt(buildScene(project), 0, 4)).toBeNull();
  });

  it('draws a curve as painting cell by cell would', () => {
    const target = project.ranges[0]!;
    const curve = strokeTo(new Map(), { cell: 6, m: 0 }, { cell: 8, m: 1 });
    const marks = marksOfCurve(target, curve, (cell) => cell === 6);
    let painted = paintCells(81, target.marks, 6, 6, { kind: 'fixed' });
    painted = paintCells(81, painted, 7, 7, { kind: 'interpolated', m: 0.5 });
    painted = paintCells(81, painted, 8, 8, { kind: 'noisy' });
    expect(marks).toEqual(painted);
    const bare = marksOfCurve(target, new Map([[8, 0]]), () => false);
    expect(cellMarks(81, bare, target.interpolation)[8]).toMatchObject({ kind: 'interpolated', m: 0.03 });
  });
});

describe('clipboard', () => {
  it('carries clips into another project, with what they show', () => {
    const text = copyClips(project, ['c2', 'c4'])!;
    const copied = readCopied(text);
    if (copied?.what !== 'clips') throw new Error('not clips');
    const other: Project = { ...project, id: 'other', assets: [], clips: [], ranges: [] };
    const pasted = pasteClips(other, copied, 200, newId);
    const done = applyCommands(other, pasted.commands);
    expect(done.assets.map(({ id }) => id)).toEqual(['a2', 'a3']);
    expect(done.clips.map(({ start, track, frames }) => [start, track, frames])).toEqual([
      [249, 0, 30],
      [200, 1, 24],
    ]);
    // The same bytes under another id are used as they are there.
    const known = { ...project.assets[1]!, id: 'mine' };
    const closed = [
      { track: 0, locked: true, hidden: false },
      { track: 1, locked: false, hidden: true },
    ];
    const again = pasteClips({ ...other, assets: [known], tracks: closed }, copied, 0, newId);
    expect(
      again.commands.some((command) => command.type === 'addClip' && command.clip.assetId === 'mine'),
    ).toBe(true);
    const tracks = again.commands.flatMap((command) =>
      command.type === 'addClip' ? command.clip.track : [],
    );
    expect(tracks).toEqual([2, 2]);
    expect(copyClips(project, ['gone'])).toBeNull();
  });

  it('carries the marks of cells to other cells', () => {
    const target = project.ranges[0]!;
    const copied = readCopied(copyCells(target, 2, 4));
    if (copied?.what !== 'cells') throw new Error('not cells');
    const done = applyCommands(project, pasteCells(target, copied, 9)).ranges[0]!;
    const cells = cellMarks(81, done.marks, done.interpolation);
    expect(cells.slice(9, 12)).toEqual(cellMarks(81, target.marks, target.interpolation).slice(2, 5));
    expect(applyCommands(project, pasteCells(target, copied, 20)).ranges[0]!.marks.at(-1)!.frame).toBe(80);
  });

  it('takes no other text, however it looks', () => {
    const good = copyClips(project, ['c1'])!;
    for (const text of [
      '',
      'hello',
      '{"pusa":"timeline"',
      '{"pusa":"timeline","version":2}',
      good.replace('"start":0', '"start":-1'),
      good.replace('"track":0', '"track":0,"path":"/etc/passwd"'),
      good.replace('"frames":9', '"frames":1e400'),
      good + ' '.repeat(2 ** 20),
    ]) {
      expect(readCopied(text)).toBeNull();
    }
    // Text that names an asset it does not bring leaves that clip out.
    const foreign = readCopied(good.replace('"assetId":"a1"', '"assetId":"zz"'));
    if (foreign?.what !== 'clips') throw new Error('not clips');
    expect(pasteClips(project, foreign, 0, newId).commands).toEqual([]);
  });
});

describe('what is remembered and told', () => {
  it('remembers a project, and takes nothing else for it', () => {
    const kept = new Map<string, string>();
    const storage = {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
    };
    const stored = { ...fresh, planFolded: false };
    writeStored(storage, 'p', stored);
    expect(readStored(storage, 'p')).toEqual(stored);
    expect(readStored(storage, 'other')).toEqual(fresh);
    for (const bad of ['nonsense', '{}', '[]', JSON.stringify({ ...stored, snapping: 1 })]) {
      kept.set('pusa.timeline.p', bad);
      expect(readStored(storage, 'p')).toEqual(fresh);
    }
    const full = {
      setItem: () => {
        throw new Error('full');
      },
    };
    expect(() => writeStored(full, 'p', stored)).not.toThrow();
  });

  it('names what is seen, and leads from one to the next', () => {
    const scene = buildScene(project);
    const input: ItemInput = {
      scene,
      layout: layoutRows({ tracks: 2, lanes: 1, steps: 10, planFolded: true, takeIds: [] }),
      view,
      scrollY: 0,
      current: project.ranges[0]!,
      selected: { clipIds: ['c2'], cells: { first: 3, last: 4 } },
      takes: [],
      takeId: null,
      hidden: new Set(),
      words: {
        track: (track) => `track ${track}`,
        ranges: 'ranges',
        cells: 'cells',
        takes: 'takes',
        clip: (id) => id,
        range: ({ id }) => id,
        cell: (_, cell) => `cell ${cell}`,
        take: ({ id }) => id,
      },
      worked: (each) => workOut(project, each, []),
    };
    const rows = itemRows(input);
    expect(rows.map(({ items }) => items.length)).toEqual([1, 3, 1, 21]);
    expect(rows[3]!.items.filter(({ isSelected }) => isSelected).map(({ label }) => label)).toEqual([
      'cell 3',
      'cell 4',
    ]);
    expect(neighbour(rows, 'clip-c1', 'right')?.key).toBe('clip-c2');
    expect(neighbour(rows, 'clip-c1', 'left')).toBeNull();
    expect(neighbour(rows, 'cell-r1-20', 'up')?.key).toBe('range-r1');
    expect(neighbour(rows, 'range-r1', 'up')?.kind).toBe('clip');
    expect(neighbour(rows, 'cell-r1-3', 'last')?.key).toBe('cell-r1-20');
    // From afar cells are too narrow to be told one by one.
    expect(itemRows({ ...input, view: { ...view, scale: 0.5 } })).toHaveLength(3);
  });

  it('has a colour for every timestep and shared filmstrips at every zoom', () => {
    const table = heatTable([
      [0, 0, 0],
      [255, 128, 64],
    ]);
    expect(table).toHaveLength(256);
    expect(table[0]).toBe(0xff000000);
    expect(table[255]).toBe(0xff4080ff);
    expect([0, 500, 1000, 2000].map(heatIndex)).toEqual([0, 128, 255, 255]);
    for (const pixelsPerSecond of [3, 40, 128, 900]) {
      const every = filmInterval(80, pixelsPerSecond, 30);
      expect(Number.isInteger(Math.log2(every))).toBe(true);
      expect(every * pixelsPerSecond).toBeGreaterThanOrEqual(80);
    }
    expect(filmInterval(80, 100_000, 30)).toBe(1 / 16);
  });
});
