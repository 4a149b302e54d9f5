/**
 * The clock of playback. It is a place and a speed from an instant on; what is shown at a later instant follows from
 * the time that has gone by, so that a slow machine drops frames and never falls behind.
 */
export interface Clock {
  /** Place at `at`, in frames with their fractions. */
  readonly frame: number;
  /** Milliseconds of any clock that only goes forward. */
  readonly at: number;
  /** Times the project's rate; negative is backwards. */
  readonly speed: number;
}

/** Frames to play, both included. */
export interface Stretch {
  readonly first: number;
  readonly last: number;
}

export interface Tick {
  /** Whole frame to show. */
  readonly frame: number;
  /** Where exactly it is, in frames with their fractions. */
  readonly place: number;
  readonly clock: Clock;
  /** The end was reached, and it does not go on. */
  readonly ended: boolean;
}

/** Speeds of shuttling. */
const fastest = 8;

/**
 * Starts at a frame. At the end of the stretch, or outside it, playback begins at its start (backwards: at its end).
 */
export function start(frame: number, at: number, speed: number, { first, last }: Stretch): Clock {
  const isInside = frame >= first && frame <= last;
  const isAtEnd = speed > 0 ? frame >= last : frame <= first;
  if (isInside && !isAtEnd) return { frame, at, speed };
  return { frame: speed > 0 ? first : last, at, speed };
}

/**
 * Where playback is at an instant.
 * @param fps frames per second at speed 1
 * @param loop goes on at the other end
 */
export function tick(clock: Clock, now: number, fps: number, { first, last }: Stretch, loop: boolean): Tick {
  const place = clock.frame + (clock.speed * fps * Math.max(0, now - clock.at)) / 1000;
  const length = last - first + 1;
  if (clock.speed >= 0) {
    if (place < last + 1) return { frame: clamp(Math.floor(place), first, last), place, clock, ended: false };
    if (!loop) return { frame: last, place: last, clock: { ...clock, frame: last, at: now }, ended: true };
    const again = first + ((place - first) % length);
    return {
      frame: Math.floor(again),
      place: again,
      clock: { ...clock, frame: again, at: now },
      ended: false,
    };
  }
  if (place > first - 1) return { frame: clamp(Math.ceil(place), first, last), place, clock, ended: false };
  if (!loop) return { frame: first, place: first, clock: { ...clock, frame: first, at: now }, ended: true };
  const again = last - ((last - place) % length);
  return { frame: Math.ceil(again), place: again, clock: { ...clock, frame: again, at: now }, ended: false };
}

/** Speed after J (−1) or L (1) was pressed once more: 1, 2, 4, 8; the other direction starts at 1. */
export function shuttle(speed: number, direction: 1 | -1): number {
  if (speed * direction <= 0) return direction;
  return direction * Math.min(fastest, Math.abs(speed) * 2);
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
