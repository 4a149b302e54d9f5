import { crc32 } from 'node:zlib';
import { sampleBytes } from '../../support/project.ts';
import {
  emptied,
  ofAnotherKind,
  renumbered,
  scrambled,
  truncated,
  type ByteChange,
  type NumberField,
  type Random,
} from '../mutate.ts';
import { checkpointTarget, type Ways } from './checkpoint.ts';

/** An operation of a pickle with its argument. */
interface Operation {
  readonly name: string;
  readonly bytes: Buffer;
}

const operation = (name: string, code: number, argument: Uint8Array = Buffer.alloc(0)): Operation => ({
  name,
  bytes: Buffer.concat([Uint8Array.of(code), argument]),
});
const text = (value: string): Operation => {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(value));
  return operation(`BINUNICODE "${value}"`, 0x58, Buffer.concat([length, Buffer.from(value)]));
};
const whole = (value: number): Operation => operation(`BININT1 ${value}`, 0x4b, Uint8Array.of(value));
const global = (module: string, name: string): Operation =>
  operation(`GLOBAL ${module}.${name}`, 0x63, Buffer.from(`${module}\n${name}\n`));
const mark = operation('MARK', 0x28);
const tuple = operation('TUPLE', 0x74);
const reduce = operation('REDUCE', 0x52);
const stop = operation('STOP', 0x2e);
const put = (key: number): Operation => operation(`BINPUT ${key}`, 0x71, Uint8Array.of(key));
const get = (key: number): Operation => operation(`BINGET ${key}`, 0x68, Uint8Array.of(key));
const emptyDict = operation('EMPTY_DICT', 0x7d);

/** As torch.save describes a tensor of two sides. */
function tensor(type: string, key: string, rows: number, columns: number): Operation[] {
  return [
    global('torch._utils', '_rebuild_tensor_v2'),
    mark,
    mark,
    text('storage'),
    global('torch', type),
    text(key),
    text('cpu'),
    whole(rows * columns),
    tuple,
    operation('BINPERSID', 0x51),
    whole(0),
    whole(rows),
    whole(columns),
    operation('TUPLE2', 0x86),
    whole(columns),
    whole(1),
    operation('TUPLE2', 0x86),
    operation('NEWFALSE', 0x89),
    global('collections', 'OrderedDict'),
    operation('EMPTY_TUPLE', 0x29),
    reduce,
    tuple,
    reduce,
  ];
}

const storages = [sampleBytes(24, 5), sampleBytes(24, 6)];
const pickle: readonly Operation[] = [
  operation('PROTO', 0x80, Uint8Array.of(2)),
  global('collections', 'OrderedDict'),
  operation('EMPTY_TUPLE', 0x29),
  reduce,
  put(0),
  mark,
  text('blocks.0.weight'),
  ...tensor('FloatStorage', '0', 2, 3),
  put(1),
  text('head.weight'),
  ...tensor('BFloat16Storage', '1', 3, 4),
  operation('SETITEMS', 0x75),
  stop,
];

