import { z } from 'zod';
import { errorSchema } from '../../../src-main/core/contract/job.ts';

/** What the page and the media worker say to each other. Both ends check what they get. */

const count = z.int().min(0);
const address = z.url({ protocol: /^(https?|app)$/ }).max(4096);
/** Seconds after a medium's first frame. */
const seconds = z.number().min(0).max(86_400);

/** Longest side of a picture that is asked for, in pixels. */
export const maxSide = 4096;

/** Times of one request: at most this many. */
export const maxTimes = 32;

/** A medium: where its file is, and where the studio draws pictures of it. */
export const mediumSchema = z.strictObject({
  /** Names the bytes: another id is another medium. */
  id: z.string().min(1).max(300),
  kind: z.enum(['image', 'video', 'sequence']),
  name: z.string().max(255),
  /** The whole file, with Range requests. */
  url: address,
  /** One picture, drawn by the studio. A place in it is asked for in seconds or in frames of its rate. */
  drawn: z.strictObject({
    url: address,
    by: z.enum(['seconds', 'frames']),
    fps: z.number().min(1).max(1000).nullable(),
  }),
});
export type Medium = z.infer<typeof mediumSchema>;

export const askSchema = z.discriminatedUnion('type', [
  /** Pictures at some places, each of exactly the given size; times are answered in their order. */
  z.strictObject({
    type: z.literal('pictures'),
    request: count,
    medium: mediumSchema,
    times: z.array(seconds).min(1).max(maxTimes),
    width: z.int().min(1).max(maxSide),
    height: z.int().min(1).max(maxSide),
  }),
  z.strictObject({ type: z.literal('probe'), request: count, medium: mediumSchema }),
  /** Nobody waits for the rest of a request. */
  z.strictObject({ type: z.literal('cancel'), request: count }),
]);
export type Ask = z.infer<typeof askSchema>;

/** What a file says about itself, as shown: rotated, square pixels. */
export const factsSchema = z.strictObject({
  kind: mediumSchema.shape.kind,
  width: z.int().min(1),
  height: z.int().min(1),
  /** Frames per second; 0 for an image. */
  fps: z.number().min(0),
  duration: seconds,
  rotation: z.union([z.literal(0), z.literal(90), z.literal(180), z.literal(270)]),
  codec: z.string().max(60),
  /** Whether this browser decodes it. */
  decodable: z.boolean(),
});
export type Facts = z.infer<typeof factsSchema>;

const bitmap = z.custom<ImageBitmap>(
  (value) => typeof ImageBitmap !== 'undefined' && value instanceof ImageBitmap,
  'a picture expected',
);

/** Why the studio's pictures are shown in the place of a file's own. */
export const standInSchema = z.strictObject({
  /** As a person knows it: "H.265"; null where the file could not even be read. */
  codec: z.string().max(60).nullable(),
  error: errorSchema,
});
export type StandIn = z.infer<typeof standInSchema>;

export const answerSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('picture'),
    request: count,
    /** Which of the times. */
    index: count.max(maxTimes - 1),
    picture: bitmap,
    /** Null: decoded here from the file. */
    standIn: standInSchema.nullable(),
  }),
  z.strictObject({ type: z.literal('probed'), request: count, facts: factsSchema }),
  /** The last answer to a request. `error` is null when all of it was done, or it was cancelled. */
  z.strictObject({ type: z.literal('done'), request: count, error: errorSchema.nullable() }),
]);
export type Answer = z.infer<typeof answerSchema>;
