import type { Range } from '../../../../src-main/core/contract/project.ts';
import { cellOfFrame, firstFrameOf, lastFrameOf } from '../../../../src-main/core/timeline/cells.ts';
import { handleCell, handleY } from '../hit.ts';
import { inset, type Row } from '../layout.ts';
import { coverageOf, runsOfKind } from '../marks-edit.ts';
import type { WorkedRange } from '../scene.ts';
import { frameToX, visibleFrames, type View } from '../view.ts';
import type { Words } from './content.ts';
import { roundRect, type Pen } from './shapes.ts';
import { ellipsis, fits, setFont } from './text.ts';

/** From this width of a cell on each is drawn by itself. */
const singleCell = 3.5;
const labelCell = 26;

export interface RangeLook {
  readonly view: View;
  readonly isCurrent: boolean;
  readonly cells: { readonly first: number; readonly last: number } | null;
  readonly words: Pick<Words, 'fixed' | 'noisy' | 'rangeTitle' | 'generate'>;
}

/** The bar of a range, as a bracket over its cells. */
export function drawRangeBar(
  { pen, palette }: Pen,
  { view, isCurrent, words }: RangeLook,
  { range, error }: WorkedRange,
  row: Row,
  top: number,
): void {
  const x = frameToX(view, range.start);
  const width = range.frames * view.scale;
  const left = Math.max(x, -8);
  const right = Math.min(x + width, view.width + 8);
  if (right < left) return;
  const y = top + 3;
  const height = row.height - 6;
  const colour = error === null ? palette.range : palette.bad;
  roundRect(pen, left + 0.5, y + 0.5, Math.max(2, right - left - 1), height - 1, 5);
  pen.fillStyle = colour;
  pen.globalAlpha = isCurrent ? 0.26 : 0.1;
  pen.fill();
  pen.globalAlpha = isCurrent ? 0.95 : 0.5;
  pen.strokeStyle = colour;
  pen.lineWidth = 1;
  pen.stroke();
  pen.globalAlpha = 1;
  if (width > 16) {
    pen.fillStyle = colour;
    for (const edge of [x + 3, x + width - 5]) {
      roundRect(pen, edge, y + 4, 2, height - 8, 1);
      pen.fill();
    }
  }
  const from = Math.max(left, 0) + 12;
  setFont(pen, palette, 11, 600);
  pen.fillStyle = isCurrent ? palette.text : palette.text2;
  pen.fillText(ellipsis(pen, words.rangeTitle(range), right - from - 10), from, y + height / 2 + 4);
}

/** Dashed boxes on a track where nothing lies under the range: what will be generated there. */
export function drawGaps(
  { pen, palette }: Pen,
  { view, isCurrent, words }: RangeLook,
  worked: WorkedRange,
  row: Row,
  top: number,
): void {
  for (const { from, to } of worked.bare) {
    const x = frameToX(view, from);
    const end = frameToX(view, to);
    if (end < 0 || x > view.width || end - x < 4) continue;
    const left = Math.max(x + 1.5, -10);
    const right = Math.min(end - 2.5, view.width + 10);
    roundRect(pen, left, top + inset + 1, right - left, row.height - 2 * inset - 2, 6);
    pen.fillStyle = palette.range;
    pen.globalAlpha = isCurrent ? 0.06 : 0.03;
    pen.fill();
    pen.globalAlpha = isCurrent ? 0.75 : 0.4;
    pen.setLineDash([5, 4]);
    pen.strokeStyle = isCurrent ? palette.range : palette.lineStrong;
    pen.lineWidth = 1;
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
    const text = words.generate(to - from);
    setFont(pen, palette, 12);
    const room = Math.min(right, view.width) - Math.max(left, 0);
    if (!fits(pen, text, room - 16)) continue;
    pen.fillStyle = palette.text2;
    pen.textAlign = 'center';
    pen.fillText(text, Math.max(left, 0) + room / 2, top + row.height / 2 + 4);
    pen.textAlign = 'left';
  }
}

