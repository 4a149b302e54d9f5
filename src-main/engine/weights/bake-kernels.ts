import {
  assemble,
  call,
  f32,
  get,
  i32,
  loop,
  scalar,
  select,
  set,
  vec,
  when,
  type Code,
  type WasmFunction,
} from './wasm-assembler.ts';

/** What of WebAssembly's interface is used here; Node's own types leave it to the DOM's. */
interface Memory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** The loops of baking in WebAssembly. Addresses are bytes of `memory`, aligned to 16. */
export interface BakeKernels {
  readonly memory: Memory;
  /**
   * Quantises blocks of numbers.
   * @param block bytes of a block's numbers, a multiple of 64
   * @param half 128 or 8: codes are signed numbers raised by it
   * @param places where a searched grid puts the largest number, float32; empty rounds to nearest
   * @param sums receives Σ (x − x′)² and Σ x² as float64
   */
  readonly quantise: (
    values: number,
    end: number,
    block: number,
    half: number,
    places: number,
    placesEnd: number,
    packed: number,
    scales: number,
    sums: number,
  ) => void;
  /**
   * sum [rows, 16] = up [rows, rank] · down [rank, 16], two rows at a time.
   * @param rankBytes rank · 4
   */
  readonly product: (
    up: number,
    upEnd: number,
    rankBytes: number,
    down: number,
    downEnd: number,
    sum: number,
  ) => void;
}

const instances = new Map<string, BakeKernels>();

/** The kernels of this thread for one purpose, with a memory of at least so many bytes; growing it moves it. */
export function bakeKernels(purpose: 'blocks' | 'product', bytes: number): BakeKernels {
  let kernels = instances.get(purpose);
  if (kernels === undefined) {
    kernels = new WebAssembly.Instance(new WebAssembly.Module(assemble(functions))).exports as BakeKernels;
    instances.set(purpose, kernels);
  }
  const missing = bytes - kernels.memory.buffer.byteLength;
  if (missing > 0) kernels.memory.grow(Math.ceil(missing / 65_536));
  return kernels;
}

/** Below this a block is zero: its scale's reciprocal would leave float32. */
const nothing = 1e-30;
/** Adding it rounds a float32 to a whole number, which then stands in the lowest bits. */
const rounder = 1.5 * 2 ** 23;
const rounderBits = 0x4b400000;

/** Calls another of the functions below. */
function run(callee: WasmFunction, ...args: readonly Code[]): Code {
  return call(order.indexOf(callee.name), ...args);
}
const order = ['peak', 'cost', 'leastSquares', 'search', 'encode', 'quantise', 'product'];

const lanes = (local: number): Code =>
  scalar.fAdd(
    scalar.fAdd(vec.lane(get(local), 0), vec.lane(get(local), 1)),
    scalar.fAdd(vec.lane(get(local), 2), vec.lane(get(local), 3)),
  );

/** Signed codes of four numbers: round(x · inverse), cut to −half … half − 1. */
const codes = (x: Code, inverse: number, half: number): Code =>
  vec.minInt(
    vec.maxInt(
      vec.subInt(vec.add(vec.mul(x, get(inverse)), vec.splat(f32(rounder))), vec.splatInt(i32(rounderBits))),
      vec.splatInt(scalar.sub(i32(0), get(half))),
    ),
    vec.splatInt(scalar.add(get(half), i32(-1))),
  );

/** (at, end, sums) → the number of the largest magnitude, with its sign; adds Σ x² to the second sum. */
const peak: WasmFunction = {
  name: 'peak',
  params: ['i32', 'i32', 'i32'],
  result: 'f32',
  // 3: numbers; 4: lowest; 5: highest; 6: squares; 7, 8: lowest and highest of all lanes
  locals: ['v128', 'v128', 'v128', 'v128', 'f32', 'f32'],
  body: [
    loop(0, 1, i32(16), [
      set(3, vec.load(get(0))),
      set(4, vec.min(get(4), get(3))),
      set(5, vec.max(get(5), get(3))),
      set(6, vec.add(get(6), vec.mul(get(3), get(3)))),
    ]),
    addTo(2, 8, lanes(6)),
    set(
      7,
      extreme(4, (a, b) => scalar.fLess(a, b)),
    ),
    set(
      8,
      extreme(5, (a, b) => scalar.fLess(b, a)),
    ),
    select(get(8), get(7), scalar.fLess(scalar.fNegate(get(7)), get(8))),
  ],
};

