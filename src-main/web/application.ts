import { failure, text, type Handler } from './answers.ts';
import { createMediaRoutes, type MediaStudio } from './media-routes.ts';
import { listStaticFiles } from './static-files.ts';

/**
 * What `serve` and Electron's `app://` both answer: the built window, and media by id. Everything else a window wants
 * goes over its channel to the studio.
 * @param rendererFolder the built window
 */
export async function createApplication(studio: MediaStudio, rendererFolder: string): Promise<Handler> {
  const files = await listStaticFiles(rendererFolder);
  const media = createMediaRoutes(studio);
  return async (request) => {
    try {
      const answer = await media(request);
      if (answer !== null) return answer;
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        return text(405, 'Nothing is changed by a request here.', { allow: 'GET, HEAD' });
      }
      return (await files(new URL(request.url).pathname)) ?? text(404, 'Not found.');
    } catch (thrown) {
      return failure(thrown);
    }
  };
}
