import type { Medium } from '../media/protocol.ts';
import type { Stretch } from './clock.ts';

/** What is to be heard, and when; no browser here. Frames are the project's. */

/** A stretch of a medium's own sound on the timeline. */
export interface SoundPart {
  readonly medium: Medium;
  /** Seconds after the medium's first frame. */
  readonly from: number;
  readonly start: number;
  readonly frames: number;
}

/** A stretch of sound in the order of playing. */
export interface Piece {
  readonly medium: Medium;
  /** Seconds after the medium's first frame. */
  readonly from: number;
  readonly seconds: number;
  /** Seconds after playing began. */
  readonly at: number;
}

/** Parts in order, with those made one that go on with the one before them, as after a clip was split. */
export function joined(parts: readonly SoundPart[], fps: number): SoundPart[] {
  const whole: SoundPart[] = [];
  for (const part of parts) {
    const before = whole.at(-1);
    const goesOn =
      before?.medium.id === part.medium.id &&
      before.start + before.frames === part.start &&
      Math.abs(before.from + before.frames / fps - part.from) < 1e-4;
    if (goesOn) whole[whole.length - 1] = { ...before, frames: before.frames + part.frames };
    else whole.push(part);
  }
  return whole;
}

/**
 * What is heard from a place on: up to the end of the stretch, and where it loops without an end round and round.
 * @param place in frames with their fractions, inside the stretch
 * @param parts in order, without overlaps
 */
export function* ahead(
  parts: readonly SoundPart[],
  place: number,
  { first, last }: Stretch,
  loop: boolean,
  fps: number,
): Generator<Piece, void> {
  const heard = parts.filter(({ start, frames }) => start <= last && start + frames > first);
  if (heard.length === 0) return;
  const end = last + 1;
  let from = Math.max(first, Math.min(place, end));
  let at = 0;
  for (;;) {
    for (const part of heard) {
      const begin = Math.max(part.start, from);
      const over = Math.min(part.start + part.frames, end);
      if (over <= begin) continue;
      yield {
        medium: part.medium,
        from: part.from + (begin - part.start) / fps,
        seconds: (over - begin) / fps,
        at: at + (begin - from) / fps,
      };
    }
    if (!loop) return;
    at += (end - from) / fps;
    from = first;
  }
}

/** How a decoded piece is put into its place; null where nothing of it is heard any more. */
export function cut(
  piece: Piece,
  buffer: { readonly at: number; readonly seconds: number },
  /** Seconds after playing began that have gone by. */
  elapsed: number,
): { readonly at: number; readonly offset: number; readonly seconds: number } | null {
  const begin = Math.max(buffer.at, piece.from, piece.from + elapsed - piece.at);
  const end = Math.min(buffer.at + buffer.seconds, piece.from + piece.seconds);
  if (end - begin <= 0) return null;
  return { at: piece.at + begin - piece.from, offset: begin - buffer.at, seconds: end - begin };
}
