import { resolve } from 'node:path';
import { clip, invalid, type Checkpoint, type TensorEntry } from './checkpoint.ts';
import { dtypeBytes, type Dtype } from './dtypes.ts';
import { PickleRefused, readStateDict, type PickledTensor } from './pickle.ts';
import { openFiles, withFile, type FileHeader, type OpenedFile } from './tensor-files.ts';

export const zipMagic = 0x04034b50;
const maxPickleBytes = 64 * 1024 * 1024;
const maxDirectoryBytes = 64 * 1024 * 1024;
const maxFiles = 100_000;

const storageFormats: Readonly<Record<string, Dtype>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};
const anotherFile = 'Take the .safetensors file of the same model instead.';
/** Names that trainers put around the state dictionary itself. */
const wrappers = /^(state_dict|model|module|model_state_dict)\./;

/**
 * Opens a `.pth` or `.pt` file as `torch.save` writes it: a zip archive with a pickle of the names and one file for
 * each storage. Nothing in the pickle is executed; tensors are used where they lie.
 * @throws PusaError FILE_NOT_FOUND, FILE_EMPTY, CHECKPOINT_INVALID
 */
export async function openTorchZip(path: string): Promise<Checkpoint> {
  const absolute = resolve(path);
  return openFiles(absolute, [await withFile(absolute, readHeader)]);
}

async function readHeader(file: OpenedFile): Promise<FileHeader> {
  const { path } = file;
  const members = await readDirectory(file);
  const pickle = [...members.keys()].find((name) => name === 'data.pkl' || /^[^/]+\/data\.pkl$/.test(name));
  if (pickle === undefined) {
    throw invalid(
      path,
      'it is a zip archive without a model of PyTorch in it',
      'If the model was packed for sending, unpack it and choose the file inside.',
    );
  }
  const folder = pickle.slice(0, -'data.pkl'.length);
  const order = members.get(`${folder}byteorder`);
  if (order !== undefined) {
    const text = new TextDecoder().decode(
      await file.read(await dataStart(file, order), Math.min(order.bytes, 16)),
    );
    if (text.trim() !== 'little') throw invalid(path, 'it was written on a big-endian machine', anotherFile);
  }
  const described = members.get(pickle)!;
  if (described.bytes > maxPickleBytes)
    throw invalid(path, 'its list of tensors is longer than any model needs');
  const tensors = stateDict(path, await file.read(await dataStart(file, described), described.bytes));
  const starts = new Map<string, number>();
  const entries = new Map<string, TensorEntry>();
  for (const [fullName, tensor] of tensors) {
    const name = fullName.replace(wrappers, '');
    const shown = clip(name);
    const { key } = tensor.storage;
    const member = members.get(`${folder}data/${key}`);
    if (member === undefined) throw invalid(path, `the values of "${shown}" are not in it`);
    const format = storageFormats[tensor.storage.type];
    if (format === undefined)
      throw invalid(path, `"${shown}" is kept in a ${clip(tensor.storage.type)}`, anotherFile);
    const size = dtypeBytes[format];
    const count = tensor.shape.reduce((product, side) => product * side, 1);
    if (!isRowMajor(tensor)) throw invalid(path, `"${shown}" is not stored row by row`, anotherFile);
    const bytes = count * size;
    if ((tensor.offset + count) * size > member.bytes) {
      throw invalid(path, `"${shown}" claims more bytes than there are`);
    }
    let start = starts.get(key);
    if (start === undefined) starts.set(key, (start = await dataStart(file, member)));
    const offset = start + tensor.offset * size;
    entries.set(name, { name, dtype: format, shape: tensor.shape, file: path, offset, bytes });
  }
  if (entries.size === 0) throw invalid(path, 'there is no tensor in it');
  return { file: path, metadata: {}, entries };
}

function stateDict(path: string, pickle: Uint8Array): Map<string, PickledTensor> {
  try {
    return readStateDict(pickle);
  } catch (thrown) {
    if (thrown instanceof PickleRefused) throw invalid(path, thrown.message, thrown.remedy);
    throw thrown;
  }
}

function isRowMajor({ shape, strides }: PickledTensor): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const side = shape[axis]!;
    if (side !== 1 && strides[axis] !== expected) return false;
    expected *= side;
  }
  return true;
}

