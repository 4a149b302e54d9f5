import { protocol } from 'electron';
import type { Handler } from '../web/answers.ts';
import { text } from '../web/answers.ts';
import { securityHeaders } from '../web/policy.ts';

/** Scheme the window is loaded from; a standard, secure origin of its own instead of file://. */
const appScheme = 'app';
const host = 'pusa';

/** Address of the window's page. */
export const appUrl = `${appScheme}://${host}/`;

/** Before the application is ready. */
export function registerScheme(): void {
  protocol.registerSchemesAsPrivileged([
    {
      scheme: appScheme,
      privileges: { standard: true, secure: true, supportFetchAPI: true, stream: true, codeCache: true },
    },
  ]);
}

/** Answers the window's requests as `serve` does, by the same function and under the same policy. */
export function serveScheme(handler: Handler): void {
  const headers = securityHeaders();
  protocol.handle(appScheme, async (request) => {
    const answer = new URL(request.url).host === host ? await handler(request) : text(404, 'Not found.');
    const response = new Response(answer.body, { status: answer.status, headers: answer.headers });
    for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
    return response;
  });
}
