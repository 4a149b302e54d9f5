import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Medium } from '../../../src-renderer/src/media/protocol.ts';
import { start, tick, type Clock } from '../../../src-renderer/src/player/clock.ts';
import { Composer } from '../../../src-renderer/src/player/compose.ts';
import { ahead, cut, joined, type Piece, type SoundPart } from '../../../src-renderer/src/player/heard.ts';
import { sampleProject } from '../../support/project.ts';

const fps = 16;
const medium = (id: string): Medium => ({
  id,
  kind: 'video',
  name: id,
  url: `http://studio/media/${id}`,
  drawn: { url: `http://studio/media/${id}/thumbnail`, by: 'seconds', fps: null },
});
const part = (id: string, start: number, frames: number, from = 0): SoundPart => ({
  medium: medium(id),
  start,
  frames,
  from,
});
const first = <T>(pieces: Iterable<T>, count: number): T[] => {
  const taken: T[] = [];
  for (const piece of pieces) {
    taken.push(piece);
    if (taken.length === count) break;
  }
  return taken;
};
const told = ({ medium: { id }, from, seconds, at }: Piece): unknown[] => [id, from, seconds, at];

describe('what is heard', () => {
  it('is that of the videos that are seen, where and while they are', () => {
    const composer = new Composer(
      { ...sampleProject(), width: 832, height: 480 },
      (path) => `http://s${path}`,
    );
    expect(
      composer.sounds([]).map(({ medium: { name }, from, start, frames }) => [name, from, start, frames]),
    ).toEqual([['harbour.bin', 1.25, 16, 5]]);
  });

  it('goes on under a take, which has no sound of its own', () => {
    const project = sampleProject();
    const harbour = project.assets.find(({ id }) => id === 'harbour')!;
    const take = { ...harbour, id: 'take', name: 'take.mp4', hash: 'e'.repeat(64) };
    const shown = {
      ...project,
      width: 832,
      height: 480,
      assets: [...project.assets, take],
      clips: [
        {
          id: 'long',
          assetId: 'harbour',
          track: 0,
          start: 0,
          frames: 40,
          sourceStart: 0,
          fit: 'crop' as const,
        },
        { id: 'over', assetId: 'take', track: 1, start: 8, frames: 16, sourceStart: 0, fit: 'crop' as const },
      ],
    };
    const composer = new Composer(shown, (path) => `http://s${path}`);
    const heard = (takes: readonly { fileHash: string }[]): unknown[] =>
      composer.sounds(takes).map(({ medium: { name }, start, frames }) => [name, start, frames]);
    expect(heard([{ fileHash: take.hash }])).toEqual([['harbour.bin', 0, 40]]);
    // Another video over it is heard itself.
    expect(heard([])).toEqual([
      ['harbour.bin', 0, 8],
      ['take.mp4', 8, 16],
      ['harbour.bin', 24, 16],
    ]);
    expect(composer.source(10)?.medium.name).toBe('take.mp4');
  });

  it('goes on over the place where a clip was split, and not over a jump', () => {
    const whole = joined(
      [part('a', 0, 16, 1), part('a', 16, 8, 2), part('a', 24, 8, 0), part('b', 32, 8)],
      fps,
    );
    expect(whole.map(({ start, frames }) => [start, frames])).toEqual([
      [0, 24],
      [24, 8],
      [32, 8],
    ]);
  });

  it('begins in the middle of a part, leaves gaps silent and ends with the stretch', () => {
    const parts = [part('a', 0, 16, 1), part('b', 24, 32)];
    const pieces = [...ahead(parts, 8, { first: 4, last: 39 }, false, fps)];
    expect(pieces.map(told)).toEqual([
      ['a', 1.5, 0.5, 0],
      ['b', 0, 1, 1],
    ]);
    expect([...ahead(parts, 20, { first: 16, last: 23 }, true, fps)]).toEqual([]);
  });

  it('loops without losing time', () => {
    const pieces = first(ahead([part('a', 4, 4)], 6, { first: 0, last: 15 }, true, fps), 3);
    expect(pieces.map(told)).toEqual([
      ['a', 2 / fps, 2 / fps, 0],
      ['a', 0, 4 / fps, 14 / fps],
      ['a', 0, 4 / fps, 30 / fps],
    ]);
  });

  it('is at every instant the place the clock shows', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 40 }),
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 1, max: 30 }),
        fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 20 }),
        (begin, firstFrame, length, waits) => {
          const stretch = { first: firstFrame, last: firstFrame + length };
          // The sound at a frame is at that frame's own second of its file.
          const parts = [part('all', 0, 100)];
          let clock: Clock = start(begin, 0, 1, stretch);
          const pieces = first(ahead(parts, clock.frame, stretch, true, fps), 400);
          let now = 0;
          for (const wait of waits) {
            now += wait;
            const next = tick(clock, now, fps, stretch, true);
            clock = next.clock;
            const piece = pieces.findLast(({ at }) => at <= now / 1000 + 1e-9)!;
            const heard = piece.from + now / 1000 - piece.at;
            const length_ = (stretch.last - stretch.first + 1) / fps;
            const apart = Math.abs(heard - next.place / fps);
            expect(Math.min(apart, Math.abs(apart - length_))).toBeLessThan(1e-6);
          }
        },
      ),
    );
  });
});

describe('a decoded piece of sound', () => {
  const piece: Piece = { medium: medium('a'), from: 2, seconds: 1, at: 10 };

  it('is cut to what is asked for', () => {
    expect(cut(piece, { at: 1.98, seconds: 0.05 }, 0)).toEqual({
      at: 10,
      offset: expect.closeTo(0.02, 9) as number,
      seconds: expect.closeTo(0.03, 9) as number,
    });
    expect(cut(piece, { at: 2.98, seconds: 0.05 }, 0)).toMatchObject({
      at: expect.closeTo(10.98, 9) as number,
      offset: 0,
      seconds: expect.closeTo(0.02, 9) as number,
    });
    expect(cut(piece, { at: 3, seconds: 0.05 }, 0)).toBeNull();
    expect(cut(piece, { at: 1.9, seconds: 0.05 }, 0)).toBeNull();
  });

  it('loses what came too late, and stays in time', () => {
    expect(cut(piece, { at: 2.2, seconds: 0.2 }, 10.3)).toMatchObject({
      at: expect.closeTo(10.3, 9) as number,
      offset: expect.closeTo(0.1, 9) as number,
      seconds: expect.closeTo(0.1, 9) as number,
    });
    expect(cut(piece, { at: 2.2, seconds: 0.2 }, 10.5)).toBeNull();
  });
});
