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

interface Heights {
  readonly track: number;
  readonly range: number;
  readonly cells: number;
  readonly take: number;
  /** Least of the open plan. */
  readonly plan: number;
}

/** From roomy to tight: the first is used with which tracks, cells, plan and one take are all in sight. */
const sizes: readonly Heights[] = [
  { track: 56, range: 24, cells: 52, take: 40, plan: 112 },
  { track: 44, range: 24, cells: 50, take: 38, plan: 82 },
  { track: 44, range: 24, cells: 46, take: 36, plan: 66 },
  { track: 34, range: 22, cells: 44, take: 34, plan: 54 },
];
const foldedPlan = 26;
/** Height of one step in the plan, and the most they have together. */
const planStep = 11;
const mostPlan = 220;

export interface LayoutInput {
  readonly tracks: number;
  readonly lanes: number;
  /** Steps of the current range's plan; null where there is no current range. */
  readonly steps: number | null;
  readonly planFolded: boolean;
  readonly takeIds: readonly string[];
  /** Pixels there are for the rows. */
  readonly room?: number;
}

/** Rows from above: tracks from the top one down, each lane of ranges with its cells, the plan, the takes. */
export function layoutRows(input: LayoutInput): Layout {
  const { tracks, steps, planFolded, takeIds, room = Number.POSITIVE_INFINITY } = input;
  const lanes = Math.max(1, input.lanes);
  const all = tracks > 2 ? sizes.slice(1) : sizes;
  const wanted = steps === null ? 0 : planFolded ? foldedPlan : planHeight(steps);
  /** Down to the first take, without the plan. */
  const around = (size: Heights): number =>
    tracks * (size.track + rowGap) +
    lanes * (size.range + size.cells + 2 * rowGap) +
    (steps === null ? 0 : rowGap) +
    (takeIds.length === 0 ? 0 : size.take + rowGap);
  const least = ({ plan }: Heights): number => (planFolded ? wanted : Math.min(wanted, plan));
  const size = all.find((each) => around(each) + least(each) <= room) ?? all.at(-1)!;
  const plan = Math.max(least(size), Math.min(wanted, room - around(size)));

  const rows: Row[] = [];
  let y = 0;
  const place = (row: Row): void => {
    rows.push(row);
    y += row.height + rowGap;
  };
  for (let track = tracks - 1; track >= 0; track--) place({ kind: 'track', track, y, height: size.track });
  for (let lane = 0; lane < lanes; lane++) {
    place({ kind: 'range', lane, y, height: size.range });
    place({ kind: 'cells', lane, y, height: size.cells });
  }
  if (steps !== null) {
    place({ kind: 'plan', folded: planFolded, y, height: plan });
    for (const takeId of takeIds) place({ kind: 'take', takeId, y, height: size.take });
  }
  return { rows, height: y };
}

/** Of the open plan where there is room. */
function planHeight(steps: number): number {
  return Math.min(mostPlan, Math.max(66, steps * planStep)) + 2 * inset;
}

/** Names a row among the others, whatever comes and goes. */
export function rowKey(row: Row): string {
  switch (row.kind) {
    case 'track':
      return `track-${row.track}`;
    case 'range':
    case 'cells':
      return `${row.kind}-${row.lane}`;
    case 'plan':
      return 'plan';
    case 'take':
      return `take-${row.takeId}`;
  }
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
