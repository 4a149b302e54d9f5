import { lowerBound } from './scene.ts';

/** Where something would be, and the line it was drawn to; null where nothing was near. */
export interface Snapped {
  readonly frame: number;
  readonly line: number | null;
}

/** How near, in pixels, something must come to be drawn to a line. */
export const snapPixels = 8;

export interface SnapLines {
  /** Ascending. */
  readonly edges: readonly number[];
  /** Playhead, markers, in and out: in any order. */
  readonly points: readonly number[];
  /** First frames of ranges that have cells: lines every four frames from there. */
  readonly ranges: readonly { readonly start: number; readonly frames: number }[];
}

/**
 * The nearest line to a place.
 * @param wanted frame, may be a fraction; without a line the nearest whole one is taken
 * @param reach how far a line draws, in frames
 * @param without places that must not draw: those of what is being moved
 */
export function snap(
  wanted: number,
  lines: SnapLines,
  reach: number,
  without: ReadonlySet<number> = new Set(),
): Snapped {
  let best = null as number | null;
  let least = reach;
  // Of two equally near, the one looked at first wins: the playhead and markers before edges before cells.
  const consider = (line: number): void => {
    const away = Math.abs(line - wanted);
    if (without.has(line) || !(away < least || (away <= least && best === null))) return;
    least = away;
    best = line;
  };
  for (const point of lines.points) consider(point);
  const at = lowerBound(lines.edges, wanted);
  for (let i = at; i < lines.edges.length && lines.edges[i]! - wanted <= least; i++)
    consider(lines.edges[i]!);
  for (let i = at - 1; i >= 0 && wanted - lines.edges[i]! <= least; i--) consider(lines.edges[i]!);
  if (best === null) for (const range of lines.ranges) consider(cellBorder(wanted, range));
  const frame = Math.max(0, Math.round(best ?? wanted));
  return { frame, line: best };
}

/** The border between cells of a range that is nearest: its start, the frame after cell 0, then every fourth. */
export function cellBorder(
  wanted: number,
  { start, frames }: { readonly start: number; readonly frames: number },
): number {
  const inside = wanted - start;
  if (inside <= 0.5) return start;
  return start + Math.min(frames, Math.max(0, Math.round((inside - 1) / 4)) * 4 + 1);
}

/**
 * Several places moved together: the one that comes nearest to a line decides.
 * @returns the distance to move by, a whole number
 */
export function snapMove(
  places: readonly number[],
  by: number,
  lines: SnapLines,
  reach: number,
  without: ReadonlySet<number>,
): { readonly by: number; readonly line: number | null } {
  let best: { by: number; line: number } | null = null;
  let least = reach;
  for (const place of places) {
    const { line } = snap(place + by, lines, least, without);
    if (line === null) continue;
    const away = Math.abs(line - place - by);
    if (best === null || away < least) {
      least = away;
      best = { by: Math.round(line - place), line };
    }
  }
  return best ?? { by: Math.round(by), line: null };
}
