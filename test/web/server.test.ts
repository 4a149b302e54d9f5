import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultDataFolder } from '../../src-main/studio/data-folder.ts';
import { listen, type LoopbackServer } from '../../src-main/web/node-server.ts';
import { fileResponse, parseRange } from '../../src-main/web/range.ts';
import { listStaticFiles } from '../../src-main/web/static-files.ts';
import { enter, send } from './door.ts';

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

  it('answers HEAD with the headers alone', async () => {
    const answer = await send(base, '/media/clip', { cookie }, 'HEAD');
    expect([answer.status, answer.headers['content-length'], answer.body]).toEqual([200, '10', '']);
  });

  it('sends the part of a file that was asked for', async () => {
    const part = await send(base, '/media/clip', { cookie, range: 'bytes=2-4' });
    expect([part.status, part.body, part.headers['content-range']]).toEqual([206, '234', 'bytes 2-4/10']);
    const outside = await send(base, '/media/clip', { cookie, range: 'bytes=50-' });
    expect([outside.status, outside.headers['content-range']]).toEqual([416, 'bytes */10']);
    expect((await send(base, '/media/clip', { cookie })).body).toBe('0123456789');
  });
});

describe('a client that is slow', () => {
  let server: LoopbackServer;
  let base: URL;
  let cookie: string;
  /** Settles when the answer without an end is given up. */
  const abandoned = Promise.withResolvers<null>();

  beforeAll(async () => {
    const endless = (): Response =>
      new Response(
        new ReadableStream({
          pull: (to) => to.enqueue(new Uint8Array(65_536)),
          cancel: () => abandoned.resolve(null),
        }),
      );
    server = await listen(
      ({ url }) => Promise.resolve(url.endsWith('/endless') ? endless() : new Response('page')),
      0,
      { limits: { headersMs: 500, idleMs: 1000 } },
    );
    base = new URL(server.url);
    cookie = await enter(server.url);
  });

  afterAll(() => server.close());

  it.each([
    ['sends its headers for ever', 'GET / HTTP/1.1\r\nHost: a\r\nX-Slow: '],
    ['never says anything', ''],
  ])('is given up when it %s', async (_name, beginning) => {
    const socket = connect(Number(base.port), base.hostname);
    socket.on('error', () => undefined);
    socket.write(beginning);
    const drip = setInterval(() => {
      if (beginning !== '') socket.write('a');
    }, 100);
    await new Promise((resolve) => socket.resume().once('close', resolve));
    clearInterval(drip);
    expect((await send(base, '/', { cookie })).status).toBe(200);
  });

  it('is given up when it asks and never reads', async () => {
    const socket = connect(Number(base.port), base.hostname);
    socket.on('error', () => undefined);
    socket.pause();
    socket.write(`GET /endless HTTP/1.1\r\nHost: ${base.host}\r\nCookie: ${cookie}\r\n\r\n`);
    await abandoned.promise;
    socket.destroy();
    expect((await send(base, '/', { cookie })).status).toBe(200);
  });
});

it('says that a port is taken', async () => {
  const handler = (): Promise<never> => Promise.reject(new Error('It is not asked.'));
  const first = await listen(handler, 0);
  const port = Number(new URL(first.url).port);
  await expect(listen(handler, port)).rejects.toMatchObject({
    code: 'USAGE',
    message: `Port ${port} cannot be had: another program uses it.`,
  });
  await first.close();
});

it.skipIf(process.platform !== 'linux').each([
  ['/data', '/data/pusa-studio'],
  ['', join(homedir(), '.local/share/pusa-studio')],
  ['relative', join(homedir(), '.local/share/pusa-studio')],
])('keeps the library where XDG_DATA_HOME says, if it is a whole path: “%s”', (place, expected) => {
  expect(defaultDataFolder({ XDG_DATA_HOME: place })).toBe(expected);
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
