import type { Palette } from './palette.ts';
import type { Piece } from './pictures.ts';

/** What is drawn on, and how. */
export interface Pen {
  readonly pen: CanvasRenderingContext2D;
  readonly palette: Palette;
  /** Grain for noisy cells. */
  readonly grain: CanvasPattern;
  /** Stripes for what is locked. */
  readonly stripes: CanvasPattern;
}

export function roundRect(
  pen: CanvasRenderingContext2D,
  x: number,
  y: number,
  width: number,
  height: number,
  radius: number,
): void {
  pen.beginPath();
  pen.roundRect(x, y, width, height, Math.max(0, Math.min(radius, width / 2, height / 2)));
}

/** Fills a box with a picture, cut to its shape around the middle. */
export function cover(
  pen: CanvasRenderingContext2D,
  piece: Piece,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  const scale = Math.max(width / piece.width, height / piece.height);
  const w = width / scale;
  const h = height / scale;
  pen.drawImage(
    piece.bitmap,
    piece.x + (piece.width - w) / 2,
    (piece.height - h) / 2,
    w,
    h,
    x,
    y,
    width,
    height,
  );
}

/** A small tile of dots that look random and are the same each time. */
export function makeGrain(pen: CanvasRenderingContext2D, colour: string, ratio: number): CanvasPattern {
  const side = 32;
  const tile = new OffscreenCanvas(side * ratio, side * ratio);
  const to = tile.getContext('2d')!;
  to.scale(ratio, ratio);
  to.fillStyle = colour;
  let seed = 12345;
  const random = (): number => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) / 0x7fffffff;
  for (let i = 0; i < 190; i++) {
    to.globalAlpha = 0.04 + random() * 0.3;
    to.fillRect(Math.floor(random() * side), Math.floor(random() * side), 1, 1);
  }
  return scaled(pen.createPattern(tile, 'repeat')!, ratio);
}

/** Thin diagonal stripes. */
export function makeStripes(pen: CanvasRenderingContext2D, colour: string, ratio: number): CanvasPattern {
  const side = 8;
  const tile = new OffscreenCanvas(side * ratio, side * ratio);
  const to = tile.getContext('2d')!;
  to.scale(ratio, ratio);
  to.strokeStyle = colour;
  to.globalAlpha = 0.35;
  to.lineWidth = 1.2;
  to.beginPath();
  for (const at of [-side, 0, side]) {
    to.moveTo(at, side);
    to.lineTo(at + side, 0);
  }
  to.stroke();
  return scaled(pen.createPattern(tile, 'repeat')!, ratio);
}

/** Drawn at the screen's density, laid out in CSS pixels. */
function scaled(pattern: CanvasPattern, ratio: number): CanvasPattern {
  pattern.setTransform(new DOMMatrix().scale(1 / ratio));
  return pattern;
}
