import { PusaError } from '../../core/errors.ts';
import type { Denoiser, OnSegment, Tensor } from '../networks.ts';
import type { WeightSource } from '../onnx/weights.ts';
import type { OperatorForms, Runtime, Segment } from '../runtime/runtime.ts';
import { strengths, type AttachedLora } from './adapters.ts';
import { patch, type DitConfig } from './dit-config.ts';
import {
  blockChunks,
  buildBlocks,
  buildEmbedding,
  buildHead,
  buildTextEmbedding,
  type BlockChunks,
  type DitGraph,
  type DitParts,
} from './dit-graphs.ts';
import { ropeTables, timeFeatures } from './rope.ts';

export interface DenoiserOptions {
  /** Blocks in one graph; fewer mean finer progress and quicker cancelling. Default 1. */
  readonly blocksPerSegment?: number;
  /**
   * The first so many blocks stay loaded; the others are loaded for their turn and released after it, for little
   * memory. With 0 nothing stays. Default all.
   */
  readonly residentBlocks?: number;
  /** Most query rows of one attention dispatch, 0 = no limit. Default: the runtime's. */
  readonly attentionRows?: number;
  /** Into how many runs of tokens the feed-forward layers are cut. Default 1. */
  readonly feedForwardChunks?: number;
  /** Whether blocks hold on to the memory they work in: quicker, and each for itself. Default true. */
  readonly arena?: boolean;
}

/**
 * The diffusion transformer on a runtime. Graphs are built and loaded when first needed.
 * @param loras kept apart from the base weights; the source has their matrices too
 * @throws CHECKPOINT_INCOMPLETE, CHECKPOINT_INVALID, GRAPH_INVALID, LORA_MISMATCH
 */
export function createDenoiser(
  runtime: Runtime,
  config: DitConfig,
  weights: WeightSource,
  loras: readonly AttachedLora[] = [],
  options: DenoiserOptions = {},
): Denoiser {
  for (const lora of loras) checkLayers(config, lora);
  return new DiffusionTransformer(runtime, { config, weights, loras }, options);
}

interface RunOptions {
  /** The graph's first block; 0 for what is no block, which stays if any block does. */
  readonly firstBlock?: number;
  /** Memory for outputs, see `Segment.run`. */
  readonly into?: Readonly<Record<string, Float32Array>>;
}

class DiffusionTransformer implements Denoiser {
  readonly #runtime: Runtime;
  readonly #parts: DitParts;
  readonly #options: Required<DenoiserOptions>;
  readonly #forms: OperatorForms;
  readonly #loaded = new Map<string, { graph: DitGraph; segment: Segment }>();
  /** Text embeddings of contexts that are still in use: the same two serve all steps. */
  #contexts = new WeakMap<Tensor, { strength: number; value: Tensor }>();
  #rope: { key: string; cos: Tensor; sin: Tensor } | undefined;
  #chunks: BlockChunks | undefined;

