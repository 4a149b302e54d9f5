import { basename } from 'node:path';
import { PusaError } from '../../core/errors.ts';
import { clip, type Checkpoint, type TensorEntry } from './checkpoint.ts';
import { ditName, stripPrefix } from './key-maps.ts';
import { take } from './recognise-checks.ts';

/** A low-rank change of one linear layer: ΔW = scale · up · down. */
export interface LoraLayer {
  /** `A` or `lora_down`: [rank, in]. */
  readonly down: TensorEntry;
  /** `B` or `lora_up`: [out, rank]. */
  readonly up: TensorEntry;
  /** Differs from layer to layer in resized LoRAs. */
  readonly rank: number;
  /** The layer's `alpha` tensor, null where the file has none. */
  readonly alpha: number | null;
}

/** An open LoRA file, its keys brought to the official layer names. */
export interface Lora {
  readonly checkpoint: Checkpoint;
  /** Official layer name (`blocks.0.self_attn.q`) → its matrices. */
  readonly layers: ReadonlyMap<string, LoraLayer>;
  /** Official tensor name → name inside the file of what is added to it. */
  readonly diffs: ReadonlyMap<string, string>;
}

/** A LoRA with its strength. */
export interface AppliedLora {
  readonly lora: Lora;
  readonly strength: number;
}

const matrixPattern = /^(.+)\.lora_(A|B|down|up)(?:\.default)?\.weight$/;

/** Whether tensor names are those of a LoRA file. */
export function looksLikeLora(names: Iterable<string>): boolean {
  for (const name of names) if (matrixPattern.test(name)) return true;
  return false;
}

/** Official name of the layer that a matrix of a LoRA changes, null of other tensors. */
export function loraLayer(name: string): string | null {
  const layer = matrixPattern.exec(name)?.[1];
  return layer === undefined ? null : layerName(layer);
}

/**
 * Reads the structure of a LoRA: PEFT (`lora_A[.default].weight`) and up/down naming, with or without alpha.
 * @throws PusaError CHECKPOINT_WRONG_FAMILY, CHECKPOINT_INCOMPLETE, CHECKPOINT_INVALID
 */
export async function readLora(checkpoint: Checkpoint): Promise<Lora> {
  const downs = new Map<string, TensorEntry>();
  const ups = new Map<string, TensorEntry>();
  const alphas = new Map<string, number>();
  const diffs = new Map<string, string>();
  for (const [name, entry] of checkpoint.entries) {
    const matrix = matrixPattern.exec(name);
    if (matrix !== null) {
      const side = matrix[2] === 'A' || matrix[2] === 'down' ? downs : ups;
      const layer = layerName(matrix[1]!);
      if (side.has(layer)) throw wrong(checkpoint, 'CHECKPOINT_INVALID', `holds "${clip(layer)}" twice`);
      side.set(layer, entry);
    } else if (name.endsWith('.alpha')) {
      if (entry.shape.some((side) => side !== 1)) {
        throw wrong(
          checkpoint,
          'CHECKPOINT_INVALID',
          `has an alpha that is no single number ("${clip(name)}")`,
        );
      }
      const [alpha] = await checkpoint.read(name);
      if (!Number.isFinite(alpha)) throw wrong(checkpoint, 'CHECKPOINT_INVALID', `has an alpha of ${alpha!}`);
      alphas.set(layerName(name.slice(0, -'.alpha'.length)), alpha!);
    } else {
      const target = diffTarget(name);
      if (target !== null) diffs.set(target, name);
    }
  }
  const layers = new Map<string, LoraLayer>();
  for (const [layer, down] of downs) {
    const up = ups.get(layer);
    if (up === undefined)
      throw wrong(checkpoint, 'CHECKPOINT_INCOMPLETE', `lacks one half of "${clip(layer)}"`);
    const rank = down.shape[0] ?? 0;
    if (down.shape.length !== 2 || up.shape.length !== 2 || rank === 0 || up.shape[1] !== rank) {
      throw wrong(
        checkpoint,
        'CHECKPOINT_INVALID',
        `has matrices for "${clip(layer)}" that do not fit each other ([${down.shape.join(', ')}] and [${up.shape.join(', ')}])`,
      );
    }
    layers.set(layer, { down, up, rank, alpha: alphas.get(layer) ?? null });
  }
  for (const layer of ups.keys()) {
    if (!downs.has(layer))
      throw wrong(checkpoint, 'CHECKPOINT_INCOMPLETE', `lacks one half of "${clip(layer)}"`);
  }
  if (layers.size === 0) throw wrong(checkpoint, 'CHECKPOINT_WRONG_FAMILY', 'holds no LoRA matrices');
  return { checkpoint, layers, diffs };
}

