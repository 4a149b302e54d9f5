import { readdir } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { fileResponse } from './range.ts';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
};

/** Serves the built window. */
export type StaticFiles = (urlPath: string) => Promise<Response | null>;

/**
 * Lists the folder once and answers from that list alone, so that no path of a request is ever joined to a folder.
 * @param folder the built renderer
 */
export async function listStaticFiles(folder: string): Promise<StaticFiles> {
  const files = new Map<string, string>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || types[extname(entry.name)] === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(`/${relative(folder, path).split(sep).join('/')}`, path);
  }
  return async (urlPath) => {
    const path = files.get(urlPath === '/' ? '/index.html' : urlPath);
    if (path === undefined) return null;
    return fileResponse(path, types[extname(path)] ?? 'application/octet-stream', null, {
      // Built assets carry their hash in the name; the page itself must be asked for anew.
      'cache-control': urlPath.startsWith('/assets/') ? 'private, max-age=31536000, immutable' : 'no-store',
    });
  };
}
