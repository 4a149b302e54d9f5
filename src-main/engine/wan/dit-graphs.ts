import { GraphBuilder, type Value } from '../onnx/graph.ts';
import {
  attention,
  conv2d,
  flatten,
  inRuns,
  layerNorm,
  queryChunks,
  rmsNorm,
  rotate,
} from '../onnx/layers.ts';
import {
  add,
  geluTanh,
  mul,
  reshape,
  reshapeLike,
  silu,
  split,
  squeeze,
  transpose,
  unsqueeze,
} from '../onnx/ops.ts';
import { mulDims, sym } from '../onnx/shape.ts';
import type { WeightSource } from '../onnx/weights.ts';
import type { OnnxModel, OperatorForms } from '../runtime/runtime.ts';
import { Parameters, type AttachedLora } from './adapters.ts';
import { patch, type DitConfig } from './dit-config.ts';

/** What all graphs of one diffusion transformer are built from. */
export interface DitParts {
  readonly config: DitConfig;
  readonly weights: WeightSource;
  readonly loras: readonly AttachedLora[];
}

/** A serialized graph, and whether it takes the input `lora_strength`. */
export interface DitGraph {
  readonly model: OnnxModel;
  readonly usesStrength: boolean;
}

/** Sizes known only when a graph runs: cells, token rows and columns of a cell, tokens of a cell. */
const F = sym('F');
const h = sym('h');
const w = sym('w');
const S = sym('S');

/**
 * Latents and time: spec §1.3 steps 1 and 2.
 * Inputs `latents` [C, F, 2h, 2w], `time` [F, freqDim]; outputs `hidden` [F, h·w, dim], `e` [F, 1, dim], `e0` [F, 6, dim].
 */
export function buildEmbedding({ config, weights, loras }: DitParts): DitGraph {
  const { dim, inDim, freqDim } = config;
  const g = new GraphBuilder('embedding', weights);
  const p = new Parameters(g, loras);

  const latents = g.input('latents', [inDim, F, mulDims(patch, h), mulDims(patch, w)]);
  const kernel = squeeze(p.tensor('patch_embedding.weight', [dim, inDim, 1, patch, patch]), [2]);
  const patches = conv2d(transpose(latents, [1, 0, 2, 3]), kernel, p.tensor('patch_embedding.bias', [dim]), {
    stride: [patch, patch],
  });
  g.output('hidden', transpose(reshape(patches, [F, dim, mulDims(h, w)]), [0, 2, 1]));

  const time = g.input('time', [F, freqDim]);
  const e = p.linear(silu(p.linear(time, 'time_embedding.0', dim)), 'time_embedding.2', dim);
  g.output('e', unsqueeze(e, [1]));
  g.output('e0', reshape(p.linear(silu(e), 'time_projection.1', 6 * dim), [F, 6, dim]));
  return { model: g.finish(), usesStrength: p.usesStrength };
}

/** Spec §1.3 step 3. Input `text` [textLength, textDim], padded with zeros; output `context` [1, textLength, dim]. */
export function buildTextEmbedding({ config, weights, loras }: DitParts): DitGraph {
  const g = new GraphBuilder('text_embedding', weights);
  const p = new Parameters(g, loras);
  const text = g.input('text', [config.textLength, config.textDim]);
  const context = p.linear(
    geluTanh(p.linear(text, 'text_embedding.0', config.dim)),
    'text_embedding.2',
    config.dim,
  );
  g.output('context', unsqueeze(context, [0]));
  return { model: g.finish(), usesStrength: p.usesStrength };
}

/** How a block's attentions (see {@link queryChunks}) and its feed-forward layer are cut for one size. */
export interface BlockChunks {
  readonly self: number;
  readonly cross: number;
  readonly feedForward: number;
}

/**
 * The cut for `tokens` = all tokens of all cells.
 * @param feedForward runs of tokens in the feed-forward layer, whose hidden values are the widest of all, at most;
 * default 1
 */
export function blockChunks(
  config: DitConfig,
  forms: OperatorForms,
  tokens: number,
  feedForward = 1,
): BlockChunks {
  const cut = (keys: number) =>
    queryChunks(forms.attention, forms.attentionRows, { queries: tokens, keys, heads: config.heads });
  // Runs are equal but for the last, which must not be empty: 9 tokens in 8 runs are 5 runs of 2.
  const run = Math.ceil(tokens / feedForward);
  return { self: cut(tokens), cross: cut(config.textLength), feedForward: Math.ceil(tokens / run) };
}

/**
 * Blocks first … first + count − 1 (spec §1.3 steps 4–6, §1.4).
 * Inputs `hidden` [F, S, dim], `e0` [F, 6, dim], `context` [1, textLength, dim], `cos` and `sin` [F·S, d/2];
 * output `hidden`, named `hidden_out`.
 */
