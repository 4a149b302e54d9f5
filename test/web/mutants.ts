import type { WebSocket } from 'ws';
import { decodeFrame, encodeFrame, messageBytes } from '../../src-main/core/contract/channel.ts';
import { api } from '../../src-main/core/contract/api.ts';
import { seeded } from '../engine/kill.ts';
import { answers, dialIn } from './door.ts';
import { methodNames, sampleInput } from './samples.ts';
import { leaks, type Served } from './served.ts';

/** What became of a number of mutated messages. */
export interface MutantReport {
  readonly sent: number;
  /** Answered with an error, to their call or on their own. */
  readonly refused: number;
  /** Still understood: the mutation left a call that the contract allows. */
  readonly answered: number;
  /** Connections that the server ended. */
  readonly hungUp: number;
  /** What must not be: leaks, a server that does not answer or has ended. */
  readonly faults: readonly string[];
}

/** Measures the whole machine for seconds; its refusals are those of every other method. */
const tooLong: ReadonlySet<string> = new Set(['device.report']);

/** Calls of a connection, before another is opened: some stay open, and a connection has room for so many. */
const callsOfLine = 100;

const hostile: readonly unknown[] = [
  null,
  true,
  -1,
  0.5,
  1e308,
  Number.MAX_SAFE_INTEGER,
  '',
  '../../../../etc/passwd',
  '..\\..\\windows\\win.ini',
  '/etc/passwd',
  'C:\\Windows\\win.ini',
  '%2e%2e%2fsecret',
  'a\u0000b',
  '\ud800',
  "'; DROP TABLE projects; --",
  '{{7*7}}',
  'x'.repeat(100_000),
  [],
  [[[[[[]]]]]],
  {},
  { __proto__: null, constructor: { prototype: {} } },
];

/**
 * Sends calls that are changed somewhere, in their values or in their bytes, each followed by a sound one that shows
 * whether the server still listens.
 */
export async function sendMutants(served: Served, count: number, seed: number): Promise<MutantReport> {
  const random = seeded(seed);
  const faults: string[] = [];
  let [refused, answered, hungUp] = [0, 0, 0];
  let line: Line | null = null;
  for (let sent = 0; sent < count; sent++) {
    line ??= await Line.open(served);
    const mutant = makeMutant(random, line.nextId());
    const outcome: Outcome = await line.put(mutant.bytes);
    for (const text of line.takeErrors()) {
      for (const leak of leaks(text, served))
        faults.push(`${mutant.name}: tells ${leak}: ${text.slice(0, 300)}`);
    }
    if (outcome === 'refused') refused++;
    else if (outcome === 'answered') answered++;
    else hungUp++;
    if (outcome === 'hung up' || line.isSpoilt || sent % callsOfLine === 0) {
      line.close();
      line = null;
    }
    if (served.child.exitCode !== null || served.child.signalCode !== null) {
      faults.push(`${mutant.name}: the server ended: ${served.output().slice(-2000)}`);
      break;
    }
  }
  line?.close();
  if (!(await answers(served.base, served.cookie).catch(() => false))) faults.push('no answer afterwards');
  return { sent: count, refused, answered, hungUp, faults };
}

type Outcome = 'refused' | 'answered' | 'hung up';

/** One connection by hand. */
class Line {
  private readonly socket: WebSocket;
  private lastId = 0;
  private messages: Record<string, unknown>[] = [];
  private wake: () => void = () => undefined;
  private isClosed = false;
  /** No call of ours can follow. */
  isSpoilt = false;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Uint8Array) => {
      this.messages.push(decodeFrame(data, messageBytes.client.receive) as Record<string, unknown>);
      this.wake();
    });
    socket.on('close', () => {
      this.isClosed = true;
      this.wake();
    });
    socket.on('error', () => undefined);
  }

  static async open({ base, cookie }: Served): Promise<Line> {
    const line = new Line(await dialIn(base, cookie));
    line.say({ type: 'hello', version: api.version });
    return line;
  }

  nextId(): number {
    return ++this.lastId;
  }

  /** Sends bytes, then a sound question, and waits for its answer or the end of the connection. */
  async put(bytes: Uint8Array): Promise<Outcome> {
    this.messages = [];
    const id = this.nextId();
    this.socket.send(bytes);
    this.say({
      type: 'call',
      id,
      method: 'projects.list',
      input: { cursor: null, limit: 1, trashed: false, sort: 'name' },
    });
    // A mutant that took a higher number than ours leaves none for the question.
    while (!this.isClosed && !this.messages.some((message) => Number(message['id']) >= id)) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    if (this.isClosed) return 'hung up';
    if (!this.messages.some((message) => message['id'] === id)) this.isSpoilt = true;
    const isRefused = this.messages.some(
      ({ type, id: of }) => of !== id && (type === 'failed' || type === 'refused'),
    );
    return isRefused ? 'refused' : 'answered';
  }

  /** Everything that was said and is no result. */
  takeErrors(): string[] {
    return this.messages.filter(({ type }) => type !== 'result').map((message) => JSON.stringify(message));
  }

  close(): void {
    this.socket.close();
  }

  private say(message: object): void {
    if (!this.isClosed) this.socket.send(encodeFrame(message, messageBytes.client.send));
  }
}

/** A call that is wrong somewhere. */
function makeMutant(random: (below: number) => number, id: number): { name: string; bytes: Uint8Array } {
  const methods = methodNames.filter((name) => !tooLong.has(name));
  const method = methods[random(methods.length)]!;
  const call = { type: 'call', id, method, input: sampleInput(method) };
  if (random(3) > 0) {
    // Most of what can be wrong lies in the input.
    const changed =
      random(4) === 0 ? changeValue(call, random) : { ...call, input: changeValue(call.input, random) };
    return { name: `${method} with other values`, bytes: encodeFrame(changed as object, 2 ** 24) };
  }
  const sound = encodeFrame(call, messageBytes.client.send);
  return { name: `${method} with other bytes`, bytes: changeBytes(sound, random) };
}

/** Puts something hostile in the place of a value, or beside it. */
function changeValue(value: unknown, random: (below: number) => number): unknown {
  const isHolder = typeof value === 'object' && value !== null && Object.keys(value).length > 0;
  if (!isHolder || random(6) === 0) return hostile[random(hostile.length)];
  const keys = Object.keys(value);
  const key = keys[random(keys.length)]!;
  if (Array.isArray(value)) {
    return value.map((item: unknown, i) => (String(i) === key ? changeValue(item, random) : item));
  }
  const object = new Map(Object.entries(value));
  const way = random(8);
  if (way === 0) object.delete(key);
  else if (way === 1) object.set(`${key}_`, hostile[random(hostile.length)]);
  else object.set(key, changeValue(object.get(key), random));
  return Object.fromEntries(object);
}

function changeBytes(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  switch (random(5)) {
    case 0:
      return bytes.with(random(bytes.length), random(256));
    case 1:
      return bytes.slice(0, random(bytes.length));
    case 2:
      return new Uint8Array([...bytes, ...Array.from({ length: 1 + random(64) }, () => random(256))]);
    case 3:
      return Uint8Array.from({ length: random(200) }, () => random(256));
    default: {
      const other = Uint8Array.from(bytes);
      for (let i = 0; i < 4; i++) other[random(4)] = random(256);
      return other;
    }
  }
}
