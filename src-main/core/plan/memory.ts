import type { Provider } from '../contract/device.ts';
import { decodeBytes, firstFitting, tilingLadder, type CodecNeeds } from './tiles.ts';

/** Bytes of weights: what they take up once loaded, and what is read straight out of the file (and can be let go). */
export interface WeightBytes {
  readonly loaded: number;
  readonly mapped: number;
}

/** What the networks of a model are, as far as memory goes. */
export interface ModelNeeds {
  readonly network: {
    readonly dim: number;
    readonly ffnDim: number;
    readonly heads: number;
    readonly layers: number;
    readonly textLength: number;
    /** Latents of a patch along each side of a cell. */
    readonly patch: number;
  };
  /** Networks of this size that take turns (Wan2.2 has two). */
  readonly experts: number;
  /**
   * The largest block of the denoiser, with its part of LoRAs that are kept apart. `loading`: more while it is loaded,
   * as quantised weights are packed anew beside the old.
   */
  readonly block: WeightBytes & { readonly loading: number };
  /** What is no block: embeddings and the head. */
  readonly rest: WeightBytes;
  readonly text: {
    readonly layer: WeightBytes;
    readonly layers: number;
    readonly dim: number;
    readonly ffnDim: number;
    readonly heads: number;
  };
  readonly vae: CodecNeeds;
}

/** What is to be generated, on what. */
export interface MemoryInput {
  readonly needs: ModelNeeds;
  readonly provider: Provider;
  /** Memory of the device the networks run on that can be had, in bytes. */
  readonly availableBytes: number;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  /** Form of attention, and most query rows of one dispatch (0 = no limit). */
  readonly attention: 'fused' | 'primitive';
  readonly attentionRows: number;
  /** How often the memory ran out with a larger plan: 0 … {@link smallestPlan}. */
  readonly level: number;
}

/** How a model is run so that it fits, and what that takes. Bytes are forecasts. */
export interface MemoryPlan {
  /** What it was made with. */
  readonly availableBytes: number;
  /** Blocks of the denoiser that stay loaded; the others are loaded for their turn at every step. */
  readonly residentBlocks: number;
  /** Blocks that are loaded anew at every step. */
  readonly streamedBlocks: number;
  /** Whether two experts stay loaded side by side. */
  readonly keepBoth: boolean;
  readonly keepText: boolean;
  /** Most query rows of one attention dispatch; 0 = no limit. */
  readonly attentionRows: number;
  /** Into how many runs of tokens a block's feed-forward layer is cut. */
  readonly feedForwardChunks: number;
  /** Whether sessions keep their memory between two runs: quicker, and each holds it for itself. */
  readonly arena: boolean;
  /** Peaks of the three stages, weights that are read out of the file included. */
  readonly bytes: { readonly text: number; readonly denoise: number; readonly decode: number };
  /** The highest of them: what the machine should have free. */
  readonly peakBytes: number;
  /** Of it what cannot be let go: below this the memory runs out, between the two the disk is read at every step. */
  readonly leastBytes: number;
}

/** The level of the smallest plan there is. */
export const smallestPlan = 3;

/** Of the available memory this share is planned with; the rest is for other programs and for what is not foreseen. */
const share = 0.8;

/** A process with Node and ONNX Runtime in it, before it does anything. */
export const baseBytes = 150 * 2 ** 20;

/** Of so much available memory what networks may plan with, in bytes. */
export function memoryBudget(availableBytes: number): number {
  return availableBytes * share - baseBytes;
}

/** Float32 numbers a token has alive at once, in widths of the model: in attention, and around the feed-forward layer. */
const widths = { attention: 21, feedForward: 16 } as const;

/** What a session holds on to between runs, in terms of what a run needs. */
const arenaGrowth = 1.15;

/** Runs of tokens in the feed-forward layer at most; more gain nothing. */
const mostChunks = 64;

/**
 * Decides what of a model stays loaded, what is loaded for its turn, and into how many parts the large layers are cut.
 * Every level leaves less loaded and cuts finer.
 */
