import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createClient,
  createServer,
  decodeFrame,
  encodeFrame,
  streams,
  type ChannelServer,
  type ServerOptions,
} from '../../src-main/core/contract/channel.ts';
import { PusaError } from '../../src-main/core/errors.ts';
import { sampleBytes } from '../support/project.ts';
import { handLine, type HandLine } from './lines.ts';
import { contract, events, failure, methods, Studio, until, type Test } from './small-studio.ts';

/** A greeted server whose client is the test. */
function byHand(options: ServerOptions<Test> = {}): {
  line: HandLine;
  studio: Studio;
  server: ChannelServer<Test>;
} {
  const line = handLine();
  const studio = new Studio();
  const server = createServer(contract, line.transport, studio.handlers, options);
  line.say({ type: 'hello', version: 3 });
  return { line, studio, server };
}

describe('a server', () => {
  const call = (id: number, method: string, input: unknown): object => ({ type: 'call', id, method, input });
  const codeOf = (message: Record<string, unknown> | undefined): string =>
    (message?.['error'] as { code: string }).code;

  it('answers what it does not understand, to the call where there is one', () => {
    const { line } = byHand();
    line.say(call(1, 'constructor', {}));
    line.say(call(2, 'sums.add', { a: 'x' }));
    line.say({ ...call(3, 'sums.add', { a: 1, b: 1 }), more: true });
    line.say({ type: 'chunk', id: 9, bytes: new Uint8Array(1) });
    line.say({ type: 'watch', event: 'toString' });
    line.say(null);
    expect(line.said.map(({ type, id }) => [type, id])).toEqual([
      ['failed', 1],
      ['failed', 2],
      ['failed', 3],
      ['refused', undefined],
      ['refused', undefined],
      ['refused', undefined],
    ]);
    expect(new Set(line.said.map(codeOf))).toEqual(new Set(['CONTRACT_VIOLATION']));
    expect(line.isClosed()).toBe(false);
  });

  it('refuses numbers that were used or left behind, without touching the call that has them', async () => {
    const { line, studio } = byHand();
    line.say(call(5, 'work.wait', { name: 'five' }));
    line.say(call(5, 'work.wait', { name: 'again' }));
    line.say(call(4, 'work.wait', { name: 'four' }));
    expect(line.said.map(({ type }) => type)).toEqual(['refused', 'refused']);
    await until(() => studio.running === 1);
    studio.release();
    await until(() => line.said.length === 3);
    expect(line.said[2]).toEqual({ type: 'result', id: 5, output: 'five' });
    // What comes late for it is no fault.
    line.say({ type: 'cancel', id: 5 });
    line.say({ type: 'credit', id: 5, cost: 1 });
    expect(line.said).toHaveLength(3);
  });

  it('bounds what is open, and what comes unasked', async () => {
    const { line, studio, server } = byHand({ limits: { openCalls: 2 }, allowPaths: false });
    line.say(call(1, 'work.wait', { name: 'one' }));
    line.say(call(2, 'files.load', { pieces: [50_000], endless: true }));
    line.say(call(3, 'sums.add', { a: 1, b: 1 }));
    expect(line.said.at(-1)).toMatchObject({ type: 'failed', id: 3 });
    line.say(call(4, 'files.path', { path: '/etc/passwd' }));
    expect(line.said.at(-1)).toMatchObject({ type: 'failed', id: 4 });
    line.say({ type: 'credit', id: 2, cost: 1 });
    expect(line.said.at(-1)).toMatchObject({ type: 'refused' });
    line.say({ type: 'cancel', id: 1 });
    await until(() => studio.ended.length === 1);
    await delay(1);
    expect(codeOf(line.said.find(({ type, id }) => type === 'failed' && id === 1))).toBe('CANCELLED');
    line.hangUp();
    await server.closed;
    expect(studio.closedBodies).toBe(1);
  });

  it('bounds an upload that does not wait', async () => {
    const { line, server } = byHand({ limits: { faults: 3 } });
    line.say(call(1, 'files.store', { read: 'none' }));
    const bytes = new Uint8Array(streams.chunkBytes);
    for (let i = 0; i < 20; i++) line.say({ type: 'chunk', id: 1, bytes });
    expect(line.isClosed()).toBe(true);
    expect(line.said.at(-1)).toMatchObject({ type: 'bye' });
    await server.closed;
    const tiny = byHand();
    tiny.line.say(call(1, 'files.store', { read: 'none' }));
    for (let i = 0; i < 3000; i++) tiny.line.say({ type: 'chunk', id: 1, bytes: new Uint8Array(1) });
    expect(tiny.line.isClosed()).toBe(true);
  });

  it('leaves lossy events out for a slow client, and hangs up on one that does not read', () => {
    const { line, server } = byHand({ limits: { lossyBacklog: 100, maxBacklog: 1000 } });
    line.say({ type: 'watch', event: 'work.preview' });
    line.say({ type: 'watch', event: 'sums.changed' });
    line.backlog = 500;
    server.emit('work.preview', { at: 1, deep: [] });
    server.emit('sums.changed', { ids: [] });
    expect(line.said.map(({ event }) => event)).toEqual(['sums.changed']);
    line.backlog = 1001;
    server.emit('sums.changed', { ids: [] });
    expect(line.isClosed()).toBe(true);
  });

  it('wants a greeting first, once', () => {
    const line = handLine();
    createServer(contract, line.transport, new Studio().handlers);
    line.say(call(1, 'sums.add', { a: 1, b: 1 }));
    line.say({ type: 'hello', version: 3 });
    line.say({ type: 'hello', version: 3 });
    expect(line.said.map(({ type }) => type)).toEqual(['refused', 'refused']);
  });

  const type = fc.constantFrom(
    'hello',
    'call',
    'cancel',
    'chunk',
    'end',
    'credit',
    'watch',
    'unwatch',
    'result',
    7,
  );
  const nearly = fc.record(
    {
      type,
      id: fc.oneof(fc.integer({ min: -1, max: 6 }), fc.double(), fc.constant('1')),
      method: fc.oneof(
        fc.constantFrom(...Object.keys(methods), '__proto__', 'hasOwnProperty'),
        fc.anything(),
      ),
      input: fc.oneof(
        fc.anything(),
        fc.record({ pieces: fc.array(fc.nat(2000)), endless: fc.constant(false) }),
        fc.record({ read: fc.constantFrom('all', 'one', 'none') }),
        fc.record({ name: fc.string() }),
      ),
      bytes: fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.anything()),
      cost: fc.oneof(fc.integer(), fc.anything()),
      event: fc.oneof(fc.constantFrom(...Object.keys(events), 'constructor'), fc.anything()),
      version: fc.constantFrom(3, 3, 4),
      error: fc.anything(),
    },
    { requiredKeys: ['type'] },
  );
  const exact = fc.oneof(
    fc.record({ type: fc.constantFrom('cancel', 'end'), id: fc.integer({ min: 1, max: 6 }) }),
    fc.record({
      type: fc.constant('chunk'),
      id: fc.integer({ min: 1, max: 6 }),
      bytes: fc.uint8Array({ minLength: 1 }),
    }),
    fc.record({ type: fc.constant('credit'), id: fc.integer({ min: 1, max: 6 }), cost: fc.nat(2_000_000) }),
  );
  const garbage = fc.oneof(
    nearly,
    exact,
    fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true }),
  );

  it('survives any message, and either answers or hangs up', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(garbage, { maxLength: 40 }), async (messages) => {
        const { line, studio, server } = byHand({ limits: { faults: 30 } });
        for (const message of messages) line.say(message);
        if (!line.isClosed()) {
          const id = 1_000_000;
          line.say(call(id, 'sums.add', { a: 1, b: 2 }));
          await until(() => line.isClosed() || line.said.some((message) => message['id'] === id));
          if (!line.isClosed()) expect(line.said).toContainEqual({ type: 'result', id, output: 3 });
        }
        line.hangUp();
        await server.closed;
        expect(studio.running).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a client', () => {
  it('does not trust the server either', async () => {
    const answers: [object, string][] = [
      [{ type: 'result', id: 1, output: 'no number' }, 'The output of "sums.add"'],
      [{ type: 'result', id: 1, output: 1, more: 1 }, 'A message'],
      [{ type: 'chunk', id: 1, bytes: new Uint8Array(1) }, 'before their answer'],
      [{ type: 'event', event: 'sums.changed', payload: { ids: [1] } }, 'The event "sums.changed"'],
      [{ type: 'result', id: 7, output: 1 }, 'no call 7'],
      [{ type: 'nonsense' }, 'A message'],
      [{ type: 'failed', id: 1, error: { code: 'NO_SUCH_CODE', message: '', remedy: '' } }, 'A message'],
    ];
    for (const [answer, message] of answers) {
      const line = handLine();
      const client = createClient(contract, line.transport);
      const asked = failure(client.api.sums.add({ a: 1, b: 2 }));
      await until(() => line.said.length === 2);
      line.say(answer);
      const error = await asked;
      expect(error.code).toBe('CONTRACT_VIOLATION');
      expect(error.message).toContain(message);
    }
  });
});

