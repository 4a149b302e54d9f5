import fc from 'fast-check';
import { PusaError, type ErrorCode } from '../../src-main/core/errors.ts';
import type { Asset, Clip, Mark, Project, Range } from '../../src-main/core/contract/project.ts';
import { newProject, newRange } from '../../src-main/core/presets/defaults.ts';

const base: Asset = {
  id: 'picture',
  kind: 'image',
  name: 'picture.png',
  hash: '0'.repeat(64),
  bytes: 1,
  width: 832,
  height: 480,
  fps: 0,
  duration: 0,
};

/** A picture of the project's size. */
export const picture = base;
/** A minute of video of the project's size and rate. */
export const video: Asset = { ...base, id: 'video', kind: 'video', name: 'video.mp4', fps: 16, duration: 60 };

export function clip(
  id: string,
  asset: Asset,
  start: number,
  frames: number,
  more: Partial<Clip> = {},
): Clip {
  return { id, assetId: asset.id, track: 0, start, frames, sourceStart: 0, fit: 'crop', ...more };
}

export function project(...clips: Clip[]): Project {
  return {
    ...newProject({ id: 'p', name: 'Test', now: '2026-01-02T03:04:05.000Z' }),
    assets: [picture, video],
    clips,
  };
}

export function range(frames: number, marks: Mark[] = [], more: Partial<Range> = {}): Range {
  return { ...newRange({ id: 'r', frames }), marks, ...more };
}

/** The code of the PusaError that a call throws; anything else thrown goes on. */
export function codeOf(call: () => unknown): ErrorCode | null {
  try {
    call();
    return null;
  } catch (thrown) {
    if (thrown instanceof PusaError) return thrown.code;
    throw thrown;
  }
}

/** Clips around a range of up to 60 frames that starts at frame 20, on three tracks, overlapping as they like. */
export const arbitraryClips: fc.Arbitrary<Clip[]> = fc
  .array(
    fc.record({
      asset: fc.constantFrom(picture, video),
      start: fc.integer({ min: 0, max: 90 }),
      frames: fc.integer({ min: 1, max: 70 }),
      track: fc.integer({ min: 0, max: 2 }),
      sourceStart: fc.constantFrom(0, 0.5, 1, 10),
    }),
    { maxLength: 6 },
  )
  .map((drafts) =>
    drafts.map(({ asset, start, frames, ...more }, i) => clip(`c${i}`, asset, start, frames, more)),
  );

export const arbitraryLength = fc.integer({ min: 0, max: 15 }).map((n) => 4 * n + 1);