/** Adds a float32 to the float64 at an address. */
function addTo(address: number, offset: number, value: Code): Code {
  const sum = scalar.dAdd(scalar.loadDouble(get(address), offset), scalar.promote(value));
  return scalar.storeDouble(get(address), sum, offset);
}

/** The lane that wins against the others. */
function extreme(local: number, wins: (a: Code, b: Code) => Code): Code {
  const lane = (index: number): Code => vec.lane(get(local), index);
  const better = (a: Code, b: Code): Code => select(a, b, wins(a, b));
  return better(better(lane(0), lane(1)), better(lane(2), lane(3)));
}

/** (at, end, scale, half) → Σ (x − x′)² */
const cost: WasmFunction = {
  name: 'cost',
  params: ['i32', 'i32', 'f32', 'i32'],
  result: 'f32',
  locals: ['v128', 'v128', 'v128', 'v128'],
  body: [
    set(4, vec.splat(scalar.fDiv(f32(1), get(2)))),
    set(5, vec.splat(get(2))),
    loop(0, 1, i32(16), [
      set(6, vec.load(get(0))),
      set(6, vec.sub(get(6), vec.mul(vec.fromInt(codes(get(6), 4, 3)), get(5)))),
      set(7, vec.add(get(7), vec.mul(get(6), get(6)))),
    ]),
    lanes(7),
  ],
};

/** (at, end, inverse, half) → the least-squares scale Σ x·q / Σ q² of the codes that `inverse` gives. */
const leastSquares: WasmFunction = {
  name: 'leastSquares',
  params: ['i32', 'i32', 'f32', 'i32'],
  result: 'f32',
  locals: ['v128', 'v128', 'v128', 'v128', 'v128'],
  body: [
    set(4, vec.splat(get(2))),
    loop(0, 1, i32(16), [
      set(5, vec.load(get(0))),
      set(6, vec.fromInt(codes(get(5), 4, 3))),
      set(7, vec.add(get(7), vec.mul(get(5), get(6)))),
      set(8, vec.add(get(8), vec.mul(get(6), get(6)))),
    ]),
    scalar.fDiv(lanes(7), lanes(8)),
  ],
};

/** (at, end, peak, half, places, placesEnd, scale) → the best of that scale and the searched ones. */
const search: WasmFunction = {
  name: 'search',
  params: ['i32', 'i32', 'f32', 'i32', 'i32', 'i32', 'f32'],
  result: 'f32',
  locals: ['f32', 'f32', 'f32'],
  body: [
    set(7, run(cost, get(0), get(1), get(6), get(3))),
    loop(4, 5, i32(4), [
      set(8, run(leastSquares, get(0), get(1), scalar.fDiv(scalar.load(get(4)), get(2)), get(3))),
      set(9, run(cost, get(0), get(1), get(8), get(3))),
      // A scale that is no number costs no number, and is not below anything.
      when(scalar.fLess(get(9), get(7)), [set(7, get(9)), set(6, get(8))]),
    ]),
    get(6),
  ],
};

