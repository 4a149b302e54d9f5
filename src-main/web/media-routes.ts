import type { z } from 'zod';
import { api, type Api } from '../core/contract/api.ts';
import type { Download, Handlers } from '../core/contract/channel.ts';
import { PusaError } from '../core/errors.ts';
import { sniffBytes, type Content } from '../media/sniff.ts';
import type { StudioContext } from '../studio/context.ts';
import { text } from './answers.ts';
import { parseRange } from './range.ts';

/** What the routes need of a studio. */
export interface MediaStudio {
  readonly handlers: Pick<
    Handlers<Api>,
    'assets.get' | 'assets.thumbnail' | 'assets.filmstrip' | 'takes.get' | 'takes.thumbnail'
  >;
  readonly context: { readonly media: Pick<StudioContext['media'], 'read' | 'size'> };
}

/** Answers requests for media; null for every other address. */
export type MediaRoutes = (request: Request) => Promise<Response | null>;

const route = /^\/media\/(asset|take)\/([A-Za-z0-9_-]{1,64})(?:\/(thumbnail|filmstrip))?$/;

/** A medium's bytes never change, those of an asset's id may: it can be relinked to other bytes. */
const forEver = 'private, max-age=31536000, immutable';
const askAgain = 'private, no-cache';

const videoTypes: Readonly<Record<Extract<Content, { is: 'video' }>['demuxer'], string>> = {
  mov: 'video/mp4',
  matroska: 'video/webm',
  avi: 'video/x-msvideo',
  flv: 'video/x-flv',
  asf: 'video/x-ms-asf',
  mpegts: 'video/mp2t',
  mpeg: 'video/mpeg',
  ogg: 'video/ogg',
};

const headBytes = 4096;
const rememberedTypes = 1000;

/**
 * Media by id, as DESIGN §9's window shows them:
 * `/media/asset/ID` and `/media/take/ID` (with Range), `/media/asset/ID/thumbnail?size=&at=`,
 * `/media/asset/ID/filmstrip?from=&to=&frames=&height=`, `/media/take/ID/thumbnail?size=&frame=`.
 * An answer to an address that names the bytes by `v=HASH`, and a take's, may be kept for ever.
 */
