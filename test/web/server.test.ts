import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { request as rawRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listen, type LoopbackServer } from '../../src-main/web/node-server.ts';
import { fileResponse, parseRange } from '../../src-main/web/range.ts';
import { listStaticFiles } from '../../src-main/web/static-files.ts';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** A request with exactly the headers given: fetch would refuse to send a foreign Host or a raw path. */
function send(
  base: URL,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
  body?: Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = rawRequest(
      {
        host: base.hostname,
        port: base.port,
        path,
        method,
        agent: false,
        headers: { host: base.host, ...headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
          }),
        );
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

describe('the loopback server', () => {
  let folder: string;
  let server: LoopbackServer;
  let base: URL;
  let cookie: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pusa-web-'));
    await mkdir(join(folder, 'site', 'assets'), { recursive: true });
    await writeFile(join(folder, 'site', 'index.html'), '<h1>window</h1>');
    await writeFile(join(folder, 'site', 'assets', 'a.js'), 'export {};');
    await writeFile(join(folder, 'secret.html'), 'secret');
    await writeFile(join(folder, 'clip.mp4'), '0123456789');
    const files = await listStaticFiles(join(folder, 'site'));
    server = await listen(async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === '/media/clip') {
        return fileResponse(join(folder, 'clip.mp4'), 'video/mp4', request.headers.get('range'));
      }
      if (request.method === 'POST') return new Response(String((await request.text()).length));
      return (await files(pathname)) ?? new Response('none', { status: 404 });
    }, 0);
    base = new URL(server.url);
    const entered = await send(base, base.pathname + base.search);
    expect(entered.status).toBe(303);
    const header = entered.headers['set-cookie']?.[0] ?? '';
    expect(header).toContain('HttpOnly');
    expect(header).toContain('SameSite=Strict');
    cookie = header.split(';')[0] ?? '';
  });

  afterAll(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  it('opens the window to the holder of the cookie, with a strict policy', async () => {
    const answer = await send(base, '/', { cookie });
    expect(answer.status).toBe(200);
    expect(answer.body).toBe('<h1>window</h1>');
    expect(answer.headers['content-security-policy']).toContain("default-src 'none'");
    expect(answer.headers['x-content-type-options']).toBe('nosniff');
  });

  it.each([
    ['no cookie', '/', {}],
    ['a wrong cookie', '/', { cookie: 'pusa_session=guess' }],
    ['a wrong token', '/?token=guess', {}],
    ['a rebound host', '/', { host: 'evil.example' }],
    ['a foreign origin', '/', { origin: 'http://evil.example' }],
    ['the origin null', '/', { origin: 'null' }],
    ['a request of another site', '/', { 'sec-fetch-site': 'cross-site' }],
  ])('refuses %s', async (name, path, headers) => {
    const withCookie = name.includes('cookie') || name.includes('token') ? headers : { cookie, ...headers };
    const answer = await send(base, path, withCookie);
    expect(answer.status).toBe(403);
    expect(answer.body).not.toContain('window');
  });

  it('refuses the one-time link the second time, but lets the holder of the cookie in', async () => {
    const path = base.pathname + base.search;
    expect((await send(base, path)).status).toBe(403);
    expect((await send(base, path, { cookie })).status).toBe(200);
  });

  it.each([
    '/../secret.html',
    '/..%2fsecret.html',
    '/assets/../../secret.html',
    '//secret.html',
    '/%2e%2e/secret.html',
    '/..\\secret.html',
    '/index.html%00.js',
  ])('serves nothing outside the window for %s', async (path) => {
    const answer = await send(base, path, { cookie });
    expect([400, 404]).toContain(answer.status);
    expect(answer.body).not.toContain('secret');
  });

  it('refuses a body that is too large and goes on', async () => {
    const small = await send(base, '/echo', { cookie }, 'POST', Buffer.alloc(1000));
    expect(small.body).toBe('1000');
    const large = await send(base, '/echo', { cookie }, 'POST', Buffer.alloc(3 << 20)).catch(() => null);
    if (large) expect(large.status).toBe(413);
    expect((await send(base, '/', { cookie })).status).toBe(200);
  });

  it('sends the part of a file that was asked for', async () => {
    const part = await send(base, '/media/clip', { cookie, range: 'bytes=2-4' });
    expect([part.status, part.body, part.headers['content-range']]).toEqual([206, '234', 'bytes 2-4/10']);
    const outside = await send(base, '/media/clip', { cookie, range: 'bytes=50-' });
    expect([outside.status, outside.headers['content-range']]).toEqual([416, 'bytes */10']);
    expect((await send(base, '/media/clip', { cookie })).body).toBe('0123456789');
  });
});

it.each([
  ['bytes=0-', { first: 0, last: 9 }],
  ['bytes=3-3', { first: 3, last: 3 }],
  ['bytes=8-99', { first: 8, last: 9 }],
  ['bytes=-4', { first: 6, last: 9 }],
  ['bytes=-99', { first: 0, last: 9 }],
  ['bytes=-0', 'unsatisfiable'],
  ['bytes=10-', 'unsatisfiable'],
  ['bytes=5-2', null],
  ['bytes=0-1,3-4', null],
  ['bytes=-', null],
  ['lines=1-2', null],
  [null, null],
])('reads the Range header %s', (header, range) => {
  expect(parseRange(header, 10)).toEqual(range);
});