/** A zip archive of stored files, and where its numbers stand. */
function archive(
  operations: readonly Operation[],
  more: readonly (readonly [name: string, bytes: Uint8Array])[] = [],
): { bytes: Buffer; numbers: NumberField[] } {
  const members: (readonly [string, Uint8Array])[] = [
    ['model/data.pkl', Buffer.concat(operations.map(({ bytes }) => bytes))],
    ['model/byteorder', Buffer.from('little')],
    ...storages.map((bytes, i) => [`model/data/${i}`, bytes] as const),
    ...more,
  ];
  const pieces: Buffer[] = [];
  const directory: Buffer[] = [];
  const numbers: NumberField[] = [];
  let at = 0;
  let inDirectory = 0;
  for (const [name, bytes] of members) {
    const sum = crc32(bytes);
    const head = Buffer.alloc(30);
    head.writeUInt32LE(0x04034b50, 0);
    head.writeUInt32LE(sum, 14);
    head.writeUInt32LE(bytes.length, 18);
    head.writeUInt32LE(bytes.length, 22);
    head.writeUInt16LE(name.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt32LE(sum, 16);
    entry.writeUInt32LE(bytes.length, 20);
    entry.writeUInt32LE(bytes.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(at, 42);
    for (const [field, place, size] of [
      ['length of the name', 26, 2],
      ['length of the extra field', 28, 2],
    ] as const) {
      numbers.push({ name: `${name}, ${field} before it`, at: at + place, bytes: size, littleEndian: true });
    }
    for (const [field, place, size] of [
      ['signature', 0, 4],
      ['compression', 10, 2],
      ['compressed size', 20, 4],
      ['size', 24, 4],
      ['length of the name', 28, 2],
      ['length of the extra field', 30, 2],
      ['length of the comment', 32, 2],
      ['place', 42, 4],
    ] as const) {
      numbers.push({
        name: `${name}, ${field}`,
        at: -1 - inDirectory - place,
        bytes: size,
        littleEndian: true,
      });
    }
    pieces.push(head, Buffer.from(name), Buffer.from(bytes));
    directory.push(entry, Buffer.from(name));
    at += 30 + name.length + bytes.length;
    inDirectory += 46 + name.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(inDirectory, 12);
  end.writeUInt32LE(at, 16);
  for (const [field, place, size] of [
    ['number of files', 10, 2],
    ['size of the directory', 12, 4],
    ['place of the directory', 16, 4],
  ] as const) {
    numbers.push({ name: field, at: at + inDirectory + place, bytes: size, littleEndian: true });
  }
  return {
    bytes: Buffer.concat([...pieces, ...directory, end]),
    // Those of the directory were counted from its beginning, downwards.
    numbers: numbers.map((field) => (field.at < 0 ? { ...field, at: at - 1 - field.at } : field)),
  };
}

const { bytes: sound, numbers } = archive(pickle);

/** Operations that no file of weights needs: they call, import, build, or refer to what is not there. */
const foreign: readonly Operation[] = [
  global('os', 'system'),
  global('builtins', 'eval'),
  global('torch._utils', '_rebuild_anything'),
  global('__builtin__', 'constructor'),
  operation('INST', 0x69, Buffer.from('os\nsystem\n')),
  operation('OBJ', 0x6f),
  operation('NEWOBJ', 0x81),
  operation('NEWOBJ_EX', 0x92),
  operation('EXT1', 0x82, Uint8Array.of(1)),
  operation('PERSID', 0x50, Buffer.from('0\n')),
  operation('BINPERSID', 0x51),
  operation('BUILD', 0x62),
  operation('REDUCE', 0x52),
  operation('STACK_GLOBAL', 0x93),
  operation('DUP', 0x32),
  operation('POP', 0x30),
  operation('BINGET 200', 0x68, Uint8Array.of(200)),
  operation('LONG_BINGET', 0x6a, Buffer.from([255, 255, 255, 255])),
  operation('LONG1 of 255 bytes', 0x8a, Buffer.concat([Uint8Array.of(255), Buffer.alloc(255, 0x7f)])),
  operation('LONG4 of 2 GB', 0x8b, Buffer.from([255, 255, 255, 127])),
  operation('BINUNICODE of 4 GB', 0x58, Buffer.from([255, 255, 255, 255])),
  operation('BINUNICODE8 of 2⁶³ bytes', 0x8d, Buffer.from([0, 0, 0, 0, 0, 0, 0, 128])),
  operation('BINBYTES of 4 GB', 0x42, Buffer.from([255, 255, 255, 255])),
  operation('FRAME of 2⁶³ bytes', 0x95, Buffer.from([0, 0, 0, 0, 0, 0, 0, 128])),
  operation('BININT −1', 0x4a, Buffer.from([255, 255, 255, 255])),
  operation('BININT 2³¹ − 1', 0x4a, Buffer.from([255, 255, 255, 127])),
  operation('BINFLOAT NaN', 0x47, Buffer.from([0x7f, 0xf8, 0, 0, 0, 0, 0, 0])),
  operation('PROTO 255', 0x80, Uint8Array.of(255)),
  operation('APPEND', 0x61),
  operation('SETITEM', 0x73),
  operation('SETITEMS', 0x75),
  operation('TUPLE3', 0x87),
  operation('NONE', 0x4e),
  operation('MARK', 0x28),
  operation('STOP', 0x2e),
  operation('an unused code', 0xff),
];

function byOperation(random: Random): ByteChange {
  const index = 1 + random.int(pickle.length - 1);
  const old = pickle[index]!;
  const other = random.pick(foreign.filter(({ bytes }) => !bytes.equals(old.bytes)));
  const [change, operations] = random.pick([
    [`becomes ${other.name}`, pickle.with(index, other)],
    [`has ${other.name} before it`, pickle.toSpliced(index, 0, other)],
    ['is left out', pickle.toSpliced(index, 1)],
    ['is there twice', pickle.toSpliced(index, 0, old)],
    ['changes place with the next', pickle.toSpliced(index, 2, pickle[index + 1] ?? stop, old)],
  ] as const);
  return {
    field: `data.pkl, operation ${index} (${old.name})`,
    change,
    mustRefuse: /becomes GLOBAL (os|builtins)/.test(change) && old.name.startsWith('GLOBAL torch._'),
    bytes: archive(operations).bytes,
  };
}

const begun = pickle.slice(0, 1);

function byStructure(random: Random): ByteChange {
  const [field, change, mustRefuse, operations, more] = random.pick([
    ['data.pkl', 'empty', true, []],
    ['data.pkl', 'without an end', true, pickle.slice(0, -1)],
    ['data.pkl', 'calls os.system', true, [...begun, global('os', 'system'), mark, text('true'), tuple, reduce, stop]],
    ['data.pkl', 'dictionaries that hold each other in more places than there is time for', true, bomb()],
    ['data.pkl', 'a name longer than memory', true, longName()],
    ['data.pkl', 'a dictionary that holds itself', true, [...begun, emptyDict, put(0), text('a'), get(0), operation('SETITEM', 0x73), stop]],
    ['data.pkl', 'nested a hundred thousand times', false, [...begun, emptyDict, ...Array.from({ length: 100_000 }, () => operation('TUPLE1', 0x85)), stop]],
    ['data.pkl', 'three million marks', true, [...begun, ...Array.from({ length: 3_000_000 }, () => mark), stop]],
    ['data.pkl', 'a number instead', true, [...begun, whole(7), stop]],
    ['data.pkl', 'a list instead', true, [...begun, operation('EMPTY_LIST', 0x5d), stop]],
    ['blocks.0.weight, storage', 'one that is not there', true, replaced('BINUNICODE "0"', text('99'))],
    ['blocks.0.weight, storage', 'a path', true, replaced('BINUNICODE "0"', text('../../../etc/passwd'))],
    ['blocks.0.weight, storage', 'of an unknown type', true, replaced('GLOBAL torch.FloatStorage', global('torch', 'ComplexStorage'))],
    ['blocks.0.weight, storage', 'of a wider type', true, replaced('GLOBAL torch.FloatStorage', global('torch', 'DoubleStorage'))],
    ['blocks.0.weight, storage', 'no storage', true, replaced('BINUNICODE "storage"', text('module'))],
    ['blocks.0.weight, name', 'of the language', false, replaced('BINUNICODE "blocks.0.weight"', text('__proto__'))],
    ['blocks.0.weight, name', 'that of another', false, replaced('BINUNICODE "blocks.0.weight"', text('head.weight'))],
    ['blocks.0.weight, sides', 'larger than its bytes', true, replaced('BININT1 2', whole(200))],
    ['blocks.0.weight, sides', 'a side of zero', false, replaced('BININT1 2', whole(0))],
    ['blocks.0.weight, strides', 'not by rows', true, replaced('BININT1 1', whole(2))],
    ['byteorder', 'big', true, pickle, [['model/byteorder', Buffer.from('big')]]],
    ['the archive', 'a second model', false, pickle, [['other/data.pkl', Buffer.from('x')]]],
    ['the archive', 'a member twice', true, pickle, [['model/data/0', storages[1]!]]],
    ['the archive', 'a member outside it', false, pickle, [['../../outside', Buffer.from('x')]]],
  ] as const satisfies readonly (readonly [string, string, boolean, readonly Operation[], (readonly (readonly [string, Uint8Array])[])?])[]); // prettier-ignore
  return { field, change, mustRefuse, bytes: archive(operations, more).bytes };
}

/** The first of an operation replaced. */
function replaced(name: string, other: Operation): Operation[] {
  const index = pickle.findIndex((found) => found.name === name);
  if (index < 0) throw new Error(`The pickle has no ${name}.`);
  return pickle.with(index, other);
}

/** Seven dictionaries, each with the one before it a hundred times: 10¹⁴ places in a few kilobytes. */
function bomb(): Operation[] {
  const made: Operation[] = [...begun, emptyDict, put(0)];
  for (let depth = 1; depth <= 7; depth++) {
    made.push(emptyDict, put(depth), mark);
    for (let i = 0; i < 100; i++) made.push(text(String(i)), get(depth - 1));
    made.push(operation('SETITEMS', 0x75));
  }
  return [...made, stop];
}

/** A pair of pairs of pairs … as the name of a function: 2⁴⁰ letters, were it written out. */
function longName(): Operation[] {
  const made: Operation[] = [...begun, text('a'), put(0)];
  for (let depth = 0; depth < 40; depth++) made.push(get(0), get(0), operation('TUPLE2', 0x86), put(0));
  return [...made, text('name'), operation('STACK_GLOBAL', 0x93), stop];
}

const pickleAt = sound.indexOf('model/data.pkl') + 'model/data.pkl'.length;
const pickleBytes = pickle.reduce((sum, { bytes }) => sum + bytes.length, 0);

const ways: Ways = [
  byOperation,
  byStructure,
  (random) => renumbered(random, sound, random.pick(numbers)),
  byOperation,
  (random) => scrambled(random, sound, { name: 'data.pkl', at: pickleAt, length: pickleBytes }),
  byOperation,
  (random) => renumbered(random, sound, random.pick(numbers)),
  byStructure,
  (random) => truncated(random, sound),
  byOperation,
  (random) => scrambled(random, sound, { name: 'the archive', at: 0, length: sound.length }),
  (random) => (random.int(4) === 0 ? emptied() : ofAnotherKind(random)),
];

/** PyTorch's zip: other operations in its pickle, and the numbers of the archive. */
export const torchZips = checkpointTarget('PyTorch', 4, 'case.pth', sound, ways);
