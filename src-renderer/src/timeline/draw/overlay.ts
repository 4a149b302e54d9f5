import { firstFrameOf, lastFrameOf } from '../../../../src-main/core/timeline/cells.ts';
import type { Range } from '../../../../src-main/core/contract/project.ts';
import { rulerHeight } from '../layout.ts';
import { frameToX, type View } from '../view.ts';
import { roundRect, type Pen } from './shapes.ts';
import { setFont } from './text.ts';

/** What lies over the content and changes with the playhead and the pointer. */
export interface OverlayFrame {
  readonly view: View;
  readonly height: number;
  readonly playhead: number;
  /** Frame of a line something snapped to. */
  readonly line: number | null;
  readonly band: {
    readonly x0: number;
    readonly y0: number;
    readonly x1: number;
    readonly y1: number;
  } | null;
  /** The cell under the pointer. */
  readonly cell: {
    readonly range: Range;
    readonly cell: number;
    readonly top: number;
    readonly height: number;
  } | null;
  /** Where something dragged from outside would land. */
  readonly drop: {
    readonly start: number;
    readonly frames: number;
    readonly top: number;
    readonly height: number;
    readonly name: string;
  } | null;
  /** The element of the accessible layer that has the focus. */
  readonly focus: {
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
  } | null;
}

export function drawOverlay({ pen, palette }: Pen, frame: OverlayFrame): void {
  const { view, height, playhead, line, band, cell, drop, focus } = frame;
  pen.clearRect(0, 0, view.width, height);
  pen.save();
  pen.beginPath();
  pen.rect(0, rulerHeight, view.width, height);
  pen.clip();
  if (cell !== null) {
    const x = frameToX(view, cell.range.start + firstFrameOf(cell.cell));
    const end = frameToX(view, cell.range.start + lastFrameOf(cell.cell) + 1);
    roundRect(pen, x + 0.5, cell.top + 3.5, end - x - 1, cell.height - 7, 5);
    pen.strokeStyle = palette.text;
    pen.globalAlpha = 0.55;
    pen.lineWidth = 1;
    pen.stroke();
    pen.globalAlpha = 1;
  }
  if (drop !== null) {
    const x = frameToX(view, drop.start);
    const width = Math.max(4, drop.frames * view.scale);
    roundRect(pen, x + 0.75, drop.top + 4.75, width - 1.5, drop.height - 9.5, 6);
    pen.fillStyle = palette.accent;
    pen.globalAlpha = 0.25;
    pen.fill();
    pen.globalAlpha = 1;
    pen.strokeStyle = palette.accent;
    pen.lineWidth = 1.5;
    pen.stroke();
    setFont(pen, palette, 11, 600);
    pen.fillStyle = palette.text;
    pen.fillText(drop.name, Math.max(4, x + 9), drop.top + drop.height / 2 + 4);
  }
  if (line !== null) {
    const x = Math.round(frameToX(view, line));
    pen.fillStyle = palette.accent;
    pen.fillRect(x - 0.5, rulerHeight, 1, height);
  }
  if (focus !== null) {
    roundRect(pen, focus.x - 1, focus.y, focus.width + 2, focus.height, 6);
    pen.strokeStyle = palette.accent;
    pen.lineWidth = 2;
    pen.stroke();
  }
  pen.restore();
  drawPlayhead(pen, palette, view, height, playhead);
  if (band !== null) {
    pen.fillStyle = palette.accent;
    pen.globalAlpha = 0.14;
    pen.fillRect(band.x0, band.y0, band.x1 - band.x0, band.y1 - band.y0);
    pen.globalAlpha = 1;
    pen.strokeStyle = palette.accent;
    pen.lineWidth = 1;
    pen.strokeRect(band.x0 + 0.5, band.y0 + 0.5, band.x1 - band.x0 - 1, band.y1 - band.y0 - 1);
  }
}

/** A line at the frame's beginning with a head in the ruler; a wide frame is tinted, so that it is seen as one. */
function drawPlayhead(
  pen: CanvasRenderingContext2D,
  palette: Pen['palette'],
  view: View,
  height: number,
  playhead: number,
): void {
  const x = Math.round(frameToX(view, playhead));
  if (x < -12 || x > view.width + 12) return;
  if (view.scale > 5) {
    pen.fillStyle = palette.playhead;
    pen.globalAlpha = 0.1;
    pen.fillRect(x, rulerHeight, view.scale, height);
    pen.globalAlpha = 1;
  }
  pen.fillStyle = palette.playhead;
  pen.fillRect(x - 0.75, 10, 1.5, height);
  pen.beginPath();
  pen.moveTo(x - 6, 3);
  pen.lineTo(x + 6, 3);
  pen.lineTo(x + 6, 10);
  pen.lineTo(x, 16);
  pen.lineTo(x - 6, 10);
  pen.closePath();
  pen.fill();
}