/**
 * Checks that every layer of a LoRA exists in the base model with fitting sizes.
 * @param shapeOf shape of a base tensor by official name, undefined where there is none
 * @throws PusaError LORA_MISMATCH
 */
export function checkLoraFits(lora: Lora, shapeOf: (name: string) => readonly number[] | undefined): void {
  for (const [layer, { down, up }] of lora.layers) {
    const shape = shapeOf(`${layer}.weight`);
    if (shape === undefined)
      throw mismatch(lora, `it changes "${clip(layer)}", which the model does not have`);
    if (shape.length !== 2 || shape[0] !== up.shape[0] || shape[1] !== down.shape[1]) {
      throw mismatch(
        lora,
        `"${clip(layer)}" is ${up.shape[0]!} × ${down.shape[1]!} in the LoRA and ${shape.join(' × ')} in the model`,
      );
    }
  }
  for (const [target, name] of lora.diffs) {
    const shape = shapeOf(target);
    const entry = lora.checkpoint.entries.get(name)!;
    if (shape === undefined)
      throw mismatch(lora, `it changes "${clip(target)}", which the model does not have`);
    if (product(shape) !== product(entry.shape))
      throw mismatch(lora, `"${clip(target)}" has another size in the model`);
  }
}

/** ΔW = `loraScale` · up · down at strength 1, as LightX2V and ComfyUI count it (spec §2). */
export function loraScale({ alpha, rank }: Pick<LoraLayer, 'alpha' | 'rank'>): number {
  return alpha === null ? 1 : alpha / rank;
}

function layerName(name: string): string {
  const bare = stripPrefix(name);
  return ditName(`${bare}.`).slice(0, -1);
}

/** `L.diff_b` changes L.bias, `L.diff` L.weight (or a modulation itself), `blocks.N.diff_m` the block's modulation. */
function diffTarget(name: string): string | null {
  const match = /^(.+)\.(diff|diff_b|diff_m)$/.exec(name);
  if (match === null) return null;
  const layer = layerName(match[1]!);
  if (match[2] === 'diff_b') return `${layer}.bias`;
  if (match[2] === 'diff_m') return `${layer}.modulation`;
  return layer.endsWith('.modulation') ? layer : `${layer}.weight`;
}

function wrong(
  checkpoint: Checkpoint,
  code: 'CHECKPOINT_WRONG_FAMILY' | 'CHECKPOINT_INCOMPLETE' | 'CHECKPOINT_INVALID',
  what: string,
): PusaError {
  return new PusaError(code, `"${basename(checkpoint.path)}" ${what}.`, take.lora);
}

function mismatch(lora: Lora, what: string): PusaError {
  return new PusaError(
    'LORA_MISMATCH',
    `The LoRA "${basename(lora.checkpoint.path)}" does not fit this model: ${what}.`,
    'Use a LoRA made for this model: Pusa V1 belongs to Wan2.1 T2V 14B, and Pusa-Wan2.2-V1 to Wan2.2 T2V A14B.',
  );
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, side) => all * side, 1);
}