/** The strip of cells of a range: solid, grain, gradient. */
export function drawCells(tools: Pen, look: RangeLook, worked: WorkedRange, row: Row, top: number): void {
  const { view } = look;
  const { range } = worked;
  const seen = visibleCells(view, range);
  if (seen === null) return;
  const { pen } = tools;
  pen.globalAlpha = look.isCurrent ? 1 : 0.55;
  if (view.scale * 4 < singleCell) drawCellRuns(tools, look, worked, seen, row, top);
  else for (let cell = seen.first; cell <= seen.last; cell++) drawCell(tools, look, worked, cell, row, top);
  pen.globalAlpha = 1;
  if (look.isCurrent && look.cells !== null) drawSelection(tools, look, range, look.cells, row, top);
}

/** Cells of a range that are seen, inclusive; null where none is. */
export function visibleCells(
  view: View,
  range: Pick<Range, 'start' | 'frames'>,
): { readonly first: number; readonly last: number } | null {
  const seen = visibleFrames(view);
  const first = Math.max(0, seen.first - range.start);
  const last = Math.min(range.frames - 1, seen.last - range.start);
  return first > last ? null : { first: cellOfFrame(first), last: cellOfFrame(last) };
}

function drawCellRuns(
  { pen, palette, grain }: Pen,
  { view }: RangeLook,
  { range, cells }: WorkedRange,
  seen: { readonly first: number; readonly last: number },
  row: Row,
  top: number,
): void {
  for (const { kind, first, last } of runsOfKind(cells, seen.first, seen.last)) {
    const x = frameToX(view, range.start + firstFrameOf(first));
    const width = Math.max(0.5, frameToX(view, range.start + lastFrameOf(last) + 1) - x);
    pen.fillStyle = palette[kind];
    pen.fillRect(x, top + inset, width, row.height - 2 * inset);
    if (kind !== 'noisy') continue;
    pen.fillStyle = grain;
    pen.fillRect(x, top + inset, width, row.height - 2 * inset);
  }
}

function drawCell(
  { pen, palette, grain }: Pen,
  { view, isCurrent, words }: RangeLook,
  { range, cells, coverage, plan }: WorkedRange,
  cell: number,
  row: Row,
  top: number,
): void {
  const mark = cells[cell]!;
  const x = frameToX(view, range.start + firstFrameOf(cell));
  const end = frameToX(view, range.start + lastFrameOf(cell) + 1);
  const gap = end - x > 8 ? 1.5 : end - x > 4 ? 0.75 : 0.3;
  const left = x + gap / 2;
  const width = end - x - gap;
  const y = top + inset;
  const height = row.height - 2 * inset;
  const radius = width > 12 ? 5 : width > 6 ? 3 : 1;
  const covered = coverageOf(coverage, cell);
  const isWrong = mark.kind === 'fixed' && covered === 'none';

  roundRect(pen, left, y, width, height, radius);
  if (mark.kind === 'interpolated') {
    if (width > 8) {
      // The share of the picture that stays rises from below: the lower the handle, the closer to its source.
      const gradient = pen.createLinearGradient(0, y + height, 0, y);
      gradient.addColorStop(0, palette.fixed);
      gradient.addColorStop(Math.min(1, Math.max(0.02, 1 - mark.m * 0.85)), palette.interpolated);
      gradient.addColorStop(1, palette.interpolated);
      pen.fillStyle = gradient;
    } else pen.fillStyle = palette.interpolated;
  } else pen.fillStyle = palette[mark.kind];
  pen.fill();
  if (mark.kind === 'noisy') {
    pen.fillStyle = grain;
    pen.fill();
  }
  if (isWrong) {
    pen.strokeStyle = palette.bad;
    pen.lineWidth = 2;
    pen.stroke();
  } else if (width > 8) {
    pen.strokeStyle = 'rgb(255 255 255 / 10%)';
    pen.lineWidth = 1;
    pen.stroke();
  }
  // A line at the bottom: a clip or picture lies under all of it, or part of it.
  if (covered !== 'none' && width > 5) {
    pen.fillStyle = mark.kind === 'noisy' ? palette.muted : palette.onFixed;
    pen.globalAlpha = (isCurrent ? 1 : 0.55) * (covered === 'all' ? 0.6 : 0.3);
    pen.fillRect(left + 3, y + height - 3.5, (width - 6) * (covered === 'all' ? 1 : 0.5), 1.5);
    pen.globalAlpha = isCurrent ? 1 : 0.55;
  }
  if (mark.kind === 'interpolated')
    drawM(pen, palette, mark.m, mark.automatic, left, width, y, row, top, isCurrent);
  else if (mark.kind === 'fixed' && width >= 14) {
    setFont(pen, palette, width < 48 ? 10 : 11, 600);
    pen.fillStyle = palette.onFixed;
    if (fits(pen, words.fixed, width - 6)) {
      pen.textAlign = 'center';
      pen.fillText(words.fixed, left + width / 2, y + height / 2 + 4);
      pen.textAlign = 'left';
    } else drawLock(pen, palette.onFixed, left + width / 2, y + height / 2);
  } else if (mark.kind === 'noisy' && width >= labelCell && cells[cell - 1]?.kind !== 'noisy') {
    // Said once: a long way of noise does not repeat its name in every box.
    setFont(pen, palette, width < 48 ? 10 : 11, 600);
    pen.fillStyle = palette.onNoisy;
    if (fits(pen, words.noisy, width - 6)) {
      pen.textAlign = 'center';
      pen.fillText(words.noisy, left + width / 2, y + height / 2 + 4);
      pen.textAlign = 'left';
    }
  }
  if (
    plan !== null &&
    mark.kind !== 'noisy' &&
    width > 20 &&
    plan.plan.cells[cell]?.source.from === 'blend'
  ) {
    // Nothing of its own lies under it: it starts from its neighbours.
    pen.strokeStyle = palette.onInterpolated;
    pen.globalAlpha = 0.5;
    pen.lineWidth = 1;
    pen.setLineDash([2, 2]);
    pen.beginPath();
    pen.moveTo(left + 4, y + height - 3);
    pen.lineTo(left + width - 4, y + height - 3);
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = isCurrent ? 1 : 0.55;
  }
}

