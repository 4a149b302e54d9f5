import { describe, expect, it } from 'vitest';
import { blendFrames, ColourMeter, joinFrames, mapColour, matchColour } from '../../src-main/media/seam.ts';

const pixels = 24 * 16;

/** A frame of a moving pattern, its colours changed per channel. */
function frame(t: number, gain = 1, offset: readonly [number, number, number] = [0, 0, 0]): Uint8Array {
  return Uint8Array.from({ length: pixels * 3 }, (_, i) => {
    const value = 128 + 50 * Math.sin(0.7 * Math.floor(i / 3) + 0.3 * t + (i % 3));
    return Math.round((value - 128) * gain + 128 + offset[i % 3]!);
  });
}

async function* each(frames: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const one of frames) yield await Promise.resolve(one);
}

function apart(a: Uint8Array, b: Uint8Array): number {
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;
}

describe('joining a take to what is shown before it', () => {
  it('brings colours of one mean and contrast to another', () => {
    const [from, to] = [new ColourMeter(), new ColourMeter()];
    expect(from.statistics()).toBeNull();
    for (let t = 0; t < 5; t++) {
      from.add(frame(t, 0.9, [10, -6, 3]));
      to.add(frame(t));
    }
    const map = matchColour(from.statistics()!, to.statistics()!);
    expect(apart(mapColour(frame(2, 0.9, [10, -6, 3]), map), frame(2))).toBeLessThan(1);
    expect(apart(frame(2, 0.9, [10, -6, 3]), frame(2))).toBeGreaterThan(5);

    // A flat channel has no contrast to match; another picture is not forced into this one's.
    const flat = new ColourMeter();
    flat.add(new Uint8Array(pixels * 3).fill(40));
    const lifted = matchColour(flat.statistics()!, to.statistics()!);
    const [mean] = to.statistics()!.mean;
    expect(lifted[0][40]).toBe(Math.round(mean));
    expect(lifted[0][50]! - lifted[0][40]!).toBe(10);
    const weak = new ColourMeter();
    weak.add(frame(0, 0.2));
    const stretched = matchColour(weak.statistics()!, to.statistics()!);
    expect(stretched[1][150]! - stretched[1][110]!).toBe(50);
  });

  it('goes over from the one to the other, keeps the colours after it and leaves originals alone', async () => {
    const shared = 5;
    const there = Array.from({ length: shared }, (_, t) => frame(t));
    const drifted = Array.from({ length: 12 }, (_, t) => frame(t, 0.95, [12, 4, -8]));
    // The first is the former take's own pixels, and so is one near the end.
    const take = drifted.map((one, t) => (t === 0 ? there[0]! : t === 10 ? frame(t) : one));
    const before = take.map((one) => Uint8Array.from(one));
    const joined: Uint8Array[] = [];
    const seam = {
      frames: shared,
      before: (index: number) => Promise.resolve(there[index]!),
      isOriginal: (index: number) => index === 0 || index === 10,
    };
    for await (const one of joinFrames(() => each(take), seam)) joined.push(one);
    expect(take).toEqual(before);
    expect(joined.length).toBe(12);
    expect(joined[0]).toEqual(take[0]);
    expect(joined[10]).toEqual(take[10]);
    for (let t = 1; t < 12; t++) expect(apart(joined[t]!, frame(t))).toBeLessThan(1.5);
    expect(apart(take[5]!, frame(5))).toBeGreaterThan(6);

    // With nothing generated in the overlap there is nothing to compare: frames stay as they are.
    const untouched: Uint8Array[] = [];
    for await (const one of joinFrames(() => each(take), {
      ...seam,
      isOriginal: (index) => index < shared,
    })) {
      untouched.push(one);
    }
    expect(untouched).toEqual(take);
  });

  it('blends from the one to the other', () => {
    const [a, b] = [Uint8Array.of(0, 100, 255), Uint8Array.of(100, 0, 255)];
    expect([...blendFrames(a, b, 0.25)]).toEqual([25, 75, 255]);
    expect([...blendFrames(a, b, 1)]).toEqual([...b]);
  });
});
