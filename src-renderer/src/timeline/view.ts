/**
 * What part of the timeline is seen: frame `start` (may be a fraction, or a little below 0) lies at the left edge,
 * a frame is `scale` pixels wide, `width` pixels are there.
 */
export interface View {
  readonly start: number;
  readonly scale: number;
  readonly width: number;
}

/** Pixels kept free left of frame 0 and right of the end. */
export const margin = 16;

/** Frames seen of an empty timeline. */
export const emptyLength = 97;
/** A single picture is not drawn out over the whole width. */
const leastSeen = 24;
/** What is seen of the timeline when all of it is, as a share of what is there. */
const roomBehind = 1.1;

const longestSeconds = 3600;
const widestFrame = 2000;

export function frameToX(view: View, frame: number): number {
  return (frame - view.start) * view.scale;
}

/** The place under x, with its fraction of a frame. */
export function xToFrame(view: View, x: number): number {
  return view.start + x / view.scale;
}

/** First and last frame that are seen, at least in part. */
export function visibleFrames(view: View): { readonly first: number; readonly last: number } {
  return {
    first: Math.max(0, Math.floor(view.start)),
    last: Math.max(0, Math.ceil(view.start + view.width / view.scale)),
  };
}

/** Scales from an hour in the window to one frame across it. */
export function scaleBounds(width: number, fps: number): { readonly least: number; readonly most: number } {
  const room = Math.max(1, width);
  return { least: room / (longestSeconds * fps), most: Math.min(widestFrame, room) };
}

/**
 * The view moved and scaled into its bounds: never further left than the margin, never so far right that nothing but
 * emptiness is seen.
 * @param length frames on the timeline
 */
export function clampView(view: View, length: number, fps: number): View {
  const { least, most } = scaleBounds(view.width, fps);
  const scale = Math.min(most, Math.max(least, view.scale));
  const seen = view.width / scale;
  const leastStart = -margin / scale;
  const mostStart = Math.max(leastStart, length - seen * 0.2);
  return { start: Math.min(mostStart, Math.max(leastStart, view.start)), scale, width: view.width };
}

/** Scaled by a factor with the frame under x kept where it is. */
export function zoomAbout(view: View, x: number, factor: number, length: number, fps: number): View {
  const { least, most } = scaleBounds(view.width, fps);
  const scale = Math.min(most, Math.max(least, view.scale * factor));
  return clampView({ ...view, scale, start: xToFrame(view, x) - x / scale }, length, fps);
}

export function panBy(view: View, pixels: number, length: number, fps: number): View {
  return clampView({ ...view, start: view.start + pixels / view.scale }, length, fps);
}

/** The frames from `from` up to `to` across the whole width. */
export function fit(view: View, from: number, to: number, length: number, fps: number): View {
  const frames = Math.max(1, to - from);
  const scale = Math.max(1, view.width - 2 * margin) / frames;
  return clampView({ ...view, scale, start: from - margin / scale }, length, fps);
}

/**
 * All there is in sight from frame 0 on, with room behind its end to put something; of an empty timeline some seconds.
 * @param content frames up to the end of the last clip or range
 */
export function fitAll(view: View, content: number, fps: number): View {
  const length = content === 0 ? emptyLength : content;
  return fit(view, 0, Math.max(leastSeen, length * roomBehind), length, fps);
}

/** Moved just so far that a frame is seen; the same object where it is seen already. */
export function reveal(view: View, frame: number, length: number, fps: number): View {
  const x = frameToX(view, frame);
  const edge = Math.min(40, view.width / 4);
  if (x >= 0 && x <= view.width - edge) return view;
  return panBy(view, x < 0 ? x - edge : x - view.width + view.width / 3, length, fps);
}

/** Where a slider from 0 (all) to 1 (one frame) stands for a scale, and back. */
export function scaleToSlider(scale: number, width: number, fps: number): number {
  const { least, most } = scaleBounds(width, fps);
  return Math.min(1, Math.max(0, Math.log(scale / least) / Math.log(most / least)));
}

export function sliderToScale(value: number, width: number, fps: number): number {
  const { least, most } = scaleBounds(width, fps);
  return least * (most / least) ** Math.min(1, Math.max(0, value));
}

/** A line of the ruler. `label` is null for those between. */
export interface Tick {
  readonly frame: number;
  readonly isMajor: boolean;
}

/** Frames between labelled ticks (a multiple of `minor`) and between all of them. */
export interface TickStep {
  readonly major: number;
  readonly minor: number;
}

/**
 * The closest ticks whose labels have `room` pixels each. Below a second in powers of two, which fall on every cell's
 * border but one frame; above it in whole seconds, minutes.
 */
export function tickStep(scale: number, fps: number, room = 84): TickStep {
  const second = Math.max(1, Math.round(fps));
  const small = [1, 2, 4, 8, 16, 32].filter((step) => step < second * 2 && (step <= 8 || second % 8 === 0));
  const large = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].map((s) => s * second);
  const steps = [...small, ...large].sort((a, b) => a - b);
  const major = steps.find((step) => step * scale >= room) ?? 3600 * second;
  const parts = [8, 6, 5, 4, 3, 2].find((n) => Number.isInteger(major / n) && (major / n) * scale >= 7) ?? 1;
  return { major, minor: major / parts };
}

/** The ticks that are seen, ascending. */
export function ticks(view: View, step: TickStep): Tick[] {
  const { first, last } = visibleFrames(view);
  const result: Tick[] = [];
  const from = Math.max(0, Math.floor(first / step.major) * step.major);
  const count = Math.ceil((last - from) / step.minor);
  for (let i = 0; i <= count; i++) {
    const frame = from + i * step.minor;
    result.push({ frame, isMajor: frame % step.major === 0 });
  }
  return result;
}

/** Hours, minutes, seconds and frames; hours only where there are some: `0:05:01`, `1:00:00:00`. */
export function timecode(frame: number, fps: number): string {
  const rate = Math.max(1, Math.round(fps));
  const whole = Math.max(0, Math.floor(frame));
  const seconds = Math.floor(whole / rate);
  const two = (n: number): string => String(n).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const tail = `${two(seconds % 60)}:${two(whole % rate)}`;
  return hours > 0 ? `${hours}:${two(minutes)}:${tail}` : `${minutes}:${tail}`;
}