  constructor(runtime: Runtime, parts: DitParts, options: DenoiserOptions) {
    this.#runtime = runtime;
    this.#parts = parts;
    this.#options = {
      blocksPerSegment: options.blocksPerSegment ?? 1,
      residentBlocks: options.residentBlocks ?? parts.config.layers,
      attentionRows: options.attentionRows ?? runtime.forms.attentionRows,
      feedForwardChunks: options.feedForwardChunks ?? 1,
      arena: options.arena ?? true,
    };
    this.#forms = { ...runtime.forms, attentionRows: this.#options.attentionRows };
  }

  async velocity(
    latents: Tensor,
    timesteps: Float32Array,
    context: Tensor,
    loraStrength: number,
    onSegment?: OnSegment,
  ): Promise<Tensor> {
    const { config } = this.#parts;
    const [cells, rows, columns] = this.#check(latents, timesteps, context);
    const run = (key: string, build: () => DitGraph, inputs: Record<string, Tensor>, more: RunOptions = {}) =>
      this.#run(key, build, inputs, loraStrength, more);
    const { cos, sin } = this.#ropeOf([cells, rows, columns]);
    await this.#cutFor(cells * rows * columns);

    const groups: number[] = [];
    for (let n = 0; n < config.layers; n += this.#options.blocksPerSegment) groups.push(n);
    const total = groups.length + 2;

    const text = await this.#contextOf(context, loraStrength);
    const time = timeFeatures(timesteps, config.freqDim);
    const embedded = await run('embedding', () => buildEmbedding(this.#parts), { latents, time });
    onSegment?.(1, total);

    const { e, e0 } = embedded;
    let hidden = embedded['hidden']!;
    // Two buffers take turns: what a block has read, the next one writes.
    let spare: Float32Array = new Float32Array(hidden.data.length);
    for (const [index, first] of groups.entries()) {
      const count = Math.min(this.#options.blocksPerSegment, config.layers - first);
      const outputs = await run(
        `blocks.${first}`,
        () => buildBlocks(this.#parts, first, count, this.#forms, this.#chunks!),
        { hidden, e0: e0!, context: text, cos, sin },
        { firstBlock: first, into: { hidden_out: spare } },
      );
      spare = hidden.data;
      hidden = outputs['hidden_out']!;
      onSegment?.(index + 2, total);
    }
    const { patches } = await run('head', () => buildHead(this.#parts), { hidden, e: e! });
    onSegment?.(total, total);
    return unpatchify(patches!.data, config.outDim, [cells, rows, columns]);
  }

  async release(): Promise<void> {
    await this.#releaseWhere(() => true);
  }

  /** @returns cells, token rows, token columns */
  #check(latents: Tensor, timesteps: Float32Array, context: Tensor): [number, number, number] {
    const { config } = this.#parts;
    const [channels, cells, height, width] = latents.shape;
    const fits =
      latents.shape.length === 4 &&
      channels === config.inDim &&
      timesteps.length === cells &&
      height! % patch === 0 &&
      width! % patch === 0 &&
      context.shape.length === 2 &&
      (context.shape[0] ?? Infinity) <= config.textLength &&
      context.shape[1] === config.textDim;
    if (fits) return [cells, height! / patch, width! / patch];
    throw new PusaError(
      'JOB_MISMATCH',
      `The model cannot take latents [${latents.shape.join(', ')}] with ${timesteps.length} timesteps and text ` +
        `[${context.shape.join(', ')}].`,
      'Generate again with the model the job was made for, at a size that is a multiple of 16.',
    );
  }

  async #run(
    key: string,
    build: () => DitGraph,
    inputs: Record<string, Tensor>,
    loraStrength: number,
    { firstBlock = 0, into = {} }: RunOptions = {},
  ): Promise<Record<string, Tensor>> {
    let loaded = this.#loaded.get(key);
    if (loaded === undefined) {
      const graph = build();
      loaded = { graph, segment: await this.#runtime.load({ ...graph.model, arena: this.#options.arena }) };
      this.#loaded.set(key, loaded);
    }
    const strength = loaded.graph.usesStrength ? strengths(this.#parts.loras, loraStrength) : null;
    const feeds =
      strength === null ? inputs : { ...inputs, lora_strength: { data: strength, shape: [strength.length] } };
    try {
      return await loaded.segment.run(feeds, into);
    } finally {
      if (firstBlock >= this.#options.residentBlocks) await this.#releaseWhere((name) => name === key);
    }
  }

  async #contextOf(context: Tensor, strength: number): Promise<Tensor> {
    const known = this.#contexts.get(context);
    if (known?.strength === strength) return known.value;
    const { textLength, textDim } = this.#parts.config;
    const data = new Float32Array(textLength * textDim);
    data.set(context.data);
    const text = { data, shape: [textLength, textDim] };
    const outputs = await this.#run('text', () => buildTextEmbedding(this.#parts), { text }, strength);
    const value = outputs['context']!;
    this.#contexts.set(context, { strength, value });
    return value;
  }

  #ropeOf(grid: readonly [number, number, number]) {
    const key = grid.join();
    const { dim, heads } = this.#parts.config;
    if (this.#rope?.key !== key) this.#rope = { key, ...ropeTables(grid, dim / heads) };
    return this.#rope;
  }

  /** The number of attention runs is part of the block graphs: another size may need others. */
  async #cutFor(tokens: number): Promise<void> {
    const chunks = blockChunks(this.#parts.config, this.#forms, tokens, this.#options.feedForwardChunks);
    const now = this.#chunks;
    const fits = now?.self === chunks.self && now.cross === chunks.cross;
    if (fits && now.feedForward === chunks.feedForward) return;
    await this.#releaseWhere((name) => name.startsWith('blocks.'));
    this.#chunks = chunks;
  }

  async #releaseWhere(chosen: (key: string) => boolean): Promise<void> {
    for (const [key, { segment }] of [...this.#loaded]) {
      if (!chosen(key)) continue;
      this.#loaded.delete(key);
      await segment.release();
    }
  }
}

/**
 * Spec §1.3 step 8: out[c, f, 2h+q, 2w+r] = patches[token (f, h, w)][(q·2 + r)·outDim + c].
 * @param patches [F·h·w, 4·outDim]
 * @returns [outDim, F, 2h, 2w]
 */
function unpatchify(
  patches: Float32Array,
  outDim: number,
  [cells, rows, columns]: readonly [number, number, number],
): Tensor {
  const height = rows * patch;
  const width = columns * patch;
  const data = new Float32Array(outDim * cells * height * width);
  let at = 0;
  for (let f = 0; f < cells; f++) {
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        for (let q = 0; q < patch; q++) {
          for (let r = 0; r < patch; r++) {
            const pixel = (f * height + y * patch + q) * width + x * patch + r;
            for (let c = 0; c < outDim; c++) data[c * cells * height * width + pixel] = patches[at++]!;
          }
        }
      }
    }
  }
  return { data, shape: [outDim, cells, height, width] };
}

/** Everything a LoRA changes must exist here: what is left out silently would look like a weak LoRA. */
function checkLayers(config: DitConfig, lora: AttachedLora): void {
  const linear = new Set(['text_embedding.0', 'text_embedding.2', 'time_embedding.0', 'time_embedding.2']);
  linear.add('time_projection.1').add('head.head');
  for (let n = 0; n < config.layers; n++) {
    for (const at of ['self_attn', 'cross_attn']) {
      for (const side of ['q', 'k', 'v', 'o']) linear.add(`blocks.${n}.${at}.${side}`);
    }
    linear.add(`blocks.${n}.ffn.0`).add(`blocks.${n}.ffn.2`);
  }
  const wholeMatrix = (name: string) =>
    name.endsWith('.weight') && linear.has(name.slice(0, -'.weight'.length));
  const layer =
    [...lora.layers.keys()].find((name) => !linear.has(name)) ?? [...lora.diffs.keys()].find(wholeMatrix);
  if (layer === undefined) return;
  throw new PusaError(
    'LORA_MISMATCH',
    `The LoRA changes "${layer}", which cannot be changed while the model runs.`,
    'Bake the LoRA into the model instead.',
  );
}
