import { toPusaError, type ErrorCode } from '../core/errors.ts';

/** Answers a request of the window: the same function for the served and the Electron application. */
export type Handler = (request: Request) => Promise<Response>;

/** An answer of one sentence. */
export function text(
  status: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(message, {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store', ...headers },
  });
}

const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  RECORD_NOT_FOUND: 404,
  FILE_NOT_FOUND: 404,
  FILE_EMPTY: 404,
  MEDIA_FOLDER_MISSING: 404,
  MEDIA_UNREADABLE: 415,
  MEDIA_UNSUPPORTED: 415,
  FFMPEG_MISSING: 415,
  CANCELLED: 503,
  LIBRARY_BUSY: 503,
  DISK_FULL: 507,
};

/** Whatever was thrown, as code, message and remedy. What nobody foresaw keeps its text to itself. */
export function failure(thrown: unknown): Response {
  const { code, message, remedy } = toPusaError(thrown);
  const body = { code, message: code === 'INTERNAL' ? 'Something unexpected went wrong.' : message, remedy };
  return Response.json(body, { status: statuses[code] ?? 500, headers: { 'cache-control': 'no-store' } });
}
