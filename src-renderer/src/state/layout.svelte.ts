import { z } from 'zod';
import { recall, remember } from './memory.ts';

export const panels = ['library', 'inspector', 'timeline'] as const;
export type Panel = (typeof panels)[number];

const panelSchema = z.strictObject({ size: z.number().min(0).max(10_000), open: z.boolean() });
export const layoutSchema = z.strictObject({
  library: panelSchema,
  inspector: panelSchema,
  timeline: panelSchema,
});
export type LayoutState = z.infer<typeof layoutSchema>;

/** CSS pixels: widths of the two at the sides, height of the one below. */
export const standardLayout: LayoutState = {
  library: { size: 276, open: true },
  inspector: { size: 292, open: true },
  timeline: { size: 322, open: true },
};
export const smallest: Readonly<Record<Panel, number>> = { library: 208, inspector: 240, timeline: 140 };
/** What the player keeps. */
const player = { width: 400, height: 200 };
const topBar = 44;

interface Window {
  readonly width: number;
  readonly height: number;
}

/** What a window begins with: a taller one shows the plan and the takes without scrolling. */
export function standardFor({ height }: Window): LayoutState {
  const { timeline } = standardLayout;
  const size = Math.round(Math.min(520, Math.max(timeline.size, height * 0.38)));
  return { ...standardLayout, timeline: { ...timeline, size } };
}

/** The largest a panel may be beside the others as they stand. */
export function largest(state: LayoutState, panel: Panel, window: Window): number {
  const taken = (other: Panel): number => (state[other].open ? state[other].size : 0);
  const room =
    panel === 'timeline'
      ? window.height - topBar - player.height
      : window.width - player.width - taken(panel === 'library' ? 'inspector' : 'library');
  return Math.max(smallest[panel], Math.min(room, panel === 'timeline' ? room : window.width * 0.4));
}

/** The sizes that are shown: what was chosen, as far as the window has room for it. */
export function fitLayout(state: LayoutState, window: Window): LayoutState {
  const fitted = { ...state };
  for (const panel of panels) {
    const size = Math.min(Math.max(state[panel].size, smallest[panel]), largest(fitted, panel, window));
    fitted[panel] = { ...state[panel], size: Math.round(size) };
  }
  return fitted;
}

/** The panels round the player, as this window remembers them. */
class Layout {
  /** Null until something was changed in this window. */
  #chosen = $state.raw<LayoutState | null>(recall('layout', layoutSchema));
  window = $state.raw<Window>({ width: 1280, height: 720 });
  readonly shown: LayoutState = $derived(fitLayout(this.#chosen ?? standardFor(this.window), this.window));

  resize(panel: Panel, size: number): void {
    const wanted = Math.min(Math.max(size, smallest[panel]), largest(this.shown, panel, this.window));
    this.#change(panel, { size: wanted, open: true });
  }

  reset(panel: Panel): void {
    this.#change(panel, standardFor(this.window)[panel]);
  }

  toggle(panel: Panel, open = !this.shown[panel].open): void {
    const { size } = (this.#chosen ?? standardFor(this.window))[panel];
    this.#change(panel, { size, open });
  }

  largest(panel: Panel): number {
    return largest(this.shown, panel, this.window);
  }

  #change(panel: Panel, next: LayoutState[Panel]): void {
    this.#chosen = { ...(this.#chosen ?? standardFor(this.window)), [panel]: next };
    remember('layout', this.#chosen);
  }
}

export const layout = new Layout();
