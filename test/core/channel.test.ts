import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createClient,
  createServer,
  streams,
  type Bytes,
  type ChannelClient,
  type ChannelServer,
  type ClientOptions,
  type ServerOptions,
} from '../../src-main/core/contract/channel.ts';
import { PusaError, type ErrorCode } from '../../src-main/core/errors.ts';
import { sampleBytes } from '../support/project.ts';
import { portLine, socketLine, type Line } from './lines.ts';
import { contract, failure, Studio, until, type Test } from './small-studio.ts';

interface Connection {
  readonly studio: Studio;
  readonly client: ChannelClient<Test>;
  readonly server: ChannelServer<Test>;
}

const open: Connection[] = [];
afterEach(() => {
  for (const { client, server } of open.splice(0)) {
    client.close();
    server.close();
  }
});

async function start(
  line: () => Promise<Line>,
  forServer: ServerOptions<Test> = {},
  forClient: ClientOptions = {},
): Promise<Connection> {
  const ends = await line();
  const studio = new Studio();
  const connection = {
    studio,
    server: createServer(contract, ends.server, studio.handlers, forServer),
    client: createClient(contract, ends.client, forClient),
  };
  open.push(connection);
  return connection;
}

/** Waits until whatever is under way has come to rest. */
async function rest(value: () => number): Promise<number> {
  for (let before = -1; before !== value();) {
    before = value();
    await delay(50);
  }
  return value();
}

