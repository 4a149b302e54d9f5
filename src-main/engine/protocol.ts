import { z } from 'zod';
import { errorSchema, progressSchema } from '../core/contract/job.ts';
import { noteSchema } from '../core/contract/note.ts';
import { PusaError } from '../core/errors.ts';
import { ratesSchema, resultSchema } from './pipeline/result.ts';
import { memoryPlaceSchema } from './runtime/memory-place.ts';
import { deviceReportSchema, measurementSchema } from './runtime/report.ts';
import { providers } from './runtime/runtime.ts';

/** Raised whenever a message changes its meaning or shape. Both sides say theirs first. */
export const protocolVersion = 3;

/** Exit code of an engine whose graphics device is gone: only a new process can have it back. */
export const deviceLostCode = 75;

const path = z.string().min(1).max(32_768);
/** Given by the host, so that answers find their question. */
const id = z.int().min(1);
const provider = z.enum(providers);
/** Providers not to be tried, with the reason in a sentence. */
const avoid = z.array(z.strictObject({ provider, reason: z.string().max(1000) })).max(providers.length);

const hostMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('hello'),
    protocol: z.int(),
    /** Where to keep what trials of providers find; null: nowhere. */
    memory: memoryPlaceSchema.nullable().default(null),
  }),
  z.strictObject({
    type: z.literal('render'),
    id,
    jobFolder: path,
    packageFolder: path,
    /** Null: the best that works. */
    provider: provider.nullable(),
    avoid,
    rates: ratesSchema,
    /** The process ended more than once at the same place, most likely for want of memory. */
    smallerTiles: z.boolean(),
    smallerPlan: z.boolean(),
    /** Whether somebody looks at previews. */
    previews: z.boolean(),
  }),
  z.strictObject({ type: z.literal('cancel'), id }),
  z.strictObject({ type: z.literal('keep'), id }),
  /** `fresh`: what is known is measured anew. */
  z.strictObject({ type: z.literal('report'), id, avoid, fresh: z.boolean() }),
  z.strictObject({ type: z.literal('measure'), id, provider, avoid }),
]);
/** What the host says to the engine. */
export type HostMessage = z.infer<typeof hostMessageSchema>;

const side = z.int().min(1).max(8192);
const previewSchema = z
  .strictObject({
    type: z.literal('preview'),
    id,
    cells: z.int().min(1).max(4096),
    width: side,
    height: side,
    /** RGB8 [cells, height, width, 3]. */
    rgb: z.custom<Uint8Array>((value) => value instanceof Uint8Array),
  })
  .refine(({ cells, width, height, rgb }) => rgb.byteLength === cells * width * height * 3, 'wrong length');
export type Preview = Omit<z.infer<typeof previewSchema>, 'type' | 'id'>;

const engineMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('hello'), protocol: z.int(), pid: z.int().min(1) }),
  /** A provider is being started, which may end the process; null when it is over. */
  z.strictObject({ type: z.literal('trying'), provider: provider.nullable() }),
  z.strictObject({ type: z.literal('progress'), id, progress: progressSchema }),
  previewSchema,
  z.strictObject({ type: z.literal('log'), text: z.string().max(10_000) }),
  /** What is done otherwise than asked, as soon as it is. */
  z.strictObject({ type: z.literal('note'), id, note: noteSchema }),
  z.strictObject({ type: z.literal('done'), id, result: resultSchema }),
  z.strictObject({ type: z.literal('reported'), id, report: deviceReportSchema }),
  z.strictObject({ type: z.literal('measured'), id, measurement: measurementSchema }),
  /** `id` is null when the message that failed had none that could be read. */
  z.strictObject({ type: z.literal('failed'), id: id.nullable(), error: errorSchema }),
]);
/** What the engine says to its host. */
export type EngineMessage = z.infer<typeof engineMessageSchema>;

/** @throws PusaError ENGINE_PROTOCOL naming the field that is wrong */
export function parseHostMessage(value: unknown): HostMessage {
  return parse(hostMessageSchema, value, 'to the engine');
}

/** @throws PusaError ENGINE_PROTOCOL naming the field that is wrong */
export function parseEngineMessage(value: unknown): EngineMessage {
  return parse(engineMessageSchema, value, 'from the engine');
}

/** The id of a message that is otherwise not understood, so that its question still gets an answer. */
export function idOf(value: unknown): number | null {
  const parsed = z.looseObject({ id }).safeParse(value);
  return parsed.success ? parsed.data.id : null;
}

/** @throws PusaError ENGINE_PROTOCOL when the other side speaks another version */
export function checkVersion(other: number): void {
  if (other === protocolVersion) return;
  throw new PusaError(
    'ENGINE_PROTOCOL',
    `The engine and the application are of different versions (${other} and ${protocolVersion}).`,
    'Install the application again.',
  );
}

function parse<T>(schema: z.ZodType<T>, value: unknown, direction: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const field = issue.path.join('.') || 'message';
  throw new PusaError(
    'ENGINE_PROTOCOL',
    `A message ${direction} is not understood (${field}: ${issue.message}).`,
    'Start the application again; if it happens twice, report it with the log.',
  );
}
