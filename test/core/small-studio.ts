import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { z } from 'zod';
import type {
  Bytes,
  Contract,
  EventSpec,
  Handlers,
  MethodSpec,
} from '../../src-main/core/contract/channel.ts';
import { PusaError } from '../../src-main/core/errors.ts';
import { sampleBytes } from '../support/project.ts';

const size = z
  .int()
  .min(0)
  .max(2 ** 30);
export const methods = {
  'sums.add': { input: z.strictObject({ a: z.number(), b: z.number() }), output: z.number(), writes: false },
  'sums.fail': {
    input: z.strictObject({ as: z.enum(['ours', 'foreign', 'output']) }),
    output: z.number(),
    writes: false,
  },
  'work.wait': { input: z.strictObject({ name: z.string().max(10) }), output: z.string(), writes: true },
  'work.echo': { input: z.strictObject({ text: z.string() }), output: z.string(), writes: false },
  'files.store': {
    input: z.strictObject({ read: z.enum(['all', 'one', 'none']) }),
    output: z.strictObject({ bytes: size, sha256: z.string() }),
    writes: true,
    upload: true,
  },
  'files.load': {
    input: z.strictObject({ pieces: z.array(size).max(100), endless: z.boolean() }),
    output: z.strictObject({ name: z.string() }),
    writes: false,
    download: true,
  },
  'files.invert': {
    input: z.strictObject({}),
    output: z.null(),
    writes: false,
    upload: true,
    download: true,
  },
  'files.path': {
    input: z.strictObject({ path: z.string() }),
    output: z.string(),
    writes: false,
    namesPath: true,
  },
} as const satisfies Record<string, MethodSpec>;
export const events = {
  'sums.changed': { payload: z.strictObject({ ids: z.array(z.string()) }), lossy: false },
  'work.preview': {
    payload: z.strictObject({
      at: z.int(),
      deep: z.array(z.strictObject({ rgb: z.custom<Uint8Array>((value) => value instanceof Uint8Array) })),
    }),
    lossy: true,
  },
} as const satisfies Record<string, EventSpec>;
export const contract = { version: 3, methods, events } as const satisfies Contract;
export type Test = typeof contract;

/** A studio that notes what happens to it. */
export class Studio {
  readonly ended: string[] = [];
  running = 0;
  mostRunning = 0;
  produced = 0;
  closedBodies = 0;
  private readonly free: (() => void)[] = [];

  /** Lets waiting calls finish. */
  release(): void {
    for (const free of this.free.splice(0)) free();
  }

  readonly handlers: Handlers<Test> = {
    'sums.add': ({ a, b }) => a + b,
    'sums.fail': ({ as }) => {
      if (as === 'ours') throw new PusaError('DISK_FULL', 'The disk is full.', 'Free some space.');
      if (as === 'foreign') throw new TypeError('x is not a function');
      return 'no number' as unknown as number;
    },
    'work.wait': async ({ name }, { signal }) => {
      this.running++;
      this.mostRunning = Math.max(this.mostRunning, this.running);
      try {
        await new Promise<void>((resolve, reject) => {
          this.free.push(resolve);
          signal.addEventListener('abort', () => reject(new Error('stopped')));
        });
        return name;
      } finally {
        this.running--;
        this.ended.push(signal.aborted ? `${name} aborted` : name);
      }
    },
    'work.echo': ({ text }) => text,
    'files.store': async ({ read }, { upload }) => {
      const hash = createHash('sha256');
      let bytes = 0;
      if (read === 'none') await delay(20);
      else {
        for await (const piece of upload) {
          hash.update(piece);
          bytes += piece.byteLength;
          if (read === 'one') break;
        }
      }
      return { bytes, sha256: hash.digest('hex') };
    },
    'files.load': ({ pieces, endless }) => ({ output: { name: 'file' }, body: this.body(pieces, endless) }),
    'files.invert': (_, { upload }) => ({ output: null, body: invert(upload) }),
    'files.path': ({ path }) => path,
  };

  private async *body(pieces: readonly number[], endless: boolean): Bytes & AsyncGenerator<Uint8Array> {
    try {
      do {
        for (const length of pieces) {
          await Promise.resolve();
          this.produced += length;
          yield sampleBytes(length, length);
        }
      } while (endless);
    } finally {
      this.closedBodies++;
    }
  }
}

async function* invert(bytes: Bytes): AsyncGenerator<Uint8Array> {
  for await (const piece of bytes) yield piece.map((value) => 255 - value);
}

/** The PusaError that a call ends with. */
export async function failure(promise: Promise<unknown>): Promise<PusaError> {
  const thrown: unknown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(PusaError);
  return thrown as PusaError;
}

/** Waits until something holds. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await delay(2);
}
