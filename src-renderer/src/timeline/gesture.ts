import type { Project, Range } from '../../../src-main/core/contract/project.ts';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import type { RangeDefaults } from './edits.ts';
import type { Layout } from './layout.ts';
import type { Scene, WorkedRange } from './scene.ts';
import { snap, snapPixels, type SnapLines } from './snap.ts';
import type { View } from './view.ts';

/** What a brush paints. */
export type Brush = 'fixed' | 'noisy' | 'interpolated';

/** What is selected, as the session has it. */
export interface Selected {
  readonly clipIds: readonly string[];
  readonly cells: { readonly first: number; readonly last: number } | null;
}

/** The pointer over the canvas, in CSS pixels from its corner, with the keys held. */
export interface Pointer {
  readonly x: number;
  readonly y: number;
  readonly alt: boolean;
  readonly shift: boolean;
  /** Ctrl, or ⌘ on a Mac. */
  readonly mod: boolean;
}

/** What a gesture happens in; it stands as it was when the gesture began. */
export interface GestureContext {
  readonly project: Project;
  readonly scene: Scene;
  readonly layout: Layout;
  readonly view: View;
  readonly scrollY: number;
  readonly selected: Selected;
  readonly brush: Brush | null;
  /** Null while snapping is off. */
  readonly lines: SnapLines | null;
  /** Tracks on which nothing can be done: locked or hidden. */
  readonly closed: ReadonlySet<number>;
  /** For a range that is drawn. */
  readonly defaults: RangeDefaults;
  newId(): string;
  worked(range: Range): WorkedRange;
}

/** What undoing a gesture is called: a key of the texts. */
export type GestureLabel =
  | 'timeline.edit.move'
  | 'timeline.edit.copy'
  | 'timeline.edit.trim'
  | 'timeline.edit.slip'
  | 'timeline.edit.marker'
  | 'timeline.edit.moveRange'
  | 'timeline.edit.resizeRange'
  | 'timeline.edit.addRange'
  | 'timeline.edit.paint'
  | 'timeline.edit.m'
  | 'timeline.edit.curve';

/** A rubber band: frames with their fractions, and pixels from the top of the rows. */
export interface Band {
  readonly from: number;
  readonly to: number;
  readonly top: number;
  readonly bottom: number;
}

/** What a gesture stands at: shown while it goes on, done when it ends. */
export interface Outcome {
  readonly commands: readonly Command[];
  readonly label: GestureLabel;
  /** Frame of the line something snapped to. */
  readonly line: number | null;
  /** Figures shown beside the pointer. */
  readonly readout: string | null;
  readonly selected?: Selected;
  readonly playhead?: number;
  readonly band?: Band;
  readonly bound?: { readonly bound: 'in' | 'out'; readonly frame: number };
  /** Where a take would become a clip. */
  readonly promote?: { readonly takeId: string; readonly track: number };
}

/** A drag from where it began; it may be asked again and again, the last answer counts. */
export interface Gesture {
  readonly cursor: string;
  /** It does something at once, before the pointer has moved. */
  readonly immediate: boolean;
  /** Ways in which the view follows the pointer past its edges. */
  readonly follows?: 'x' | 'y' | 'xy';
  /** @param pointer in the view in which the gesture began, however it has moved since */
  update(pointer: Pointer): Outcome;
}

/** Where nothing has happened yet. */
export const nothingYet: Outcome = { commands: [], label: 'timeline.edit.move', line: null, readout: null };

/** Frames within which something snaps. */
export function reach({ view }: GestureContext): number {
  return snapPixels / view.scale;
}

/** The frame that is meant: the nearest line within reach, else the nearest frame. @param free lets go of the snapping */
export function snapped(
  context: GestureContext,
  wanted: number,
  free: boolean,
  without?: ReadonlySet<number>,
): { readonly frame: number; readonly line: number | null } {
  if (context.lines === null || free) return { frame: Math.max(0, Math.round(wanted)), line: null };
  return snap(wanted, context.lines, reach(context), without);
}

/** A difference with its sign, as it is read. */
export function signed(value: number): string {
  return value > 0 ? `+${value}` : String(value).replace('-', '−');
}