/** A file of the archive: where its local header begins, and how many bytes it holds. */
interface Member {
  readonly name: string;
  readonly headerAt: number;
  readonly bytes: number;
}

/** The archive's directory, ZIP64 where it is large (APPNOTE 4.3). Compressed members are refused. */
async function readDirectory(file: OpenedFile): Promise<Map<string, Member>> {
  const { path, size } = file;
  const tail = await file.read(Math.max(0, size - 65_557), Math.min(size, 65_557));
  const view = new DataView(tail.buffer);
  let end = tail.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw invalid(path, 'its end is missing; it was not downloaded whole');
  let count = view.getUint16(end + 10, true);
  let length = view.getUint32(end + 12, true);
  let at = view.getUint32(end + 16, true);
  if (end >= 20 && view.getUint32(end - 20, true) === 0x07064b50) {
    const record = new DataView((await file.read(offsetOf(path, view, end - 12), 56)).buffer);
    if (record.getUint32(0, true) !== 0x06064b50) throw invalid(path, 'its directory is damaged');
    count = offsetOf(path, record, 32);
    length = offsetOf(path, record, 40);
    at = offsetOf(path, record, 48);
  }
  if (count > maxFiles || length > maxDirectoryBytes)
    throw invalid(path, 'its directory is impossibly large');
  const directory = await file.read(at, length);
  const entry = new DataView(directory.buffer);
  const members = new Map<string, Member>();
  for (let i = 0, from = 0; i < count; i++) {
    if (from + 46 > length || entry.getUint32(from, true) !== 0x02014b50) {
      throw invalid(path, 'its directory is damaged');
    }
    const nameLength = entry.getUint16(from + 28, true);
    const extraLength = entry.getUint16(from + 30, true);
    const next = from + 46 + nameLength + extraLength + entry.getUint16(from + 32, true);
    if (next > length) throw invalid(path, 'its directory is damaged');
    const name = new TextDecoder().decode(directory.subarray(from + 46, from + 46 + nameLength));
    if (entry.getUint16(from + 10, true) !== 0)
      throw invalid(path, `"${clip(name)}" in it is compressed`, anotherFile);
    let bytes = entry.getUint32(from + 24, true);
    let headerAt = entry.getUint32(from + 42, true);
    const wide = zip64Fields(entry, from + 46 + nameLength, extraLength);
    if (bytes === 0xffffffff) bytes = takeWide(path, wide);
    // The compressed size stands between the two and is the same.
    if (entry.getUint32(from + 20, true) === 0xffffffff) takeWide(path, wide);
    if (headerAt === 0xffffffff) headerAt = takeWide(path, wide);
    if (members.has(name)) throw invalid(path, `it holds "${clip(name)}" twice`);
    members.set(name, { name, headerAt, bytes });
    from = next;
  }
  return members;
}

/** The 64-bit numbers of a directory entry's extra field, in their order. */
function zip64Fields(view: DataView, from: number, length: number): bigint[] {
  for (let at = from; at + 4 <= from + length;) {
    const size = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === 1 && at + 4 + size <= from + length) {
      return Array.from({ length: Math.floor(size / 8) }, (_, i) => view.getBigUint64(at + 4 + 8 * i, true));
    }
    at += 4 + size;
  }
  return [];
}

function takeWide(path: string, wide: bigint[]): number {
  const value = wide.shift();
  if (value === undefined || value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw invalid(path, 'its directory is damaged');
  }
  return Number(value);
}

function offsetOf(path: string, view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(path, 'its directory is damaged');
  return Number(value);
}

/** Where a member's bytes begin: its local header has the name once more, and padding of its own. */
async function dataStart(file: OpenedFile, { name, headerAt, bytes }: Member): Promise<number> {
  const expected = new TextEncoder().encode(name);
  const found = await file.read(headerAt, 30 + expected.length);
  const header = new DataView(found.buffer);
  const isIt =
    header.getUint32(0, true) === zipMagic &&
    header.getUint16(26, true) === expected.length &&
    expected.every((byte, i) => byte === found[30 + i]);
  if (!isIt) throw invalid(file.path, `its directory does not lead to "${clip(name)}"`);
  const start = headerAt + found.length + header.getUint16(28, true);
  if (start + bytes > file.size) throw invalid(file.path, 'it ends too early; it was not downloaded whole');
  return start;
}
