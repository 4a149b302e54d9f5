/**
 * Joins a take to what is shown before it. Both have frames for the stretch they share: those that were there, and
 * those the model made while it was held to them. They differ a little in colour, because every way through the
 * autoencoder and the sampler drifts; in a chain of ranges that drift would add up.
 */

/** Mean and standard deviation per channel, of 255. */
export interface ColourStatistics {
  readonly mean: readonly [number, number, number];
  readonly deviation: readonly [number, number, number];
}

/** Gathers {@link ColourStatistics} over frames. */
export class ColourMeter {
  readonly #sum = [0, 0, 0];
  readonly #squares = [0, 0, 0];
  #pixels = 0;

  /** @param frame RGB8 */
  add(frame: Uint8Array): void {
    for (let channel = 0; channel < 3; channel++) {
      let sum = 0;
      let squares = 0;
      for (let at = channel; at < frame.length; at += 3) {
        const value = frame[at]!;
        sum += value;
        squares += value * value;
      }
      this.#sum[channel]! += sum;
      this.#squares[channel]! += squares;
    }
    this.#pixels += frame.length / 3;
  }

  /** Null before the first frame. */
  statistics(): ColourStatistics | null {
    const pixels = this.#pixels;
    if (pixels === 0) return null;
    const mean = (channel: number): number => this.#sum[channel]! / pixels;
    const deviation = (channel: number): number =>
      Math.sqrt(Math.max(0, this.#squares[channel]! / pixels - mean(channel) ** 2));
    return { mean: [mean(0), mean(1), mean(2)], deviation: [deviation(0), deviation(1), deviation(2)] };
  }
}

/** What each value of each channel becomes: [3][256]. */
export type ColourMap = readonly [Uint8Array, Uint8Array, Uint8Array];

/** Contrast is changed by no more than this factor: past it the two pictures show different things. */
const mostGain = 1.25;
/** Below this deviation (of 255) a channel is flat, and its contrast says nothing. */
const flat = 1;

/**
 * The map that brings colours of one statistics to another, channel by channel (Reinhard et al. 2001, in RGB):
 * y = (x − mean₁)·deviation₂/deviation₁ + mean₂.
 */
export function matchColour(from: ColourStatistics, to: ColourStatistics): ColourMap {
  const channel = (c: 0 | 1 | 2): Uint8Array => {
    const isFlat = from.deviation[c] < flat || to.deviation[c] < flat;
    const wanted = isFlat ? 1 : to.deviation[c] / from.deviation[c];
    const gain = Math.min(mostGain, Math.max(1 / mostGain, wanted));
    const map = new Uint8ClampedArray(256);
    for (let x = 0; x < 256; x++) map[x] = (x - from.mean[c]) * gain + to.mean[c];
    return new Uint8Array(map.buffer);
  };
  return [channel(0), channel(1), channel(2)];
}

/** A frame with its colours mapped. @param frame RGB8, left as it is */
export function mapColour(frame: Uint8Array, [red, green, blue]: ColourMap): Uint8Array {
  const mapped = new Uint8Array(frame.length);
  for (let at = 0; at < frame.length; at += 3) {
    mapped[at] = red[frame[at]!]!;
    mapped[at + 1] = green[frame[at + 1]!]!;
    mapped[at + 2] = blue[frame[at + 2]!]!;
  }
  return mapped;
}

/** Two frames blended: `share` (0 … 1) of the second. */
export function blendFrames(first: Uint8Array, second: Uint8Array, share: number): Uint8Array {
  const blended = new Uint8ClampedArray(first.length);
  for (let at = 0; at < first.length; at++) {
    blended[at] = first[at]! + (second[at]! - first[at]!) * share;
  }
  return new Uint8Array(blended.buffer);
}

/** The stretch that a take shares with what is shown before it. */
export interface Seam {
  /** Number of frames shared, from the take's first on. */
  readonly frames: number;
  /** RGB8 frame `index` of what was there. */
  readonly before: (index: number) => Promise<Uint8Array>;
  /** Whether frame `index` of the take shows original pixels, which stay as they are. */
  readonly isOriginal: (index: number) => boolean;
}

/**
 * The take's frames as they are shown: the colours of all that was generated are matched to what was there, and over
 * the shared frames the one goes over into the other. Frames are read twice where they are shared, so that memory
 * does not grow with the overlap.
 * @param read RGB8 frames of the take from the first on; each call reads anew
 */
export async function* joinFrames(
  read: () => AsyncIterable<Uint8Array>,
  { frames: shared, before, isOriginal }: Seam,
): AsyncGenerator<Uint8Array, void> {
  const [there, made] = [new ColourMeter(), new ColourMeter()];
  let index = 0;
  for await (const frame of read()) {
    if (index >= shared) break;
    if (!isOriginal(index)) {
      made.add(frame);
      there.add(await before(index));
    }
    index++;
  }
  const [from, to] = [made.statistics(), there.statistics()];
  // Where every shared frame is an original, there is nothing to compare.
  const map = from === null || to === null ? null : matchColour(from, to);
  index = 0;
  for await (const frame of read()) {
    const matched = map === null || isOriginal(index) ? frame : mapColour(frame, map);
    // The last shared frame is still a little of both, the first after them wholly the take's.
    yield index < shared && !isOriginal(index)
      ? blendFrames(await before(index), matched, (index + 1) / (shared + 1))
      : matched;
    index++;
  }
}
