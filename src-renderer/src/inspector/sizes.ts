import type { Model } from '../../../src-main/core/contract/api/models.ts';
import type { Project } from '../../../src-main/core/contract/project.ts';
import { sizeMultiple } from '../../../src-main/core/plan/draft.ts';

/** A size to choose. */
export interface SizePreset {
  readonly width: number;
  readonly height: number;
  /** As in "16:9". */
  readonly aspect: string;
  /** The size the model was made for. */
  readonly native: boolean;
}

const aspects: readonly (readonly [across: number, down: number])[] = [
  [16, 9],
  [3, 2],
  [4, 3],
  [1, 1],
  [3, 4],
  [2, 3],
  [9, 16],
  [21, 9],
];

const largest = 4096;

/** The nearest side a picture may have, in pixels. @param multiple of which the model's sides are */
export function nearestSide(pixels: number, multiple = sizeMultiple): number {
  if (!Number.isFinite(pixels)) return multiple;
  return Math.min(largest, Math.max(multiple, Math.round(pixels / multiple) * multiple));
}

/**
 * Sizes with about as many pixels as the model was made for, its own first. Those that rounding makes alike, or too
 * far from their name, are left out.
 */
export function sizePresets(native: Model['native'] | null, multiple = sizeMultiple): SizePreset[] {
  const { width, height } = native ?? { width: 832, height: 480 };
  const area = width * height;
  const sizes: SizePreset[] = [{ width, height, aspect: nameAspect(width, height), native: true }];
  for (const [across, down] of aspects) {
    const side = Math.sqrt(area / (across * down));
    const w = nearestSide(across * side, multiple);
    const h = nearestSide(down * side, multiple);
    const off = Math.abs(w / h / (across / down) - 1);
    const known = sizes.some((size) => size.width === w && size.height === h);
    const named = sizes.some(({ aspect }) => aspect === `${across}:${down}`);
    if (off > 0.12 || known || named) continue;
    sizes.push({ width: w, height: h, aspect: `${across}:${down}`, native: false });
  }
  return sizes;
}

/** The nearest well-known shape: 832×480 is called 16:9 although rounding to 16 makes it 1.73. */
export function nameAspect(width: number, height: number): string {
  const shape = width / height;
  const off = ([across, down]: readonly [number, number]): number =>
    Math.abs(Math.log(shape / (across / down)));
  const best = aspects.reduce((a, b) => (off(b) < off(a) ? b : a));
  return off(best) < 0.05 ? `${best[0]}:${best[1]}` : `${trim(shape)}:1`;
}

/** Rates to choose: the model's own first, then what cameras and screens use. */
export function ratePresets(native: Model['native'] | null): number[] {
  return [...new Set([native?.fps ?? 16, 8, 12, 16, 24, 25, 30])];
}

/** What changing size or rate does to a project, to be said before. */
export interface FormatChange {
  /** Clips that will be fitted, ranges whose takes have another size. */
  readonly clips: number;
  readonly ranges: number;
  /** Takes made so far, which keep what they have. */
  readonly takes: number;
}

/** Null where nothing notable changes. */
export function formatChange(project: Project, takes: number): FormatChange | null {
  const change = { clips: project.clips.length, ranges: project.ranges.length, takes };
  return change.clips + change.takes === 0 ? null : change;
}

function trim(value: number): string {
  return String(Number(value.toFixed(2)));
}
