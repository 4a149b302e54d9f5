import type { Palette } from './palette.ts';

/** Widths and shortened texts, remembered: measuring is the slowest thing a canvas does. */
const most = 4000;
const widths = new Map<string, number>();
const shortened = new Map<string, string>();

/** The font that was set last; a canvas is slow to say which it has. */
let current = '';

/** Sets the font of what is drawn and measured next. @param size in CSS pixels */
export function setFont(pen: CanvasRenderingContext2D, palette: Palette, size: number, weight = 400): void {
  current = `${weight} ${size}px ${palette.font}`;
  pen.font = current;
}

function widthOf(pen: CanvasRenderingContext2D, text: string): number {
  const key = `${current}|${text}`;
  const known = widths.get(key);
  if (known !== undefined) return known;
  if (widths.size >= most) widths.clear();
  const { width } = pen.measureText(text);
  widths.set(key, width);
  return width;
}

/** The text, or its beginning with an ellipsis, that fits a width; empty where not even that does. */
export function ellipsis(pen: CanvasRenderingContext2D, text: string, width: number): string {
  if (width < 10) return '';
  if (widthOf(pen, text) <= width) return text;
  // In steps of a few pixels, so that zooming does not measure anew each frame.
  const room = Math.floor(width / 6) * 6;
  const key = `${current}|${room}|${text}`;
  const known = shortened.get(key);
  if (known !== undefined) return known;
  if (shortened.size >= most) shortened.clear();
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pen.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle;
    else high = middle - 1;
  }
  const result = low < 2 ? '' : `${text.slice(0, low)}…`;
  shortened.set(key, result);
  return result;
}

/** True when a text is no wider than that. */
export function fits(pen: CanvasRenderingContext2D, text: string, width: number): boolean {
  return widthOf(pen, text) <= width;
}