export function createMediaRoutes({ handlers, context }: MediaStudio): MediaRoutes {
  const types = new Map<string, string>();

  async function typeOf(hash: string): Promise<string> {
    const known = types.get(hash);
    if (known !== undefined) return known;
    const type = mediaType(await collect(context.media.read(hash, { end: headBytes }), headBytes));
    if (types.size >= rememberedTypes) types.clear();
    types.set(hash, type);
    return type;
  }

  async function whole(request: Request, hash: string, cache: string): Promise<Response> {
    const etag = `"${hash}"`;
    if (isKnown(request, etag)) return unchanged(etag, cache);
    const [size, type] = await Promise.all([context.media.size(hash), typeOf(hash)]);
    // A part is only of use to somebody who has the rest of the same bytes.
    const condition = request.headers.get('if-range');
    const wanted = condition === null || condition === etag ? request.headers.get('range') : null;
    const range = parseRange(wanted, size);
    const headers = { 'content-type': type, 'accept-ranges': 'bytes', etag, 'cache-control': cache };
    if (range === 'unsatisfiable') {
      return new Response(null, { status: 416, headers: { ...headers, 'content-range': `bytes */${size}` } });
    }
    const { first, last } = range ?? { first: 0, last: size - 1 };
    const pieces = context.media.read(hash, { start: first, end: last + 1, signal: request.signal });
    return new Response(request.method === 'HEAD' ? null : ReadableStream.from(pieces), {
      status: range === null ? 200 : 206,
      headers: {
        ...headers,
        'content-length': String(last - first + 1),
        ...(range === null ? {} : { 'content-range': `bytes ${first}-${last}/${size}` }),
      },
    });
  }

  async function small(
    request: Request,
    etag: string,
    cache: string,
    draw: () => Promise<Download<{ mime: string }>> | Download<{ mime: string }>,
  ): Promise<Response> {
    if (isKnown(request, etag)) return unchanged(etag, cache);
    const { output, body } = await draw();
    const bytes = await collect(body, maxPicture);
    return new Response(bytes, {
      headers: {
        'content-type': output.mime,
        'content-length': String(bytes.byteLength),
        etag,
        'cache-control': cache,
      },
    });
  }

  async function asset(
    request: Request,
    url: URL,
    assetId: string,
    what: string | undefined,
  ): Promise<Response> {
    const call = { signal: request.signal, upload: nothing() };
    const record = await handlers['assets.get']({ assetId }, call);
    const cache = url.searchParams.get('v') === record.hash ? forEver : askAgain;
    if (what === undefined) {
      if (record.kind !== 'sequence') return whole(request, record.hash, cache);
      return text(415, 'A sequence of pictures is no single file; ask for its thumbnail or filmstrip.');
    }
    if (what === 'thumbnail') {
      const input = read(api.methods['assets.thumbnail'].input, url, { assetId, size: 320 });
      const etag = `"${record.hash}-t${input.size}-${input.at ?? ''}"`;
      return small(request, etag, cache, () => handlers['assets.thumbnail'](input, call));
    }
    const all = { assetId, from: 0, to: record.duration, frames: 8, height: 64 };
    const input = read(api.methods['assets.filmstrip'].input, url, all);
    const etag = `"${record.hash}-f${input.from}-${input.to}-${input.frames}x${input.height}"`;
    return small(request, etag, cache, () => handlers['assets.filmstrip'](input, call));
  }

  async function take(
    request: Request,
    url: URL,
    takeId: string,
    what: string | undefined,
  ): Promise<Response> {
    if (what === 'filmstrip') return text(404, 'Not found.');
    const call = { signal: request.signal, upload: nothing() };
    const { fileHash } = await handlers['takes.get']({ takeId }, call);
    if (what === undefined) return whole(request, fileHash, forEver);
    const input = read(api.methods['takes.thumbnail'].input, url, { takeId, size: 320 });
    const etag = `"${fileHash}-t${input.size}-${input.frame ?? ''}"`;
    return small(request, etag, forEver, () => handlers['takes.thumbnail'](input, call));
  }

  return async (request) => {
    const url = new URL(request.url);
    if (!url.pathname.startsWith('/media/')) return null;
    const [, kind, id, what] = route.exec(url.pathname) ?? [];
    if (kind === undefined || id === undefined) return text(404, 'Not found.');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return text(405, 'Media are only read here.', { allow: 'GET, HEAD' });
    }
    try {
      return await (kind === 'asset' ? asset : take)(request, url, id, what);
    } catch (thrown) {
      if (thrown instanceof BadQuery) return text(400, 'The request could not be read.');
      throw thrown;
    }
  };
}

/** Bytes of the largest thumbnail or filmstrip. */
const maxPicture = 64 * 2 ** 20;

/** The address asks for what there is not. */
class BadQuery extends Error {}

/** The query's numbers over `defaults`, as the method takes them. @throws BadQuery */
function read<T extends z.ZodType>(
  schema: T,
  url: URL,
  defaults: Readonly<Record<string, unknown>>,
): z.infer<T> {
  const input: Record<string, unknown> = { ...defaults };
  for (const [name, value] of url.searchParams) {
    if (name === 'v') continue;
    // Ids come from the path alone.
    if (typeof defaults[name] === 'string' || value === '') throw new BadQuery();
    input[name] = Number(value);
  }
  const parsed = schema.safeParse(input);
  if (!parsed.success) throw new BadQuery();
  return parsed.data;
}

function mediaType(head: Uint8Array): string {
  const content = sniffBytes(head);
  switch (content.is) {
    case 'picture':
      return `image/${content.format}`;
    case 'video':
      return videoTypes[content.demuxer];
    case 'other':
      return 'application/octet-stream';
  }
}

function isKnown(request: Request, etag: string): boolean {
  const known = request.headers.get('if-none-match');
  return known?.split(/,\s*/).includes(etag) ?? false;
}

function unchanged(etag: string, cache: string): Response {
  return new Response(null, { status: 304, headers: { etag, 'cache-control': cache } });
}

async function collect(pieces: AsyncIterable<Uint8Array>, most: number): Promise<Uint8Array<ArrayBuffer>> {
  const all: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.byteLength;
    if (bytes > most)
      throw new PusaError('FILE_TOO_LARGE', 'A picture is too large.', 'Ask for a smaller one.');
    all.push(piece);
  }
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const piece of all) {
    whole.set(piece, at);
    at += piece.byteLength;
  }
  return whole;
}

// eslint-disable-next-line @typescript-eslint/require-await -- an empty stream
async function* nothing(): AsyncGenerator<Uint8Array, void> {
  yield* [];
}