export function planMemory(input: MemoryInput): MemoryPlan {
  const { needs, availableBytes, level } = input;
  const { network, block, rest, experts, vae, text } = needs;
  const tokens = tokensOf(input);
  const budget = memoryBudget(availableBytes);
  const finer = 2 ** level;

  const attentionRows =
    level === 0 ? input.attentionRows : Math.max(64, Math.ceil((input.attentionRows || tokens) / finer ** 2));
  let feedForwardChunks = finer;
  const workOf = (chunks: number): number => workBytes(input, tokens, attentionRows, chunks);
  // One block must fit beside its own work; cutting the feed-forward layer costs next to nothing.
  while (feedForwardChunks < mostChunks && workOf(feedForwardChunks) + block.loaded > budget / 2) {
    feedForwardChunks *= 2;
  }
  const work = workOf(feedForwardChunks);

  const forBlocks = Math.max(0, budget - work - rest.loaded - block.loading);
  const fitting = block.loaded === 0 ? network.layers : Math.floor(forBlocks / block.loaded);
  // Of those that fit one place is for a block that is loaded for its turn.
  const resident = fitting >= network.layers ? network.layers : Math.max(0, fitting - 1);
  const residentBlocks =
    level === 0
      ? resident
      : level === smallestPlan
        ? 0
        : Math.floor(Math.min(resident, network.layers) / finer);
  const streamedBlocks = network.layers - residentBlocks;
  // Where no block stays, nothing does.
  const loaded =
    residentBlocks === 0
      ? Math.max(block.loaded, rest.loaded)
      : residentBlocks * block.loaded + (streamedBlocks > 0 ? block.loaded : 0) + rest.loaded;
  const keepBoth = experts > 1 && level === 0 && streamedBlocks === 0 && work + experts * loaded <= budget;
  const sides = keepBoth ? experts : 1;

  const held = residentBlocks * sides * work * arenaGrowth;
  const arena = level === 0 && residentBlocks > 0 && held <= (budget - work - loaded * sides) / 4;

  const keepText = level === 0 && text.layers * text.layer.loaded <= budget / 2;
  const textLayers = keepText ? text.layers : 1;
  const mappedBlocks = network.layers * experts * block.mapped + rest.mapped;
  const [, rowStride, columnStride] = vae.stride;
  const tilings = tilingLadder(input.height / rowStride, input.width / columnStride);
  const tiling = tilings[firstFitting(tilings, vae, input, budget)]!;
  const fixed = {
    text: baseBytes + textLayers * text.layer.loaded + textBytes(needs),
    denoise: baseBytes + work + loaded * sides + block.loading + (arena ? held : 0),
    decode: baseBytes + decodeBytes(vae, input, tiling),
  };
  const bytes = {
    text: fixed.text + text.layers * text.layer.mapped,
    denoise: fixed.denoise + mappedBlocks,
    decode: fixed.decode,
  };
  return {
    availableBytes,
    residentBlocks,
    streamedBlocks,
    keepBoth,
    keepText,
    attentionRows,
    feedForwardChunks,
    arena,
    bytes,
    peakBytes: Math.max(...Object.values(bytes)),
    leastBytes: Math.max(...Object.values(fixed)),
  };
}

/** Tokens of all cells of a video. */
export function tokensOf({
  needs,
  width,
  height,
  frames,
}: Pick<MemoryInput, 'needs' | 'width' | 'height' | 'frames'>): number {
  const [time, rows, columns] = needs.vae.stride;
  const cells = 1 + Math.floor((frames - 1) / time);
  const { patch } = needs.network;
  return cells * Math.ceil(height / rows / patch) * Math.ceil(width / columns / patch);
}

/**
 * Bytes a layer of the text encoder needs while it reads the longest prompt: the two wide halves of its feed-forward
 * layer and their product, or the attention's bias, scores and weights.
 */
function textBytes({ text: { dim, ffnDim, heads }, network: { textLength } }: ModelNeeds): number {
  return 4 * textLength * (4 * dim + Math.max(3 * ffnDim, 3 * heads * textLength));
}

/**
 * Bytes one block needs while it runs, without its weights: the larger of its two halves. Calibrated against measured
 * peaks on the processor (see `test/core/memory-plan.test.ts`).
 */
function workBytes(
  { needs: { network }, attention }: MemoryInput,
  tokens: number,
  attentionRows: number,
  chunks: number,
): number {
  const { dim, ffnDim, heads, textLength } = network;
  const rows = attentionRows > 0 ? Math.min(tokens, attentionRows) : tokens;
  const scores = attention === 'primitive' ? Math.min(2 * rows * heads * tokens, 2 ** 28) : 0;
  const inAttention = widths.attention * tokens * dim + scores;
  const inFeedForward = widths.feedForward * tokens * dim + (2 * tokens * ffnDim) / chunks;
  return 4 * (Math.max(inAttention, inFeedForward) + 4 * textLength * dim);
}

/** Floating-point operations of one pass of the denoiser: two for each multiplication of its matrix products. */
export function passOperations({ network }: Pick<ModelNeeds, 'network'>, tokens: number): number {
  const { dim, ffnDim, layers, textLength } = network;
  const perToken = 6 * dim * dim + 2 * dim * ffnDim + 2 * tokens * dim + 2 * textLength * dim;
  return 2 * layers * (tokens * perToken + 2 * textLength * dim * dim);
}
