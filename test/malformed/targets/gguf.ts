import { sampleBytes } from '../../support/project.ts';
import { emptied, ofAnotherKind, scrambled, truncated, type ByteChange, type Random } from '../mutate.ts';
import { checkpointTarget, type Ways } from './checkpoint.ts';

/** A number of the header, as it is written. */
interface Field {
  readonly name: string;
  readonly bytes: 4 | 8;
  readonly value: bigint;
}

const alignment = 32;
const data = sampleBytes(4 * alignment, 47);
const u32 = (name: string, value: number): Field => ({ name, bytes: 4, value: BigInt(value) });
const u64 = (name: string, value: number): Field => ({ name, bytes: 8, value: BigInt(value) });
const text = (name: string, value: string): (Field | string)[] => [
  u64(`${name}, length`, Buffer.byteLength(value)),
  value,
];

interface Stored {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: number;
  readonly offset: number;
}

/** Of every kind: plain numbers, halves, and blocks of 32 in 34 bytes (Q8_0). */
const tensors: readonly Stored[] = [
  { name: 'blocks.0.weight', shape: [4, 2], type: 0, offset: 0 },
  { name: 'blocks.0.bias', shape: [7], type: 1, offset: alignment },
  { name: 'head.weight', shape: [32, 1], type: 8, offset: 2 * alignment },
];

function fields(stored: readonly Stored[] = tensors): (Field | string)[] {
  return [
    u32('magic', 0x46554747),
    u32('version', 3),
    u64('number of tensors', stored.length),
    u64('number of values', 3),
    ...text('general.architecture', 'general.architecture'),
    u32('general.architecture, type', 8),
    ...text('general.architecture, value', 'wan'),
    ...text('general.alignment', 'general.alignment'),
    u32('general.alignment, type', 4),
    u32('general.alignment, value', alignment),
    ...text('a list', 'some.list'),
    u32('a list, type', 9),
    u32('a list, type of its items', 4),
    u64('a list, length', 2),
    u32('a list, item 0', 4),
    u32('a list, item 1', 5),
    ...stored.flatMap(({ name, shape, type, offset }) => [
      ...text(name, name),
      u32(`${name}, number of sides`, shape.length),
      ...shape.map((side, axis) => u64(`${name}, side ${axis}`, side)),
      u32(`${name}, type`, type),
      u64(`${name}, offset`, offset),
    ]),
  ];
}

function file(parts: readonly (Field | string)[], tail: Uint8Array = data): Buffer {
  const header = Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'string') return Buffer.from(part);
      const number = Buffer.alloc(8);
      number.writeBigUInt64LE(BigInt.asUintN(64, part.value));
      return number.subarray(0, part.bytes);
    }),
  );
  return Buffer.concat([header, Buffer.alloc((alignment - (header.length % alignment)) % alignment), tail]);
}

const sound = file(fields());
const headerBytes = sound.length - data.length;

/** Numbers that are wrong wherever they stand, but for those named: a larger file could be meant with them. */
function byNumber(random: Random): ByteChange {
  const parts = fields();
  const at = random.pick(parts.flatMap((part, index) => (typeof part === 'string' ? [] : [index])));
  const field = parts[at] as Field;
  const most = 2n ** BigInt(8 * field.bytes) - 1n;
  const [change, value] = random.pick(
    (
      [
        ['zero', 0n],
        ['one more', field.value + 1n],
        ['doubled', field.value * 2n],
        ['2³¹', 2n ** 31n],
        ['2³² − 1', 2n ** 32n - 1n],
        ['2⁴⁰', 2n ** 40n],
        ['2⁵³', 2n ** 53n],
        ['2⁶³', 2n ** 63n],
        ['all ones', most],
        ['any', BigInt(random.int(2 ** 31))],
      ] as const
    ).filter(([, changed]) => changed !== field.value && changed <= most),
  );
  parts[at] = { ...field, value };
  // A list's items are nobody's business, and a type or a side may be changed into another that fits.
  const mustRefuse =
    /^(magic|version|number of)/.test(field.name) || (value >= 2n ** 31n && !field.name.includes('item'));
  return { field: field.name, change, mustRefuse, bytes: file(parts) };
}

function byStructure(random: Random): ByteChange {
  const changed = (index: number, change: Partial<Stored>): Buffer =>
    file(fields(tensors.map((tensor, i) => (i === index ? { ...tensor, ...change } : tensor))));
  const [field, change, mustRefuse, bytes] = random.pick([
    ['blocks.0.weight, type', 'Q2_K, which is not read', true, changed(0, { type: 10 })],
    ['blocks.0.weight, type', 'unknown', true, changed(0, { type: 99 })],
    ['blocks.0.weight, type', 'blocks that its sides do not fit', true, changed(0, { type: 12 })],
    ['blocks.0.weight, type', 'twice as wide', false, changed(0, { type: 28 })],
    ['blocks.0.bias, name', 'that of another', true, changed(1, { name: 'blocks.0.weight' })],
    ['blocks.0.bias, name', 'none', true, changed(1, { name: '' })],
    ['blocks.0.bias, name', 'endless', true, changed(1, { name: 'x'.repeat(4000) })],
    ['blocks.0.bias, name', 'of the language', false, changed(1, { name: '__proto__' })],
    ['blocks.0.bias, offset', 'over another tensor', true, changed(1, { offset: 0 })],
    ['blocks.0.bias, offset', 'between two places', true, changed(1, { offset: 33 })],
    ['blocks.0.bias, offset', 'at the end of the file', true, changed(1, { offset: data.length })],
    ['blocks.0.bias, sides', 'none', false, changed(1, { shape: [] })],
    ['blocks.0.bias, sides', 'a side of zero', false, changed(1, { shape: [0, 3] })],
    ['blocks.0.bias, sides', 'nine', true, changed(1, { shape: Array.from({ length: 9 }, () => 1) })],
    ['blocks.0.bias, sides', 'product beyond 64 bits', true, changed(1, { shape: [2 ** 31, 2 ** 31, 8] })],
    ['head.weight, sides', 'half a block', true, changed(2, { shape: [16, 2] })],
    ['data', 'none', true, file(fields(), Buffer.alloc(0))],
    ['data', 'one byte too many', false, file(fields(), Buffer.concat([data, Buffer.alloc(1)]))],
    ['header', 'no tensors', true, file(fields([]))],
    ['header', 'ten thousand tensors in one place', true, many()],
  ] as const);
  return { field, change, mustRefuse, bytes };
}

function many(): Buffer {
  return file(
    fields(Array.from({ length: 10_000 }, (_, i) => ({ name: `t${i}`, shape: [1], type: 0, offset: 0 }))),
  );
}

const ways: Ways = [
  byNumber,
  byStructure,
  byNumber,
  (random) => scrambled(random, sound, { name: 'header', at: 0, length: headerBytes }),
  byNumber,
  (random) => truncated(random, sound.subarray(0, sound.length - 30)),
  byNumber,
  (random) => scrambled(random, sound, { name: 'data', at: headerBytes, length: data.length }),
  byStructure,
  (random) => (random.int(3) === 0 ? emptied() : ofAnotherKind(random)),
];

/** GGUF: counts, types, lengths, sides and offsets of the header against the file. */
export const gguf = checkpointTarget('GGUF', 3, 'case.gguf', sound, ways);
