import { PusaError } from '../../core/errors.ts';
import type { OnnxModel } from '../runtime/runtime.ts';
import {
  attributeTypes,
  dataTypes,
  encodeModel,
  externalLocation,
  type AttributeRecord,
  type DType,
  type NodeRecord,
  type TensorRecord,
  type ValueInfoRecord,
} from './schema.ts';
import { sameShape, shapeText, type Dim, type Shape } from './shape.ts';
import type { FloatWeightDType, QuantisedWeight, WeightLocation, WeightSource } from './weights.ts';

/** IR version 10 with opset 21: the newest pair whose every operator used here has kernels on all providers. */
const irVersion = 10;
const opset = 21;
export const microsoft = 'com.microsoft';

/** An edge of the graph under construction: what it is called and what flows there. */
export interface Value {
  readonly graph: GraphBuilder;
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Whole numbers become `int`, arrays of them `ints`; wrap in {@link float} what must be a float. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly domain?: string;
  /** Of the outputs; default the first input's. */
  readonly dtype?: DType;
}

const weightTypes: Record<FloatWeightDType, { dtype: DType; bytes: number }> = {
  F32: { dtype: 'float32', bytes: 4 },
  F16: { dtype: 'float16', bytes: 2 },
  BF16: { dtype: 'bfloat16', bytes: 2 },
};

/**
 * Builds one ONNX graph. Operators are functions over {@link Value}s (see `ops.ts`, `layers.ts`) that check shapes
 * while building; their errors name the node by its scopes. All graph inputs and outputs are float32.
 */
export class GraphBuilder {
  readonly name: string;
  readonly #weights: WeightSource | null;
  readonly #nodes: NodeRecord[] = [];
  readonly #initializers: TensorRecord[] = [];
  readonly #inputs: ValueInfoRecord[] = [];
  readonly #outputs: ValueInfoRecord[] = [];
  readonly #weightValues = new Map<string, Value>();
  readonly #intConstants = new Map<string, Value>();
  readonly #taken = new Set<string>();
  readonly #scopes: string[] = [];
  #usesFiles = false;
  #quantised = false;

  constructor(name: string, weights: WeightSource | null = null) {
    this.name = name;
    this.#weights = weights;
  }

  /** Declares a float32 graph input. */
  input(name: string, shape: Shape): Value {
    this.#claim(name);
    this.#inputs.push(valueInfo(name, shape));
    return { graph: this, name, shape, dtype: 'float32' };
  }

