import { z } from 'zod';
import {
  assetSchema,
  clipSchema,
  idSchema,
  interpolationSchema,
  markerSchema,
  markKinds,
  markSchema,
  presetIds,
  projectSchema,
  rangeSchema,
  samplerSchema,
} from '../contract/project.ts';
import { maxFrames } from '../timeline/cells.ts';

const { name, width, height, fps } = projectSchema.shape;
const { start, frames, prompt, negativePrompt, model, keepOriginalPixels } = rangeSchema.shape;
const clipIds = z.array(idSchema).min(1).max(10_000);
const cell = z.int().min(0).max(maxFrames);
const noiseMultiplier = z.number().gt(0).lt(1);
/** Inclusive, in either order. */
const cells = { rangeId: idSchema, first: cell, last: cell };
const side = z.enum(['start', 'end']);

/** What a preset takes from a model; the seed stays the person's. */
export const recommendedSchema = samplerSchema.omit({ seed: true }).partial();

/**
 * Everything a person can do to a project, as data. Ids of what is new are made by whoever asks, so that a window can
 * show the result before the studio has answered. Frames are the project's; `rangeId` and `clipId` name what is there.
 */
export const commandSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('setName'), name }),
  z.strictObject({ type: z.literal('setSize'), width, height }),
  /** Clips and the beginnings of ranges keep their time; ranges keep their number of frames. */
  z.strictObject({ type: z.literal('setRate'), fps }),

  /** All of them at once; in any order. */
  z.strictObject({ type: z.literal('setMarkers'), markers: z.array(markerSchema).max(1000) }),

  /** Locked, its clips cannot be changed, nor others put beside them; hidden, they are neither seen nor heard. */
  z.strictObject({
    type: z.literal('setTrack'),
    track: clipSchema.shape.track,
    locked: z.boolean(),
    hidden: z.boolean(),
  }),

  z.strictObject({ type: z.literal('addAssets'), assets: z.array(assetSchema).min(1).max(1000) }),
  /** Another file in the place of one: its clips show the new one. */
  z.strictObject({ type: z.literal('replaceAsset'), asset: assetSchema }),
  /** Refused while a clip shows it. */
  z.strictObject({ type: z.literal('removeAsset'), assetId: idSchema }),

  /** On top of those that lie on the same track and start at the same frame. */
  z.strictObject({ type: z.literal('addClip'), clip: clipSchema }),
  /** Moved as they lie: all by the same distance. */
  z.strictObject({
    type: z.literal('moveClips'),
    clipIds,
    byFrames: z.int().min(-10_000_000).max(10_000_000),
    byTracks: z.int().min(-63).max(63),
  }),
  /** Moves one end to a frame; the pictures stay where they are. `end` is the frame after the last. */
  z.strictObject({ type: z.literal('trimClip'), clipId: idSchema, edge: side, to: start }),
  /** In two at a frame inside it, which becomes the first of the new clip. */
  z.strictObject({ type: z.literal('splitClip'), clipId: idSchema, at: start, newId: idSchema }),
  /** Other pictures of the source in the same place. */
  z.strictObject({
    type: z.literal('slipClip'),
    clipId: idSchema,
    sourceStart: clipSchema.shape.sourceStart,
  }),
  z.strictObject({ type: z.literal('setFit'), clipIds, fit: clipSchema.shape.fit }),
  z.strictObject({ type: z.literal('removeClips'), clipIds }),
  /** Into the list before another one, or last. */
  z.strictObject({ type: z.literal('reorderClip'), clipId: idSchema, before: idSchema.nullable() }),

  z.strictObject({ type: z.literal('addRange'), range: rangeSchema }),
  z.strictObject({ type: z.literal('moveRange'), rangeId: idSchema, start }),
  /** The end moves; marks past it go. */
  z.strictObject({ type: z.literal('resizeRange'), rangeId: idSchema, frames }),
  z.strictObject({ type: z.literal('duplicateRange'), rangeId: idSchema, newId: idSchema, start }),
  z.strictObject({ type: z.literal('removeRange'), rangeId: idSchema }),
  z.strictObject({ type: z.literal('reorderRange'), rangeId: idSchema, before: idSchema.nullable() }),

  z.strictObject({
    type: z.literal('paintCells'),
    ...cells,
    kind: z.enum(markKinds),
    m: noiseMultiplier.nullable(),
  }),
  /** Of the interpolated cells among them; null is automatic. */
  z.strictObject({ type: z.literal('setM'), ...cells, m: noiseMultiplier.nullable() }),
  z.strictObject({ type: z.literal('clearCells'), ...cells }),
  /** All of them at once: a curve that was drawn, marks that were pasted. */
  z.strictObject({
    type: z.literal('setMarks'),
    rangeId: idSchema,
    marks: z.array(markSchema).max(maxFrames),
  }),
  z.strictObject({
    type: z.literal('setInterpolation'),
    rangeId: idSchema,
    interpolation: interpolationSchema.partial(),
  }),
  z.strictObject({
    type: z.literal('setPrompt'),
    rangeId: idSchema,
    prompt: prompt.optional(),
    negativePrompt: negativePrompt.optional(),
  }),
  z.strictObject({ type: z.literal('setSampler'), rangeId: idSchema, sampler: samplerSchema.partial() }),
  z.strictObject({ type: z.literal('setModel'), rangeId: idSchema, model }),
  z.strictObject({ type: z.literal('setKeepOriginalPixels'), rangeId: idSchema, keepOriginalPixels }),
  /** Sets marks and sampler as the task wants them; null only forgets the task. */
  z.strictObject({
    type: z.literal('setPreset'),
    rangeId: idSchema,
    preset: z.enum(presetIds).nullable(),
    recommended: recommendedSchema.optional(),
  }),
]);
export type Command = z.infer<typeof commandSchema>;

/** Commands that are one step to undo. */
export const commandsSchema = z.array(commandSchema).min(1).max(1000);
