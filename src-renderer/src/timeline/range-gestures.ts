import type { Range } from '../../../src-main/core/contract/project.ts';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import {
  cellCount,
  cellOfFrame,
  firstFrameOf,
  framesPerCell,
  lastFrameOf,
  nearestRangeLength,
} from '../../../src-main/core/timeline/cells.ts';
import { rangeOver } from './edits.ts';
import {
  nothingYet,
  reach,
  signed,
  snapped,
  type Brush,
  type Gesture,
  type GestureContext,
  type Pointer,
} from './gesture.ts';
import { handleM, type Hit } from './hit.ts';
import { rulerHeight } from './layout.ts';
import {
  coverageOf,
  handleCommand,
  marksOfCurve,
  resizeStart,
  strokeTo,
  type DrawnCurve,
} from './marks-edit.ts';
import { snapMove } from './snap.ts';
import { xToFrame, type View } from './view.ts';

/** Moves a range with its marks. Shift lets go of the snapping. */
export function moveRange(range: Range, press: Pointer, context: GestureContext): Gesture {
  const grabbed = xToFrame(context.view, press.x);
  const places = [range.start, range.start + range.frames];
  // Its own cells move with it and draw nothing.
  const lines = context.lines && {
    ...context.lines,
    ranges: context.lines.ranges.filter(({ start }) => start !== range.start),
  };
  return {
    cursor: 'grabbing',
    immediate: false,
    follows: 'x',
    update: ({ x, shift }) => {
      const wanted = xToFrame(context.view, x) - grabbed;
      const { by, line } =
        lines === null || shift
          ? { by: Math.round(wanted), line: null }
          : snapMove(places, wanted, lines, reach(context), new Set(places));
      const start = Math.max(0, range.start + by);
      return {
        commands: start === range.start ? [] : [{ type: 'moveRange', rangeId: range.id, start }],
        label: 'timeline.edit.moveRange',
        line: start === range.start ? null : line,
        readout: `${signed(start - range.start)} · ${start}`,
      };
    },
  };
}

/** Lengths go by whole cells: 4n+1 frames. */
export function resizeRange(
  range: Range,
  edge: 'start' | 'end',
  press: Pointer,
  context: GestureContext,
): Gesture {
  const { view } = context;
  const end = range.start + range.frames;
  const grabbed = xToFrame(view, press.x) - (edge === 'start' ? range.start : end);
  return {
    cursor: 'ew-resize',
    immediate: false,
    follows: 'x',
    update: ({ x, shift }) => {
      const own = new Set([edge === 'start' ? range.start : end]);
      const { frame, line } = snapped(context, xToFrame(view, x) - grabbed, shift, own);
      let commands: Command[];
      let frames: number;
      if (edge === 'end') {
        frames = nearestRangeLength(frame - range.start);
        commands = frames === range.frames ? [] : [{ type: 'resizeRange', rangeId: range.id, frames }];
      } else {
        commands = resizeStart(range, Math.min(frame, end - 1));
        frames = commands.find((command) => command.type === 'resizeRange')?.frames ?? range.frames;
      }
      const reached = edge === 'end' ? range.start + frames : end - frames;
      return {
        commands,
        label: 'timeline.edit.resizeRange',
        line: line === reached ? line : null,
        readout: `${frames} f · ${(frames - 1) / framesPerCell + 1}`,
      };
    },
  };
}

/** A new range drawn in an empty stretch of a lane. */
export function drawRange(press: Pointer, context: GestureContext): Gesture {
  return {
    cursor: 'crosshair',
    immediate: false,
    follows: 'x',
    update: ({ x, shift }) => {
      const a = snapped(context, xToFrame(context.view, press.x), shift);
      const b = snapped(context, xToFrame(context.view, x), shift);
      const from = Math.min(a.frame, b.frame);
      const to = Math.max(a.frame, b.frame);
      const frames = nearestRangeLength(to - from);
      if (frames < 5) return { ...nothingYet, label: 'timeline.edit.addRange' };
      return {
        commands: rangeOver(from, to, context.defaults),
        label: 'timeline.edit.addRange',
        line: b.line,
        readout: `${frames} f · ${cellCount(frames)}`,
      };
    },
  };
}

