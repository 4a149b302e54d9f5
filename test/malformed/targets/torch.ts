import { sampleBytes } from '../../support/project.ts';
import {
  global,
  mark,
  operation,
  reduce,
  stop,
  tensor,
  text,
  torchArchive,
  tuple,
  whole,
  type Operation,
} from '../../support/torch-file.ts';
import {
  emptied,
  ofAnotherKind,
  renumbered,
  scrambled,
  truncated,
  type ByteChange,
  type Random,
} from '../mutate.ts';
import { checkpointTarget, type Ways } from './checkpoint.ts';

const put = (key: number): Operation => operation(`BINPUT ${key}`, 0x71, Uint8Array.of(key));
const get = (key: number): Operation => operation(`BINGET ${key}`, 0x68, Uint8Array.of(key));
const emptyDict = operation('EMPTY_DICT', 0x7d);

const storages = [sampleBytes(24, 5), sampleBytes(24, 6)];
const pickle: readonly Operation[] = [
  operation('PROTO', 0x80, Uint8Array.of(2)),
  global('collections', 'OrderedDict'),
  operation('EMPTY_TUPLE', 0x29),
  reduce,
  put(0),
  mark,
  text('blocks.0.weight'),
  ...tensor('FloatStorage', '0', [2, 3]),
  put(1),
  text('head.weight'),
  ...tensor('BFloat16Storage', '1', [3, 4]),
  operation('SETITEMS', 0x75),
  stop,
];

function archive(
  operations: readonly Operation[],
  more: readonly (readonly [name: string, bytes: Uint8Array])[] = [],
): ReturnType<typeof torchArchive> {
  return torchArchive(operations, storages, more);
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
