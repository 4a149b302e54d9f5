import { linear } from '../onnx/layers.ts';
import { add, mul, slice } from '../onnx/ops.ts';
import { shapeText } from '../onnx/shape.ts';
import type { GraphBuilder, Value } from '../onnx/graph.ts';

/** A low-rank change of one linear layer: ΔW = strength · scale · up · down. Names in the network's weight source. */
export interface AttachedLayer {
  /** [rank, in] */
  readonly down: string;
  /** [out, rank] */
  readonly up: string;
  readonly scale: number;
}

/** A LoRA kept apart from the base weights at run time. */
export interface AttachedLora {
  /** A fixed strength, or `live`: the one given with each call. */
  readonly strength: number | 'live';
  /** By official layer name (`blocks.0.self_attn.q`). */
  readonly layers: ReadonlyMap<string, AttachedLayer>;
  /** What is added, times the strength, to a bias, norm or modulation: official tensor name → name in the source. */
  readonly diffs: ReadonlyMap<string, string>;
}

/** The strengths of the LoRAs of one call, for the graph input `lora_strength`; null without LoRAs. */
export function strengths(loras: readonly AttachedLora[], live: number): Float32Array | null {
  if (loras.length === 0) return null;
  return Float32Array.from(loras, ({ strength }) => (strength === 'live' ? live : strength));
}

/**
 * The weights of a graph with LoRAs at work on them: y = Wx + b + Σ α·B(Ax), and v + Σ α·Δv for vectors. The αs are
 * the graph input `lora_strength` [number of LoRAs], declared when the first LoRA meets a weight.
 */
export class Parameters {
  readonly #graph: GraphBuilder;
  readonly #loras: readonly AttachedLora[];
  #input: Value | undefined;

  constructor(graph: GraphBuilder, loras: readonly AttachedLora[]) {
    this.#graph = graph;
    this.#loras = loras;
  }

  /** Whether the graph has the input `lora_strength`. */
  get usesStrength(): boolean {
    return this.#input !== undefined;
  }

  /** The linear layer of an official name, `.weight` [out, in] and `.bias`, on rows [n, in]. */
  linear(x: Value, layer: string, out: number): Value {
    return this.#graph.scope(layer, () => {
      let y = linear(x, `${layer}.weight`, this.tensor(`${layer}.bias`, [out]), out);
      this.#loras.forEach((lora, index) => {
        const low = lora.layers.get(layer);
        if (low === undefined) return;
        const factor = low.scale === 1 ? this.#strength(index) : mul(this.#strength(index), low.scale);
        y = linear(mul(linear(x, low.down), factor), low.up, y, out);
      });
      return y;
    });
  }

  /** A float weight by its official name. */
  tensor(name: string, shape?: readonly number[]): Value {
    let value = this.#graph.weight(name, shape);
    this.#loras.forEach((lora, index) => {
      const diff = lora.diffs.get(name);
      if (diff === undefined) return;
      const change = this.#graph.weight(diff);
      const sum = add(value, mul(change, this.#strength(index)));
      if (shapeText(sum.shape) !== shapeText(value.shape)) {
        throw this.#graph.invalid(
          `${diff} ${shapeText(change.shape)} cannot change ${name} ${shapeText(value.shape)}`,
        );
      }
      value = sum;
    });
    return value;
  }

  #strength(index: number): Value {
    this.#input ??= this.#graph.input('lora_strength', [this.#loras.length]);
    return slice(this.#input, 0, index, index + 1);
  }
}
