import { z } from 'zod';

/** Identifier of a record: made by us (`crypto.randomUUID()` or a short name), never used as a path. */
export const idSchema = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);

const frameIndex = z.int().min(0).max(10_000_000);
const finite = z.number().refine(Number.isFinite);

/** What a person says about one frame. The mark belongs to the frame's cell. */
export const markKinds = ['fixed', 'noisy', 'interpolated'] as const;
export type MarkKind = (typeof markKinds)[number];

/**
 * A mark on a frame of a range (`frame` counts from the range's first frame).
 * `m` is the noise multiplier of an interpolated cell, 0 < m < 1; left out, it is automatic.
 */
export const markSchema = z.discriminatedUnion('kind', [
  z.strictObject({ frame: frameIndex, kind: z.literal('fixed') }),
  z.strictObject({ frame: frameIndex, kind: z.literal('noisy') }),
  z.strictObject({
    frame: frameIndex,
    kind: z.literal('interpolated'),
    m: finite.gt(0).lt(1).optional(),
  }),
]);
export type Mark = z.infer<typeof markSchema>;

/** How automatic m rises between two conditioned cells: shape of the ramp, and m in the middle of the hill. */
export const curves = ['hold', 'linear', 'ease'] as const;
export const interpolationSchema = z.strictObject({
  curve: z.enum(curves),
  peak: finite.min(0).max(1),
});
export type Interpolation = z.infer<typeof interpolationSchema>;

/** `euler` is Pusa's vector step (any marks). The other two are Wan's own solvers, for ranges without sources. */
export const solvers = ['euler', 'unipc', 'dpm++'] as const;

/** Sampler settings of a range. Units: `seed` 0 … 2³²−1, `loraStrength` is α of W + α·B·A. */
export const samplerSchema = z.strictObject({
  solver: z.enum(solvers),
  steps: z.int().min(1).max(200),
  cfg: finite.min(0).max(30),
  shift: finite.min(0.1).max(50),
  seed: z.int().min(0).max(4_294_967_295),
  loraStrength: finite.min(0).max(4),
});
export type Sampler = z.infer<typeof samplerSchema>;

/** How a source of another shape is brought to the project's size. */
export const fits = ['crop', 'contain', 'stretch'] as const;
export type Fit = (typeof fits)[number];

/** A media file. `hash` is the SHA-256 of its bytes in hex; it names the bytes, no path does. */
export const assetSchema = z.strictObject({
  id: idSchema,
  kind: z.enum(['image', 'video', 'sequence']),
  name: z.string().min(1).max(255),
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().min(1),
  width: z.int().min(1).max(32_768),
  height: z.int().min(1).max(32_768),
  /** Frames per second of a video or sequence; 0 for an image. */
  fps: finite.min(0).max(1000),
  /** Seconds; 0 for an image. */
  duration: finite.min(0).max(86_400),
});
export type Asset = z.infer<typeof assetSchema>;

/** An asset placed on the timeline: `frames` frames from `start`, taken from `sourceStart` seconds on. */
export const clipSchema = z.strictObject({
  id: idSchema,
  assetId: idSchema,
  track: z.int().min(0).max(63),
  start: frameIndex,
  frames: z.int().min(1).max(10_000_000),
  sourceStart: finite.min(0).max(86_400),
  fit: z.enum(fits),
});
export type Clip = z.infer<typeof clipSchema>;

export const presetIds = [
  'image-to-video',
  'start-end',
  'keyframes',
  'extend',
  'transition',
  'complete',
  'restyle',
  'text-to-video',
] as const;
export type PresetId = (typeof presetIds)[number];

/** A stretch of the timeline to generate: 4n+1 frames, n+1 cells, with its own prompt, marks and sampler. */
export const rangeSchema = z.strictObject({
  id: idSchema,
  start: frameIndex,
  frames: z
    .int()
    .min(1)
    .max(4001)
    .refine((n) => n % 4 === 1, 'A range has 4n+1 frames.'),
  preset: z.enum(presetIds).nullable(),
  prompt: z.string().max(10_000),
  negativePrompt: z.string().max(10_000),
  marks: z.array(markSchema).max(4001),
  interpolation: interpolationSchema,
  sampler: samplerSchema,
  /** Id of a model package; null means the application's default. */
  model: idSchema.nullable(),
  /** Frames the person fixed show their original pixels in the result. */
  keepOriginalPixels: z.boolean(),
});
export type Range = z.infer<typeof rangeSchema>;

/** A place on the timeline that a person wants to find again. `colour` picks one of the window's. */
export const markerSchema = z.strictObject({
  id: idSchema,
  frame: frameIndex,
  colour: z.int().min(0).max(15),
});
export type Marker = z.infer<typeof markerSchema>;

/** A track that is locked (its clips stay as they are) or hidden (its clips are neither seen nor heard), or both. */
export const trackSchema = z
  .strictObject({ track: z.int().min(0).max(63), locked: z.boolean(), hidden: z.boolean() })
  .refine(({ locked, hidden }) => locked || hidden, 'A track that is neither is left out.');
export type Track = z.infer<typeof trackSchema>;

const side = z.int().min(16).max(4096).multipleOf(16);

/** A project, whole: what a `.pusa` file holds and what the window edits. */
export const projectSchema = z.strictObject({
  version: z.literal(1),
  id: idSchema,
  name: z.string().min(1).max(200),
  width: side,
  height: side,
  fps: finite.min(1).max(240),
  assets: z.array(assetSchema).max(100_000),
  clips: z.array(clipSchema).max(100_000),
  ranges: z.array(rangeSchema).max(10_000),
  createdAt: z.iso.datetime(),
  modifiedAt: z.iso.datetime(),
  /** Ascending; left out where there are none. */
  markers: z.array(markerSchema).min(1).max(1000).optional(),
  /** Those that are locked or hidden, ascending; left out where there are none. */
  tracks: z.array(trackSchema).min(1).max(64).optional(),
});
export type Project = z.infer<typeof projectSchema>;
