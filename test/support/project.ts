import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type { Job, Take } from '../../src-main/core/contract/job.ts';
import {
  curves,
  fits,
  presetIds,
  solvers,
  type Asset,
  type Clip,
  type Interpolation,
  type Mark,
  type Project,
  type Range,
  type Sampler,
} from '../../src-main/core/contract/project.ts';

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Bytes that differ from place to place, the same for the same seed. */
export function sampleBytes(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed >>> 0;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

/** Media of {@link sampleProject}, by asset id; the second is longer than two chunks of a `.pusa` file. */
export const sampleMedia: Readonly<Record<string, Uint8Array>> = {
  sunset: sampleBytes(5_000, 1),
  harbour: sampleBytes(2_200_000, 2),
};

const sampler: Sampler = { solver: 'euler', steps: 10, cfg: 3, shift: 5, seed: 42, loraStrength: 1.4 };

/** A valid project with a picture, a clip, one range and all kinds of marks. */
export function sampleProject(): Project {
  return {
    version: 1,
    id: 'sample',
    name: 'Harbour at dusk · 港口',
    width: 832,
    height: 480,
    fps: 16,
    assets: [
      asset('sunset', 'image', { width: 1920, height: 1080 }),
      asset('harbour', 'video', { width: 1280, height: 720, fps: 29.97, duration: 4.5 }),
    ],
    clips: [
      { id: 'clip-1', assetId: 'sunset', track: 0, start: 0, frames: 1, sourceStart: 0, fit: 'crop' },
      { id: 'clip-2', assetId: 'harbour', track: 1, start: 16, frames: 5, sourceStart: 1.25, fit: 'contain' },
    ],
    ranges: [
      {
        id: 'range-1',
        start: 0,
        frames: 21,
        preset: 'start-end',
        prompt: 'Boats come home while the sun goes down.',
        negativePrompt: 'blurred',
        marks: [
          { frame: 0, kind: 'fixed' },
          { frame: 8, kind: 'noisy' },
          { frame: 16, kind: 'interpolated', m: 0.4 },
          { frame: 20, kind: 'interpolated' },
        ],
        interpolation: { curve: 'ease', peak: 1 },
        sampler,
        model: null,
        keepOriginalPixels: true,
      },
    ],
    createdAt: '2026-01-02T03:04:05.000Z',
    modifiedAt: '2026-01-02T03:04:06.789Z',
  };
}

function asset(id: string, kind: Asset['kind'], more: Partial<Asset>): Asset {
  const media = sampleMedia[id]!;
  return {
    id,
    kind,
    name: `${id}.bin`,
    hash: sha256(media),
    bytes: media.length,
    width: 1,
    height: 1,
    fps: 0,
    duration: 0,
    ...more,
  };
}

/** A valid take of two cells and two steps. */
export function sampleTake(): Take {
  return {
    version: 1,
    software: 'Pusa Studio 0.1.0',
    jobId: 'job-1',
    createdAt: '2026-01-02T03:05:00.000Z',
    width: 32,
    height: 32,
    fps: 16,
    prompt: 'Boats come home.',
    negativePrompt: '',
    sampler: { ...sampler, steps: 2 },
    plan: {
      frames: 5,
      steps: 2,
      sigmas: [1, 5 / 6, 0],
      cells: [
        { kind: 'fixed', m: 0, source: { from: 'clip' } },
        { kind: 'noisy', m: 1, source: { from: 'none' } },
      ],
      timesteps: [
        [0, 1000],
        [0, 2500 / 3],
      ],
      sigmaSteps: [
        [0, -1 / 6],
        [0, -5 / 6],
      ],
    },
    model: { id: 'test-pattern', hash: 'ab'.repeat(32) },
    provider: 'cpu',
    partial: false,
  };
}

// JSON has no −0, and neither has a person's project.
const real = (min: number, max: number): fc.Arbitrary<number> =>
  fc.double({ min, max, noNaN: true }).map((value) => (value === 0 ? 0 : value));
const text = (minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc
    .string({ unit: 'binary', minLength, maxLength: Math.min(maxLength, 60) })
    .filter((value) => value.length <= maxLength);
const id = fc.string({
  unit: fc.constantFrom('A', 'B', 'x', 'y', '0', '9', '_', '-'),
  minLength: 1,
  maxLength: 20,
});
const date = fc
  .date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
  .map((value) => value.toISOString());
const side = fc.integer({ min: 1, max: 256 }).map((n) => n * 16);

export const arbitrarySampler: fc.Arbitrary<Sampler> = fc.record({
  solver: fc.constantFrom(...solvers),
  steps: fc.integer({ min: 1, max: 200 }),
  cfg: real(0, 30),
  shift: real(0.1, 50),
  seed: fc.integer({ min: 0, max: 4_294_967_295 }),
  loraStrength: real(0, 4),
});

const arbitraryAsset: fc.Arbitrary<Asset> = fc.record({
  id,
  kind: fc.constantFrom('image', 'video', 'sequence'),
  name: text(1, 255),
  hash: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  bytes: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  width: fc.integer({ min: 1, max: 32_768 }),
  height: fc.integer({ min: 1, max: 32_768 }),
  fps: real(0, 1000),
  duration: real(0, 86_400),
});

/** Marks of a range of `frames` frames, each frame marked once at most, in any order. */
export function arbitraryMarks(frames: number): fc.Arbitrary<Mark[]> {
  const frame = fc.integer({ min: 0, max: frames - 1 });
  return fc.uniqueArray(
    fc.oneof(
      fc.record({ frame, kind: fc.constantFrom('fixed' as const, 'noisy' as const) }),
      fc.record({ frame, kind: fc.constant('interpolated' as const) }),
      fc.record({ frame, kind: fc.constant('interpolated' as const), m: real(0.001, 0.999) }),
    ),
    { selector: (mark) => mark.frame, maxLength: 12 },
  );
}

export const arbitraryInterpolation: fc.Arbitrary<Interpolation> = fc.record({
  curve: fc.constantFrom(...curves),
  peak: real(0, 1),
});

const arbitraryRange: fc.Arbitrary<Range> = fc
  .integer({ min: 0, max: 1000 })
  .map((n) => 4 * n + 1)
  .chain((frames) =>
    fc.record({
      id,
      start: fc.integer({ min: 0, max: 10_000_000 }),
      frames: fc.constant(frames),
      preset: fc.option(fc.constantFrom(...presetIds)),
      prompt: text(0, 10_000),
      negativePrompt: text(0, 10_000),
      marks: arbitraryMarks(frames),
      interpolation: arbitraryInterpolation,
      sampler: arbitrarySampler,
      model: fc.option(id),
      keepOriginalPixels: fc.boolean(),
    }),
  );

const byId = { selector: (record: { id: string }) => record.id, maxLength: 6 };

/** Any valid project. Its assets name media that do not exist. */
export const arbitraryProject: fc.Arbitrary<Project> = fc
  .uniqueArray(arbitraryAsset, byId)
  .chain((assets): fc.Arbitrary<Project> =>
    fc.record({
      version: fc.constant(1 as const),
      id,
      name: text(1, 200),
      width: side,
      height: side,
      fps: real(1, 240),
      assets: fc.constant(assets),
      clips: assets.length === 0 ? fc.constant([]) : fc.uniqueArray(arbitraryClip(assets), byId),
      ranges: fc.uniqueArray(arbitraryRange, byId),
      createdAt: date,
      modifiedAt: date,
    }),
  )
  // Records of fast-check may lack a prototype.
  .map((project) => structuredClone(project));

function arbitraryClip(assets: readonly Asset[]): fc.Arbitrary<Clip> {
  return fc.record({
    id,
    assetId: fc.constantFrom(...assets.map((one) => one.id)),
    track: fc.integer({ min: 0, max: 63 }),
    start: fc.integer({ min: 0, max: 10_000_000 }),
    frames: fc.integer({ min: 1, max: 10_000_000 }),
    sourceStart: real(0, 86_400),
    fit: fc.constantFrom(...fits),
  });
}

/** A valid job of one fixed and one noisy cell, with one source. */
export function sampleJob(): Job {
  const {
    software,
    createdAt,
    width,
    height,
    fps,
    prompt,
    negativePrompt,
    sampler: settings,
    plan,
    model,
  } = sampleTake();
  return {
    version: 1,
    id: 'job-1',
    software,
    createdAt,
    width,
    height,
    fps,
    prompt,
    negativePrompt,
    sampler: settings,
    plan,
    model,
    sources: [{ firstCell: 0, cells: 1, dropCells: 0, frameCount: 1, sha256: 'cd'.repeat(32) }],
    originals: [{ frame: 0, source: 0, at: 0 }],
  };
}
