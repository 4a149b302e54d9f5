import { createHash } from 'node:crypto';
import { PusaError } from '../../core/errors.ts';
import { packedEnding, scalesEnding } from './block-view.ts';
import type { Change, Slab, SlabTarget } from './bake-slab.ts';
import type { Checkpoint, TensorEntry } from './checkpoint.ts';
import { isDtype, type Dtype } from './dtypes.ts';
import { loraScale, type AppliedLora } from './lora.ts';
import { bakedOf } from './model-metadata.ts';
import { safetensorsHeader } from './write-safetensors.ts';

/** What the large matrices of a diffusion model can be baked to. */
export const bakePrecisions = ['F32', 'F16', 'int8', 'int4'] as const;
export type BakePrecision = (typeof bakePrecisions)[number];

/** Numbers under one scale: what WebGPU's wide kernel takes, and more exact than the CPU's quicker 128. */
export const bakeBlockSize = 32;
/** Numbers of one slab: 16 MB as float32. */
const slabValues = 2 ** 22;

/** One tensor of the source and what it becomes in the file: one tensor, or two for blocks. */
export interface PlannedTensor {
  /** Official name. */
  readonly name: string;
  readonly slabs: readonly Slab[];
  readonly target: SlabTarget;
  /** In the file, scales included. */
  readonly bytes: number;
}

/** A file to be written. */
export interface BakePlan {
  readonly header: Uint8Array<ArrayBuffer>;
  readonly tensors: readonly PlannedTensor[];
  /** Of the whole file. */
  readonly bytes: number;
  /** Names what is written: a file begun by another plan is not gone on with. */
  readonly digest: string;
}

export interface BakePlanOptions {
  readonly precision: BakePrecision;
  readonly search: boolean;
  /** Merged in: W + strength · scale · B · A, in float32 before rounding (spec §2). */
  readonly loras: readonly AppliedLora[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Names the exact source: hashes of its files and of the LoRAs'. */
  readonly source: string;
}

/** The matrices that make up nearly all of a diffusion model. The rest stays wide: it is small, and rounding hurts it. */
const narrowed = /^blocks\.\d+\.((self|cross)_attn\.[qkvo]|ffn\.[02])\.weight$/;

/**
 * Plans a diffusion model's file: the blocks' matrices in the wanted precision, all else as the source has it, or in
 * float32 where a LoRA changes it.
 * @param checkpoint under official names, its pristine weights
 * @throws PusaError MODEL_CANNOT when the source was quantised or merged before
 */
export function planBake(checkpoint: Checkpoint, options: BakePlanOptions): BakePlan {
  const { precision, search, loras } = options;
  refuseBaked(checkpoint);
  const tensors: PlannedTensor[] = [];
  const written: { name: string; dtype: Dtype; shape: readonly number[] }[] = [];
  for (const [name, entry] of checkpoint.entries) {
    const [rows = 1, ...rest] = entry.shape;
    const columns = product(rest);
    const changes = changesOf(name, loras);
    const target = targetOf(name, entry, columns, changes.length > 0, precision, search);
    if (target.kind === 'blocks') {
      const blocks = columns / target.blockSize;
      const blockBytes = (target.blockSize * target.bits) / 8;
      written.push(
        { name: `${name}${packedEnding}`, dtype: 'U8', shape: [rows, blocks, blockBytes] },
        { name: `${name}${scalesEnding}`, dtype: 'F32', shape: [rows, blocks] },
      );
    } else {
      const dtype = target.kind === 'numbers' ? target.dtype : entry.dtype;
      if (!isDtype(dtype)) throw new RangeError(`${name} cannot be copied as ${dtype}`);
      written.push({ name, dtype, shape: entry.shape });
    }
    const slabRows = Math.max(1, Math.floor(slabValues / columns));
    const slabs: Slab[] = [];
    for (let firstRow = 0; firstRow < rows; firstRow += slabRows) {
      slabs.push({
        entry,
        columns,
        firstRow,
        rows: Math.min(slabRows, rows - firstRow),
        changes,
        target,
      });
    }
    tensors.push({ name, slabs, target, bytes: bytesOf(target, entry, rows * columns) });
  }
  const { header, bytes } = safetensorsHeader(written, {
    ...options.metadata,
    ...(precision === 'int8' || precision === 'int4' ? { 'pusa.block_size': String(bakeBlockSize) } : {}),
  });
  const digest = createHash('sha256')
    .update(header)
    .update(JSON.stringify([options.source, search, loras.map(({ strength }) => strength)]))
    .digest('hex');
  return { header, tensors, bytes: header.length + bytes, digest };
}

function targetOf(
  name: string,
  { dtype }: TensorEntry,
  columns: number,
  isChanged: boolean,
  precision: BakePrecision,
  search: boolean,
): SlabTarget {
  // Bytes and counts are no weights.
  if (dtype === 'BOOL' || /^[UI]\d+$/.test(dtype)) return { kind: 'bytes' };
  const isNarrow = narrowed.test(name);
  if (isNarrow && (precision === 'F32' || precision === 'F16')) return { kind: 'numbers', dtype: precision };
  if (isNarrow && columns % bakeBlockSize === 0) {
    return { kind: 'blocks', bits: precision === 'int8' ? 8 : 4, blockSize: bakeBlockSize, search };
  }
  const asItIs = !isChanged && precision !== 'F32' && (dtype === 'F16' || dtype === 'BF16');
  return { kind: 'numbers', dtype: asItIs ? dtype : 'F32' };
}

function bytesOf(target: SlabTarget, entry: TensorEntry, values: number): number {
  if (target.kind === 'bytes') return entry.bytes;
  if (target.kind === 'numbers') return values * (target.dtype === 'F32' ? 4 : 2);
  return (values * target.bits) / 8 + (values / target.blockSize) * 4;
}

/** What LoRAs add to a tensor, in their order. */
function changesOf(name: string, loras: readonly AppliedLora[]): Change[] {
  const changes: Change[] = [];
  for (const { lora, strength } of loras) {
    const layer = name.endsWith('.weight') ? lora.layers.get(name.slice(0, -'.weight'.length)) : undefined;
    if (layer !== undefined) {
      const { up, down, rank } = layer;
      changes.push({ factor: strength * loraScale(layer), rank, up, down });
    }
    const diff = lora.diffs.get(name);
    if (diff !== undefined) changes.push({ factor: strength, diff: lora.checkpoint.entries.get(diff)! });
  }
  return changes;
}

/** Rounding what was rounded, or merging what was merged, would go unseen: only the pristine source is baked. */
function refuseBaked(checkpoint: Checkpoint): void {
  const baked = bakedOf(checkpoint);
  if (baked !== null) throw alreadyBaked(baked.merged.length > 0, baked.source.name);
  if ([...checkpoint.entries.values()].some(({ blocks }) => blocks !== undefined)) throw alreadyBaked(false);
}

/** The refusal of a source that was baked before. */
export function alreadyBaked(isMerged: boolean, from?: string): PusaError {
  return new PusaError(
    'MODEL_CANNOT',
    isMerged
      ? 'This model already has LoRAs merged into it, and merging them again would change it twice.'
      : 'This model was made from another one by rounding, and rounding it again would make it worse.',
    `Bake ${from === undefined ? 'the model it was made from' : `"${from}", the model it was made from`}.`,
  );
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, side) => all * side, 1);
}
