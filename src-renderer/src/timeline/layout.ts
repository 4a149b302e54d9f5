/** A row of the timeline. `y` counts from the top of the rows, below the ruler. */
export type Row = { readonly y: number; readonly height: number } & (
  | { readonly kind: 'track'; readonly track: number }
  | { readonly kind: 'range'; readonly lane: number }
  | { readonly kind: 'cells'; readonly lane: number }
  | { readonly kind: 'plan'; readonly folded: boolean }
  | { readonly kind: 'take'; readonly takeId: string }
);

export interface Layout {
  readonly rows: readonly Row[];
  /** Height of all rows together. */
  readonly height: number;
}

export const rulerHeight = 30;
export const rowGap = 1;
/** Space above and below what lies in a row. */
export const inset = 4;

const heights = { track: 56, tightTrack: 44, range: 24, cells: 52, foldedPlan: 26, take: 40 } as const;
/** Height of one step in the plan, and of the least and most they have together. */
const planStep = 11;
const planBounds = [66, 220] as const;

export interface LayoutInput {
  readonly tracks: number;
  readonly lanes: number;
  /** Steps of the current range's plan; null where there is no current range. */
  readonly steps: number | null;
  readonly planFolded: boolean;
  readonly takeIds: readonly string[];
}

/** Rows from above: tracks from the top one down, each lane of ranges with its cells, the plan, the takes. */
export function layoutRows({ tracks, lanes, steps, planFolded, takeIds }: LayoutInput): Layout {
  const rows: Row[] = [];
  let y = 0;
  const place = (row: Row): void => {
    rows.push(row);
    y += row.height + rowGap;
  };
  const trackHeight = tracks > 2 ? heights.tightTrack : heights.track;
  for (let track = tracks - 1; track >= 0; track--) place({ kind: 'track', track, y, height: trackHeight });
  for (let lane = 0; lane < Math.max(1, lanes); lane++) {
    place({ kind: 'range', lane, y, height: heights.range });
    place({ kind: 'cells', lane, y, height: heights.cells });
  }
  if (steps !== null) {
    const open = Math.min(planBounds[1], Math.max(planBounds[0], steps * planStep)) + 2 * inset;
    place({ kind: 'plan', folded: planFolded, y, height: planFolded ? heights.foldedPlan : open });
    for (const takeId of takeIds) place({ kind: 'take', takeId, y, height: heights.take });
  }
  return { rows, height: y };
}

/** The row at a height; undefined below the last. */
export function rowAt(layout: Layout, y: number): Row | undefined {
  return layout.rows.find((row) => y >= row.y && y < row.y + row.height + rowGap);
}

/** The row of a track. */
export function trackRow(layout: Layout, track: number): Row | undefined {
  return layout.rows.find((row) => row.kind === 'track' && row.track === track);
}

/** The track nearest to a height: past the rows of tracks the first or last of them. */
export function trackNear(layout: Layout, y: number): number {
  let nearest = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const row of layout.rows) {
    if (row.kind !== 'track') continue;
    const away = Math.abs(y - (row.y + row.height / 2));
    if (away < least) {
      least = away;
      nearest = row.track;
    }
  }
  return nearest;
}
