/** In and out, as frames, both inclusive; null where there is none. */
export interface Bounds {
  readonly in: number | null;
  readonly out: number | null;
}

export const noBounds: Bounds = { in: null, out: null };

/** One of the two set to a frame; an out before the in, or an in after the out, takes the other away. */
export function withBound(bounds: Bounds, which: 'in' | 'out', frame: number): Bounds {
  return which === 'in'
    ? { in: frame, out: bounds.out !== null && bounds.out < frame ? null : bounds.out }
    : { in: bounds.in !== null && bounds.in > frame ? null : bounds.in, out: frame };
}

/**
 * The frames from in to out of what reaches up to `end`: where one is not set, from the beginning or to the end.
 * @param end first frame behind everything
 * @returns inclusive on both sides, at least one frame
 */
export function boundStretch(bounds: Bounds, end: number): { readonly first: number; readonly last: number } {
  const most = Math.max(0, end - 1);
  const first = Math.min(bounds.in ?? 0, most);
  return { first, last: Math.max(first, Math.min(bounds.out ?? most, most)) };
}
