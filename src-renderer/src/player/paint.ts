import type { Fit } from '../../../src-main/core/contract/project.ts';
import { place, type Rect, type Size } from './rect.ts';

/** What one side of the player shows. */
export type Content =
  | { readonly kind: 'picture'; readonly image: ImageBitmap; readonly fit: Fit }
  /** Small pictures of latents, scaled up smoothly. */
  | { readonly kind: 'preview'; readonly image: OffscreenCanvas }
  /** On its way. */
  | { readonly kind: 'waiting' }
  /** Nothing lies there. */
  | { readonly kind: 'gap' }
  /** Not generated yet. */
  | { readonly kind: 'none' };

/** Colours and the pattern of a theme. */
export interface Paints {
  /** Of the theme they were read from: another one, other colours. */
  readonly version: number;
  readonly stage: string;
  readonly frame: string;
  readonly hatch: string;
  readonly guide: string;
}

type Context = CanvasRenderingContext2D;

/** Reads the theme's colours; once per change of it. */
export function readPaints(element: Element, version: number): Paints {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  return {
    version,
    stage: colour('--well'),
    frame: colour('--panel'),
    hatch: colour('--line'),
    guide: 'rgb(255 255 255 / 55%)',
  };
}

/** An empty stage of the whole canvas. */
export function paintStage(context: Context, { width, height }: Size, { stage }: Paints): void {
  context.fillStyle = stage;
  context.fillRect(0, 0, width, height);
}

/**
 * One side, into its place on the stage.
 * @param frame the project's size
 * @param at where the whole frame lies, in pixels of the canvas
 * @param isSmooth false where single pixels are to be seen; a preview is smooth in any case
 */
export function paintContent(
  context: Context,
  content: Content,
  frame: Size,
  at: Rect,
  paints: Paints,
  isSmooth: boolean,
): void {
  context.save();
  context.beginPath();
  context.rect(at.x, at.y, at.width, at.height);
  context.clip();
  if (content.kind === 'picture' || content.kind === 'preview') {
    context.fillStyle = '#000';
    context.fillRect(at.x, at.y, at.width, at.height);
    const fit = content.kind === 'picture' ? content.fit : 'stretch';
    const { from, to } = place(content.image, frame, fit);
    const x = at.width / frame.width;
    const y = at.height / frame.height;
    context.imageSmoothingEnabled = isSmooth || content.kind === 'preview';
    context.imageSmoothingQuality = 'high';
    context.drawImage(
      content.image,
      from.x,
      from.y,
      from.width,
      from.height,
      at.x + to.x * x,
      at.y + to.y * y,
      to.width * x,
      to.height * y,
    );
  } else {
    paintHatch(context, at, paints, content.kind === 'waiting');
  }
  context.restore();
}

/** Slanting lines where there is no picture; none while one is on its way. */
function paintHatch(context: Context, at: Rect, { frame, hatch }: Paints, isPlain: boolean): void {
  context.fillStyle = frame;
  context.fillRect(at.x, at.y, at.width, at.height);
  if (isPlain) return;
  const distance = 14;
  context.strokeStyle = hatch;
  context.lineWidth = 1;
  context.beginPath();
  for (let x = at.x - at.height; x < at.x + at.width; x += distance) {
    context.moveTo(x, at.y + at.height);
    context.lineTo(x + at.height, at.y);
  }
  context.stroke();
}

/** Action-safe (93 %) and title-safe (90 %) areas of a frame (SMPTE ST 2046-1). */
export function paintGuides(context: Context, at: Rect, { guide }: Paints): void {
  context.save();
  context.strokeStyle = guide;
  context.lineWidth = 1;
  for (const share of [0.93, 0.9]) {
    const width = Math.round(at.width * share);
    const height = Math.round(at.height * share);
    const x = Math.round(at.x + (at.width - width) / 2) + 0.5;
    const y = Math.round(at.y + (at.height - height) / 2) + 0.5;
    context.strokeRect(x, y, width - 1, height - 1);
  }
  context.restore();
}
