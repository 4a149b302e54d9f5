import { crc32 } from 'node:zlib';

/** An operation of a pickle with its argument. */
export interface Operation {
  readonly name: string;
  readonly bytes: Buffer;
}

export const operation = (name: string, code: number, argument: Uint8Array = Buffer.alloc(0)): Operation => ({
  name,
  bytes: Buffer.concat([Uint8Array.of(code), argument]),
});
export const text = (value: string): Operation => {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(value));
  return operation(`BINUNICODE "${value}"`, 0x58, Buffer.concat([length, Buffer.from(value)]));
};
export const whole = (value: number): Operation => {
  if (value < 256) return operation(`BININT1 ${value}`, 0x4b, Uint8Array.of(value));
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return operation(`BININT ${value}`, 0x4a, bytes);
};
export const global = (module: string, name: string): Operation =>
  operation(`GLOBAL ${module}.${name}`, 0x63, Buffer.from(`${module}\n${name}\n`));
export const mark = operation('MARK', 0x28);
export const tuple = operation('TUPLE', 0x74);
export const reduce = operation('REDUCE', 0x52);
export const stop = operation('STOP', 0x2e);
/** A tuple of whole numbers. */
function sides(numbers: readonly number[]): Operation[] {
  const items = numbers.map(whole);
  return items.length === 2 ? [...items, operation('TUPLE2', 0x86)] : [mark, ...items, tuple];
}

/** As torch.save describes a tensor, row by row. @param type of its storage, such as `FloatStorage` */
export function tensor(type: string, key: string, shape: readonly number[]): Operation[] {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, side) => product * side, 1));
  return [
    global('torch._utils', '_rebuild_tensor_v2'),
    mark,
    mark,
    text('storage'),
    global('torch', type),
    text(key),
    text('cpu'),
    whole(shape.reduce((product, side) => product * side, 1)),
    tuple,
    operation('BINPERSID', 0x51),
    whole(0),
    ...sides(shape),
    ...sides(strides),
    operation('NEWFALSE', 0x89),
    global('collections', 'OrderedDict'),
    operation('EMPTY_TUPLE', 0x29),
    reduce,
    tuple,
    reduce,
  ];
}

/** A state dictionary of tensors, in the order of their storages `0`, `1`, … */
export function stateDict(
  tensors: readonly { readonly name: string; readonly type: string; readonly shape: readonly number[] }[],
): Operation[] {
  return [
    operation('PROTO', 0x80, Uint8Array.of(2)),
    global('collections', 'OrderedDict'),
    operation('EMPTY_TUPLE', 0x29),
    reduce,
    mark,
    ...tensors.flatMap(({ name, type, shape }, key) => [text(name), ...tensor(type, String(key), shape)]),
    operation('SETITEMS', 0x75),
    stop,
  ];
}

/** A number of an archive: what it says and where it stands. */
export interface ArchiveNumber {
  readonly name: string;
  readonly at: number;
  readonly bytes: 2 | 4;
  readonly littleEndian: boolean;
}

/** A zip archive of stored files as torch.save writes it, and where its numbers stand. */
export function torchArchive(
  operations: readonly Operation[],
  storages: readonly Uint8Array[],
  more: readonly (readonly [name: string, bytes: Uint8Array])[] = [],
): { bytes: Buffer; numbers: ArchiveNumber[] } {
  const members: (readonly [string, Uint8Array])[] = [
    ['model/data.pkl', Buffer.concat(operations.map(({ bytes }) => bytes))],
    ['model/byteorder', Buffer.from('little')],
    ...storages.map((bytes, i) => [`model/data/${i}`, bytes] as const),
    ...more,
  ];
  const pieces: Buffer[] = [];
  const directory: Buffer[] = [];
  const numbers: ArchiveNumber[] = [];
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
