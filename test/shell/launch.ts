import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../support/places.ts';
import type { Tools } from './stand-in/register.ts';

/** The built main process, running in Node with the stand-in for Electron. */
export interface Shell {
  readonly child: ChildProcess;
  /** Runs a function in it. It sees nothing but its two arguments: it is sent as text. */
  evaluate<T, A = undefined>(run: (tools: Tools, argument: A) => T | Promise<T>, argument?: A): Promise<T>;
  /** Its exit code, once it has ended. */
  readonly ended: Promise<number | null>;
  output(): string;
}

export interface LaunchOptions {
  /** Where Electron's own folders are, and the library. */
  readonly folder: string;
  readonly args?: readonly string[];
  /** The main process to run; default the build's. */
  readonly entry?: string;
  /** Another instance runs already. */
  readonly isSecond?: boolean;
}

export function launch({
  folder,
  args = [],
  entry = join(root, 'out/main/main.js'),
  isSecond = false,
}: LaunchOptions): Shell {
  const child = fork(entry, [`--data=${join(folder, 'library')}`, ...args], {
    execArgv: ['--import', join(import.meta.dirname, 'stand-in/register.ts')],
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, PUSA_TEST_FOLDER: folder, PUSA_TEST_FIRST: isSecond ? 'no' : 'yes' },
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => (printed += text));
  }
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  child.on('message', (message) => {
    const { id, value, error } = message as { id: number; value?: unknown; error?: string };
    if (error === undefined) waiting.get(id)?.resolve(value);
    else waiting.get(id)?.reject(new Error(error));
    waiting.delete(id);
  });
  void ended.then((code) => {
    for (const { reject } of waiting.values()) reject(new Error(`It ended with ${code}: ${printed}`));
  });
  let lastId = 0;
  return {
    child,
    ended,
    output: () => printed,
    evaluate: (run, argument) =>
      new Promise((resolve, reject) => {
        const id = ++lastId;
        waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
        child.send({ id, code: run.toString(), argument });
      }),
  };
}
