import { readFile } from 'node:fs/promises';
import { pageStateSchema } from '../core/contract/page.ts';
import { toPusaError } from '../core/errors.ts';
import { findPlaces } from '../studio/places.ts';
import { SampleSession } from '../studio/sample-session.ts';
import type { Handler } from './node-server.ts';
import { fileResponse } from './range.ts';
import { listStaticFiles } from './static-files.ts';

/** The application behind a window, without the window: what `serve` and Electron both show. */
export interface Application {
  readonly handle: Handler;
  close(): Promise<void>;
}

/**
 * Composes the application.
 * @param dataFolder where the person's data lies; made if missing
 * @throws PusaError when the sample or its model cannot be opened
 */
export async function createApplication(dataFolder: string): Promise<Application> {
  const places = findPlaces();
  const files = await listStaticFiles(places.renderer);
  const session = await SampleSession.open(places, dataFolder);
  return {
    handle: async (request) => {
      try {
        return (await answer(session, request)) ?? (await files(pathOf(request))) ?? text(404, 'Not found.');
      } catch (thrown) {
        const { code, message, remedy } = toPusaError(thrown);
        return Response.json(
          { code, message, remedy },
          { status: 500, headers: { 'cache-control': 'no-store' } },
        );
      }
    },
    close: () => session.close(),
  };
}

async function answer(session: SampleSession, request: Request): Promise<Response | null> {
  switch (`${request.method} ${pathOf(request)}`) {
    case 'GET /api/state':
      return Response.json(pageStateSchema.parse(session.state()), {
        headers: { 'cache-control': 'no-store' },
      });
    case 'POST /api/generate':
      session.generate();
      return new Response(null, { status: 202 });
    case 'POST /api/keep':
      session.keep();
      return new Response(null, { status: 202 });
    case 'POST /api/cancel':
      session.cancel();
      return new Response(null, { status: 202 });
    case 'GET /media/source':
      return new Response(new Uint8Array(await readFile(session.sourcePath)), {
        headers: { 'content-type': 'image/png' },
      });
    case 'GET /media/preview':
      return session.preview === null
        ? text(404, 'There is no preview yet.')
        : new Response(session.preview, { headers: { 'content-type': 'image/png' } });
    case 'GET /media/take':
      return session.takePath === null
        ? text(404, 'There is no take yet.')
        : await fileResponse(session.takePath, 'video/mp4', request.headers.get('range'));
    default:
      return null;
  }
}

function pathOf(request: Request): string {
  return new URL(request.url).pathname;
}

function text(status: number, message: string): Response {
  return new Response(message, { status, headers: { 'content-type': 'text/plain; charset=utf-8' } });
}