export function buildBlocks(
  parts: DitParts,
  first: number,
  count: number,
  forms: OperatorForms,
  chunks: BlockChunks,
): DitGraph {
  const { config, weights, loras } = parts;
  const g = new GraphBuilder(
    count === 1 ? `block_${first}` : `blocks_${first}_to_${first + count - 1}`,
    weights,
  );
  const p = new Parameters(g, loras);
  const angles = [mulDims(F, S), config.dim / config.heads / 2];
  let x = g.input('hidden', [F, S, config.dim]);
  const shared = {
    e0: g.input('e0', [F, 6, config.dim]),
    context: g.input('context', [1, config.textLength, config.dim]),
    cos: g.input('cos', angles),
    sin: g.input('sin', angles),
  };
  for (let n = first; n < first + count; n++) {
    x = g.scope(`blocks.${n}`, () => block(x, `blocks.${n}`, p, shared, config, forms, chunks));
  }
  g.output('hidden_out', x);
  return { model: g.finish(), usesStrength: p.usesStrength };
}

interface BlockInputs {
  readonly e0: Value;
  readonly context: Value;
  readonly cos: Value;
  readonly sin: Value;
}

function block(
  x: Value,
  name: string,
  p: Parameters,
  { e0, context, cos, sin }: BlockInputs,
  { dim, ffnDim, heads, eps }: DitConfig,
  forms: OperatorForms,
  chunks: BlockChunks,
): Value {
  const form = forms.attention;
  // One row of modulation per cell: [F, 1, dim] against [F, S, dim].
  const modulation = add(e0, p.tensor(`${name}.modulation`, [1, 6, dim]));
  const [shift1, scale1, gate1, shift2, scale2, gate2] = split(modulation, 1, [1, 1, 1, 1, 1, 1]);
  const modulated = (value: Value, scale: Value, shift: Value) =>
    flatten(add(mul(layerNorm(value, eps), add(scale, 1)), shift));
  const sequence = (rows: Value) => unsqueeze(rows, [0]);
  const normed = (rows: Value, weight: string) => sequence(rmsNorm(rows, eps, p.tensor(weight, [dim])));

  const selfAttention = (rows: Value) => {
    const at = `${name}.self_attn`;
    const q = rotate(normed(p.linear(rows, `${at}.q`, dim), `${at}.norm_q.weight`), cos, sin);
    const k = rotate(normed(p.linear(rows, `${at}.k`, dim), `${at}.norm_k.weight`), cos, sin);
    const v = sequence(p.linear(rows, `${at}.v`, dim));
    return p.linear(squeeze(attention(q, k, v, { heads, form, chunks: chunks.self }), [0]), `${at}.o`, dim);
  };
  const crossAttention = (rows: Value) => {
    const at = `${name}.cross_attn`;
    const text = squeeze(context, [0]);
    const q = normed(p.linear(rows, `${at}.q`, dim), `${at}.norm_q.weight`);
    const k = normed(p.linear(text, `${at}.k`, dim), `${at}.norm_k.weight`);
    const v = sequence(p.linear(text, `${at}.v`, dim));
    return p.linear(squeeze(attention(q, k, v, { heads, form, chunks: chunks.cross }), [0]), `${at}.o`, dim);
  };
  const feedForward = (rows: Value) =>
    inRuns(rows, chunks.feedForward, (run) =>
      p.linear(geluTanh(p.linear(run, `${name}.ffn.0`, ffnDim)), `${name}.ffn.2`, dim),
    );

  x = add(x, mul(reshapeLike(selfAttention(modulated(x, scale1!, shift1!)), x), gate1!));
  const norm3 = layerNorm(
    x,
    eps,
    p.tensor(`${name}.norm3.weight`, [dim]),
    p.tensor(`${name}.norm3.bias`, [dim]),
  );
  x = add(x, reshapeLike(crossAttention(flatten(norm3)), x));
  return add(x, mul(reshapeLike(feedForward(modulated(x, scale2!, shift2!)), x), gate2!));
}

/**
 * Spec §1.3 step 7, per cell. Inputs `hidden` [F, S, dim], `e` [F, 1, dim]; output `patches` [F·S, 4·outDim].
 */
export function buildHead({ config, weights, loras }: DitParts): DitGraph {
  const { dim, outDim, eps } = config;
  const g = new GraphBuilder('head', weights);
  const p = new Parameters(g, loras);
  const x = g.input('hidden', [F, S, dim]);
  const modulation = add(g.input('e', [F, 1, dim]), p.tensor('head.modulation', [1, 2, dim]));
  const [shift, scale] = split(modulation, 1, [1, 1]);
  const rows = flatten(add(mul(layerNorm(x, eps), add(scale!, 1)), shift!));
  g.output('patches', p.linear(rows, 'head.head', patch * patch * outDim));
  return { model: g.finish(), usesStrength: p.usesStrength };
}