async function readAll(body: Bytes): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Bytes in pieces of all sizes, from none to more than a message may hold. */
function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  const lengths = [1, 0, 7_000, 3_000_000, 131_072, 65_537];
  for (let at = 0, i = 0; at < bytes.byteLength; i++) {
    const length = lengths[i % lengths.length]!;
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

describe.each([
  ['a MessageChannel', portLine],
  ['a pair of sockets', socketLine],
])('a channel over %s', (_, line) => {
  it('carries calls and answers', async () => {
    const { client } = await start(line);
    expect(await client.api.sums.add({ a: 1, b: 2 })).toBe(3);
    expect(await client.call('work.echo', { text: '下一帧 🎬' })).toBe('下一帧 🎬');
    const all = await Promise.all(Array.from({ length: 300 }, (_, b) => client.api.sums.add({ a: 1000, b })));
    expect(all).toEqual(Array.from({ length: 300 }, (_, b) => 1000 + b));
  });

  it('carries errors whole', async () => {
    const logged: unknown[] = [];
    const { client } = await start(line, { onError: (error) => logged.push(error) });
    const ours = await failure(client.api.sums.fail({ as: 'ours' }));
    expect([ours.code, ours.message, ours.remedy]).toEqual([
      'DISK_FULL',
      'The disk is full.',
      'Free some space.',
    ]);
    const foreign = await failure(client.api.sums.fail({ as: 'foreign' }));
    expect(foreign.code).toBe('INTERNAL');
    expect(foreign.message).not.toContain('.ts');
    expect((logged[1] as Error).stack).toContain('small-studio.ts');
    expect((await failure(client.api.sums.fail({ as: 'output' }))).message).toContain(
      'The output of "sums.fail"',
    );
  });

  it('checks an input before it leaves', async () => {
    const { client, studio } = await start(line);
    const wrong = await failure(client.api.work.wait({ name: 'longer than ten' }));
    expect([wrong.code, wrong.message.includes('at name')]).toEqual(['CONTRACT_VIOLATION', true]);
    expect((await failure(client.call('sums.none' as 'sums.add', { a: 1, b: 2 }))).code).toBe(
      'CONTRACT_VIOLATION',
    );
    expect(studio.mostRunning).toBe(0);
  });

  it('refuses a message that is too large and goes on', async () => {
    const { client } = await start(line);
    const error = await failure(client.api.work.echo({ text: 'x'.repeat(3 * 2 ** 20) }));
    expect([error.code, error.message]).toEqual(['CONTRACT_VIOLATION', 'A message is too large.']);
    expect(await client.api.sums.add({ a: 2, b: 2 })).toBe(4);
  });

  it('cancels a call, its work and those that wait', async () => {
    const { client, studio } = await start(line, {}, { limits: { openCalls: 1 } });
    const first = new AbortController();
    const second = new AbortController();
    const calls = [
      failure(client.api.work.wait({ name: 'first' }, { signal: first.signal })),
      failure(client.api.work.wait({ name: 'second' }, { signal: second.signal })),
    ];
    await until(() => studio.running === 1);
    second.abort();
    first.abort();
    expect((await Promise.all(calls)).map(({ code }) => code)).toEqual(['CANCELLED', 'CANCELLED']);
    await until(() => studio.ended.length === 1);
    expect(studio.ended).toEqual(['first aborted']);
    expect((await failure(client.api.work.wait({ name: 'third' }, { signal: first.signal }))).code).toBe(
      'CANCELLED',
    );
    expect(await client.api.sums.add({ a: 2, b: 2 })).toBe(4);
  });

  it('keeps more calls than may be open waiting, in their order', async () => {
    const { client, studio } = await start(line, {}, { limits: { openCalls: 4, waitingCalls: 16 } });
    const names = Array.from({ length: 20 }, (_, i) => `n${i}`);
    const all = Promise.all(names.map((name) => client.api.work.wait({ name })));
    expect((await failure(client.api.work.wait({ name: 'more' }))).message).toContain('waiting');
    while (studio.ended.length < 20) {
      studio.release();
      await delay(1);
    }
    expect(await all).toEqual(names);
    expect(studio.ended).toEqual(names);
    expect(studio.mostRunning).toBe(4);
  });

  it('carries megabytes up', async () => {
    const { client } = await start(line);
    const bytes = sampleBytes(9_000_001, 5);
    const uploads = [1, 2].map(() => client.api.files.store({ read: 'all' }, { upload: piecesOf(bytes) }));
    const expected = { bytes: bytes.byteLength, sha256: sha256(bytes) };
    expect(await Promise.all(uploads)).toEqual([expected, expected]);
    expect(await client.api.files.store({ read: 'all' }, { upload: [] })).toEqual({
      bytes: 0,
      sha256: sha256(new Uint8Array()),
    });
  });

  it('carries megabytes down', async () => {
    const { client, studio } = await start(line);
    const pieces = [1, 3_000_000, 0, 131_073, 4_000_000];
    const { output, body } = await client.api.files.load({ pieces, endless: false });
    expect(output).toEqual({ name: 'file' });
    const expected = Buffer.concat(pieces.map((length) => sampleBytes(length, length)));
    expect(sha256(await readAll(body))).toBe(sha256(expected));
    expect(studio.closedBodies).toBe(1);
  });

  it('carries megabytes up and down in one call', async () => {
    const { client } = await start(line);
    const bytes = sampleBytes(5_000_000, 8);
    const { body } = await client.api.files.invert({}, { upload: piecesOf(bytes) });
    expect(sha256(await readAll(body))).toBe(sha256(bytes.map((value) => 255 - value)));
  });

  it('sends no more than a window to somebody who does not read', async () => {
    const { client, studio } = await start(line);
    const { body } = await client.api.files.load({ pieces: [50_000], endless: true });
    const produced = await rest(() => studio.produced);
    expect(produced).toBeGreaterThan(streams.window / 2);
    expect(produced).toBeLessThanOrEqual(streams.window + 50_000);
    let read = 0;
    for await (const piece of body) {
      read += piece.byteLength;
      if (read > 5_000_000) break;
    }
    // Leaving the loop ends it at the far side too.
    await until(() => studio.closedBodies === 1);
    expect(studio.produced).toBeLessThanOrEqual(read + streams.window + 2 * 50_000);
    expect(await client.api.sums.add({ a: 2, b: 2 })).toBe(4);
  });

  it('reads no more than a window from a source that nobody takes', async () => {
    const { client, studio } = await start(line);
    let given = 0;
    let isClosed = false;
    const endless = function* (): Generator<Uint8Array> {
      try {
        for (;;) {
          given += 50_000;
          yield sampleBytes(50_000, 1);
        }
      } finally {
        isClosed = true;
      }
    };
    expect((await client.api.files.store({ read: 'none' }, { upload: endless() })).bytes).toBe(0);
    await until(() => isClosed);
    expect(given).toBeLessThanOrEqual(streams.window + 50_000);
    const part = await client.api.files.store({ read: 'one' }, { upload: endless() });
    expect(part.bytes).toBe(50_000);
    expect(studio.running).toBe(0);
  });

  it('fails a call whose source fails, and a body whose call is cancelled', async () => {
    const { client, studio } = await start(line);
    const broken = function* (): Generator<Uint8Array> {
      yield sampleBytes(10, 1);
      throw new PusaError('FILE_UNREADABLE', 'The file cannot be read.', 'Choose another one.');
    };
    const error = await failure(client.api.files.store({ read: 'all' }, { upload: broken() }));
    expect(error.code).toBe('FILE_UNREADABLE');
    const abort = new AbortController();
    const { body } = await client.api.files.load({ pieces: [1000], endless: true }, { signal: abort.signal });
    const reading = failure(
      readAll(
        (async function* () {
          for await (const piece of body) {
            yield piece;
            abort.abort();
          }
        })(),
      ),
    );
    expect((await reading).code).toBe('CANCELLED');
    await until(() => studio.closedBodies === 1);
  });

  it('tells events to those who listen', async () => {
    const watched: string[] = [];
    const { client, server } = await start(line, { onWatch: (event, on) => watched.push(`${event} ${on}`) });
    const heard: unknown[] = [];
    const stop = client.on('work.preview', (payload) => heard.push(payload));
    client.on('work.preview', ({ at }) => heard.push(at));
    await until(() => server.watches('work.preview'));
    server.emit('sums.changed', { ids: ['nobody listens'] });
    const payload = { at: 1, deep: [{ rgb: sampleBytes(5000, 1) }, { rgb: new Uint8Array(0) }] };
    server.emit('work.preview', payload);
    await until(() => heard.length === 2);
    expect(heard).toEqual([payload, 1]);
    stop();
    server.emit('work.preview', { ...payload, at: 2 });
    await until(() => heard.length === 3);
    expect(heard[2]).toBe(2);
    expect(watched).toEqual(['work.preview true']);
    expect(() => server.emit('work.preview', { at: 0.5, deep: [] })).toThrow('The event "work.preview"');
  });

  it.each(['client', 'server'] as const)('ends cleanly when the %s hangs up', async (who) => {
    const { client, server, studio } = await start(line, {}, { limits: { openCalls: 3 } });
    const { body } = await client.api.files.load({ pieces: [100_000], endless: true });
    const upload = failure(
      client.api.files.store(
        { read: 'all' },
        {
          upload: (async function* () {
            for (;;) yield await delay(1, new Uint8Array(10));
          })(),
        },
      ),
    );
    const open = failure(client.api.work.wait({ name: 'open' }));
    const waiting = failure(client.api.work.wait({ name: 'waiting' }));
    await until(() => studio.running === 1);
    if (who === 'client') client.close();
    else server.close(new PusaError('CONNECTION_CLOSED', 'The studio was closed.', 'Start it again.'));
    const codes: ErrorCode[] = [];
    for (const each of [upload, open, waiting, failure(readAll(body)), client.closed])
      codes.push((await each).code);
    expect(new Set(codes)).toEqual(new Set(['CONNECTION_CLOSED']));
    if (who === 'server') expect((await client.closed).message).toBe('The studio was closed.');
    await server.closed;
    expect(studio.ended).toEqual(['open aborted']);
    expect(studio.closedBodies).toBe(1);
    expect((await failure(client.api.sums.add({ a: 1, b: 1 }))).code).toBe('CONNECTION_CLOSED');
  });

  it('hangs up on a client that goes on talking nonsense', async () => {
    const ends = await line();
    createServer(contract, ends.server, new Studio().handlers, { limits: { faults: 2 } });
    const said: unknown[] = [];
    await new Promise<void>((resolve) => {
      ends.client.listen({
        onMessage: (message) => said.push(message),
        onFault: () => undefined,
        onClose: resolve,
      });
      ends.client.send({ type: 'hello', version: 3 });
      for (const text of ['', 'a', 'b', 'c']) ends.client.send({ text });
    });
    expect(said.map((message) => (message as { type: string }).type)).toEqual(['refused', 'refused', 'bye']);
  });

  it('names a difference of versions', async () => {
    const ends = await line();
    createServer(contract, ends.server, new Studio().handlers);
    const client = createClient({ ...contract, version: 4 }, ends.client);
    expect((await client.closed).message).toContain('(4 and 3)');
  });
});
