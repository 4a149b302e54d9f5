import { z } from 'zod';
import { violation } from './errors.ts';

/** Binary parts of one message, and keys on the way to one. */
const maxParts = 16;
const maxDepth = 8;

const headSchema = z.strictObject({
  message: z.record(z.string(), z.unknown()),
  /** Where the binary parts belong, in the order they follow the head, with their lengths. */
  parts: z
    .array(
      z.strictObject({
        path: z.array(z.string().max(100)).min(1).max(maxDepth),
        bytes: z.int().min(0),
      }),
    )
    .max(maxParts),
});

type Part = z.infer<typeof headSchema>['parts'][number];

/**
 * A message as bytes: uint32 LE length of the head; the head, JSON in UTF-8, with null where binary was and a list of
 * those places; then the binary parts one after the other.
 * @throws PusaError CONTRACT_VIOLATION when the frame is longer than `maxBytes` or has too many binary parts
 */
export function encodeFrame(message: object, maxBytes: number): Uint8Array {
  const parts: Part[] = [];
  const binaries: Uint8Array[] = [];
  const plain = takeOut(message, [], (path, bytes) => {
    if (parts.length === maxParts || path.length > maxDepth) {
      throw violation('A message has too many binary parts.');
    }
    parts.push({ path, bytes: bytes.byteLength });
    binaries.push(bytes);
  });
  const head = new TextEncoder().encode(JSON.stringify({ message: plain, parts }));
  const length = 4 + head.byteLength + binaries.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (length > maxBytes) throw violation('A message is too large.');
  const frame = new Uint8Array(length);
  new DataView(frame.buffer).setUint32(0, head.byteLength, true);
  frame.set(head, 4);
  let at = 4 + head.byteLength;
  for (const binary of binaries) {
    frame.set(binary, at);
    at += binary.byteLength;
  }
  return frame;
}

/**
 * The message of a frame. Its binary parts are views of the frame.
 * @throws PusaError CONTRACT_VIOLATION for whatever {@link encodeFrame} does not make
 */
export function decodeFrame(frame: Uint8Array, maxBytes: number): unknown {
  if (frame.byteLength > maxBytes) throw violation('A message is too large.');
  if (frame.byteLength < 4) throw violation('A message is torn.');
  const headBytes = new DataView(frame.buffer, frame.byteOffset).getUint32(0, true);
  if (headBytes > frame.byteLength - 4) throw violation('A message is torn.');
  const { message, parts } = parseHead(frame.subarray(4, 4 + headBytes));
  let at = 4 + headBytes;
  if (parts.reduce((sum, { bytes }) => sum + bytes, at) !== frame.byteLength) {
    throw violation('A message is torn.');
  }
  for (const { path, bytes } of parts) {
    putIn(message, path, new Uint8Array(frame.buffer, frame.byteOffset + at, bytes));
    at += bytes;
  }
  return message;
}

function parseHead(bytes: Uint8Array): z.infer<typeof headSchema> {
  let head: unknown;
  try {
    head = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw violation('A message is not readable.');
  }
  const parsed = headSchema.safeParse(head);
  if (!parsed.success) throw violation('A message is not readable.');
  return parsed.data;
}

/** A copy of a value without its binary; what holds none is not copied. */
function takeOut(
  value: unknown,
  path: readonly string[],
  found: (path: string[], bytes: Uint8Array) => void,
): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) {
    found([...path], value);
    return null;
  }
  let copy: Record<string, unknown> | unknown[] | null = null;
  for (const [key, child] of Object.entries(value)) {
    if (typeof child !== 'object' || child === null) continue;
    const plain = takeOut(child, [...path, key], found);
    if (plain === child) continue;
    copy ??= Array.isArray(value) ? [...(value as unknown[])] : { ...value };
    (copy as Record<string, unknown>)[key] = plain;
  }
  return copy ?? value;
}

/** Only what the message itself holds is walked through, and only a null gives way. */
function putIn(message: object, path: readonly string[], bytes: Uint8Array): void {
  let holder: object = message;
  for (const key of path.slice(0, -1)) {
    const next: unknown = Object.hasOwn(holder, key) ? (holder as Record<string, unknown>)[key] : null;
    if (typeof next !== 'object' || next === null || next instanceof Uint8Array) {
      throw violation('A message has binary in no place.');
    }
    holder = next;
  }
  const key = path.at(-1)!;
  if (!Object.hasOwn(holder, key) || (holder as Record<string, unknown>)[key] !== null) {
    throw violation('A message has binary in no place.');
  }
  Object.defineProperty(holder, key, { value: bytes, writable: true, enumerable: true, configurable: true });
}
