import type { Box } from './place.ts';
import type { MenuItem } from './types.ts';

/** A menu that is asked for. */
export interface OpenMenu {
  readonly anchor: Box;
  readonly items: readonly MenuItem[];
  /** Counts openings, so that the same menu can be opened again. */
  readonly serial: number;
}

let current = $state.raw<OpenMenu | null>(null);
let serial = 0;

export const menus = {
  get current(): OpenMenu | null {
    return current;
  },
  close(): void {
    current = null;
  },
};

/** Opens a menu at a point of the window, at the pointer of an event, or under an element. */
export function openMenu(
  at: MouseEvent | Element | { readonly x: number; readonly y: number },
  items: readonly MenuItem[],
): void {
  if (at instanceof MouseEvent) at.preventDefault();
  const anchor =
    at instanceof Element ? at.getBoundingClientRect() : { left: at.x, top: at.y, width: 0, height: 0 };
  current = { anchor, items, serial: ++serial };
}
