import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { root } from './places.ts';

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the command line from its source, all it keeps below a folder. */
export function pusaIn(folder: string): (...args: string[]) => Promise<Ended> {
  const env = { ...process.env, HF_HOME: join(folder, 'hf'), XDG_DATA_HOME: join(folder, 'data') };
  return (...args) =>
    new Promise((resolve) => {
      execFile(process.execPath, [join(root, 'src-main/cli.ts'), ...args], { env }, (error, out, err) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
      );
    });
}
