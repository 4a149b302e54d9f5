import type { Asset, Clip, Project, Range } from '../../../../src-main/core/contract/project.ts';
import { newProject, newRange } from '../../../../src-main/core/presets/defaults.ts';
import { paintCells } from '../../../../src-main/core/timeline/marks.ts';

const now = '2026-01-01T00:00:00.000Z';

export function asset(id: string, kind: Asset['kind'], name: string, fps = 16, duration = 4): Asset {
  return {
    id,
    kind,
    name,
    hash: id.padEnd(64, '0').replace(/[^0-9a-f]/g, 'a'),
    bytes: 1000,
    width: 832,
    height: 480,
    fps: kind === 'image' ? 0 : fps,
    duration: kind === 'image' ? 0 : duration,
  };
}

export function clip(id: string, assetId: string, start: number, frames: number, track = 0): Clip {
  return { id, assetId, track, start, frames, sourceStart: 0, fit: 'crop' };
}

/** A range with cells painted: `[first, last, kind, m]`. */
export function range(
  id: string,
  start: number,
  frames: number,
  paints: readonly (readonly [number, number, 'fixed' | 'interpolated', number?])[] = [],
): Range {
  let marks: Range['marks'] = [];
  for (const [first, last, kind, m] of paints) {
    marks = paintCells(frames, marks, first, last, kind === 'fixed' ? { kind } : { kind, m });
  }
  return { ...newRange({ id, start, frames }), marks };
}

/** A transition between two clips, as in the window's sketch. */
export function transitionProject(): Project {
  return {
    ...newProject({ id: 'transition', name: 'Tahiti piggy bank', now }),
    assets: [
      asset('a1', 'video', 'beach-a.mp4'),
      asset('a2', 'video', 'surf-b.mp4', 24, 6),
      asset('a3', 'image', 'gold-car.png'),
    ],
    clips: [
      clip('c1', 'a1', 0, 9),
      clip('c2', 'a2', 69, 30),
      clip('c3', 'a3', 100, 16),
      clip('c4', 'a3', 20, 24, 1),
    ],
    ranges: [
      {
        ...range('r1', 0, 81, [
          [0, 2, 'fixed'],
          [3, 3, 'interpolated', 0.35],
          [4, 4, 'interpolated', 0.7],
          [5, 6, 'interpolated'],
          [16, 16, 'interpolated', 0.75],
          [17, 17, 'interpolated', 0.4],
          [18, 20, 'fixed'],
        ]),
        prompt:
          'A ceramic piggy bank rides a wave at sunset, camera glides sideways, warm light on the spray',
      },
    ],
  };
}

/** Many clips on three tracks over 10,000 frames with ranges all along. */
export function largeProject(clips = 500, frames = 10_000): Project {
  const each = Math.floor((frames * 3) / clips);
  const ranges: Range[] = [];
  for (let start = 0; start + 401 <= frames; start += 410) {
    ranges.push(
      range(`r${ranges.length}`, start, 401, [
        [0, 20, 'fixed'],
        [21, 50, 'interpolated'],
        [80, 99, 'interpolated', 0.4],
      ]),
    );
  }
  return {
    ...newProject({ id: 'large', name: 'Large', now }),
    assets: [
      asset('a1', 'video', 'a rather long name of a video file.mp4', 24, 900),
      asset('a2', 'image', 'picture.png'),
    ],
    clips: Array.from({ length: clips }, (_, i) =>
      clip(`c${i}`, i % 4 === 3 ? 'a2' : 'a1', Math.floor(i / 3) * each, Math.max(1, each - (i % 5)), i % 3),
    ),
    ranges,
  };
}