/** On a cell: draws m with Alt, moves its handle, paints with a brush, else selects. */
export function cellGesture(
  hit: Extract<Hit, { on: 'cell' }>,
  press: Pointer,
  context: GestureContext,
): Gesture | null {
  const range = context.scene.ranges.get(hit.rangeId);
  if (range === undefined) return null;
  if (press.alt) return drawCurve(range, press, context);
  if (hit.part === 'handle') return dragHandle(range, hit.cell, context);
  if (context.brush !== null) return paint(range, context.brush, press, context);
  return selectCells(range, hit.cell, press, context);
}

/** The cell of a range under x; past an end the first or last. */
function cellUnder(range: Range, x: number, view: View): number {
  const inside = Math.floor(xToFrame(view, x)) - range.start;
  return cellOfFrame(Math.min(range.frames - 1, Math.max(0, inside)));
}

function cellsRow(
  { layout, scene }: GestureContext,
  range: Range,
): { readonly y: number; readonly height: number } {
  const lane = scene.lanes.get(range.id) ?? 0;
  return layout.rows.find((row) => row.kind === 'cells' && row.lane === lane) ?? { y: 0, height: 1 };
}

function dragHandle(range: Range, cell: number, context: GestureContext): Gesture {
  const row = cellsRow(context, range);
  const { cells } = context.selected;
  const [first, last] =
    cells !== null && cell >= cells.first && cell <= cells.last ? [cells.first, cells.last] : [cell, cell];
  const isCovered = coverageOf(context.worked(range).coverage, cell) !== 'none';
  return {
    cursor: 'ns-resize',
    immediate: false,
    update: ({ y }) => {
      const m = handleM(y - rulerHeight + context.scrollY - row.y, row.height);
      return {
        commands: [handleCommand(range.id, first, last, m, isCovered)],
        label: 'timeline.edit.m',
        line: null,
        readout: `m ${m.toFixed(2)}`,
      };
    },
  };
}

function drawCurve(range: Range, press: Pointer, context: GestureContext): Gesture {
  const { view, scrollY } = context;
  const row = cellsRow(context, range);
  const { coverage } = context.worked(range);
  const at = ({ x, y }: Pointer): { cell: number; m: number } => ({
    cell: cellUnder(range, x, view),
    m: handleM(y - rulerHeight + scrollY - row.y, row.height),
  });
  let last = at(press);
  let curve: DrawnCurve = strokeTo(new Map(), last, last);
  return {
    cursor: 'crosshair',
    immediate: true,
    follows: 'x',
    update: (pointer) => {
      const next = at(pointer);
      curve = strokeTo(curve, last, next);
      last = next;
      const marks = marksOfCurve(range, curve, (cell) => coverageOf(coverage, cell) !== 'none');
      return {
        commands: [{ type: 'setMarks', rangeId: range.id, marks }],
        label: 'timeline.edit.curve',
        line: null,
        readout: `m ${next.m.toFixed(2)}`,
      };
    },
  };
}

function paint(range: Range, brush: Brush, press: Pointer, context: GestureContext): Gesture {
  const from = cellUnder(range, press.x, context.view);
  return {
    cursor: 'crosshair',
    immediate: true,
    follows: 'x',
    update: ({ x }) => {
      const to = cellUnder(range, x, context.view);
      const cells = { rangeId: range.id, first: Math.min(from, to), last: Math.max(from, to) };
      return {
        commands: [{ type: 'paintCells', ...cells, kind: brush, m: null }],
        label: 'timeline.edit.paint',
        line: null,
        readout: frameSpan(cells.first, cells.last),
      };
    },
  };
}

function selectCells(range: Range, cell: number, press: Pointer, context: GestureContext): Gesture {
  const before = context.selected.cells;
  const from = press.shift && before !== null ? (cell < before.first ? before.last : before.first) : cell;
  return {
    cursor: 'cell',
    immediate: true,
    follows: 'x',
    update: ({ x }) => {
      const to = cellUnder(range, x, context.view);
      const cells = { first: Math.min(from, to), last: Math.max(from, to) };
      return { ...nothingYet, selected: { clipIds: [], cells }, readout: frameSpan(cells.first, cells.last) };
    },
  };
}

/** Frames of a range from the first of one cell to the last of another. */
function frameSpan(first: number, last: number): string {
  const from = firstFrameOf(first);
  const to = lastFrameOf(last);
  return from === to ? String(from) : `${from}–${to}`;
}
