import type { LucideIcon } from '@lucide/svelte';

/** An icon component. */
export type Icon = LucideIcon;

/** One choice of several. */
export interface Option<T extends string> {
  readonly value: T;
  readonly label: string;
  readonly icon?: Icon | undefined;
  /** Only the icon is drawn; the label is its tooltip. */
  readonly hideLabel?: boolean | undefined;
  readonly disabled?: boolean | undefined;
  /** Why it cannot be chosen, or what it does. */
  readonly reason?: string | undefined;
}

/** A line of a menu. `key` is only shown; the key itself belongs to the command. */
export interface MenuAction {
  readonly label: string;
  readonly icon?: Icon | undefined;
  readonly key?: string | undefined;
  readonly run?: (() => void) | undefined;
  readonly disabled?: boolean | undefined;
  readonly reason?: string | undefined;
  readonly danger?: boolean | undefined;
  readonly checked?: boolean | undefined;
  readonly items?: readonly MenuItem[] | undefined;
}
export type MenuItem = MenuAction | 'line';
