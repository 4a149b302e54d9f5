import type { Gesture, Outcome, Pointer, Selected } from './gesture.ts';
import { dragThreshold, selectOnClick, selectOnPress, startGesture } from './gestures.ts';
import type { Hit } from './hit.ts';
import { rulerHeight } from './layout.ts';
import type { TimelineActs } from './acts.ts';
import type { TimelineState } from './state.svelte.ts';
import { frameToX, xToFrame, type View } from './view.ts';

interface Press {
  readonly hit: Hit;
  readonly at: Pointer;
  readonly before: Selected;
  readonly gesture: Gesture | null;
  /** How the timeline lay when it was pressed: what the gesture works in. */
  readonly view: View;
  readonly scrollY: number;
  moved: boolean;
}

/** Pixels from an edge at which a drag makes the view follow, and pixels a frame at most. */
const followEdge = 28;
const followSpeed = 22;

/** Turns presses, moves and releases over the canvas into selections, previews and edits. */
export class PointerDriver {
  readonly #state: TimelineState;
  readonly #acts: TimelineActs;
  #press: Press | null = null;
  #panFrom: Pointer | null = null;
  #latest: Pointer | null = null;
  #request = 0;
  #outcome: Outcome | null = null;

  constructor(state: TimelineState, acts: TimelineActs) {
    this.#state = state;
    this.#acts = acts;
  }

  get isPressed(): boolean {
    return this.#press !== null || this.#panFrom !== null;
  }

  /** @param wantsPan the middle button */
  down(pointer: Pointer, wantsPan: boolean): void {
    this.cancel();
    if (wantsPan) {
      this.#panFrom = pointer;
      return;
    }
    const state = this.#state;
    const hit = state.hit(pointer.x, pointer.y);
    const before = state.selection;
    if (hit.on === 'range' || hit.on === 'cell' || hit.on === 'plan') state.session.showRange(hit.rangeId);
    state.select(selectOnPress(hit, pointer, before));
    const context = state.gestureContext;
    const gesture = context && startGesture(hit, pointer, context);
    const { view, scrollY } = state;
    this.#press = { hit, at: pointer, before, gesture, view, scrollY, moved: false };
    if (hit.on === 'ruler') state.session.playing = false;
    if (gesture?.immediate === true) {
      this.#latest = pointer;
      this.#update();
    }
  }