/** (at, end, scale, half, out, sums): writes the codes, 8 or 4 bits each; adds Σ (x − x′)² to the first sum. */
const encode: WasmFunction = {
  name: 'encode',
  params: ['i32', 'i32', 'f32', 'i32', 'i32', 'i32'],
  result: null,
  // 6: inverse; 7: scale; 8: numbers; 9 … 12: codes; 13: squares
  locals: Array<'v128'>(8).fill('v128'),
  body: [
    set(6, vec.splat(select(f32(0), scalar.fDiv(f32(1), get(2)), scalar.fEqual(get(2), f32(0))))),
    set(7, vec.splat(get(2))),
    loop(0, 1, i32(64), [
      [0, 1, 2, 3].map((quarter) => {
        const code = 9 + quarter;
        return [
          set(8, vec.load(get(0), 16 * quarter)),
          set(code, codes(get(8), 6, 3)),
          set(8, vec.sub(get(8), vec.mul(vec.fromInt(get(code)), get(7)))),
          set(13, vec.add(get(13), vec.mul(get(8), get(8)))),
          set(code, vec.addInt(get(code), vec.splatInt(get(3)))),
        ];
      }),
      set(9, vec.narrow16(vec.narrow32(get(9), get(10)), vec.narrow32(get(11), get(12)))),
      when(scalar.equal(get(3), i32(128)), [vec.store(get(4), get(9)), set(4, scalar.add(get(4), i32(16)))]),
      when(scalar.equal(get(3), i32(8)), [
        // Of two codes in 16 bits the second moves down beside the first.
        set(
          9,
          vec.or(
            vec.and(get(9), vec.splatInt(i32(0x000f000f))),
            vec.and(vec.shiftRight16(get(9), 4), vec.splatInt(i32(0x00f000f0))),
          ),
        ),
        vec.storeHalf(get(4), vec.narrow16(get(9), get(9))),
        set(4, scalar.add(get(4), i32(8))),
      ]),
    ]),
    addTo(5, 0, lanes(13)),
  ],
};

const quantise: WasmFunction = {
  name: 'quantise',
  params: ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  result: null,
  // 9: end of the block; 10: peak; 11: scale
  locals: ['i32', 'f32', 'f32'],
  body: [
    scalar.storeDouble(get(8), scalar.promote(f32(0))),
    scalar.storeDouble(get(8), scalar.promote(f32(0)), 8),
    loop(0, 1, get(2), [
      set(9, scalar.add(get(0), get(2))),
      set(10, run(peak, get(0), get(9), get(8))),
      set(11, f32(0)),
      when(scalar.fLess(f32(nothing), scalar.fAbs(get(10))), [
        set(11, scalar.fNegate(scalar.fDiv(get(10), scalar.fromInt(get(3))))),
        when(
          scalar.below(get(4), get(5)),
          set(11, run(search, get(0), get(9), get(10), get(3), get(4), get(5), get(11))),
        ),
      ]),
      run(encode, get(0), get(9), get(11), get(3), get(6), get(8)),
      // A code takes a quarter of a number's bytes, or an eighth.
      set(
        6,
        scalar.add(
          get(6),
          select(
            scalar.shiftRight(get(2), i32(2)),
            scalar.shiftRight(get(2), i32(3)),
            scalar.equal(get(3), i32(128)),
          ),
        ),
      ),
      scalar.store(get(7), get(11)),
      set(7, scalar.add(get(7), i32(4))),
    ]),
  ],
};

/** (up, upEnd, rankBytes, down, downEnd, sum) */
const product: WasmFunction = {
  name: 'product',
  params: ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  result: null,
  // 6: the second row of up; 7: where in down; 8 … 15: sums; 16, 17: factors; 18: a quarter of a row of down
  locals: ['i32', 'i32', ...Array<'v128'>(11).fill('v128')],
  body: [
    loop(0, 1, get(2), [
      set(6, scalar.add(get(0), get(2))),
      set(7, get(3)),
      Array.from({ length: 8 }, (_, index) => set(8 + index, vec.zero)),
      loop(7, 4, i32(64), [
        set(16, vec.loadSplat(get(0))),
        set(17, vec.loadSplat(get(6))),
        [0, 1, 2, 3].map((quarter) => [
          set(18, vec.load(get(7), 16 * quarter)),
          set(8 + quarter, vec.add(get(8 + quarter), vec.mul(get(16), get(18)))),
          set(12 + quarter, vec.add(get(12 + quarter), vec.mul(get(17), get(18)))),
        ]),
        set(0, scalar.add(get(0), i32(4))),
        set(6, scalar.add(get(6), i32(4))),
      ]),
      Array.from({ length: 8 }, (_, index) => vec.store(get(5), get(8 + index), 16 * index)),
      set(5, scalar.add(get(5), i32(128))),
    ]),
  ],
};

const functions = [peak, cost, leastSquares, search, encode, quantise, product];
