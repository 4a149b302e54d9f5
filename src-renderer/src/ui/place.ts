export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Room kept to the window's edges, in CSS pixels. */
const margin = 6;

/**
 * Where something floating goes beside an anchor so that it is seen whole: below or (`side` right) to the right, on
 * the other side where there is more room, never past the window's edges while it fits. CSS pixels.
 */
export function place(
  anchor: Box,
  size: Size,
  window: Size,
  side: 'below' | 'right' = 'below',
  gap = 4,
): { readonly left: number; readonly top: number } {
  const clamp = (value: number, length: number, most: number): number =>
    Math.max(margin, Math.min(value, most - length - margin));
  if (side === 'right') {
    const right = anchor.left + anchor.width + gap;
    const fits = right + size.width + margin <= window.width;
    return {
      left: clamp(fits ? right : anchor.left - gap - size.width, size.width, window.width),
      top: clamp(anchor.top, size.height, window.height),
    };
  }
  const below = anchor.top + anchor.height + gap;
  const roomBelow = window.height - margin - below;
  const isBelow = size.height <= roomBelow || anchor.top < roomBelow;
  return {
    left: clamp(anchor.left, size.width, window.width),
    top: clamp(isBelow ? below : anchor.top - gap - size.height, size.height, window.height),
  };
}
