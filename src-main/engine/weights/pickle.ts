import { clip } from './checkpoint.ts';

/** A tensor as a pickle describes it; its values lie in the storage. */
export interface PickledTensor {
  readonly storage: PickledStorage;
  /** First value in the storage. */
  readonly offset: number;
  readonly shape: readonly number[];
  /** Distance between neighbours of each dimension, in values. */
  readonly strides: readonly number[];
}

/** Values kept in a file of the archive, named by `key`. */
export interface PickledStorage {
  /** As PyTorch names it: `FloatStorage`, `BFloat16Storage`, … */
  readonly type: string;
  readonly key: string;
  readonly values: number;
}

/** What the pickle says is not what a file of weights says; the sentence goes on after "because". */
export class PickleRefused extends Error {
  /** What to do, where the file is not merely damaged. */
  readonly remedy: string | undefined;

  constructor(message: string, remedy?: string) {
    super(message);
    this.remedy = remedy;
  }
}

const takeAnother =
  'Take the .safetensors file of the same model instead. Do not open this one with other programs unless you trust who made it: they may run what it asks for.';

/** Where a tuple or a list of items begins on the stack. */
const mark = Symbol('mark');
class Global {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}
class Tensor implements PickledTensor {
  readonly storage: PickledStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(storage: PickledStorage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

const storages = /^torch\.(\w+Storage)$/;
const maxDepth = 8;
const maxObjects = 2_000_000;

/**
 * Reads the tensors of a state dictionary from a pickle of protocol 2 … 5 without running anything: only the calls
 * that rebuild tensors and dictionaries are known, and they are done here.
 * @returns tensors by name; the names of nested dictionaries are joined by a dot
 * @throws PickleRefused
 */
export function readStateDict(bytes: Uint8Array): Map<string, PickledTensor> {
  const tensors = new Map<string, PickledTensor>();
  let visited = 0;
  const collect = (value: unknown, prefix: string, depth: number): void => {
    if (depth > maxDepth) throw new PickleRefused('its dictionaries are nested too deeply');
    // One dictionary may stand in many places: few bytes can describe more places than there is time for.
    if (++visited > maxObjects) throw new PickleRefused('it is longer than any model needs');
    if (value instanceof Tensor) tensors.set(prefix, value);
    if (!(value instanceof Map)) return;
    for (const [key, item] of value as Map<unknown, unknown>) {
      if (typeof key === 'string') collect(item, prefix === '' ? key : `${prefix}.${key}`, depth + 1);
    }
  };
  collect(new Unpickler(bytes).load(), '', 0);
  return tensors;
}

class Unpickler {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #stack: unknown[] = [];
  readonly #memo = new Map<number, unknown>();
  #at = 0;
  #objects = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  load(): unknown {
    for (;;) {
      const code = this.#byte();
      if (code === 0x2e) return this.#pop(); // STOP
      this.#act(code);
      if (++this.#objects > maxObjects) throw new PickleRefused('it is longer than any model needs');
    }
  }

  #act(code: number): void {
    const stack = this.#stack;
    switch (code) {
      case 0x80: // PROTO
        if (this.#byte() > 5) throw new PickleRefused('its pickle is of an unknown protocol');
        return;
      case 0x95: // FRAME
        this.#skip(8);
        return;
      case 0x28: // MARK
        stack.push(mark);
        return;
      case 0x4e: // NONE
        stack.push(null);
        return;
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        stack.push(code === 0x88);
        return;
      case 0x4b: // BININT1
        stack.push(this.#byte());
        return;
      case 0x4d: // BININT2
        stack.push(this.#view.getUint16(this.#skip(2), true));
        return;
      case 0x4a: // BININT
        stack.push(this.#view.getInt32(this.#skip(4), true));
        return;
      case 0x8a: // LONG1
        stack.push(this.#long(this.#byte()));
        return;
      case 0x47: // BINFLOAT
        stack.push(this.#view.getFloat64(this.#skip(8), false));
        return;
      case 0x58: // BINUNICODE
        stack.push(this.#text(this.#u32()));
        return;
      case 0x8c: // SHORT_BINUNICODE
        stack.push(this.#text(this.#byte()));
        return;
      case 0x55: // SHORT_BINSTRING
        stack.push(this.#text(this.#byte()));
        return;
      case 0x7d: // EMPTY_DICT
        stack.push(new Map());
        return;
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        stack.push([]);
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: {
        // TUPLE3
        const count = code - 0x84;
        if (stack.length < count) throw new PickleRefused('its pickle is torn');
        stack.push(stack.splice(-count));
        return;
      }
      case 0x74: // TUPLE
        stack.push(this.#toMark());
        return;
      case 0x61: // APPEND
      case 0x65: {
        // APPENDS
        const items = code === 0x61 ? [this.#pop()] : this.#toMark();
        const list = stack.at(-1);
        if (!Array.isArray(list)) throw new PickleRefused('its pickle appends to what is no list');
        for (const item of items) list.push(item);
        return;
      }
      case 0x73: // SETITEM
      case 0x75: {
        // SETITEMS
        const items = code === 0x73 ? stack.splice(-2) : this.#toMark();
        const map = stack.at(-1);
        if (!(map instanceof Map)) throw new PickleRefused('its pickle sets items of what is no dictionary');
        for (let i = 0; i + 1 < items.length; i += 2) map.set(items[i], items[i + 1]);
        return;
      }
      case 0x71: // BINPUT
        this.#memo.set(this.#byte(), stack.at(-1));
        return;
      case 0x72: // LONG_BINPUT
        this.#memo.set(this.#u32(), stack.at(-1));
        return;
      case 0x94: // MEMOIZE
        this.#memo.set(this.#memo.size, stack.at(-1));
        return;
      case 0x68: // BINGET
        stack.push(this.#remembered(this.#byte()));
        return;
      case 0x6a: // LONG_BINGET
        stack.push(this.#remembered(this.#u32()));
        return;
      case 0x63: // GLOBAL
        stack.push(new Global(`${this.#line()}.${this.#line()}`));
        return;
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = stack.splice(-2);
        // Anything else as text could be longer than memory.
        if (typeof module !== 'string' || typeof name !== 'string') {
          throw new PickleRefused('its pickle is torn');
        }
        stack.push(new Global(`${module}.${name}`));
        return;
      }
      case 0x51: // BINPERSID
        stack.push(storageOf(this.#pop()));
        return;
      case 0x52: {
        // REDUCE
        const args = this.#pop();
        stack.push(rebuild(this.#pop(), args));
        return;
      }
      case 0x62: // BUILD: attributes of a dictionary; none of them is a weight
        this.#pop();
        return;
      default:
        throw new PickleRefused(
          `it holds an instruction that weights do not need (0x${code.toString(16)})`,
          takeAnother,
        );
    }
  }

  #skip(count: number): number {
    const from = this.#at;
    if (count > this.#bytes.length - from) throw new PickleRefused('its pickle ends too early');
    this.#at += count;
    return from;
  }

  #byte(): number {
    return this.#bytes[this.#skip(1)]!;
  }

  #u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  #text(length: number): string {
    const from = this.#skip(length);
    return new TextDecoder().decode(this.#bytes.subarray(from, from + length));
  }

  #line(): string {
    const end = this.#bytes.indexOf(10, this.#at);
    if (end < 0) throw new PickleRefused('its pickle ends too early');
    const text = this.#text(end - this.#at);
    this.#at++;
    return text;
  }

  /** A little-endian two's complement number. */
  #long(length: number): number {
    const from = this.#skip(length);
    let value = 0n;
    for (let i = 0; i < length; i++) value |= BigInt(this.#bytes[from + i]!) << BigInt(8 * i);
    return Number(BigInt.asIntN(8 * length, value));
  }

  #pop(): unknown {
    if (this.#stack.length === 0) throw new PickleRefused('its pickle is torn');
    return this.#stack.pop();
  }

  #toMark(): unknown[] {
    const at = this.#stack.lastIndexOf(mark);
    if (at < 0) throw new PickleRefused('its pickle is torn');
    const items = this.#stack.splice(at);
    return items.slice(1);
  }

  #remembered(key: number): unknown {
    if (!this.#memo.has(key)) throw new PickleRefused('its pickle refers to what was never there');
    return this.#memo.get(key);
  }
}

/** `('storage', type, key, device, count)`, as torch.save names a storage. */
function storageOf(value: unknown): PickledStorage {
  const [kind, type, key, , values] = Array.isArray(value) ? (value as unknown[]) : [];
  const name = type instanceof Global ? storages.exec(type.name)?.[1] : undefined;
  if (kind !== 'storage' || name === undefined || typeof key !== 'string' || !isCount(values)) {
    throw new PickleRefused('it refers to something other than tensors');
  }
  return { type: name, key, values };
}

/** The few calls that a file of weights makes. */
function rebuild(callee: unknown, args: unknown): unknown {
  const name = callee instanceof Global ? callee.name : 'something else';
  const list = Array.isArray(args) ? (args as unknown[]) : [];
  switch (name) {
    case 'collections.OrderedDict':
      return new Map();
    case 'torch._utils._rebuild_parameter':
      if (!(list[0] instanceof Tensor)) throw new PickleRefused('a parameter of it is no tensor');
      return list[0];
    case 'torch._utils._rebuild_tensor_v2': {
      const [storage, offset, shape, strides] = list;
      if (!isStorage(storage) || !isCount(offset) || !areCounts(shape) || !areCounts(strides)) {
        throw new PickleRefused('a tensor of it is described wrongly');
      }
      if (shape.length !== strides.length) throw new PickleRefused('a tensor of it is described wrongly');
      return new Tensor(storage, offset, shape, strides);
    }
    default:
      // A pickle can name any function of any program: none is ever called.
      throw new PickleRefused(
        `it asks to run "${clip(name)}", which is not needed to read weights`,
        takeAnother,
      );
  }
}

function isStorage(value: unknown): value is PickledStorage {
  return typeof value === 'object' && value !== null && 'key' in value && 'type' in value;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function areCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= 8 && value.every(isCount);
}
