import { dtypeBytes, isDtype } from './dtypes.ts';
import { clip, invalid, type TensorEntry } from './checkpoint.ts';

/** More tensors than any model has (the 14B has 1,095): beyond it a header is an attack, not a checkpoint. */
const maxTensors = 100_000;
const maxRank = 8;
const maxNameLength = 1024;

/**
 * Parses and checks the JSON header of a safetensors file.
 * @param text the header's bytes
 * @param dataStart byte offset of the data section
 * @param fileSize bytes of the whole file
 * @throws PusaError CHECKPOINT_INVALID
 */
export function parseHeader(
  file: string,
  text: Uint8Array,
  dataStart: number,
  fileSize: number,
): { file: string; metadata: Record<string, string>; entries: Map<string, TensorEntry> } {
  let source: string;
  let header: unknown;
  try {
    source = new TextDecoder('utf-8', { fatal: true }).decode(text);
    header = JSON.parse(source);
  } catch {
    throw invalid(file, 'its header is not valid JSON');
  }
  if (!isRecord(header)) throw invalid(file, 'its header is not an object');
  const repeated = repeatedKey(source);
  if (repeated !== null) throw invalid(file, `its header names "${clip(repeated)}" twice`);

  const keys = Object.keys(header);
  if (keys.length > maxTensors) throw invalid(file, `it claims ${keys.length} tensors`);
  const entries = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const name of keys) {
    if (name === '__metadata__') metadata = parseMetadata(file, header[name]);
    else entries.set(name, parseEntry(file, name, header[name], dataStart, fileSize));
  }
  checkLayout(file, [...entries.values()], dataStart, fileSize);
  return { file, metadata, entries };
}

function parseMetadata(file: string, value: unknown): Record<string, string> {
  if (!isRecord(value)) throw invalid(file, 'its __metadata__ is not an object');
  const metadata: Record<string, string> = {};
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw invalid(file, `its metadata "${clip(key)}" is not text`);
    Object.defineProperty(metadata, key, {
      value: text,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return metadata;
}

function parseEntry(
  file: string,
  name: string,
  value: unknown,
  dataStart: number,
  fileSize: number,
): TensorEntry {
  const shown = clip(name);
  if (name.length === 0 || name.length > maxNameLength)
    throw invalid(file, 'a tensor has an impossible name');
  if (!isRecord(value)) throw invalid(file, `its entry for "${shown}" is not an object`);
  const dtype = value['dtype'];
  const shape: unknown = value['shape'];
  const offsets: unknown = value['data_offsets'];
  if (!isDtype(dtype))
    throw invalid(file, `"${shown}" has an unknown number format (${clip(String(dtype))})`);
  if (!Array.isArray(shape) || shape.length > maxRank || !shape.every(isCount)) {
    throw invalid(file, `"${shown}" has an impossible shape`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw invalid(file, `"${shown}" has impossible data offsets`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > fileSize - dataStart) {
    throw invalid(
      file,
      `it is damaged or was not downloaded whole ("${shown}" claims bytes ${begin} to ${end} of ${fileSize - dataStart})`,
    );
  }
  // A product beyond 2^53 is inexact, but then far beyond any file, so the comparison below still refuses it.
  const bytes = shape.reduce((product, side) => product * side, 1) * dtypeBytes[dtype];
  if (bytes !== end - begin) {
    throw invalid(file, `"${shown}" has ${end - begin} bytes where its shape and format need ${bytes}`);
  }
  return { name, dtype, shape, file, offset: dataStart + begin, bytes };
}

/** The format allows neither overlaps nor holes nor bytes after the last tensor. */
function checkLayout(file: string, entries: TensorEntry[], dataStart: number, fileSize: number): void {
  entries.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let at = dataStart;
  for (const entry of entries) {
    if (entry.offset < at) throw invalid(file, `"${clip(entry.name)}" overlaps another tensor`);
    if (entry.offset > at) throw invalid(file, `there is a hole before "${clip(entry.name)}"`);
    at += entry.bytes;
  }
  if (at !== fileSize) throw invalid(file, `${fileSize - at} bytes of it belong to no tensor`);
}

/**
 * The first key that an object of a JSON text names twice (`JSON.parse` keeps the last one silently).
 * @param source valid JSON
 */
export function repeatedKey(source: string): string | null {
  const objects: (Set<string> | null)[] = [];
  for (let at = 0; at < source.length; at++) {
    const character = source[at];
    if (character === '{') objects.push(new Set());
    else if (character === '[') objects.push(null);
    else if (character === '}' || character === ']') objects.pop();
    else if (character === '"') {
      let end = at + 1;
      while (source[end] !== '"') end += source[end] === '\\' ? 2 : 1;
      let next = end + 1;
      while (next < source.length && ' \t\n\r'.includes(source[next]!)) next++;
      if (source[next] === ':') {
        const key = JSON.parse(source.slice(at, end + 1)) as string;
        const seen = objects.at(-1);
        if (seen?.has(key)) return key;
        seen?.add(key);
      }
      at = end;
    }
  }
  return null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
