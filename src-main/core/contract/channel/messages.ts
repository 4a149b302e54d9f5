import { z } from 'zod';
import { errorSchema } from '../job.ts';
import { chunkCost, streams } from './limits.ts';

const id = z.int().min(1).max(Number.MAX_SAFE_INTEGER);
const name = z.string().min(1).max(100);
const chunk = z
  .custom<Uint8Array>((value) => value instanceof Uint8Array)
  .refine((bytes) => bytes.byteLength >= 1 && bytes.byteLength <= streams.chunkBytes);
const credit = z.int().min(1).max(chunkCost(streams.window));

/** What a client says. Its call ids rise, so that none is ever used twice. */
export const clientMessageSchema = z.discriminatedUnion('type', [
  /** First of all; a server of another version hangs up. */
  z.strictObject({ type: z.literal('hello'), version: z.int().min(0).max(1_000_000) }),
  z.strictObject({ type: z.literal('call'), id, method: name, input: z.unknown() }),
  /** Nobody waits for the call any more: its work stops, its streams end. */
  z.strictObject({ type: z.literal('cancel'), id }),
  z.strictObject({ type: z.literal('chunk'), id, bytes: chunk }),
  z.strictObject({ type: z.literal('end'), id }),
  z.strictObject({ type: z.literal('credit'), id, cost: credit }),
  z.strictObject({ type: z.literal('watch'), event: name }),
  z.strictObject({ type: z.literal('unwatch'), event: name }),
]);
export type ClientMessage = z.infer<typeof clientMessageSchema>;

/** What a server says. */
export const serverMessageSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('result'), id, output: z.unknown() }),
  /** The call's end, also in the middle of its download. */
  z.strictObject({ type: z.literal('failed'), id, error: errorSchema }),
  z.strictObject({ type: z.literal('chunk'), id, bytes: chunk }),
  z.strictObject({ type: z.literal('end'), id }),
  z.strictObject({ type: z.literal('credit'), id, cost: credit }),
  z.strictObject({ type: z.literal('event'), event: name, payload: z.unknown() }),
  /** A message that belongs to no call was not understood. */
  z.strictObject({ type: z.literal('refused'), error: errorSchema }),
  /** The last message, before the connection is closed. */
  z.strictObject({ type: z.literal('bye'), error: errorSchema }),
]);
export type ServerMessage = z.infer<typeof serverMessageSchema>;

/** The id of a call that is otherwise not understood, so that it still gets its answer. */
export function callIdOf(message: unknown): number | null {
  const parsed = z.looseObject({ type: z.literal('call'), id }).safeParse(message);
  return parsed.success ? parsed.data.id : null;
}

/** The id of the call an answer belongs to that is otherwise not understood. */
export function answerIdOf(message: unknown): number | null {
  const parsed = z.looseObject({ id }).safeParse(message);
  return parsed.success ? parsed.data.id : null;
}
