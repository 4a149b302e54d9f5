import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** What the guard looks at. Header names are lower case. */
export interface GuardedRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** `pass`: go on; `enter`: the one-time link was right, set the cookie and go to the page; `refuse`: answer 403. */
export type Verdict =
  | { readonly kind: 'pass' }
  | { readonly kind: 'enter'; readonly cookie: string }
  | { readonly kind: 'refuse'; readonly reason: string };

/**
 * Keeps everybody else on the machine, and every web page, away from the served application (DESIGN §10): the
 * printed link works once and becomes a cookie; Host must be a loopback name (DNS rebinding), Origin and
 * Sec-Fetch-Site must be ours.
 */
export class Guard {
  private token: string | null = randomBytes(24).toString('base64url');
  private readonly session = randomBytes(32).toString('base64url');
  private readonly hosts: ReadonlySet<string>;
  /** Cookies are shared by all ports of a host: each server has a name of its own. */
  private readonly cookieName: string;

  constructor(port: number) {
    this.cookieName = `pusa_session_${port}`;
    this.hosts = new Set([`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]);
  }

  /** The one-time token that opens the application; empty after its use. */
  get oneTimeToken(): string {
    return this.token ?? '';
  }

  check(request: GuardedRequest): Verdict {
    const host = request.headers['host'];
    if (host === undefined || !this.hosts.has(host)) return refuse('This address is not served here.');
    const origin = request.headers['origin'];
    if (origin !== undefined && origin !== `http://${host}`)
      return refuse('Requests of other pages are refused.');
    const token = request.url.searchParams.get('token');
    if (request.method === 'GET' && request.url.pathname === '/' && token !== null) {
      // A link is clicked from anywhere (a terminal, a mail); only the token decides.
      if (this.token === null || !equal(token, this.token)) {
        return this.hasCookie(request)
          ? { kind: 'pass' }
          : refuse('This link has been used. Start Pusa Studio again for a new one.');
      }
      this.token = null;
      return {
        kind: 'enter',
        cookie: `${this.cookieName}=${this.session}; HttpOnly; SameSite=Strict; Path=/`,
      };
    }
    const site = request.headers['sec-fetch-site'];
    if (site !== undefined && site !== 'same-origin' && site !== 'none') {
      return refuse('Requests of other pages are refused.');
    }
    if (!this.hasCookie(request)) return refuse('Open Pusa Studio with the link that it printed.');
    return { kind: 'pass' };
  }

  private hasCookie(request: GuardedRequest): boolean {
    const cookies = (request.headers['cookie'] ?? '').split(/;\s*/);
    const value = cookies.find((cookie) => cookie.startsWith(`${this.cookieName}=`));
    return value !== undefined && equal(value.slice(this.cookieName.length + 1), this.session);
  }
}

function refuse(reason: string): Verdict {
  return { kind: 'refuse', reason };
}

function equal(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
