import type { Range } from '../../../../src-main/core/contract/project.ts';
import type { TakeSummary } from '../../../../src-main/core/contract/records.ts';
import type { PusaError } from '../../../../src-main/core/errors.ts';
import { rulerHeight, type Layout, type Row } from '../layout.ts';
import type { Scene, WorkedRange } from '../scene.ts';
import { frameToX, visibleFrames, type View } from '../view.ts';
import { drawTrack, type ClipScene } from './clips.ts';
import type { Pictures } from './pictures.ts';
import { drawPlan } from './plan.ts';
import { drawCells, drawGaps, drawRangeBar, type RangeLook } from './ranges.ts';
import { drawRuler, type RulerLook } from './ruler.ts';
import { roundRect, type Pen } from './shapes.ts';
import { setFont } from './text.ts';
import { drawTake } from './takes.ts';

/** Everything the content canvas shows at one moment. */
export interface ContentFrame {
  readonly view: View;
  readonly scrollY: number;
  /** Of the canvas in CSS pixels, with the ruler. */
  readonly height: number;
  readonly scene: Scene;
  readonly layout: Layout;
  readonly current: Range | null;
  readonly selected: ReadonlySet<string>;
  readonly cells: { readonly first: number; readonly last: number } | null;
  readonly locked: ReadonlySet<number>;
  readonly hidden: ReadonlySet<number>;
  readonly promoted: ReadonlySet<string>;
  readonly takes: ReadonlyMap<string, TakeSummary>;
  readonly takeId: string | null;
  readonly overTake: { readonly takeId: string; readonly part: 'body' | 'promote' | 'delete' } | null;
  readonly step: number | null;
  readonly markers: RulerLook['markers'];
  readonly bounds: RulerLook['bounds'];
  readonly pictures: Pictures;
  readonly words: Words;
  worked(range: Range): WorkedRange;
  takeLabel(take: TakeSummary): string;
}

/** Texts that are drawn. */
export interface Words {
  readonly fixed: string;
  readonly noisy: string;
  readonly emptyTrack: string;
  readonly emptyLane: string;
  readonly frames: (count: number) => string;
  readonly generate: (count: number) => string;
  readonly rangeTitle: (range: Range) => string;
  /** What happened and what to do. */
  readonly error: (error: PusaError) => string;
}

/** Draws all but the playhead and what follows the pointer. */
export function drawContent(tools: Pen, frame: ContentFrame): void {
  const { pen, palette } = tools;
  const { view, scrollY, height, layout, scene, pictures } = frame;
  pictures.begin();
  pen.fillStyle = palette.well;
  pen.fillRect(0, 0, view.width, height);
  pen.textBaseline = 'alphabetic';
  const clips: ClipScene = {
    view,
    fps: scene.project.fps,
    assets: scene.assets,
    selected: frame.selected,
    promoted: frame.promoted,
    pictures,
    framesText: frame.words.frames,
  };
  const { first, last } = visibleFrames(view);
  const ranges = scene.ordered.filter(({ start, frames }) => start <= last && start + frames > first);
  for (const row of layout.rows) {
    const top = row.y + rulerHeight - scrollY;
    if (top + row.height < rulerHeight || top > height) continue;
    drawBed(tools, frame, row, top);
    drawRow(tools, frame, clips, ranges, row, top);
  }
  if (scene.project.clips.length === 0) drawHint(tools, frame);
  drawRuler(tools, { view, fps: scene.project.fps, markers: frame.markers, bounds: frame.bounds });
  pictures.end();
}

/** A row's ground and the line below it. */
function drawBed({ pen, palette }: Pen, { view }: ContentFrame, row: Row, top: number): void {
  if (row.kind === 'track' || row.kind === 'cells') {
    pen.fillStyle = palette.panel;
    pen.globalAlpha = row.kind === 'track' ? 0.75 : 0.4;
    pen.fillRect(0, top, view.width, row.height);
    pen.globalAlpha = 1;
  }
  pen.fillStyle = palette.line;
  pen.globalAlpha = 0.6;
  pen.fillRect(0, top + row.height, view.width, 1);
  pen.globalAlpha = 1;
}

function drawRow(
  tools: Pen,
  frame: ContentFrame,
  clips: ClipScene,
  ranges: readonly Range[],
  row: Row,
  top: number,
): void {
  const { view, scene, current } = frame;
  switch (row.kind) {
    case 'track': {
      if (frame.hidden.has(row.track)) {
        tools.pen.fillStyle = tools.stripes;
        tools.pen.fillRect(0, top, view.width, row.height);
        return;
      }
      if (row.track === 0) {
        for (const range of ranges) drawGaps(tools, lookOf(frame, range), frame.worked(range), row, top);
      }
      const track = scene.tracks[row.track];
      if (track !== undefined) drawTrack(tools, clips, track, row, top, frame.locked.has(row.track));
      return;
    }
    case 'range':
    case 'cells': {
      const own = ranges.filter(({ id }) => scene.lanes.get(id) === row.lane);
      for (const range of own) {
        const draw = row.kind === 'range' ? drawRangeBar : drawCells;
        draw(tools, lookOf(frame, range), frame.worked(range), row, top);
      }
      if (row.kind === 'cells' && scene.ordered.length === 0) drawEmptyLane(tools, frame, row, top);
      return;
    }
    case 'plan':
      if (current !== null) drawPlan(tools, frame, frame.worked(current), row, top, frame.step);
      return;
    case 'take': {
      const take = frame.takes.get(row.takeId);
      if (take === undefined || current === null) return;
      const over = frame.overTake?.takeId === row.takeId ? frame.overTake.part : null;
      const state = { isShown: frame.takeId === row.takeId, over };
      drawTake(tools, view, current, take, frame.takeLabel(take), frame.pictures, row, top, state);
    }
  }
}

function lookOf({ view, current, cells, words }: ContentFrame, range: Range): RangeLook {
  return { view, isCurrent: current?.id === range.id, cells, words };
}

function drawEmptyLane({ pen, palette }: Pen, { view, words }: ContentFrame, row: Row, top: number): void {
  setFont(pen, palette, 12);
  pen.fillStyle = palette.text2;
  pen.fillText(words.emptyLane, Math.max(16, frameToX(view, 0) + 20), top + row.height / 2 + 4);
}

/** What an empty timeline teaches. */
function drawHint({ pen, palette }: Pen, { view, layout, scrollY, words, scene }: ContentFrame): void {
  const row = layout.rows.find((each) => each.kind === 'track' && each.track === 0);
  if (row === undefined || scene.ordered.length > 0) return;
  const top = row.y + rulerHeight - scrollY;
  roundRect(pen, 16, top + 6, view.width - 32, row.height - 12, 7);
  pen.setLineDash([6, 5]);
  pen.strokeStyle = palette.lineStrong;
  pen.lineWidth = 1;
  pen.stroke();
  pen.setLineDash([]);
  setFont(pen, palette, 12.5);
  pen.fillStyle = palette.text2;
  pen.textAlign = 'center';
  pen.fillText(words.emptyTrack, view.width / 2, top + row.height / 2 + 4);
  pen.textAlign = 'left';
}
