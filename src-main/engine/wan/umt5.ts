import type { OnSegment, Tensor, TextEncoder } from '../networks.ts';
import type { WeightSource } from '../onnx/weights.ts';
import type { Runtime, Segment } from '../runtime/runtime.ts';
import { embeddingRows } from './embedding-rows.ts';
import type { Umt5Config } from './umt5-config.ts';
import { buildLayers } from './umt5-graphs.ts';
import { relativeBuckets } from './umt5-positions.ts';

/** Text → token ids; the end-of-text token is among the `valid` first ones. */
export interface TextTokenizer {
  encode(text: string, maxLength: number): { readonly ids: Int32Array; readonly valid: number };
}

export interface TextEncoderOptions {
  /** Rows of the result: what the denoiser attends to. */
  readonly textLength: number;
  /** Layers in one graph. Default 1. */
  readonly layersPerSegment?: number;
  /** false: every graph is loaded for its turn and released after it, for little memory. Default true. */
  readonly keepLoaded?: boolean;
}

/**
 * The UMT5 encoder on a runtime. Only the prompt's own tokens are run: the reference masks the padding, which changes
 * nothing for them (spec §5). Graphs are built and loaded when first needed.
 */
export function createTextEncoder(
  runtime: Runtime,
  config: Umt5Config,
  weights: WeightSource,
  tokenizer: TextTokenizer,
  options: TextEncoderOptions,
): TextEncoder {
  const { textLength, layersPerSegment = 1, keepLoaded = true } = options;
  const segments = new Map<number, Segment>();

  const segmentOf = async (first: number): Promise<Segment> => {
    const known = segments.get(first);
    if (known !== undefined) return known;
    const count = Math.min(layersPerSegment, config.layers - first);
    const segment = await runtime.load(buildLayers(config, weights, first, count, runtime.forms));
    segments.set(first, segment);
    return segment;
  };
  const release = async (): Promise<void> => {
    for (const [first, segment] of [...segments]) {
      segments.delete(first);
      await segment.release();
    }
  };

  return {
    async encode(prompt: string, onSegment?: OnSegment): Promise<Tensor> {
      const { ids, valid } = tokenizer.encode(prompt, textLength);
      const buckets = relativeBuckets(valid, config.buckets, config.maxDistance);
      const table = [config.vocabulary, config.dim] as const;
      let hidden = await embeddingRows(weights, 'token_embedding.weight', ids.subarray(0, valid), table);
      const total = Math.ceil(config.layers / layersPerSegment);
      for (let done = 0; done < total; done++) {
        const segment = await segmentOf(done * layersPerSegment);
        hidden = (await segment.run({ hidden, buckets }))['hidden_out']!;
        if (!keepLoaded) await release();
        onSegment?.(done + 1, total);
      }
      const data = new Float32Array(textLength * config.dim);
      data.set(hidden.data);
      return { data, shape: [textLength, config.dim] };
    },
    release,
  };
}