function drawLock(pen: CanvasRenderingContext2D, colour: string, x: number, y: number): void {
  pen.fillStyle = colour;
  pen.strokeStyle = colour;
  roundRect(pen, x - 4, y - 1, 8, 6.5, 1.5);
  pen.fill();
  pen.lineWidth = 1.4;
  pen.beginPath();
  pen.arc(x, y - 1.5, 2.6, Math.PI, 0);
  pen.stroke();
}

function drawM(
  pen: CanvasRenderingContext2D,
  palette: Pen['palette'],
  m: number,
  isAutomatic: boolean,
  left: number,
  width: number,
  y: number,
  row: Row,
  top: number,
  isCurrent: boolean,
): void {
  const middle = left + width / 2;
  const at = top + handleY(m, row.height);
  if (width < handleCell - 2) {
    pen.fillStyle = palette.onInterpolated;
    pen.fillRect(left + 1, at - 1, Math.max(1, width - 2), 2);
    return;
  }
  pen.strokeStyle = palette.onInterpolated;
  pen.globalAlpha *= 0.4;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(left + 3, at);
  pen.lineTo(left + width - 3, at);
  pen.stroke();
  pen.globalAlpha = isCurrent ? 1 : 0.55;
  pen.beginPath();
  pen.arc(middle, at, 4.5, 0, 2 * Math.PI);
  pen.fillStyle = isAutomatic ? palette.interpolated : '#ffffff';
  pen.fill();
  pen.strokeStyle = isAutomatic ? '#ffffff' : palette.onInterpolated;
  pen.lineWidth = 1.5;
  pen.stroke();
  if (width < labelCell) return;
  setFont(pen, palette, 10.5, 650);
  pen.fillStyle = palette.onInterpolated;
  pen.textAlign = 'center';
  const isLow = at > y + row.height / 2 - inset;
  pen.fillText(m.toFixed(2), middle, isLow ? at - 9 : at + 17);
  pen.textAlign = 'left';
}

function drawSelection(
  { pen, palette }: Pen,
  { view }: RangeLook,
  range: Range,
  { first, last }: { readonly first: number; readonly last: number },
  row: Row,
  top: number,
): void {
  const x = frameToX(view, range.start + firstFrameOf(first));
  const end = frameToX(view, range.start + lastFrameOf(last) + 1);
  const left = Math.max(x, -4);
  const right = Math.min(end, view.width + 4);
  if (right <= left) return;
  roundRect(pen, left - 0.5, top + 2, right - left + 1, row.height - 4, 6);
  pen.strokeStyle = palette.text;
  pen.lineWidth = 1.75;
  pen.stroke();
}
