import { float, microsoft, type Value } from './graph.ts';
import { add, concat, matmul, mul, reshape, softmax, transpose } from './ops.ts';
import { addDims, floorDivDim, mulDims, sameDim, shapeText, sym, type Dim, type Shape } from './shape.ts';

/**
 * y = x·Wᵀ + b with PyTorch's W [out, in], in float, 8 or 4 bits. x is [.., in]; more than two axes are flattened into
 * rows, which needs the leading sizes to be inferable on the way back (use {@link flatten} first where not).
 * @param weight name of W
 * @param bias b or its name, or none
 * @param out how many features W must have; any where absent
 */
export function linear(x: Value, weight: string, bias?: string | Value, out?: number): Value {
  const graph = x.graph;
  const rows = x.shape.length === 2 ? x : flatten(x);
  const quantised = graph.quantisedWeight(weight);
  const w = quantised === null ? graph.weight(weight) : null;
  const shape = w?.shape ?? quantised!.entry.shape;
  const [features, columns] = shape as [number, number];
  if (shape.length !== 2 || !sameDim(x.shape.at(-1)!, columns) || (out !== undefined && out !== features)) {
    const wanted = shapeText([out ?? sym('any'), x.shape.at(-1)!]);
    throw graph.invalid(`${weight} has the shape ${shapeText(shape)}, not ${wanted}`);
  }
  const b = typeof bias === 'string' ? graph.weight(bias, [features]) : (bias ?? null);
  let y: Value;
  if (w !== null) {
    y = graph.node1('Gemm', b === null ? [rows, w] : [rows, w, b], [rows.shape[0]!, features], {
      attributes: { transB: 1 },
    });
  } else {
    const { entry, inputs } = quantised!;
    y = graph.node1('MatMulNBits', [rows, ...inputs], [rows.shape[0]!, features], {
      domain: microsoft,
      attributes: {
        K: columns,
        N: features,
        bits: entry.dtype === 'Q8' ? 8 : 4,
        block_size: entry.blockSize,
        accuracy_level: 4,
      },
    });
    // Apart: DirectML's kernel wants exactly four inputs.
    if (b !== null) y = add(y, b);
  }
  return x.shape.length === 2 ? y : reshape(y, [...x.shape.slice(0, -1), features]);
}

/** All leading axes as rows: [.., n] → [rows, n]. */
export function flatten(x: Value): Value {
  return reshape(x, [mulDims(...x.shape.slice(0, -1)), x.shape.at(-1)!]);
}

/** Layer norm over the last axis; without `scale` and `bias` none are applied. */
export function layerNorm(x: Value, eps: number, scale?: Value, bias?: Value): Value {
  const size = x.shape.at(-1)!;
  if (typeof size !== 'number') throw x.graph.invalid(`LayerNormalization over ${shapeText(x.shape)}`);
  const weight = scale ?? x.graph.constant(new Float32Array(size).fill(1), [size]);
  return x.graph.node1('LayerNormalization', bias === undefined ? [x, weight] : [x, weight, bias], x.shape, {
    attributes: { axis: -1, epsilon: float(eps) },
  });
}

/** x / √(mean(x²) + eps) · scale over the last axis. */
export function rmsNorm(x: Value, eps: number, scale: Value): Value {
  if (!sameDim(x.shape.at(-1)!, scale.shape[0]!)) {
    throw x.graph.invalid(`RMS norm of ${shapeText(x.shape)} with ${shapeText(scale.shape)}`);
  }
  return x.graph.node1('SimplifiedLayerNormalization', [x, scale], x.shape, {
    attributes: { axis: -1, epsilon: float(eps) },
  });
}

/**
 * Rotary position embedding: every head's interleaved pair i (components 2i, 2i+1) is turned by the angle of its row.
 * @param x [B, L, heads · d]; @param cos and @param sin [L, d / 2]
 */
