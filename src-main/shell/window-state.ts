import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';

/** Device-independent pixels, as Electron counts them. */
export interface Bounds {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

const pixel = z.int().min(-100_000).max(100_000);
const windowStateSchema = z.strictObject({
  bounds: z.strictObject({
    x: pixel,
    y: pixel,
    width: z.int().min(1).max(100_000),
    height: z.int().min(1).max(100_000),
  }),
  isMaximised: z.boolean(),
  isFullScreen: z.boolean(),
});
/** How the window stood when it was last closed; the bounds are those it has when it is not maximised. */
export type WindowState = z.infer<typeof windowStateSchema>;

export const minimum = { width: 900, height: 600 } as const;
const usual = { width: 1440, height: 900 } as const;
/** What must be seen of a window so that it can be moved: width and height of its upper edge. */
const grip = { width: 120, height: 40 } as const;

/** What was written last; null where there is nothing or nothing sound. */
export function readWindowState(file: string): WindowState | null {
  try {
    if (statSync(file).size > 10_000) return null;
    return windowStateSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return null;
  }
}

/** Whole or not at all. A disk that is full costs the window's place, nothing else. */
export function writeWindowState(file: string, state: WindowState): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(`${file}.new`, JSON.stringify(state));
    renameSync(`${file}.new`, file);
  } catch {
    return;
  }
}

/**
 * Bounds for a window on the displays there are now: the remembered ones where they still fit on one, else the usual
 * size in the middle of the first.
 * @param areas work areas of the displays, the primary one first
 */
export function placeWindow(remembered: Bounds | null, areas: readonly Bounds[]): Bounds {
  const [primary] = areas;
  if (primary === undefined) return { x: 0, y: 0, ...usual };
  const home = areas.find((area) => remembered !== null && isHeld(remembered, area));
  if (remembered === null || home === undefined) {
    const width = Math.min(usual.width, primary.width);
    const height = Math.min(usual.height, primary.height);
    return {
      x: primary.x + Math.round((primary.width - width) / 2),
      y: primary.y + Math.round((primary.height - height) / 2),
      width,
      height,
    };
  }
  return {
    x: remembered.x,
    y: Math.max(remembered.y, home.y),
    width: Math.min(Math.max(remembered.width, minimum.width), home.width),
    height: Math.min(Math.max(remembered.height, minimum.height), home.height),
  };
}

/** Whether enough of a window's upper edge lies on a display. */
function isHeld({ x, y, width }: Bounds, area: Bounds): boolean {
  const seen = Math.min(x + width, area.x + area.width) - Math.max(x, area.x);
  return seen >= grip.width && y + grip.height > area.y && y + grip.height <= area.y + area.height;
}
