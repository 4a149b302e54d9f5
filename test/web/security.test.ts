import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { encodeFrame, messageBytes, type Transport } from '../../src-main/core/contract/channel.ts';
import { PusaError } from '../../src-main/core/errors.ts';
import { listen } from '../../src-main/web/node-server.ts';
import { answers, clientOver, dial, dialIn, enter, send, windowHeaders } from './door.ts';
import { sendMutants } from './mutants.ts';
import { methodNames, namePlaces, sampleInput, withAt } from './samples.ts';
import { leaks, serve, type Served } from './served.ts';

/** What would lead out of a folder if an id were ever part of a path. */
const traversals = [
  '../../../../etc/passwd',
  '..',
  '..%2f..%2fetc%2fpasswd',
  '..\\..\\win.ini',
  '/etc/passwd',
  'a\u0000b',
];

describe('the served application', () => {
  let served: Served;

  beforeAll(async () => {
    served = await serve('--no-paths');
  });

  afterAll(async () => {
    await served.stop();
  });

  it('opens its socket to the window that holds the cookie, and answers there', async () => {
    expect(await answers(served.base, served.cookie)).toBe(true);
  });

  it.each<[string, (window: Record<string, string>) => Record<string, string>]>([
    ['no cookie', ({ origin }) => ({ origin: origin! })],
    ['a wrong cookie', ({ origin }) => ({ origin: origin!, cookie: 'pusa_session=guess' })],
    ['a foreign origin', (window) => ({ ...window, origin: 'http://evil.example' })],
    ['another port’s origin', (window) => ({ ...window, origin: 'http://127.0.0.1:1' })],
    ['the origin null', (window) => ({ ...window, origin: 'null' })],
    ['no origin', ({ cookie }) => ({ cookie: cookie! })],
    ['a rebound host', (window) => ({ ...window, host: 'evil.example' })],
    ['a request of another site', (window) => ({ ...window, 'sec-fetch-site': 'cross-site' })],
  ])('refuses a socket with %s', async (_name, change) => {
    expect(await dial(served.base, change(windowHeaders(served.base, served.cookie)))).toBe(403);
    expect(await answers(served.base, served.cookie)).toBe(true);
  });

  it('gives no socket for the link’s token, used or guessed, and none at other addresses', async () => {
    const { origin } = served.base;
    const { search } = new URL(served.link);
    expect(await dial(served.base, { origin }, `/socket${search}`)).toBe(403);
    expect(await dial(served.base, { origin }, `/${search}`)).toBe(403);
    const window = windowHeaders(served.base, served.cookie);
    expect(await dial(served.base, window, '/')).toBe(404);
    expect(await dial(served.base, window, '/socket/../media')).toBe(404);
    expect((await send(served.base, `/${search}`)).status).toBe(403);
  });

  it('serves the page under a policy that lets it run nothing but its own files', async () => {
    const page = await send(served.base, '/', { cookie: served.cookie });
    expect(page.status).toBe(200);
    const policy = String(page.headers['content-security-policy']);
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toContain('unsafe');
    expect(page.headers['cross-origin-opener-policy']).toBe('same-origin');
  });

  it('finds no file by an address that leads out of the library', async () => {
    const ids = [...traversals, '%2e%2e%2f%2e%2e%2fetc%2fpasswd', 'x'.repeat(65), '', '.'];
    for (const kind of ['asset', 'take']) {
      for (const id of ids) {
        for (const rest of ['', '/thumbnail', '/filmstrip']) {
          const path = `/media/${kind}/${id.replaceAll('\u0000', '%00')}${rest}`;
          const answer = await send(served.base, path, { cookie: served.cookie });
          expect([400, 404], path).toContain(answer.status);
          expect(leaks(answer.body, served), path).toEqual([]);
        }
      }
    }
    for (const query of ['size=../..', 'size=1e9', 'size=', 'assetId=x', 'more=1', 'size=1&size=2']) {
      const answer = await send(served.base, `/media/asset/none/thumbnail?${query}`, {
        cookie: served.cookie,
      });
      expect([400, 404], query).toContain(answer.status);
    }
    for (const method of ['POST', 'PUT', 'DELETE']) {
      expect((await send(served.base, '/media/asset/none', { cookie: served.cookie }, method)).status).toBe(
        405,
      );
      expect((await send(served.base, '/', { cookie: served.cookie }, method)).status).toBe(405);
    }
  });

  it('refuses a name that leads out of the library, wherever the contract takes one', async () => {
    const places = namePlaces();
    // Where a name is free text, nothing of it may come back but itself.
    expect(places.length).toBeGreaterThan(60);
    for (const { method, path } of places) {
      for (const traversal of traversals) {
        const client = clientOver(await dialIn(served.base, served.cookie));
        const input = withAt(sampleInput(method), path, traversal);
        const asked = client.call(method, input as never, { upload: [] } as never);
        const outcome = await asked.then(
          (result: unknown) => ({ error: null, text: JSON.stringify(result) }),
          (error: unknown) => ({ error, text: error instanceof Error ? error.message : String(error) }),
        );
        const where = `${method} ${path.join('.')} ${traversal}`;
        const isPathOrId = !/^(name|cursor)$/.test(path.at(-1)!) || method === 'library.restore';
        if (isPathOrId) expect(outcome.error, where).toBeInstanceOf(PusaError);
        expect(leaks(outcome.text.replaceAll(traversal, ''), served), where).toEqual([]);
        client.close();
      }
    }
    expect(await answers(served.base, served.cookie)).toBe(true);
  });

  it('lets nobody name files where paths are not allowed', async () => {
    const client = clientOver(await dialIn(served.base, served.cookie));
    const asked = client.api.assets.import({ path: '/etc/hostname' });
    await expect(asked).rejects.toMatchObject({ code: 'CONTRACT_VIOLATION' });
    client.close();
  });

  it.each<[string, (socket: WebSocket) => void]>([
    [
      'a frame above the largest message',
      (socket) => socket.send(new Uint8Array(messageBytes.server.receive + 1)),
    ],
    ['text', (socket) => Array.from({ length: 20 }, () => socket.send('{"type":"hello","version":1}'))],
    [
      'bytes without a meaning',
      (socket) => Array.from({ length: 20 }, (_, i) => socket.send(new Uint8Array(i))),
    ],
    [
      'a head longer than its frame',
      (socket) => Array.from({ length: 20 }, () => socket.send(new Uint8Array([255, 255, 255, 255, 1]))),
    ],
    [
      'calls without a greeting',
      (socket) => {
        for (let id = 1; id < 20; id++) {
          socket.send(encodeFrame({ type: 'call', id, method: 'models.list', input: {} }, 1000));
        }
      },
    ],
  ])('hangs up on %s, and goes on', async (_name, say) => {
    const socket = await dialIn(served.base, served.cookie);
    const closed = once(socket, 'close');
    say(socket);
    await closed;
    expect(await answers(served.base, served.cookie)).toBe(true);
  });

  it.each([
    ['a frame that is not masked', [0x82, 0x01, 0x00]],
    ['a reserved opcode', [0x83, 0x80, 0, 0, 0, 0]],
    ['reserved bits', [0xf2, 0x80, 0, 0, 0, 0]],
    ['a length beyond all numbers', [0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]],
    ['a control frame in parts', [0x09, 0x80, 0, 0, 0, 0]],
    ['a close frame of one byte', [0x88, 0x81, 0, 0, 0, 0, 3]],
  ])('hangs up on %s, and goes on', async (_name, frame) => {
    const socket = connect(Number(served.base.port), served.base.hostname);
    socket.on('error', () => undefined);
    const closed = once(socket, 'close');
    socket.write(
      `GET /socket HTTP/1.1\r\nHost: ${served.base.host}\r\nOrigin: ${served.base.origin}\r\n` +
        `Cookie: ${served.cookie}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    const [head] = (await once(socket, 'data')) as [Buffer];
    expect(head.toString('latin1')).toMatch(/^HTTP\/1\.1 101/);
    socket.write(new Uint8Array(frame));
    socket.resume();
    await closed;
    expect(await answers(served.base, served.cookie)).toBe(true);
  });

  it('survives 100 mutated messages: every one refused or harmless, nothing told', async () => {
    const report = await sendMutants(served, 100, 7);
    expect(report.faults).toEqual([]);
    expect(report.refused + report.hungUp).toBeGreaterThan(50);
  });

  it('stops when asked, tells the windows why, and leaves nothing on its output but the link', async () => {
    const own = await serve();
    const client = clientOver(await dialIn(own.base, own.cookie));
    await client.api.models.list({});
    const code = await own.stop();
    expect(code).toBe(0);
    expect((await client.closed).message).toBe('Pusa Studio was stopped.');
    expect(own.output()).toBe(`Pusa Studio is at ${own.link}\n`);
  });
});

describe('a window that is slow', () => {
  /** A server without a studio: what it connects is the test's. */
  async function door(onConnect: (transport: Transport) => void, heartbeatMs: number, sockets = 32) {
    const gone = Promise.withResolvers<null>();
    const server = await listen(() => Promise.resolve(new Response('page')), 0, {
      connect(transport) {
        const closed = new Promise<void>((resolve) =>
          transport.listen({
            onMessage: () => undefined,
            onFault: () => undefined,
            onClose: () => resolve(),
          }),
        );
        void closed.then(() => gone.resolve(null));
        onConnect(transport);
        return { close: () => transport.close(), closed };
      },
      socketLimits: { backlog: 2 ** 20, heartbeatMs, graceMs: 100, sockets },
    });
    const base = new URL('/', server.url);
    return { server, base, gone, cookie: await enter(server.url) };
  }

  it('is given up when it does not read what it is sent', async () => {
    const { server, base, cookie, gone } = await door((transport) => {
      const fill = setInterval(() => {
        if (transport.backlog!() > 2 ** 20) {
          clearInterval(fill);
          transport.close();
        } else transport.send({ type: 'event', bytes: new Uint8Array(2 ** 20) });
      }, 1);
    }, 60_000);
    const socket = await dialIn(base, cookie);
    socket.pause();
    await gone.promise;
    // Terminated, not asked to leave: the server has nothing left to wait for.
    await server.close();
    socket.terminate();
  });

  it('is given up when it does not answer', async () => {
    const { server, base, cookie, gone } = await door(() => undefined, 50);
    // A socket that is paused sees no ping and sends no pong.
    const socket = await dialIn(base, cookie);
    socket.pause();
    await gone.promise;
    await server.close();
    socket.terminate();
  });

  it('does not keep others out for ever, and there are never too many', async () => {
    const { server, base, cookie } = await door(() => undefined, 60_000, 2);
    const [first] = [await dialIn(base, cookie), await dialIn(base, cookie)];
    expect(await dial(base, windowHeaders(base, cookie))).toBe(503);
    const closed = once(first, 'close');
    first.close();
    await closed;
    expect(await dial(base, windowHeaders(base, cookie))).toBeInstanceOf(WebSocket);
    await server.close();
  });
});

it('knows what every method takes, so that none is left out above', () => {
  expect(new Set(namePlaces().map(({ method }) => method)).size).toBeGreaterThan(methodNames.length / 2);
});
