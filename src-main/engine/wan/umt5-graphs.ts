import { GraphBuilder, type Value } from '../onnx/graph.ts';
import { attention, linear, rmsNorm } from '../onnx/layers.ts';
import { add, geluTanh, matmul, mul, squeeze, transpose, unsqueeze } from '../onnx/ops.ts';
import { sym } from '../onnx/shape.ts';
import type { WeightSource } from '../onnx/weights.ts';
import type { OnnxModel, OperatorForms } from '../runtime/runtime.ts';
import type { Umt5Config } from './umt5-config.ts';

/** Tokens of the prompt. */
const n = sym('n');

/**
 * Layers first … first + count − 1 (spec §5), after the last one the final norm.
 * Inputs `hidden` [n, dim] and `buckets` [n, n, buckets] (see {@link relativeBuckets}); output `hidden_out` [n, dim].
 */
export function buildLayers(
  config: Umt5Config,
  weights: WeightSource,
  first: number,
  count: number,
  forms: OperatorForms,
): OnnxModel {
  const g = new GraphBuilder(`umt5_layers_${first}_to_${first + count - 1}`, weights);
  let x = g.input('hidden', [n, config.dim]);
  const buckets = g.input('buckets', [n, n, config.buckets]);
  for (let layer = first; layer < first + count; layer++) {
    x = g.scope(`blocks.${layer}`, () => encoderLayer(g, x, buckets, `blocks.${layer}`, config, forms));
  }
  if (first + count === config.layers) x = rmsNorm(x, config.eps, g.weight('norm.weight', [config.dim]));
  g.output('hidden_out', x);
  return g.finish();
}

function encoderLayer(
  g: GraphBuilder,
  x: Value,
  buckets: Value,
  name: string,
  { dim, attentionDim, ffnDim, heads, buckets: bucketCount, eps }: Umt5Config,
  forms: OperatorForms,
): Value {
  const project = (rows: Value, weight: string, out: number) =>
    linear(rows, `${name}.${weight}.weight`, undefined, out);
  const normed = (weight: string) => rmsNorm(x, eps, g.weight(`${name}.${weight}.weight`, [dim]));

  const rows = normed('norm1');
  const [q, k, v] = ['q', 'k', 'v'].map((side) =>
    unsqueeze(project(rows, `attn.${side}`, attentionDim), [0]),
  );
  const table = g.weight(`${name}.pos_embedding.embedding.weight`, [bucketCount, heads]);
  const bias = unsqueeze(transpose(matmul(buckets, table), [2, 0, 1]), [0]);
  // UMT5 folds 1/√d into its weights: the logits are not scaled.
  const attended = attention(q!, k!, v!, { heads, form: forms.attention, scale: 1, bias });
  x = add(x, project(squeeze(attended, [0]), 'attn.o', dim));

  const inner = normed('norm2');
  const gate = geluTanh(project(inner, 'ffn.gate.0', ffnDim));
  const up = project(inner, 'ffn.fc1', ffnDim);
  return add(x, project(mul(gate, up), 'ffn.fc2', dim));
}
