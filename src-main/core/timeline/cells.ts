import { PusaError } from '../errors.ts';

/** Frames under every cell but the first: the temporal stride of Wan's VAE (spec §4.1). */
export const framesPerCell = 4;

/** The longest range the contract admits, in frames. */
export const maxFrames = 4001;

/** True when a range may have this many frames: 4n+1, from 1 to {@link maxFrames}. */
export function isRangeLength(frames: number): boolean {
  return Number.isInteger(frames) && frames >= 1 && frames <= maxFrames && frames % framesPerCell === 1;
}

/**
 * The length itself, when it is one.
 * @throws RANGE_LENGTH otherwise; the remedy names the nearest length that is
 */
export function requireRangeLength(frames: number): number {
  if (isRangeLength(frames)) return frames;
  throw new PusaError(
    'RANGE_LENGTH',
    `A range cannot have ${frames} frames; it has 4n+1 of them, up to ${maxFrames}.`,
    Number.isFinite(frames) ? `Use ${nearestRangeLength(frames)} frames.` : 'Use 81 frames, for example.',
  );
}

/**
 * The valid length nearest to a wish (a drag, a typed number), bounded to 1 … {@link maxFrames}. In the middle
 * between two the longer is taken.
 * @throws RANGE_LENGTH when the wish is not a number
 */
export function nearestRangeLength(frames: number): number {
  if (Number.isNaN(frames)) return requireRangeLength(frames);
  const cells = Math.round((Math.min(Math.max(frames, 1), maxFrames) - 1) / framesPerCell);
  return cells * framesPerCell + 1;
}

/**
 * Cells of a range: n+1 for 4n+1 frames.
 * @throws RANGE_LENGTH when no range has that length
 */
export function cellCount(frames: number): number {
  return (requireRangeLength(frames) - 1) / framesPerCell + 1;
}

/** The cell a frame lies in: 0 for frame 0, k for frames 4k−3 … 4k. */
export function cellOfFrame(frame: number): number {
  return Math.ceil(frame / framesPerCell);
}

/** First frame of a cell. */
export function firstFrameOf(cell: number): number {
  return cell === 0 ? 0 : cell * framesPerCell - (framesPerCell - 1);
}

/** Last frame of a cell. */
export function lastFrameOf(cell: number): number {
  return cell * framesPerCell;
}

/** The frames of a cell in words, for sentences a person reads: "frame 0", "frames 77–80". */
export function nameFrames(cell: number): string {
  return cell === 0 ? 'frame 0' : `frames ${firstFrameOf(cell)}–${lastFrameOf(cell)}`;
}
