import type { TakeSummary } from '../../../src-main/core/contract/records.ts';
import type { Range } from '../../../src-main/core/contract/project.ts';
import { firstFrameOf, lastFrameOf } from '../../../src-main/core/timeline/cells.ts';
import { visibleCells } from './draw/ranges.ts';
import { inset, rowKey, rulerHeight, type Layout, type Row } from './layout.ts';
import type { Scene, WorkedRange } from './scene.ts';
import type { Selected } from './gesture.ts';
import { frameToX, visibleFrames, type View } from './view.ts';

/** Something that is drawn and can be reached without seeing it. */
export interface Item {
  readonly key: string;
  readonly kind: 'clip' | 'range' | 'cell' | 'take';
  /** Of the clip, range or take. */
  readonly id: string;
  readonly cell: number | null;
  readonly label: string;
  readonly isSelected: boolean;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A row of them. */
export interface ItemRow {
  readonly key: string;
  readonly label: string;
  readonly items: readonly Item[];
}

/** More than these are not told one by one: zooming in shows fewer. */
const mostInRow = 200;

export interface ItemInput {
  readonly scene: Scene;
  readonly layout: Layout;
  readonly view: View;
  readonly scrollY: number;
  readonly current: Range | null;
  readonly selected: Selected;
  readonly takes: readonly TakeSummary[];
  readonly takeId: string | null;
  readonly hidden: ReadonlySet<number>;
  readonly words: {
    track(track: number): string;
    readonly ranges: string;
    readonly cells: string;
    clip(clipId: string, track: number): string;
    range(range: Range): string;
    cell(range: Range, cell: number): string;
    take(take: TakeSummary): string;
    readonly takes: string;
  };
  worked(range: Range): WorkedRange;
}

/** What is seen, as rows of elements with names, from above. */
export function itemRows(input: ItemInput): ItemRow[] {
  const rows: ItemRow[] = [];
  for (const row of input.layout.rows) {
    const items = itemsOf(input, row).slice(0, mostInRow);
    if (items.length === 0) continue;
    rows.push({ key: rowKey(row), label: rowLabel(input, row), items });
  }
  return rows;
}

function rowLabel({ words }: ItemInput, row: Row): string {
  switch (row.kind) {
    case 'track':
      return words.track(row.track);
    case 'range':
      return words.ranges;
    case 'cells':
      return words.cells;
    case 'plan':
    case 'take':
      return words.takes;
  }
}

function itemsOf(input: ItemInput, row: Row): Item[] {
  const { scene, view, selected, words, current } = input;
  const { first, last } = visibleFrames(view);
  const y = row.y + rulerHeight - input.scrollY + inset;
  const height = row.height - 2 * inset;
  const box = (from: number, to: number): Pick<Item, 'x' | 'y' | 'width' | 'height'> => {
    const x = Math.max(-4, frameToX(view, from));
    return { x, y, width: Math.max(2, Math.min(view.width + 4, frameToX(view, to)) - x), height };
  };
  const seen = scene.ordered.filter(
    (range) =>
      'lane' in row &&
      scene.lanes.get(range.id) === row.lane &&
      range.start <= last &&
      range.start + range.frames > first,
  );
  switch (row.kind) {
    case 'track': {
      if (input.hidden.has(row.track)) return [];
      const chosen = new Set(selected.clipIds);
      return (scene.tracks[row.track]?.query(first, last + 1) ?? []).map((clip) => ({
        key: `clip-${clip.id}`,
        kind: 'clip',
        id: clip.id,
        cell: null,
        label: words.clip(clip.id, row.track),
        isSelected: chosen.has(clip.id),
        ...box(clip.start, clip.start + clip.frames),
      }));
    }
    case 'range':
      return seen.map((range) => ({
        key: `range-${range.id}`,
        kind: 'range',
        id: range.id,
        cell: null,
        label: words.range(range),
        isSelected: range.id === current?.id,
        ...box(range.start, range.start + range.frames),
      }));
    case 'cells':
      return seen.flatMap((range) => {
        const cells = visibleCells(view, range);
        if (cells === null || view.scale * 4 < 4) return [];
        const isCurrent = range.id === current?.id;
        return Array.from({ length: cells.last - cells.first + 1 }, (_, i): Item => {
          const cell = cells.first + i;
          const { cells: chosen } = selected;
          return {
            key: `cell-${range.id}-${cell}`,
            kind: 'cell',
            id: range.id,
            cell,
            label: words.cell(range, cell),
            isSelected: isCurrent && chosen !== null && cell >= chosen.first && cell <= chosen.last,
            ...box(range.start + firstFrameOf(cell), range.start + lastFrameOf(cell) + 1),
          };
        });
      });
    case 'take': {
      const take = input.takes.find(({ id }) => id === row.takeId);
      if (take === undefined || current === null) return [];
      return [
        {
          key: `take-${take.id}`,
          kind: 'take',
          id: take.id,
          cell: null,
          label: words.take(take),
          isSelected: take.id === input.takeId,
          ...box(current.start, current.start + current.frames),
        },
      ];
    }
    case 'plan':
      return [];
  }
}

/** The item an arrow key leads to from another; null where there is none. */
export function neighbour(
  rows: readonly ItemRow[],
  key: string,
  way: 'left' | 'right' | 'up' | 'down' | 'first' | 'last',
): Item | null {
  const at = rows.findIndex(({ items }) => items.some((item) => item.key === key));
  const row = rows[at];
  if (row === undefined) return rows[0]?.items[0] ?? null;
  const index = row.items.findIndex((item) => item.key === key);
  const from = row.items[index]!;
  switch (way) {
    case 'left':
      return row.items[index - 1] ?? null;
    case 'right':
      return row.items[index + 1] ?? null;
    case 'first':
      return row.items[0]!;
    case 'last':
      return row.items.at(-1)!;
    case 'up':
    case 'down': {
      const next = rows[at + (way === 'up' ? -1 : 1)];
      if (next === undefined) return null;
      const centre = from.x + from.width / 2;
      const away = (item: Item): number => Math.max(item.x - centre, centre - item.x - item.width, 0);
      return next.items.reduce((best, item) => (away(item) < away(best) ? item : best));
    }
  }
}