  move(pointer: Pointer): void {
    if (this.#panFrom !== null) {
      this.#state.pan(this.#panFrom.x - pointer.x);
      this.#state.scrollTo(this.#state.scrollY + this.#panFrom.y - pointer.y);
      this.#panFrom = pointer;
      return;
    }
    const press = this.#press;
    if (press === null) {
      const hit = this.#state.hit(pointer.x, pointer.y);
      if (!sameHit(hit, this.#state.hover)) this.#state.hover = hit;
      return;
    }
    const away = Math.hypot(pointer.x - press.at.x, pointer.y - press.at.y);
    if (!press.moved && away < dragThreshold) return;
    press.moved = true;
    this.#latest = pointer;
    // Several moves come between two frames; only the last is worked out.
    if (this.#request === 0) this.#request = requestAnimationFrame(() => this.#frame());
  }

  up(): void {
    const press = this.#press;
    cancelAnimationFrame(this.#request);
    this.#request = 0;
    this.#panFrom = null;
    if (press === null) return;
    if (press.moved) this.#update();
    const outcome = this.#outcome;
    this.#press = null;
    this.#latest = null;
    this.#outcome = null;
    const isDone = press.moved || press.gesture?.immediate === true;
    if (!isDone) {
      this.#state.abandon();
      this.#click(press);
      return;
    }
    if (outcome?.promote !== undefined) {
      this.#state.abandon();
      void this.#acts.promote(outcome.promote.takeId, outcome.promote.track);
      return;
    }
    // What can be done is what was shown last.
    void this.#state.finish(this.#state.outcome ?? outcome);
  }

  /** Lets go without doing anything; what was selected before is again. */
  cancel(): void {
    cancelAnimationFrame(this.#request);
    this.#request = 0;
    this.#panFrom = null;
    if (this.#press === null) return;
    if (this.#press.moved) this.#state.select(this.#press.before);
    this.#press = null;
    this.#latest = null;
    this.#outcome = null;
    this.#state.abandon();
  }

  leave(): void {
    if (this.#press === null) this.#state.hover = null;
  }

  /** What the pointer looks like over a place. */
  cursor(hit: Hit | null): string {
    if (this.#press?.gesture && (this.#press.moved || this.#press.gesture.immediate))
      return this.#press.gesture.cursor;
    if (this.#panFrom !== null) return 'grabbing';
    switch (hit?.on) {
      case 'ruler':
      case 'marker':
      case 'bound':
        return 'ew-resize';
      case 'clip':
      case 'range':
        return hit.part === 'body' ? 'default' : 'ew-resize';
      case 'cell':
        if (hit.part === 'handle') return 'ns-resize';
        return (this.#state.heldBrush ?? this.#state.brush) === null ? 'cell' : 'crosshair';
      case 'lane':
        return 'crosshair';
      case 'take':
        return 'pointer';
      case 'plan':
        return 'help';
      default:
        return 'default';
    }
  }

  #frame(): void {
    this.#request = 0;
    if (this.#press === null || this.#latest === null) return;
    if (this.#follow(this.#press, this.#latest)) this.#request = requestAnimationFrame(() => this.#frame());
    this.#update();
  }

  /** Moves the view after a pointer that was drawn towards one of its edges. @returns whether it goes on */
  #follow({ gesture, at }: Press, { x, y }: Pointer): boolean {
    const state = this.#state;
    const ways = gesture?.follows ?? '';
    const across = ways.includes('x') ? followBy(x, at.x, 0, state.view.width) : 0;
    const down = ways.includes('y') ? followBy(y, at.y, rulerHeight, state.height) : 0;
    if (across !== 0) state.pan(across);
    if (down !== 0) state.scrollTo(state.scrollY + down);
    return across !== 0 || down !== 0;
  }

  #update(): void {
    const press = this.#press;
    if (!press?.gesture || this.#latest === null) return;
    const { view, scrollY } = this.#state;
    const { x, y } = this.#latest;
    // The view may have moved since: the gesture is told the place in the view it began in.
    this.#outcome = press.gesture.update({
      ...this.#latest,
      x: frameToX(press.view, xToFrame(view, x)),
      y: y + scrollY - press.scrollY,
    });
    this.#state.show(this.#outcome);
  }

  #click({ hit, at, before }: Press): void {
    const state = this.#state;
    state.select(selectOnClick(hit, at, before, state.selection));
    if (hit.on === 'marker') {
      const marker = state.markers.find(({ id }) => id === hit.markerId);
      if (marker !== undefined) state.goTo(marker.frame);
    }
    if (hit.on === 'take') {
      if (hit.part === 'promote') void this.#acts.promote(hit.takeId);
      else if (hit.part === 'delete') void this.#acts.deleteTake(hit.takeId);
      else this.#acts.showTake(hit.takeId);
    }
    if (hit.on === 'track' || hit.on === 'nothing' || hit.on === 'plan') state.seek(hit.frame);
  }
}

/** Pixels by which the view follows in a frame, from one edge or the other. @param from where the drag began */
function followBy(at: number, from: number, least: number, most: number): number {
  const before = least + followEdge - at;
  const behind = at - most + followEdge;
  if (before > 0 && at < from) return -Math.min(followSpeed, Math.ceil(before / 2));
  return behind > 0 && at > from ? Math.min(followSpeed, Math.ceil(behind / 2)) : 0;
}

function sameHit(a: Hit, b: Hit | null): boolean {
  const other: Readonly<Record<string, unknown>> = { ...b };
  return Object.entries(a).every(([name, value]) => name === 'frame' || other[name] === value);
}
