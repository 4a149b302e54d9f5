import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseEngineMessage, type EngineMessage } from '../../src-main/engine/protocol.ts';
import { createSupervisor } from '../../src-main/engine/supervisor.ts';
import { nodeFork } from '../../src-main/engine/transport.ts';

const entry = join(import.meta.dirname, '../../src-main/engine/process.ts');
const packageFolder = join(import.meta.dirname, '../fixtures/models/test-pattern');

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'pusa-protocol-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('the protocol', () => {
  test('an engine answers what it does not understand, and goes on', async () => {
    const child = nodeFork()(entry);
    const messages: EngineMessage[] = [];
    let heard = (): void => undefined;
    child.onMessage((message) => {
      messages.push(parseEngineMessage(message));
      heard();
    });
    const exit = new Promise((resolve) => child.onExit(resolve));
    const answer = async (message: unknown): Promise<EngineMessage> => {
      messages.length = 0;
      child.send(message);
      while (messages.length === 0) await new Promise<void>((resolve) => (heard = resolve));
      return messages[0]!;
    };
    while (messages.length === 0) await new Promise<void>((resolve) => (heard = resolve));
    expect(messages[0]).toMatchObject({ type: 'hello', protocol: 3 });
    const ask = {
      type: 'render',
      id: 7,
      jobFolder: root,
      packageFolder,
      provider: 'cpu',
      avoid: [],
      rates: {},
      smallerPlan: false,
    };
    const cases: [message: unknown, id: number | null, field: RegExp][] = [
      [5, null, /message/],
      ['render', null, /message/],
      [{}, null, /type/],
      [[], null, /message/],
      [{ type: 'dance', id: 3 }, 3, /type/],
      [{ type: 'hello', protocol: 'x' }, null, /protocol/],
      [{ type: 'hello', protocol: 99 }, null, /versions \(99 and 3\)/],
      [{ type: 'hello', protocol: 3, memory: { file: '' } }, null, /memory\.file/],
      [{ type: 'cancel' }, null, /id/],
      [{ type: 'cancel', id: 0 }, null, /id/],
      [{ ...ask, smallerTiles: false }, 7, /previews/],
      [{ ...ask, smallerTiles: false, previews: false, jobFolder: '' }, 7, /jobFolder/],
      [{ ...ask, smallerTiles: false, previews: false, provider: 'abacus' }, 7, /provider/],
      [{ ...ask, smallerTiles: false, previews: false, rates: { denoise: NaN } }, 7, /rates\.denoise/],
      [{ ...ask, smallerTiles: false, previews: false, extra: new Uint8Array(9) }, 7, /extra/],
      [{ type: 'report', id: 8, avoid: [] }, 8, /fresh/],
      [
        { type: 'report', id: 8, fresh: false, avoid: Array(99).fill({ provider: 'cpu', reason: '' }) },
        8,
        /avoid/,
      ],
    ];
    for (const [message, id, field] of cases) {
      expect(await answer(message), String(field)).toMatchObject({
        type: 'failed',
        id,
        error: { code: 'ENGINE_PROTOCOL', message: expect.stringMatching(field) as string },
      });
    }
    expect(await answer({ ...ask, smallerTiles: false, previews: false })).toMatchObject({
      type: 'failed',
      id: 7,
      error: { code: 'FILE_NOT_FOUND' },
    });
    child.kill();
    expect(await exit).toEqual({ code: null, signal: 'SIGKILL' });
  });

  test.each([
    ['a message of another kind', `{ type: 'party' }`],
    ['a progress without numbers', `{ type: 'progress', id: 1, progress: {} }`],
    [
      'a preview of the wrong length',
      `{ type: 'preview', id: 1, cells: 1, width: 2, height: 2, rgb: new Uint8Array(3) }`,
    ],
    ['another version', `{ type: 'hello', protocol: 99, pid: 1 }`],
    [
      'an answer to another question',
      `{ type: 'measured', id: 1, measurement: { provider: 'cpu', tokens: 1, width: 1, milliseconds: 1, gflops: 1 } }`,
    ],
  ])('a supervisor refuses %s', async (_, message) => {
    const script = join(root, 'foreign.mjs');
    writeFileSync(
      script,
      `process.on('message', ({ type }) => type === 'report' && process.send(${message}));`,
    );
    const own = createSupervisor({ entry: script });
    await expect(own.report()).rejects.toMatchObject({ code: 'ENGINE_PROTOCOL' });
    await own.close();
  });

  test('an engine ends when its host does', async () => {
    const script = join(root, 'host.mjs');
    writeFileSync(
      script,
      `import { fork } from 'node:child_process';
      const child = fork(${JSON.stringify(entry)}, [], { serialization: 'advanced', stdio: 'ignore' });
      child.on('message', () => { process.stdout.write(String(child.pid)); process.kill(process.pid, 'SIGKILL'); });`,
    );
    let pid = '';
    try {
      execFileSync(process.execPath, [script], { encoding: 'utf8' });
    } catch (thrown) {
      pid = (thrown as { stdout: string }).stdout;
    }
    expect(Number(pid)).toBeGreaterThan(0);
    for (;;) {
      try {
        process.kill(Number(pid), 0);
      } catch {
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
});
