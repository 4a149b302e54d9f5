import { GraphBuilder, microsoft, type Value } from '../onnx/graph.ts';
import { attention, conv2d, conv3d, queryChunks } from '../onnx/layers.ts';
import {
  add,
  concat,
  div,
  maximum,
  mul,
  pad,
  reduceMean,
  reshape,
  resizeNearest2x,
  silu,
  slice,
  split,
  sqrt,
  sub,
  transpose,
  unsqueeze,
} from '../onnx/ops.ts';
import type { WeightSource } from '../onnx/weights.ts';
import type { OnnxModel, OperatorForms } from '../runtime/runtime.ts';
import { pixelPatch, type VaeConfig } from './vae-config.ts';
import type { VaeStep } from './vae-steps.ts';

/** Shape of one frame in the network: [1, channels, height, width]. */
export type FrameShape = readonly [1, number, number, number];

/**
 * What a causal convolution remembers, as the graph inputs `<key>:1` and `<key>:2`: its input frames one and two back,
 * or, where it has fewer channels out than in, what earlier frames add to this result and to the next.
 */
export interface Memory {
  readonly key: string;
  readonly shape: FrameShape;
  /** Graph outputs that are the next frame's `:1` and `:2`; null: the `:2` will be the present `:1`. */
  readonly next: readonly [one: string, two: string | null];
}

/** A frame kept for a shortcut of a later graph, as the graph output `name`. `pairs`: see {@link VaeStep}. */
export interface Branch {
  readonly key: string;
  readonly name: string;
  readonly shape: FrameShape;
  readonly pairs: boolean;
}

/** A shortcut from an earlier graph: the kept frame as the input `<key>:later`, with `pairs` the one before it as `<key>:earlier`. */
export interface Shortcut {
  readonly key: string;
  readonly pairs: boolean;
}

/** A graph that takes one frame `x` to `y` (`doubleTime`: to `y` and `z`, the earlier and the later frame). */
export interface FrameGraph {
  readonly model: OnnxModel;
  readonly memories: readonly Memory[];
  readonly branches: readonly Branch[];
  readonly shortcuts: readonly Shortcut[];
  readonly output: FrameShape;
}

/** Everything that is the same for all graphs of a codec. */
export interface FrameGraphOptions {
  readonly config: VaeConfig;
  readonly weights: WeightSource;
  readonly forms: OperatorForms;
}

/** Builds the graph of consecutive steps (a `halveTime` or `doubleTime` stands alone) for frames of a fixed size. */
export function buildFrameGraph(
  name: string,
  steps: readonly VaeStep[],
  input: FrameShape,
  options: FrameGraphOptions,
): FrameGraph {
  const graph = new GraphBuilder(name, options.weights);
  const build = new FrameBuild(graph, options);
  let x = graph.input('x', input);
  const first = steps[0]!;
  if (first.kind === 'halveTime') {
    // The time convolution's window: the frame and the two before it (spec §4.4, downsample3d).
    const window = [graph.input('x:2', input), graph.input('x:1', input), x];
    x = graph.scope(first.key, () =>
      build.overTime(window, `${first.key}.time_conv`, [first.width, first.width], 1),
    );
  } else if (first.kind === 'doubleTime') {
    // The halves of the channels are the earlier and the later frame (spec §4.2, upsample3d).
    const both = graph.scope(first.key, () =>
      build.causal(x, `${first.key}.time_conv`, [2 * first.width, first.width], 1),
    );
    const [earlier, later] = split(both, 1, [first.width, first.width]);
    x = earlier!;
    graph.output('z', later!);
  } else {
    for (const step of steps) x = graph.scope(scopeOf(step), () => build.step(x, step));
  }
  graph.output('y', x);
  const branches = build.openBranches();
  const { memories, shortcuts } = build;
  return { model: graph.finish(), memories, branches, shortcuts, output: x.shape as FrameShape };
}

function scopeOf(step: VaeStep): string {
  return 'key' in step ? step.key : step.kind;
}

class FrameBuild {
  readonly memories: Memory[] = [];
  readonly shortcuts: Shortcut[] = [];
  /** Frames kept for a shortcut that did not come yet. */
  readonly #branches = new Map<string, { readonly kept: Value; readonly pairs: boolean }>();
  readonly #graph: GraphBuilder;
  readonly #options: FrameGraphOptions;

  constructor(graph: GraphBuilder, options: FrameGraphOptions) {
    this.#graph = graph;
    this.#options = options;
  }

