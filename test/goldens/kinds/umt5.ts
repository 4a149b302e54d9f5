import { join } from 'node:path';
import { createRuntime } from '../../../src-main/engine/runtime/ort.ts';
import type { Provider } from '../../../src-main/engine/runtime/runtime.ts';
import { checkpointWeights } from '../../../src-main/engine/wan/checkpoint-weights.ts';
import type { Umt5Config } from '../../../src-main/engine/wan/umt5-config.ts';
import { relativeBucket } from '../../../src-main/engine/wan/umt5-positions.ts';
import { createTextEncoder, type TextTokenizer } from '../../../src-main/engine/wan/umt5.ts';
import { umt5Name, renamed } from '../../../src-main/engine/weights/key-maps.ts';
import { openSafetensors } from '../../../src-main/engine/weights/safetensors.ts';
import { compare, type Comparison } from '../compare.ts';
import type { GoldenCase } from '../kinds.ts';
import { readTensors } from '../tensors.ts';

/** The sizes of a case's encoder, from the configuration in the reference's own words. */
export function umt5Config(config: Readonly<Record<string, unknown>>): Umt5Config {
  const size = (name: string): number => {
    const value = config[name];
    if (typeof value !== 'number') throw new Error(`The case's configuration has no ${name}.`);
    return value;
  };
  return {
    vocabulary: size('vocab'),
    dim: size('dim'),
    attentionDim: size('dim_attn'),
    ffnDim: size('dim_ffn'),
    heads: size('num_heads'),
    layers: size('num_layers'),
    buckets: size('num_buckets'),
    maxDistance: size('max_dist'),
    eps: size('eps'),
  };
}

/** The given ids instead of a text's: prompt "1" stands for row 1 of ids and mask [rows, length]. */
export function givenIds(ids: Int32Array, mask: Int32Array, length: number): TextTokenizer {
  return {
    encode(text) {
      const at = Number(text) * length;
      const valid = mask.subarray(at, at + length).reduce((sum, one) => sum + one, 0);
      return { ids: ids.subarray(at, at + length), valid };
    },
  };
}

/** All rows of the case through the encoder, from both namings of the weights; and the position buckets. */
export async function run(
  caseDir: string,
  goldenCase: GoldenCase,
  provider: Provider,
): Promise<Comparison[]> {
  const config = umt5Config(goldenCase.config);
  const tensors = readTensors(join(caseDir, 'tensors.safetensors'));
  const [rows, length] = tensors.get('ids').shape as [number, number];
  const tokenizer = givenIds(tensors.i32('ids'), tensors.i32('mask'), length);
  const expected = tensors.f32('output_zeroed');
  const comparisons: Comparison[] = [];

  for (const file of ['weights.safetensors', 'weights_hf.safetensors']) {
    const checkpoint = renamed(await openSafetensors(join(caseDir, file)), umt5Name);
    const weights = checkpointWeights(checkpoint, caseDir);
    const encoder = createTextEncoder(createRuntime(provider), config, weights, tokenizer, {
      textLength: length,
    });
    for (let row = 0; row < rows; row++) {
      const { data } = await encoder.encode(String(row));
      const reference = expected.subarray(row * data.length, (row + 1) * data.length);
      comparisons.push(compare(`${file} row ${row}`, data, reference, goldenCase.tolerance));
    }
    await encoder.release();
    await checkpoint.close();
  }

  const buckets = Array.from(tensors.i32('rel_pos'), (relative) =>
    relativeBucket(relative, config.buckets, config.maxDistance),
  );
  comparisons.push(compare('rel_bucket', buckets, tensors.i32('rel_bucket'), { atol: 0, rtol: 0 }));
  return comparisons;
}
