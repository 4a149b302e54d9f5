import type { Mark } from '../contract/project.ts';
import { PusaError } from '../errors.ts';

const item = /^(\d{1,7})(?:-(\d{1,7}))?=(fixed|noisy|auto|0?\.\d+|0|1)$/;

/**
 * Marks written as text: `0=fixed, 4-8=0.3, 20=auto, 30=noisy`, frames counted from the range's first. A number is
 * the noise multiplier m; 0 means fixed, 1 noisy, `auto` interpolated with automatic m. Later items replace earlier
 * ones frame by frame.
 * @param frames length of the range
 * @throws MARK_INVALID naming the item
 */
export function parseMarks(text: string, frames: number): Mark[] {
  const marks = new Map<number, Mark>();
  for (const part of text.split(',').map((piece) => piece.trim())) {
    if (part === '') continue;
    const match = item.exec(part);
    if (match === null) throw unreadable(part, 'is not understood');
    const [, from = '', to = from, value = ''] = match;
    const first = Number(from);
    const last = Number(to);
    if (last < first) throw unreadable(part, 'ends before it begins');
    if (last >= frames) throw unreadable(part, `lies outside the range of ${frames} frames`);
    for (let frame = first; frame <= last; frame++) marks.set(frame, markOf(frame, value));
  }
  return [...marks.values()].sort((a, b) => a.frame - b.frame);
}

function markOf(frame: number, value: string): Mark {
  if (value === 'auto') return { frame, kind: 'interpolated' };
  if (value === 'fixed' || value === 'noisy') return { frame, kind: value };
  const m = Number(value);
  if (m === 0) return { frame, kind: 'fixed' };
  return m === 1 ? { frame, kind: 'noisy' } : { frame, kind: 'interpolated', m };
}

function unreadable(part: string, fault: string): PusaError {
  return new PusaError(
    'MARK_INVALID',
    `The mark "${part.slice(0, 60)}" ${fault}.`,
    'Write marks as FRAME=VALUE or FIRST-LAST=VALUE, where VALUE is fixed, noisy, auto or a number from 0 to 1.',
  );
}
