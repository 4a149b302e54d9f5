import { isIP } from 'node:net';
import { PusaError } from '../../core/errors.ts';

/** Where models are published, unless a person names a mirror of it. */
export const huggingFace = 'https://huggingface.co';

/** A file of a repository. */
export interface RemoteFile {
  /** `owner/name`. */
  readonly repository: string;
  /** Inside the repository, with forward slashes. */
  readonly path: string;
}

/** A server that answers like huggingface.co, and the token it may be shown. */
export interface ModelServer {
  /** Without a slash at its end. */
  readonly base: string;
  readonly token: string | null;
}

/**
 * Checks the address of a mirror that a person typed.
 * @returns it without a slash at its end
 * @throws PusaError DOWNLOAD_REFUSED when it is no address of a web server
 */
export function parseMirror(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isWeb = url !== null && (url.protocol === 'https:' || url.protocol === 'http:');
  if (isWeb && url.username === '' && url.password === '' && url.search === '' && url.hash === '') {
    return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
  }
  throw new PusaError(
    'DOWNLOAD_REFUSED',
    `"${text.slice(0, 200)}" is not the address of a mirror.`,
    'Give an address such as https://mirror.example, without a user name and without anything after the path.',
  );
}

/** Where a server has a file, at the newest state of its repository. */
export function addressOf({ base }: Pick<ModelServer, 'base'>, { repository, path }: RemoteFile): string {
  return `${base}/${repository}/resolve/main/${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** The page of a repository, where its licence is accepted. */
export function pageOf({ base }: Pick<ModelServer, 'base'>, { repository }: RemoteFile): string {
  return `${base}/${repository}`;
}

/**
 * Whether a file may be taken from an address: over HTTPS, or from this machine itself, or from the very server that a
 * person named.
 */
export function mayAsk(url: URL, { base }: Pick<ModelServer, 'base'>): boolean {
  if (url.protocol === 'https:') return true;
  return url.protocol === 'http:' && (isLoopback(url.hostname) || url.origin === new URL(base).origin);
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '[::1]') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
