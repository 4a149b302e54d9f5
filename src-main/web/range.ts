import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';

/** One byte range of a file, both ends included. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/**
 * Reads a `Range` header with one range (RFC 9110 §14.1.2); several ranges are answered with the whole file, as the
 * RFC allows.
 * @param size length of the file in bytes
 * @returns the range; null when the whole file is to be sent; `unsatisfiable` when it lies outside
 */
export function parseRange(header: string | null, size: number): ByteRange | null | 'unsatisfiable' {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '');
  if (!match) return null;
  const [, from = '', to = ''] = match;
  if (from === '' && to === '') return null;
  if (from === '') {
    const length = Math.min(Number(to), size);
    return length === 0 ? 'unsatisfiable' : { first: size - length, last: size - 1 };
  }
  const first = Number(from);
  const last = to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (to !== '' && Number(to) < first) return null;
  return first >= size ? 'unsatisfiable' : { first, last };
}

/** Answers with a file, or the part of it that `rangeHeader` asks for. The path must be one of ours. */
export async function fileResponse(
  path: string,
  contentType: string,
  rangeHeader: string | null,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const { size } = await stat(path);
  const range = parseRange(rangeHeader, size);
  const common = { 'content-type': contentType, 'accept-ranges': 'bytes', ...headers };
  if (range === 'unsatisfiable') {
    return new Response(null, { status: 416, headers: { ...common, 'content-range': `bytes */${size}` } });
  }
  const first = range?.first ?? 0;
  const last = range?.last ?? size - 1;
  const body =
    size === 0
      ? null
      : (Readable.toWeb(createReadStream(path, { start: first, end: last })) as ReadableStream);
  return new Response(body, {
    status: range ? 206 : 200,
    headers: {
      ...common,
      'content-length': String(size === 0 ? 0 : last - first + 1),
      ...(range ? { 'content-range': `bytes ${first}-${last}/${size}` } : {}),
    },
  });
}