describe('frames', () => {
  const binary = fc.uint8Array({ maxLength: 50 });
  // JSON has no −0.
  const json = fc.jsonValue({ maxDepth: 2 }).map((value): unknown => JSON.parse(JSON.stringify(value)));
  const { message } = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 4 }, json, binary, tie('object'), tie('list')),
    object: fc.dictionary(
      fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', '0')),
      tie('value'),
      {
        maxKeys: 3,
        noNullPrototype: true,
      },
    ),
    list: fc.array(tie('value'), { maxLength: 3 }),
    message: fc.record({ type: fc.string(), a: tie('value'), b: tie('value') }),
  }));

  const partsOf = (value: unknown): number =>
    value instanceof Uint8Array
      ? 1
      : typeof value === 'object' && value !== null
        ? Object.values(value).reduce<number>((sum, child) => sum + partsOf(child), 0)
        : 0;

  it('give back what went in', () => {
    fc.assert(
      fc.property(message, (value) => {
        fc.pre(partsOf(value) <= 16);
        expect(decodeFrame(encodeFrame(value as object, 1e6), 1e6)).toEqual(value);
      }),
    );
  });

  it('fail with a code whatever the bytes', () => {
    const good = encodeFrame({ type: 'chunk', id: 1, bytes: sampleBytes(40, 1) }, 1e6);
    const mutated = fc
      .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((changes) => changes.reduce((bytes, [at, value]) => bytes.with(at, value), good));
    const cut = fc.nat(good.length).map((length) => good.slice(0, length));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated, cut), (bytes) => {
        try {
          decodeFrame(bytes, 1e6);
        } catch (thrown) {
          if (!(thrown instanceof PusaError) || thrown.code !== 'CONTRACT_VIOLATION') throw thrown;
        }
      }),
      { numRuns: 2000 },
    );
    expect(() => decodeFrame(good, good.length - 1)).toThrow('too large');
    expect(() => encodeFrame({ bytes: sampleBytes(100, 1) }, 100)).toThrow('too large');
  });

  it('put binary nowhere but where a message left a place', () => {
    const frame = (head: object, bytes: number): Uint8Array => {
      const text = new TextEncoder().encode(JSON.stringify(head));
      const whole = new Uint8Array(4 + text.length + bytes);
      new DataView(whole.buffer).setUint32(0, text.length, true);
      whole.set(text, 4);
      return whole;
    };
    for (const path of [
      ['__proto__', 'x'],
      ['constructor', 'prototype'],
      ['a'],
      ['list', '1'],
      ['list', 'length'],
      ['type', '0'],
    ]) {
      const head = { message: { type: 'x', a: 1, list: [null] }, parts: [{ path, bytes: 1 }] };
      expect(() => decodeFrame(frame(head, 1), 1e6), path.join('.')).toThrow('in no place');
    }
    const fits = { message: { list: [null] }, parts: [{ path: ['list', '0'], bytes: 1 }] };
    expect(decodeFrame(frame(fits, 1), 1e6)).toEqual({ list: [new Uint8Array(1)] });
    expect(() => decodeFrame(frame(fits, 2), 1e6)).toThrow('torn');
    expect(Object.hasOwn(Object.prototype, 'x')).toBe(false);
  });
});
