import { parentPort } from 'node:worker_threads';
import { toPusaError, type ErrorCode } from '../../core/errors.ts';
import { SlabReader, type BakedSlab, type Slab } from './bake-slab.ts';

/** A PusaError as plain data. */
export interface SlabFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
}

/** What the thread says to each slab, in their order. */
export type SlabAnswer = { readonly baked: BakedSlab } | { readonly failed: SlabFailure };

const reader = new SlabReader();

parentPort?.on('message', (slab: Slab) => {
  try {
    const baked = reader.bake(slab);
    const moved = baked.scales === null ? [baked.data.buffer] : [baked.data.buffer, baked.scales.buffer];
    parentPort!.postMessage({ baked } satisfies SlabAnswer, moved);
  } catch (thrown) {
    const { code, message, remedy } = toPusaError(thrown);
    parentPort!.postMessage({ failed: { code, message, remedy } } satisfies SlabAnswer);
  }
});