export function rotate(x: Value, cos: Value, sin: Value): Value {
  const [, rows, width] = x.shape;
  const fits =
    x.shape.length === 3 &&
    [cos, sin].every((table) => table.shape.length === 2 && sameDim(table.shape[0]!, rows!)) &&
    sameDim(cos.shape[1]!, sin.shape[1]!) &&
    floorDivDim(width!, 2 * (cos.shape[1] as number)) !== null;
  if (!fits) {
    throw x.graph.invalid(
      `rotation of ${shapeText(x.shape)} by ${shapeText(cos.shape)}, ${shapeText(sin.shape)}`,
    );
  }
  // One position: row i of x takes row 0 + i of the tables.
  return x.graph.node1('RotaryEmbedding', [x, x.graph.ints([0]), cos, sin], x.shape, {
    domain: microsoft,
    attributes: { interleaved: 1 },
  });
}

export interface ConvOptions {
  /** One for each spatial axis; default 1. */
  readonly stride?: readonly number[];
  /** [before, after] for each spatial axis; default 0. */
  readonly padding?: readonly (readonly [before: number, after: number])[];
}

/** x [N, C, H, W], weight [O, C, kh, kw], bias [O] → [N, O, H', W']. */
export function conv2d(x: Value, weight: Value, bias: Value | null, options: ConvOptions = {}): Value {
  return conv(x, weight, bias, 2, options);
}

/** x [N, C, T, H, W], weight [O, C, kt, kh, kw], bias [O] → [N, O, T', H', W']. */
export function conv3d(x: Value, weight: Value, bias: Value | null, options: ConvOptions = {}): Value {
  return conv(x, weight, bias, 3, options);
}

function conv(x: Value, weight: Value, bias: Value | null, axes: 2 | 3, options: ConvOptions): Value {
  const stride = options.stride ?? Array<number>(axes).fill(1);
  const padding = options.padding ?? Array<readonly [number, number]>(axes).fill([0, 0]);
  const describe = () => `convolution of ${shapeText(x.shape)} by ${shapeText(weight.shape)}`;
  const fits =
    x.shape.length === axes + 2 &&
    weight.shape.length === axes + 2 &&
    sameDim(x.shape[1]!, weight.shape[1]!) &&
    (bias === null || (bias.shape.length === 1 && sameDim(bias.shape[0]!, weight.shape[0]!))) &&
    stride.length === axes &&
    padding.length === axes;
  if (!fits) throw x.graph.invalid(describe());
  const shape: Dim[] = [x.shape[0]!, weight.shape[0]!];
  const kernel: number[] = [];
  for (let axis = 0; axis < axes; axis++) {
    const k = weight.shape[axis + 2]!;
    if (typeof k !== 'number') throw x.graph.invalid(describe());
    kernel.push(k);
    const steps = floorDivDim(addDims(x.shape[axis + 2]!, ...padding[axis]!, -k), stride[axis]!);
    if (steps === null || (typeof steps === 'number' && steps < 0)) throw x.graph.invalid(describe());
    shape.push(addDims(steps, 1));
  }
  return x.graph.node1('Conv', bias === null ? [x, weight] : [x, weight, bias], shape, {
    attributes: {
      kernel_shape: kernel,
      strides: stride,
      pads: [...padding.map(([before]) => before), ...padding.map(([, after]) => after)],
    },
  });
}

export interface AttentionOptions {
  readonly heads: number;
  /** `fused`: com.microsoft MultiHeadAttention; `primitive`: MatMul, Softmax, MatMul. */
  readonly form: 'fused' | 'primitive';
  /** Of the logits; default 1/√(head dimension). */
  readonly scale?: number;
  /** Added to the logits: [1 or B, heads, Lq, Lk]. Only with one chunk. */
  readonly bias?: Value;
  /** The queries are cut into so many runs of rows, one dispatch each (see {@link queryChunks}). */
  readonly chunks?: number;
}

/**
 * softmax(q·kᵀ·scale + bias)·v in contiguous heads, no mask.
 * @param q [B, Lq, D]; @param k [B, Lk, D]; @param v [B, Lk, D]
 * @returns [B, Lq, D]
 */
