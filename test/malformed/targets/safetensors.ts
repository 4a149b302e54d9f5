import { sampleBytes } from '../../support/project.ts';
import {
  emptied,
  ofAnotherKind,
  scrambled,
  toJsonText,
  truncated,
  type ByteChange,
  type Random,
} from '../mutate.ts';
import { checkpointTarget, type Ways } from './checkpoint.ts';

type Header = Record<
  string,
  { dtype: unknown; shape: unknown; data_offsets: unknown } | Record<string, unknown>
>;

const data = sampleBytes(48 + 20 + 12 + 6 + 8, 31);
const header = (): Header => ({
  __metadata__: { format: 'pt' },
  'blocks.0.weight': { dtype: 'F32', shape: [3, 4], data_offsets: [0, 48] },
  'blocks.0.bias': { dtype: 'F16', shape: [10], data_offsets: [48, 68] },
  head: { dtype: 'BF16', shape: [1, 6], data_offsets: [68, 80] },
  'blocks.1.weight': { dtype: 'F8_E4M3', shape: [2, 3], data_offsets: [80, 86] },
  'blocks.1.scale_weight': { dtype: 'F32', shape: [2], data_offsets: [86, 94] },
});

function file(text: string, length = BigInt(Buffer.byteLength(text)), tail: Uint8Array = data): Uint8Array {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length);
  return Buffer.concat([prefix, Buffer.from(text), tail]);
}

const sound = file(JSON.stringify(header()));
const headerBytes = sound.length - 8 - data.length;

/** Fields of a tensor's entry, and values they cannot have. */
const values: readonly (readonly [
  field: 'dtype' | 'shape' | 'data_offsets',
  change: string,
  value: unknown,
])[] = [
  ['dtype', 'unknown', 'F128'],
  ['dtype', 'of another length', 'F64'],
  ['dtype', 'a word of the language', 'constructor'],
  ['dtype', 'a number', 32],
  ['dtype', 'null', null],
  ['shape', 'negative sides', [-3, -4]],
  ['shape', 'a fraction', [1.5, 8]],
  ['shape', 'NaN', [Number.NaN]],
  ['shape', 'infinite', [Number.POSITIVE_INFINITY, 0]],
  ['shape', 'huge', [2 ** 53, 2 ** 53]],
  ['shape', 'product beyond 64 bits', [2 ** 32, 2 ** 32, 2 ** 32]],
  ['shape', 'larger than its bytes', [1000, 1000]],
  ['shape', 'too many sides', Array.from({ length: 40 }, () => 1)],
  ['shape', 'text', '[3,4]'],
  ['shape', 'missing', undefined],
  ['data_offsets', 'the end before the beginning', [48, 0]],
  ['data_offsets', 'negative', [-48, 0]],
  ['data_offsets', 'beyond the file', [0, 4_800_000]],
  ['data_offsets', 'far beyond the file', [2 ** 52, 2 ** 52 + 48]],
  ['data_offsets', 'NaN', [Number.NaN, 48]],
  ['data_offsets', 'a fraction', [0.5, 48.5]],
  ['data_offsets', 'over another tensor', [20, 68]],
  ['data_offsets', 'three of them', [0, 24, 48]],
  ['data_offsets', 'missing', undefined],
];

function byEntry(random: Random): ByteChange {
  const changed = header();
  const name = random.pick(Object.keys(changed).slice(1));
  const [field, change, value] = random.pick(values);
  (changed[name] as Record<string, unknown>)[field] = value;
  return { field: `${name}.${field}`, change, mustRefuse: true, bytes: file(toJsonText(changed)) };
}

function byStructure(random: Random): ByteChange {
  const text = JSON.stringify(header());
  const [field, change, bytes] = random.pick([
    ['header length', 'zero', file(text, 0n)],
    ['header length', 'one', file(text, 1n)],
    ['header length', 'beyond the file', file(text, 1_000_000n)],
    ['header length', 'beyond memory', file(text, 2n ** 63n)],
    ['header length', 'all ones', file(text, 2n ** 64n - 1n)],
    ['header length', 'one byte short', file(text, BigInt(text.length - 1))],
    ['header', 'not JSON', file(text.replace('{', '('))],
    ['header', 'a list', file('[]')],
    ['header', 'a number', file('17')],
    ['header', 'nested without end', file('['.repeat(200_000))],
    ['header', 'a tensor named twice', file(text.replace('"head"', '"blocks.0.bias"'))],
    ['header', 'no tensors, but data', file('{}')],
    ['__metadata__', 'a number in it', file(text.replace('"pt"', '7'))],
    ['__metadata__', 'a list', file(text.replace('{"format":"pt"}', '[]'))],
    ['head', 'a list', file(text.replace(/"head":\{.*?\}/, '"head":[]'))],
    ['head', 'without a name', file(text.replace('"head"', '""'))],
    ['head', 'left out, its bytes not', file(text.replace(/,"head":\{.*?\}/, ''))],
    ['data', 'one byte too many', file(text, undefined, Buffer.concat([data, Buffer.alloc(1)]))],
    ['data', 'none', file(text, undefined, Buffer.alloc(0))],
  ] as const);
  return { field, change, mustRefuse: true, bytes };
}

const ways: Ways = [
  byEntry,
  byStructure,
  (random) => scrambled(random, sound, { name: 'header', at: 0, length: 8 + headerBytes }),
  byEntry,
  (random) => truncated(random, sound),
  (random) => scrambled(random, sound, { name: 'data', at: 8 + headerBytes, length: data.length }),
  byStructure,
  (random) => (random.int(3) === 0 ? emptied() : ofAnotherKind(random)),
];

/** Weights: the header's claims against the file. */
export const weights = checkpointTarget('safetensors', 2, 'case.safetensors', sound, ways);