  /** Declares a graph output. */
  output(name: string, value: Value): void {
    this.#claim(name);
    if (value.dtype !== 'float32') throw this.invalid(`output ${name} is ${value.dtype}, not float32`);
    this.#nodes.push({
      name: `output/${name}`,
      opType: 'Identity',
      domain: '',
      input: [value.name],
      output: [name],
      attribute: [],
    });
    this.#outputs.push(valueInfo(name, value.shape));
  }

  /**
   * Makes a value itself a graph output, under its own name: its node writes into the caller's memory, where
   * {@link output} would copy a value that is used further on.
   */
  expose(value: Value): void {
    if (value.dtype !== 'float32') throw this.invalid(`output ${value.name} is ${value.dtype}, not float32`);
    this.#outputs.push(valueInfo(value.name, value.shape));
  }

  /** Names what `build` adds after the part of the network it belongs to. */
  scope<T>(name: string, build: () => T): T {
    this.#scopes.push(name);
    try {
      return build();
    } finally {
      this.#scopes.pop();
    }
  }

  /**
   * Adds a node. Prefer the checked operators; this is what they are made of.
   * @param shapes one for each output
   */
  node(
    opType: string,
    inputs: readonly (Value | null)[],
    shapes: readonly Shape[],
    options: NodeOptions = {},
  ): Value[] {
    const name = this.#fresh(opType);
    const dtype = options.dtype ?? inputs.find((input) => input !== null)?.dtype ?? 'float32';
    for (const input of inputs) {
      if (input !== null && input.graph !== this) {
        throw this.invalid(`${name}: ${input.name} belongs to the graph ${input.graph.name}`);
      }
    }
    const outputs = shapes.map((shape, index) => ({
      graph: this,
      name: shapes.length === 1 ? name : `${name}:${index}`,
      shape,
      dtype,
    }));
    this.#nodes.push({
      name,
      opType,
      domain: options.domain ?? '',
      input: inputs.map((input) => input?.name ?? ''),
      output: outputs.map((output) => output.name),
      attribute: Object.entries(options.attributes ?? {}).map(([key, value]) => attributeRecord(key, value)),
    });
    return outputs;
  }

  /** Adds a node with one output. */
  node1(opType: string, inputs: readonly (Value | null)[], shape: Shape, options: NodeOptions = {}): Value {
    return this.node(opType, inputs, [shape], options)[0]!;
  }

  /** A float32 constant carried inside the graph. */
  constant(data: Float32Array | readonly number[], shape: readonly number[]): Value {
    const numbers = Float32Array.from(data);
    if (numbers.length !== product(shape)) {
      throw this.invalid(`a constant of ${numbers.length} numbers cannot have the shape ${shapeText(shape)}`);
    }
    const name = this.#fresh('Constant');
    this.#initializers.push({
      name,
      dims: shape,
      dataType: dataTypes.float32,
      rawData: littleEndian(numbers),
    });
    return { graph: this, name, shape, dtype: 'float32' };
  }

  /** A 1-D int64 constant (axes, pads, target shapes). */
  ints(numbers: readonly number[]): Value {
    const key = numbers.join(',');
    const known = this.#intConstants.get(key);
    if (known !== undefined) return known;
    const name = `ints:${key}`;
    const data = BigInt64Array.from(numbers, BigInt);
    const shape = [numbers.length];
    this.#initializers.push({ name, dims: shape, dataType: dataTypes.int64, rawData: littleEndian(data) });
    const value: Value = { graph: this, name, shape, dtype: 'int64' };
    this.#intConstants.set(key, value);
    return value;
  }

  /**
   * A float weight as float32, by its official name.
   * @param shape what the network expects; the file's shape where absent
   * @throws CHECKPOINT_INCOMPLETE without it, CHECKPOINT_INVALID when its shape or size differs
   */
  weight(name: string, shape?: readonly number[]): Value {
    const entry = this.#entry(name);
    if ('packed' in entry) throw this.invalid(`${name} is quantised and not part of a linear layer`);
    if (shape !== undefined && !sameShape(shape, entry.shape)) {
      throw broken(`${name} has the shape ${shapeText(entry.shape)} where ${shapeText(shape)} belongs.`);
    }
    const known = this.#weightValues.get(name);
    if (known !== undefined) return known;

    let value: Value;
    if ('data' in entry) {
      if (entry.data.length !== product(entry.shape)) {
        throw broken(`${name} has ${entry.data.length} numbers, not ${shapeText(entry.shape)}.`);
      }
      this.#claim(name);
      const rawData = littleEndian(entry.data);
      this.#initializers.push({ name, dims: entry.shape, dataType: dataTypes.float32, rawData });
      value = { graph: this, name, shape: entry.shape, dtype: 'float32' };
    } else {
      value = this.#external(name, weightTypes[entry.dtype], entry.shape, entry);
    }
    if (value.dtype !== 'float32') {
      value = this.node1('Cast', [value], value.shape, {
        attributes: { to: dataTypes.float32 },
        dtype: 'float32',
      });
    }
    this.#weightValues.set(name, value);
    return value;
  }

  /** The parts of a quantised matrix, or null when the weight of this name is not quantised. */
  quantisedWeight(name: string): { entry: QuantisedWeight; inputs: readonly Value[] } | null {
    const entry = this.#entry(name);
    if (!('packed' in entry)) return null;
    this.#quantised = true;
    const [out, columns] = entry.shape;
    const blocks = Math.ceil(columns / entry.blockSize);
    const bytes = { dtype: 'uint8', bytes: 1 } as const;
    const inputs = [
      this.#external(
        `${name}:packed`,
        bytes,
        [out, blocks, entry.dtype === 'Q8' ? entry.blockSize : entry.blockSize / 2],
        entry.packed,
      ),
      this.#external(`${name}:scales`, weightTypes.F32, [out, blocks], entry.scales),
    ];
    if (entry.zeroPoints !== undefined) {
      inputs.push(this.#external(`${name}:zeros`, bytes, [out, blocks], entry.zeroPoints));
    }
    return { entry, inputs };
  }

  /** Serializes the graph. */
  finish(): OnnxModel {
    const bytes = encodeModel({
      irVersion,
      producerName: 'Pusa Studio',
      opsetImport: [
        { domain: '', version: opset },
        { domain: microsoft, version: 1 },
      ],
      graph: {
        name: this.name,
        node: this.#nodes,
        initializer: this.#initializers,
        input: this.#inputs,
        output: this.#outputs,
      },
    });
    return {
      name: this.name,
      bytes,
      weightsFolder: this.#usesFiles ? (this.#weights?.folder ?? null) : null,
      quantised: this.#quantised,
    };
  }

  /** A GRAPH_INVALID error naming where in the network it arose. */
  invalid(what: string): PusaError {
    const where = [this.name, ...this.#scopes].join('/');
    return new PusaError(
      'GRAPH_INVALID',
      `The model's graph cannot be built: ${where}: ${what}.`,
      'Check that the model files belong together and import them again.',
    );
  }

  #entry(name: string) {
    const entry = this.#weights?.entry(name);
    if (entry !== undefined) return entry;
    throw new PusaError(
      'CHECKPOINT_INCOMPLETE',
      `The model has no tensor named ${name}.`,
      'Import the model again from complete files.',
    );
  }

  #external(
    name: string,
    type: { dtype: DType; bytes: number },
    shape: readonly number[],
    at: WeightLocation,
  ): Value {
    if (at.length !== product(shape) * type.bytes || !Number.isSafeInteger(at.offset) || at.offset < 0) {
      throw broken(`${name} takes ${at.length} bytes at ${at.offset}, not ${shapeText(shape)} numbers.`);
    }
    this.#claim(name);
    this.#usesFiles = true;
    this.#initializers.push({
      name,
      dims: shape,
      dataType: dataTypes[type.dtype],
      dataLocation: externalLocation,
      externalData: [
        { key: 'location', value: at.file },
        { key: 'offset', value: String(at.offset) },
        { key: 'length', value: String(at.length) },
      ],
    });
    return { graph: this, name, shape, dtype: type.dtype };
  }

  #fresh(kind: string): string {
    const base = [...this.#scopes, kind].join('/');
    let name = base;
    for (let n = 1; this.#taken.has(name); n++) name = `${base}_${n}`;
    this.#taken.add(name);
    return name;
  }

  #claim(name: string): void {
    if (this.#taken.has(name)) throw this.invalid(`the name ${name} is used twice`);
    this.#taken.add(name);
  }
}

/** Marks an attribute as a float (JavaScript cannot tell 1.0 from 1). */
export function float(value: number): { readonly float: number } {
  return { float: value };
}

function attributeRecord(name: string, value: Attribute): AttributeRecord {
  if (typeof value === 'number') return { name, type: attributeTypes.int, i: value };
  if (typeof value === 'string') {
    return { name, type: attributeTypes.string, s: new TextEncoder().encode(value) };
  }
  if ('float' in value) return { name, type: attributeTypes.float, f: value.float };
  return { name, type: attributeTypes.ints, ints: value };
}

function valueInfo(name: string, shape: Shape): ValueInfoRecord {
  const dim = shape.map((d: Dim) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d.text }));
  return { name, type: { tensorType: { elemType: dataTypes.float32, shape: { dim } } } };
}

/** ONNX stores little-endian; so does every platform this runs on. */
function littleEndian(numbers: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, dim) => all * dim, 1);
}

function broken(message: string): PusaError {
  return new PusaError('CHECKPOINT_INVALID', message, 'Import the model again from intact files.');
}
