import type { Fit } from '../../../src-main/core/contract/project.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Rect extends Size, Point {}

/** Where a medium's picture goes: the part of it that is seen, and its place in the frame. */
export interface Placement {
  readonly from: Rect;
  readonly to: Rect;
}

/**
 * How a picture is brought to a frame of another shape, as the studio does it: `crop` fills the frame and cuts what
 * stands out, `contain` shows all of it between bars, `stretch` distorts.
 * @param picture in its own pixels
 * @param frame in pixels of the project
 */
export function place(picture: Size, frame: Size, fit: Fit): Placement {
  const whole = { x: 0, y: 0, width: picture.width, height: picture.height };
  const full = { x: 0, y: 0, width: frame.width, height: frame.height };
  if (fit === 'stretch') return { from: whole, to: full };
  if (fit === 'contain') return { from: whole, to: inside(picture, full) };
  return { from: inside(frame, whole), to: full };
}

/** The largest rectangle of a shape inside another, in its middle. */
export function inside(shape: Size, box: Rect): Rect {
  const scale = Math.min(box.width / shape.width, box.height / shape.height);
  const width = shape.width * scale;
  const height = shape.height * scale;
  return { x: box.x + (box.width - width) / 2, y: box.y + (box.height - height) / 2, width, height };
}

/**
 * Size at which a medium's picture is decoded for a frame: no pixel more than the frame can show, none made up.
 * Whole numbers from 1 up.
 */
export function decodeSize(picture: Size, frame: Size, fit: Fit): Size {
  const x = frame.width / picture.width;
  const y = frame.height / picture.height;
  const uniform = fit === 'crop' ? Math.max(x, y) : Math.min(x, y);
  const scaled = (side: number, scale: number): number => Math.max(1, Math.round(side * Math.min(1, scale)));
  return {
    width: scaled(picture.width, fit === 'stretch' ? x : uniform),
    height: scaled(picture.height, fit === 'stretch' ? y : uniform),
  };
}

/** How the frame lies on the stage. */
export interface Zoom {
  /** Stage pixels (device pixels) per project pixel; null: as large as fits. */
  readonly scale: number | null;
  /** Middle of the stage in the frame, 0 … 1 of its sides. */
  readonly centre: Point;
}

export const fitted: Zoom = { scale: null, centre: { x: 0.5, y: 0.5 } };

/** Least and greatest scale. */
export const scales = { min: 1 / 16, max: 16 } as const;

/** Scale at which a frame fits a box. */
export function fitScale(frame: Size, box: Size): number {
  return Math.min(box.width / frame.width, box.height / frame.height);
}

/**
 * Where the frame lies in a box of the stage. What is smaller than the box stands in its middle; what is larger covers
 * it wholly, however far it is moved.
 */
export function lay(frame: Size, box: Rect, { scale, centre }: Zoom): Rect {
  if (scale === null) return rounded(inside(frame, box));
  const width = frame.width * scale;
  const height = frame.height * scale;
  const along = (size: number, start: number, room: number, middle: number): number =>
    size <= room
      ? start + (room - size) / 2
      : start + Math.min(0, Math.max(room - size, room / 2 - middle * size));
  return rounded({
    x: along(width, box.x, box.width, centre.x),
    y: along(height, box.y, box.height, centre.y),
    width,
    height,
  });
}

/** Another scale, with the frame's point under `at` (stage pixels) staying there as far as the edges admit. */
export function zoomAt(frame: Size, box: Rect, zoom: Zoom, scale: number, at: Point): Zoom {
  const next = Math.min(scales.max, Math.max(scales.min, scale));
  const now = lay(frame, box, zoom);
  const point = { x: (at.x - now.x) / now.width, y: (at.y - now.y) / now.height };
  const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  return settle(frame, box, {
    scale: next,
    centre: {
      x: point.x - (at.x - middle.x) / (frame.width * next),
      y: point.y - (at.y - middle.y) / (frame.height * next),
    },
  });
}

/** Moves the frame by stage pixels. */
export function panBy(frame: Size, box: Rect, zoom: Zoom, by: Point): Zoom {
  if (zoom.scale === null) return zoom;
  return settle(frame, box, {
    scale: zoom.scale,
    centre: {
      x: zoom.centre.x - by.x / (frame.width * zoom.scale),
      y: zoom.centre.y - by.y / (frame.height * zoom.scale),
    },
  });
}

/** The halves of a box, side by side or, where that shows a larger frame, one above the other. */
export function halves(frame: Size, box: Rect, gap: number): readonly [Rect, Rect] {
  const wide = { ...box, width: Math.max(1, (box.width - gap) / 2) };
  const high = { ...box, height: Math.max(1, (box.height - gap) / 2) };
  if (fitScale(frame, wide) >= fitScale(frame, high)) {
    return [wide, { ...wide, x: box.x + wide.width + gap }];
  }
  return [high, { ...high, y: box.y + high.height + gap }];
}

/** The same picture with its centre where it really is: further moves then take effect at once. */
function settle(frame: Size, box: Rect, zoom: Zoom): Zoom {
  const scale = zoom.scale ?? fitScale(frame, box);
  const along = (middle: number, size: number, room: number): number => {
    const half = room / 2 / (size * scale);
    return half >= 0.5 ? 0.5 : Math.min(1 - half, Math.max(half, middle));
  };
  return {
    scale: zoom.scale,
    centre: {
      x: along(zoom.centre.x, frame.width, box.width),
      y: along(zoom.centre.y, frame.height, box.height),
    },
  };
}

function rounded({ x, y, width, height }: Rect): Rect {
  return {
    x: Math.round(x),
    y: Math.round(y),
    width: Math.max(1, Math.round(width)),
    height: Math.max(1, Math.round(height)),
  };
}
