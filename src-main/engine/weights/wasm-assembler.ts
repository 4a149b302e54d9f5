/**
 * Just enough of an assembler for WebAssembly to write a few loops over 128-bit vectors: what JavaScript computes one
 * number at a time, these compute four at a time. Opcodes are those of the WebAssembly 2.0 specification, §5.4.
 */

/** Instructions in order, nested as is handy. */
export type Code = readonly (number | Code)[];

export const types = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b } as const;
export type ValueType = keyof typeof types;

export interface WasmFunction {
  readonly name: string;
  readonly params: readonly ValueType[];
  readonly result: ValueType | null;
  /** Numbered after the parameters. */
  readonly locals: readonly ValueType[];
  readonly body: Code;
}

/** A module of functions and one memory, all exported by name; the memory is called `memory`. */
export function assemble(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const signatures = functions.map(({ params, result }) => [
    0x60,
    vector(params.map((type) => [types[type]])),
    vector(result === null ? [] : [[types[result]]]),
  ]);
  const exported = functions.map(({ name }, index) => [text(name), 0x00, unsigned(index)]);
  const bodies = functions.map(({ locals, body }) =>
    sized([vector(locals.map((type) => [0x01, types[type]])), body, 0x0b]),
  );
  const section = (id: number, entries: readonly Code[]): Code => [id, sized(vector(entries))];
  return Uint8Array.from(
    flat([
      [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      section(1, signatures),
      section(
        3,
        functions.map((_, index) => unsigned(index)),
      ),
      section(5, [[0x00, 0x01]]),
      section(7, [...exported, [text('memory'), 0x02, 0x00]]),
      section(10, bodies),
    ]),
  );
}

export const get = (local: number): Code => [0x20, unsigned(local)];
export const set = (local: number, value: Code): Code => [value, 0x21, unsigned(local)];
export const call = (index: number, ...args: readonly Code[]): Code => [args, 0x10, unsigned(index)];
export const i32 = (value: number): Code => [0x41, signed(value)];
export const f32 = (value: number): Code => [0x43, [...new Uint8Array(Float32Array.of(value).buffer)]];
/** `yes` where the condition is not 0; both are computed. */
export const select = (yes: Code, no: Code, condition: Code): Code => [yes, no, condition, 0x1b];
export const when = (condition: Code, body: Code): Code => [condition, 0x04, 0x40, body, 0x0b];

const binary =
  (opcode: number) =>
  (a: Code, b: Code): Code => [a, b, opcode];
export const scalar = {
  add: binary(0x6a),
  sub: binary(0x6b),
  shiftRight: binary(0x76),
  below: binary(0x49),
  equal: binary(0x46),
  fAdd: binary(0x92),
  fDiv: binary(0x95),
  fLess: binary(0x5d),
  fEqual: binary(0x5b),
  fAbs: (a: Code): Code => [a, 0x8b],
  fNegate: (a: Code): Code => [a, 0x8c],
  fromInt: (a: Code): Code => [a, 0xb2],
  dAdd: binary(0xa0),
  promote: (a: Code): Code => [a, 0xbb],
  load: (at: Code, offset = 0): Code => [at, 0x2a, 0x02, unsigned(offset)],
  store: (at: Code, value: Code): Code => [at, value, 0x38, 0x02, 0x00],
  loadDouble: (at: Code, offset = 0): Code => [at, 0x2b, 0x03, unsigned(offset)],
  storeDouble: (at: Code, value: Code, offset = 0): Code => [at, value, 0x39, 0x03, unsigned(offset)],
} as const;

const simd = (opcode: number): Code => [0xfd, unsigned(opcode)];
const pair =
  (opcode: number) =>
  (a: Code, b: Code): Code => [a, b, simd(opcode)];
const one =
  (opcode: number) =>
  (a: Code): Code => [a, simd(opcode)];
export const vec = {
  load: (at: Code, offset = 0): Code => [at, simd(0x00), 0x00, unsigned(offset)],
  /** One number in all four lanes. */
  loadSplat: (at: Code, offset = 0): Code => [at, simd(0x09), 0x00, unsigned(offset)],
  store: (at: Code, value: Code, offset = 0): Code => [at, value, simd(0x0b), 0x00, unsigned(offset)],
  /** The lower 8 bytes. */
  storeHalf: (at: Code, value: Code): Code => [at, value, simd(0x5b), 0x00, 0x00, 0x00],
  splat: one(0x13),
  splatInt: one(0x11),
  lane: (a: Code, index: number): Code => [a, simd(0x1f), index],
  add: pair(0xe4),
  sub: pair(0xe5),
  mul: pair(0xe6),
  min: pair(0xea),
  max: pair(0xeb),
  addInt: pair(0xae),
  subInt: pair(0xb1),
  minInt: pair(0xb6),
  maxInt: pair(0xb8),
  fromInt: one(0xfa),
  and: pair(0x4e),
  or: pair(0x50),
  /** Of eight 16-bit lanes. */
  shiftRight16: (a: Code, bits: number): Code => [a, i32(bits), simd(0x8d)],
  /** Two vectors of four 32-bit lanes as eight of 16 bits. */
  narrow32: pair(0x85),
  /** Two vectors of eight 16-bit lanes as sixteen of 8 bits, without sign. */
  narrow16: pair(0x66),
  zero: [0xfd, 0x0c, Array<number>(16).fill(0)] as Code,
} as const;

/** Repeats while the local, raised by `step` each time, is below the other; at least once. */
export function loop(local: number, end: number, step: Code, body: Code): Code {
  return [
    [0x03, 0x40],
    body,
    set(local, scalar.add(get(local), step)),
    scalar.below(get(local), get(end)),
    [0x0d, 0x00, 0x0b],
  ];
}

function flat(code: Code): number[] {
  return (code as readonly unknown[]).flat(Infinity) as number[];
}

function sized(code: Code): Code {
  const bytes = flat(code);
  return [unsigned(bytes.length), bytes];
}

function vector(entries: readonly Code[]): Code {
  return [unsigned(entries.length), ...entries];
}

function text(value: string): Code {
  return sized([...new TextEncoder().encode(value)]);
}

/** LEB128 */
function unsigned(value: number): Code {
  const bytes: number[] = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

/** LEB128 of 32 bits */
function signed(value: number): Code {
  const bytes: number[] = [];
  for (;;) {
    const low = value & 0x7f;
    value >>= 7;
    if ((value === 0 && (low & 0x40) === 0) || (value === -1 && (low & 0x40) !== 0)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}