export function attention(q: Value, k: Value, v: Value, options: AttentionOptions): Value {
  const graph = q.graph;
  const [batch, rows, width] = q.shape;
  const chunks = options.chunks ?? 1;
  const fits =
    q.shape.length === 3 &&
    k.shape.length === 3 &&
    sameDim(batch!, k.shape[0]!) &&
    sameDim(width!, k.shape[2]!) &&
    k.shape.every((dim, axis) => sameDim(dim, v.shape[axis]!)) &&
    typeof width === 'number' &&
    width % options.heads === 0 &&
    (options.bias === undefined || chunks === 1);
  if (!fits) {
    throw graph.invalid(
      `attention of ${shapeText(q.shape)}, ${shapeText(k.shape)}, ${shapeText(v.shape)}, ${options.heads} heads`,
    );
  }
  const attend = options.form === 'fused' ? fusedAttention : primitiveAttention;
  if (chunks === 1) return attend(q, k, v, options)(q);
  const attendRows = attend(q, k, v, options);
  const parts = graph.node('Split', [q], chunkShapes(q.shape, chunks), {
    attributes: { axis: 1, num_outputs: chunks },
  });
  const whole = concat(parts.map(attendRows), 1);
  return { ...whole, shape: [batch!, rows!, width] };
}

/**
 * A layer of single rows, cut into so many runs of them, one after the other: less is alive at once.
 * @param x [rows, width]; @param layer gives as many rows as it gets
 */
export function inRuns(x: Value, chunks: number, layer: (rows: Value) => Value): Value {
  if (chunks === 1) return layer(x);
  const parts = x.graph.node(
    'Split',
    [x],
    chunkShapes([1, ...x.shape], chunks).map(([, ...shape]) => shape),
    {
      attributes: { axis: 0, num_outputs: chunks },
    },
  );
  const whole = concat(parts.map(layer), 0);
  return { ...whole, shape: [x.shape[0]!, whole.shape[1]!] };
}

/** Split's rule for `num_outputs`: equal parts, the last smaller. */
function chunkShapes(shape: Shape, chunks: number): Shape[] {
  const [batch, rows, width] = shape;
  return Array.from({ length: chunks }, (_, index) => {
    let part: Dim = sym(`${typeof rows === 'number' ? rows : rows!.text} part ${index}`);
    if (typeof rows === 'number') {
      const most = Math.ceil(rows / chunks);
      part = index < chunks - 1 ? most : rows - most * (chunks - 1);
    }
    return [batch!, part, width!];
  });
}

function fusedAttention(_: Value, k: Value, v: Value, options: AttentionOptions): (q: Value) => Value {
  const inputs = options.bias === undefined ? [k, v] : [k, v, null, null, options.bias];
  return (q) =>
    q.graph.node1('MultiHeadAttention', [q, ...inputs], q.shape, {
      domain: microsoft,
      attributes: {
        num_heads: options.heads,
        ...(options.scale === undefined ? {} : { scale: float(options.scale) }),
      },
    });
}

function primitiveAttention(
  query: Value,
  k: Value,
  v: Value,
  options: AttentionOptions,
): (q: Value) => Value {
  const { heads } = options;
  const width = query.shape[2] as number;
  const scale = options.scale ?? 1 / Math.sqrt(width / heads);
  const keys = transpose(splitHeads(k, heads), [0, 2, 3, 1]);
  const values = transpose(splitHeads(v, heads), [0, 2, 1, 3]);
  return (q) => {
    const rows = transpose(splitHeads(scale === 1 ? q : mul(q, scale), heads), [0, 2, 1, 3]);
    const logits = matmul(rows, keys);
    const weights = softmax(options.bias === undefined ? logits : add(logits, options.bias));
    return reshape(transpose(matmul(weights, values), [0, 2, 1, 3]), q.shape);
  };
}

/** [B, L, D] → [B, L, heads, D / heads] */
function splitHeads(x: Value, heads: number): Value {
  const [batch, rows, width] = x.shape;
  return reshape(x, [batch!, rows!, heads, (width as number) / heads]);
}

/** Scores of one dispatch stay below this many bytes in the primitive form. */
const scoreBytes = 512 * 2 ** 20;

/**
 * Into how many runs the query rows are cut so that one dispatch stays short and its scores small.
 * @param rowLimit most rows of one dispatch, 0 = no limit
 */
export function queryChunks(
  form: 'fused' | 'primitive',
  rowLimit: number,
  size: { readonly queries: number; readonly keys: number; readonly heads: number },
): number {
  let rows = rowLimit > 0 ? rowLimit : size.queries;
  if (form === 'primitive')
    rows = Math.min(rows, Math.max(1, Math.floor(scoreBytes / (4 * size.heads * size.keys))));
  return Math.ceil(size.queries / rows);
}
