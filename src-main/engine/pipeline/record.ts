import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { z } from 'zod';
import type { Tensor } from '../networks.ts';
import { writeWhole } from '../../files/durable.ts';
import { openForReading, readExactly } from './files.ts';

/**
 * A record is a file of named float32 tensors with a little JSON beside them:
 *
 *   8 bytes  "PUSAREC" and the version
 *  32 bytes  SHA-256 of all that follows
 *   4 bytes  length of the header, little-endian
 *   header   JSON: kind, job, tensors (name and shape, in order), meta
 *   payload  the tensors, little-endian float32, one after another
 *
 * The digest makes a torn, truncated or mixed-up file visible; such a file is made again, never trusted. `job` is
 * the digest of the job it belongs to.
 */
const magic = new Uint8Array([0x50, 0x55, 0x53, 0x41, 0x52, 0x45, 0x43, 1]);
const digestLength = 32;
const prefixLength = magic.length + digestLength + 4;
const headerLimit = 1 << 20;

const headerSchema = z.strictObject({
  kind: z.string(),
  job: z.string(),
  tensors: z.array(
    z.strictObject({
      name: z.string(),
      shape: z
        .array(
          z
            .int()
            .min(0)
            .max(2 ** 31),
        )
        .max(8),
    }),
  ),
  meta: z.unknown(),
});

export interface RecordContent {
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** JSON beside the tensors; its reader validates it. */
  readonly meta: unknown;
}

/** `missing`: not made yet. `damaged`: there, but not to be trusted, with the reason in words. */
export type RecordState =
  | { readonly state: 'whole'; readonly content: RecordContent }
  | { readonly state: 'missing' }
  | { readonly state: 'damaged'; readonly reason: string };

/** Names a record: what kind it is and which job it belongs to. */
export interface RecordIdentity {
  readonly kind: string;
  readonly job: string;
}

/** Writes a record as a whole (see {@link writeWhole} for errors). */
export async function writeRecord(
  path: string,
  identity: RecordIdentity,
  content: RecordContent,
): Promise<void> {
  const entries = Object.entries(content.tensors);
  const header = new TextEncoder().encode(
    JSON.stringify({
      ...identity,
      tensors: entries.map(([name, { shape }]) => ({ name, shape })),
      meta: content.meta,
    }),
  );
  if (header.byteLength > headerLimit) throw new RangeError(`The header of ${path} is too long.`);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, header.byteLength, true);
  const body = [length, header, ...entries.map(([, { data }]) => bytesOf(data))];
  const digest = createHash('sha256');
  for (const part of body) digest.update(part);
  await writeWhole(path, [magic, digest.digest(), ...body]);
}

/** Reads a record and checks its digest, kind, job and length. Sizes are checked before anything is allocated. */
export async function readRecord(path: string, identity: RecordIdentity): Promise<RecordState> {
  const handle = await openForReading(path);
  if (handle === null) return { state: 'missing' };
  try {
    const { size } = await stat(path);
    const prefix = await readExactly(handle, 0, prefixLength);
    if (prefix === null) return damaged('it is too short');
    if (!magic.every((byte, i) => prefix[i] === byte)) return damaged('it does not begin as a record');
    const headerLength = new DataView(prefix.buffer).getUint32(prefixLength - 4, true);
    if (headerLength > headerLimit || prefixLength + headerLength > size)
      return damaged('its header is cut off');
    const headerBytes = await readExactly(handle, prefixLength, headerLength);
    if (headerBytes === null) return damaged('its header is cut off');
    const header = parseHeader(headerBytes);
    if (header === null) return damaged('its header is not readable');
    if (header.kind !== identity.kind) return damaged(`it is of another kind (${header.kind})`);
    if (header.job !== identity.job) return damaged('it belongs to another job');
    const counts = header.tensors.map(({ shape }) => shape.reduce((a, b) => a * b, 1));
    const expected = prefixLength + headerLength + 4 * counts.reduce((a, b) => a + b, 0);
    if (expected !== size) return damaged(`it has ${size} bytes instead of ${expected}`);

    const digest = createHash('sha256');
    digest.update(prefix.subarray(prefixLength - 4));
    digest.update(headerBytes);
    const tensors: Record<string, Tensor> = {};
    let position = prefixLength + headerLength;
    for (const [i, { name, shape }] of header.tensors.entries()) {
      const bytes = await readExactly(handle, position, 4 * counts[i]!);
      if (bytes === null) return damaged('it is cut off');
      digest.update(bytes);
      tensors[name] = { data: new Float32Array(bytes.buffer), shape };
      position += bytes.byteLength;
    }
    const stated = prefix.subarray(magic.length, magic.length + digestLength);
    if (!digest.digest().equals(stated)) return damaged('its content does not fit its checksum');
    return { state: 'whole', content: { tensors, meta: header.meta } };
  } finally {
    await handle.close();
  }
}

function damaged(reason: string): RecordState {
  return { state: 'damaged', reason };
}

function parseHeader(bytes: Uint8Array): z.infer<typeof headerSchema> | null {
  try {
    return headerSchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch {
    return null;
  }
}

function bytesOf(data: Float32Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
