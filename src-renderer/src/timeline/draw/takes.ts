import type { Range } from '../../../../src-main/core/contract/project.ts';
import type { TakeSummary } from '../../../../src-main/core/contract/records.ts';
import { takeButton, takeEnd } from '../hit.ts';
import { inset, type Row } from '../layout.ts';
import { frameToX, type View } from '../view.ts';
import type { Pictures } from './pictures.ts';
import { cover, roundRect, type Pen } from './shapes.ts';
import { ellipsis, setFont } from './text.ts';

/** Pictures along a take, however far it is zoomed into. */
const samples = 6;

/** A take as a strip over its range, with what it is and two buttons. */
export function drawTake(
  { pen, palette }: Pen,
  view: View,
  range: Range,
  take: TakeSummary,
  label: string,
  pictures: Pictures,
  row: Row,
  top: number,
  state: { readonly isShown: boolean; readonly over: 'body' | 'promote' | 'delete' | null },
): void {
  const x = frameToX(view, range.start);
  const end = frameToX(view, range.start + range.frames);
  const left = Math.max(-8, x);
  const right = Math.min(end, view.width + 8);
  if (right - left < 3) return;
  const y = top + inset;
  const height = row.height - 2 * inset;
  pen.save();
  roundRect(pen, left, y, right - left, height, 5);
  pen.clip();
  pen.fillStyle = palette.clip.take;
  pen.globalAlpha = 0.25;
  pen.fillRect(left, y, right - left, height);
  pen.globalAlpha = 1;
  const width = height * Math.min(4, take.width / take.height);
  for (let at = x + Math.max(0, Math.floor((left - x) / width)) * width; at < right; at += width) {
    const sample = Math.min(samples - 1, Math.floor(((at - x) / Math.max(1, end - x)) * samples));
    const piece = pictures.take(take.id, Math.round((sample / (samples - 1)) * (range.frames - 1)));
    if (piece !== null) cover(pen, piece, at, y, width + 0.5, height);
  }
  const shade = pen.createLinearGradient(Math.max(left, 0), 0, Math.max(left, 0) + 340, 0);
  shade.addColorStop(0, 'rgb(8 10 14 / 82%)');
  shade.addColorStop(1, 'rgb(8 10 14 / 30%)');
  pen.fillStyle = shade;
  pen.fillRect(left, y, right - left, height);
  const limit = takeEnd(x, end, view.width);
  const from = Math.max(left, 0) + 9;
  const hasButtons = limit - Math.max(0, x) > 4 * takeButton;
  setFont(pen, palette, 11, 600);
  pen.fillStyle = '#f3f5f9';
  pen.fillText(
    ellipsis(pen, label, (hasButtons ? limit - 2 * takeButton : right) - from - 8),
    from,
    y + height / 2 + 4,
  );
  if (hasButtons) {
    drawButton(pen, limit - 2 * takeButton, y, height, state.over === 'promote');
    drawUp(pen, limit - 1.5 * takeButton, y + height / 2);
    drawButton(pen, limit - takeButton, y, height, state.over === 'delete');
    drawCross(pen, limit - 0.5 * takeButton, y + height / 2);
  }
  pen.restore();
  roundRect(pen, left + 0.75, y + 0.75, right - left - 1.5, height - 1.5, 5);
  pen.strokeStyle = state.isShown ? palette.clip.take : palette.line;
  pen.lineWidth = state.isShown ? 2 : 1;
  pen.stroke();
}

function drawButton(
  pen: CanvasRenderingContext2D,
  x: number,
  y: number,
  height: number,
  isOver: boolean,
): void {
  if (!isOver) return;
  roundRect(pen, x + 2, y + height / 2 - 11, takeButton - 4, 22, 5);
  pen.fillStyle = 'rgb(255 255 255 / 24%)';
  pen.fill();
}

function stroke(pen: CanvasRenderingContext2D): void {
  pen.strokeStyle = '#f3f5f9';
  pen.lineWidth = 1.6;
  pen.lineCap = 'round';
  pen.stroke();
  pen.lineCap = 'butt';
}

/** Up onto the timeline. */
function drawUp(pen: CanvasRenderingContext2D, x: number, y: number): void {
  pen.beginPath();
  pen.moveTo(x, y + 3);
  pen.lineTo(x, y - 5);
  pen.moveTo(x - 3.5, y - 1.5);
  pen.lineTo(x, y - 5);
  pen.lineTo(x + 3.5, y - 1.5);
  pen.moveTo(x - 5, y + 5.5);
  pen.lineTo(x + 5, y + 5.5);
  stroke(pen);
}

function drawCross(pen: CanvasRenderingContext2D, x: number, y: number): void {
  pen.beginPath();
  pen.moveTo(x - 3.5, y - 3.5);
  pen.lineTo(x + 3.5, y + 3.5);
  pen.moveTo(x + 3.5, y - 3.5);
  pen.lineTo(x - 3.5, y + 3.5);
  stroke(pen);
}
