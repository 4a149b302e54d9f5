import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../support/places.ts';
import { enter } from './door.ts';

/** The application as `serve` runs it, in a process of its own. */
export interface Served {
  /** The one-time link it printed. */
  readonly link: string;
  readonly base: URL;
  readonly cookie: string;
  /** Its library; nothing of this path may be told to who is refused. */
  readonly data: string;
  readonly child: ChildProcess;
  /** All it printed. */
  output(): string;
  /** Asks it to stop. @returns its exit code */
  stop(): Promise<number | null>;
}

/** Starts it from the sources, with an empty library. */
export async function serve(...args: string[]): Promise<Served> {
  const folder = await mkdtemp(join(tmpdir(), 'pusa-served-'));
  const data = join(folder, 'a', 'secret-library');
  await mkdir(data, { recursive: true });
  const child = spawn(process.execPath, [join(root, 'src-main/serve.ts'), '--data', data, ...args], {
    cwd: data,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (printed += text));
  const link = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
      const found = /http:\/\/\S+/.exec(printed);
      if (found !== null) resolve(found[0]);
    });
    child.once('exit', (code) => reject(new Error(`serve ended with ${code}: ${printed}`)));
  });
  const cookie = await enter(link);
  return {
    link,
    base: new URL('/', link),
    cookie,
    data,
    child,
    output: () => printed,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGTERM');
        await ended;
      }
      await rm(folder, { recursive: true, force: true });
      return child.exitCode;
    },
  };
}

/** What an answer must not tell: where files lie, how the program is built, where it threw. */
export function leaks(text: string, { data }: Pick<Served, 'data'>): string[] {
  const found: [name: string, pattern: RegExp][] = [
    ['the library’s path', new RegExp(data.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))],
    ['the application’s path', new RegExp(root.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))],
    ['a stack', /\n\s+at |\bat \S+ \(|\.[cm]?[jt]s:\d+/],
    ['a module', /node_modules|node:internal|file:\/\//],
    ['a password file', /root:[^:]*:0:0:/],
  ];
  return found.filter(([, pattern]) => pattern.test(text)).map(([name]) => name);
}