  step(x: Value, step: VaeStep): Value {
    switch (step.kind) {
      case 'causal': {
        const inner =
          step.norm === null ? x : silu(this.#norm(x, `${step.norm}.gamma`, [step.from, 1, 1, 1]));
        return this.causal(inner, step.key, [step.to, step.from], 3);
      }
      case 'residual':
        return this.#residual(x, step.key, step.from, step.to);
      case 'attention':
        return this.#attention(x, step.key, step.width);
      case 'halveSpace':
        return this.#conv2d(padRightAndBottom(x), `${step.key}.resample.1`, [step.to, step.from, 3, 3], {
          stride: [2, 2],
        });
      case 'doubleSpace':
        return this.#conv2d(
          resizeNearest2x(x),
          `${step.key}.resample.1`,
          [step.to, step.from, 3, 3],
          around(1),
        );
      case 'toLatent': {
        // The first half of the channels is the mean μ; the log-variance is not used (spec §4.1).
        const moments = this.#pointwise(x, 'conv1', 2 * step.zDim);
        const { mean, std } = this.#options.config;
        return div(sub(slice(moments, 1, 0, step.zDim), this.#perChannel(mean)), this.#perChannel(std));
      }
      case 'fromLatent': {
        const { mean, std } = this.#options.config;
        return this.#pointwise(
          add(mul(x, this.#perChannel(std)), this.#perChannel(mean)),
          'conv2',
          step.zDim,
        );
      }
      case 'toPatches':
        return toPatches(x);
      case 'fromPatches':
        return fromPatches(x);
      case 'branch': {
        const kept = step.halved ? averageOver2x2(x) : x;
        this.#branches.set(step.key, { kept, pairs: step.pairs });
        return x;
      }
      case 'shortcutDown':
        return add(x, this.#averagedDown(x, step));
      case 'shortcutUp':
        return add(x, this.#repeatedUp(x, step));
      case 'halveTime':
      case 'doubleTime':
        throw this.#graph.invalid(`${step.kind} inside a run of frames`);
    }
  }

  /** What is kept for graphs to come, as outputs. */
  openBranches(): Branch[] {
    return [...this.#branches].map(([key, { kept, pairs }]) => ({
      key,
      name: this.#keep(kept, `${key}:branch`),
      shape: kept.shape as FrameShape,
      pairs,
    }));
  }

  /** The kept frame(s) of a shortcut, oldest first: of this graph, or inputs where an earlier one kept them. */
  #kept(key: string, pairs: boolean, shape: FrameShape): Value[] {
    const here = this.#branches.get(key);
    if (here !== undefined) {
      this.#branches.delete(key);
      return [here.kept];
    }
    this.shortcuts.push({ key, pairs });
    return (pairs ? ['earlier', 'later'] : ['later']).map((which) =>
      this.#graph.input(`${key}:${which}`, shape),
    );
  }

  /**
   * AvgDown3D (spec §6): the mean over groups of `from`·frames / `to` of the channels, which count (channel, frame),
   * frame fastest; space was averaged when the frames were kept.
   */
  #averagedDown(x: Value, { key, from, to, pairs }: Extract<VaeStep, { kind: 'shortcutDown' }>): Value {
    const [, , height, width] = x.shape as FrameShape;
    const frames = this.#kept(key, pairs, [1, from, height, width]);
    if (frames.length === 1 && from === to) return frames[0]!;
    const joined = concat(
      frames.map((frame) => reshape(frame, [from, 1, height, width])),
      1,
    );
    const groups = reshape(joined, [to, (from * frames.length) / to, height, width]);
    return reshape(reduceMean(groups, [1]), x.shape);
  }

  /** DupUp3D (spec §6) for one frame: 4·`to` channels by repeating each, then every four become a patch of 2×2. */
  #repeatedUp(x: Value, { key, from, to }: Extract<VaeStep, { kind: 'shortcutUp' }>): Value {
    const [height, width] = [(x.shape[2] as number) / 2, (x.shape[3] as number) / 2];
    const [frame] = this.#kept(key, false, [1, from, height, width]);
    if (from === to) return resizeNearest2x(frame!);
    const times = (4 * to) / from;
    const channel = reshape(frame!, [from, 1, height, width]);
    const repeated = times === 1 ? channel : concat(Array<Value>(times).fill(channel), 1);
    const patches = reshape(repeated, [to, 2, 2, height, width]);
    return reshape(transpose(patches, [0, 3, 1, 4, 2]), x.shape);
  }

  /** A causal convolution of kernel 3 × k × k (spec §4.2). */
  causal(x: Value, key: string, channels: readonly [to: number, from: number], kernel: 1 | 3): Value {
    const [to, from] = channels;
    if (this.#options.forms.convolution === 'planes' && to < from)
      return this.#summing(x, key, channels, kernel);
    const shape = x.shape as FrameShape;
    const oneBack = this.#graph.input(`${key}:1`, shape);
    const twoBack = this.#graph.input(`${key}:2`, shape);
    this.memories.push({ key, shape, next: [this.#keep(x, `${key}:0`), null] });
    return this.overTime([twoBack, oneBack, x], key, channels, kernel);
  }

  /** A causal convolution that remembers sums instead of frames: fewer channels, so less memory. */
  #summing(x: Value, key: string, [to, from]: readonly [number, number], kernel: 1 | 3): Value {
    const shape = [1, to, x.shape[2] as number, x.shape[3] as number] as const;
    const toThis = this.#graph.input(`${key}:1`, shape);
    const toNext = this.#graph.input(`${key}:2`, shape);
    const plane = (time: number, sum: Value | null): Value =>
      this.#plane(x, key, [to, from], kernel, time, sum);
    const next = [plane(1, toNext), plane(0, null)].map((sum, i) => this.#keep(sum, `${key}:next ${i + 1}`));
    this.memories.push({ key, shape, next: [next[0]!, next[1]!] });
    return plane(2, toThis);
  }

  /** Makes a value an output without a copy; what is an input already needs one. @returns the output's name */
  #keep(value: Value, name: string): string {
    if (value.name !== 'x') {
      this.#graph.expose(value);
      return value.name;
    }
    this.#graph.output(name, value);
    return name;
  }

  /** A 3 × k × k convolution over three frames, oldest first, to one frame. */
  overTime(
    frames: readonly Value[],
    key: string,
    channels: readonly [to: number, from: number],
    kernel: 1 | 3,
  ): Value {
    const { convolution } = this.#options.forms;
    const [to, from] = channels;
    const [, , height, width] = frames[0]!.shape as FrameShape;
    // Cutting the weights into planes copies them: only where that is less than joining the frames.
    const frameIsLarger = height * width > to * 3 * kernel * kernel;
    if (convolution === 'planes' && frameIsLarger) {
      return frames.reduce<Value | null>(
        (sum, frame, time) => this.#plane(frame, key, channels, kernel, time, sum),
        null,
      )!;
    }
    const weight = this.#graph.weight(`${key}.weight`, [to, from, 3, kernel, kernel]);
    const bias = this.#graph.weight(`${key}.bias`, [to]);
    const { padding } = around((kernel - 1) / 2);
    if (convolution === 'taps') {
      const taps = reshape(transpose(weight, [0, 2, 1, 3, 4]), [to, 3 * from, kernel, kernel]);
      return conv2d(fourChannels(concat(frames, 1)), fourChannels(taps), bias, { padding });
    }
    const stacked = concat(
      frames.map((frame) => unsqueeze(frame, [2])),
      2,
    );
    const y = conv3d(stacked, weight, bias, { padding: [[0, 0], ...padding] });
    return reshape(y, [1, to, y.shape[3]!, y.shape[4]!]);
  }

  /**
   * What one frame adds to a 3 × k × k convolution: 2-D, with the kernel's plane `time` (0 = oldest). The bias comes
   * with plane 2. Adding to `sum` is part of the node, which then needs no memory of its own.
   */
  #plane(
    x: Value,
    key: string,
    [to, from]: readonly [number, number],
    kernel: 1 | 3,
    time: number,
    sum: Value | null,
  ): Value {
    const weight = this.#graph.weight(`${key}.weight`, [to, from, 3, kernel, kernel]);
    const bias = time === 2 ? this.#graph.weight(`${key}.bias`, [to]) : null;
    const plane = reshape(slice(weight, 2, time, time + 1), [to, from, kernel, kernel]);
    const { padding } = around((kernel - 1) / 2);
    if (sum === null) return conv2d(x, plane, bias, { padding });
    return this.#graph.node1('FusedConv', [x, plane, bias, sum], sum.shape, {
      domain: microsoft,
      attributes: {
        kernel_shape: [kernel, kernel],
        strides: [1, 1],
        pads: [...padding.map(([before]) => before), ...padding.map(([, after]) => after)],
      },
    });
  }

  #residual(x: Value, key: string, from: number, to: number): Value {
    const part = (n: number): string => `${key}.residual.${n}`;
    let y = silu(this.#norm(x, `${part(0)}.gamma`, [from, 1, 1, 1]));
    y = this.causal(y, part(2), [to, from], 3);
    y = silu(this.#norm(y, `${part(3)}.gamma`, [to, 1, 1, 1]));
    y = this.causal(y, part(6), [to, to], 3);
    return add(y, from === to ? x : this.#pointwise(x, `${key}.shortcut`, to));
  }

  /** Attention over the positions of one frame, a single head of the whole width. */
  #attention(x: Value, key: string, width: number): Value {
    const [, , height, columns] = x.shape as FrameShape;
    const positions = height * columns;
    const normed = this.#norm(x, `${key}.norm.gamma`, [width, 1, 1]);
    const qkv = this.#conv2d(normed, `${key}.to_qkv`, [3 * width, width, 1, 1]);
    const rows = transpose(reshape(qkv, [1, 3 * width, positions]), [0, 2, 1]);
    const [q, k, v] = split(rows, 2, [width, width, width]);
    const { attention: form, attentionRows } = this.#options.forms;
    const attended = attention(q!, k!, v!, {
      heads: 1,
      form,
      chunks: queryChunks(form, attentionRows, { queries: positions, keys: positions, heads: 1 }),
    });
    const back = reshape(transpose(attended, [0, 2, 1]), x.shape);
    return add(x, this.#conv2d(back, `${key}.proj`, [width, width, 1, 1]));
  }

  /** x / max(‖x‖₂, 1e-12) · √C · γ over the channels (spec §4.2), with ‖x‖₂ = √(C · mean x²). */
  #norm(x: Value, gamma: string, shape: readonly number[]): Value {
    const channels = shape[0]!;
    const meanSquare = maximum(reduceMean(mul(x, x), [1]), 1e-24 / channels);
    return mul(div(x, sqrt(meanSquare)), reshape(this.#graph.weight(gamma, shape), [1, channels, 1, 1]));
  }

  /** A 1×1×1 convolution from the channels of x to `to`. */
  #pointwise(x: Value, key: string, to: number): Value {
    const from = x.shape[1] as number;
    const weight = reshape(this.#graph.weight(`${key}.weight`, [to, from, 1, 1, 1]), [to, from, 1, 1]);
    return conv2d(x, weight, this.#graph.weight(`${key}.bias`, [to]));
  }

  #conv2d(
    x: Value,
    key: string,
    shape: readonly number[],
    options: Parameters<typeof conv2d>[3] = {},
  ): Value {
    return conv2d(
      x,
      this.#graph.weight(`${key}.weight`, shape),
      this.#graph.weight(`${key}.bias`, [shape[0]!]),
      options,
    );
  }

  #perChannel(numbers: readonly number[]): Value {
    return this.#graph.constant(numbers, [1, numbers.length, 1, 1]);
  }
}

/**
 * Zero channels (axis 1) up to a multiple of 4. WebGPU's two-dimensional convolution is silently wrong for 6, 9, 15,
 * 18 … channels in and a multiple of 4 out (ONNX Runtime 1.30; relative error about 1).
 */
function fourChannels(x: Value): Value {
  const missing = -(x.shape[1] as number) & 3;
  if (missing === 0) return x;
  return pad(
    x,
    x.shape.map((_, axis) => [0, axis === 1 ? missing : 0]),
  );
}

/** Colours [1, 3, 2H, 2W] → [1, 12, H, W], channels in the order (colour, column, row), row fastest (spec §6). */
function toPatches(x: Value): Value {
  const [, colours, height, width] = x.shape as FrameShape;
  const [rows, columns] = [height / pixelPatch, width / pixelPatch];
  const cut = reshape(x, [colours, rows, pixelPatch, columns, pixelPatch]);
  return reshape(transpose(cut, [0, 4, 2, 1, 3]), [1, colours * pixelPatch ** 2, rows, columns]);
}

/** The inverse of {@link toPatches}. */
function fromPatches(x: Value): Value {
  const [, channels, rows, columns] = x.shape as FrameShape;
  const colours = channels / pixelPatch ** 2;
  const cut = reshape(x, [colours, pixelPatch, pixelPatch, rows, columns]);
  return reshape(transpose(cut, [0, 3, 2, 4, 1]), [1, colours, rows * pixelPatch, columns * pixelPatch]);
}

/** [1, C, 2H, 2W] → [1, C, H, W] */
function averageOver2x2(x: Value): Value {
  const [, channels, height, width] = x.shape as FrameShape;
  const cut = reshape(x, [channels, height / 2, 2, width / 2, 2]);
  return reshape(reduceMean(cut, [2, 4]), [1, channels, height / 2, width / 2]);
}

/** One row and one column of zeros. */
function padRightAndBottom(x: Value): Value {
  return pad(x, [
    [0, 0],
    [0, 0],
    [0, 1],
    [0, 1],
  ]);
}

/** The same zero padding before and after both axes of space. */
function around(size: number): { readonly padding: readonly (readonly [number, number])[] } {
  return {
    padding: [
      [size, size],
      [size, size],
    ],
  };
}
