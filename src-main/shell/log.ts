import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';

const maxBytes = 4 * 2 ** 20;

/** A log file that starts anew when it is full; the one before is kept. */
export class LogFile {
  readonly path: string;

  constructor(folder: string) {
    this.path = join(folder, 'pusa-studio.log');
    try {
      mkdirSync(folder, { recursive: true });
    } catch {
      return;
    }
  }

  /** Never throws: a full disk must not take the application with it. */
  write(entry: unknown): void {
    // An error with its code and with what caused it.
    const text = typeof entry === 'string' ? entry : inspect(entry);
    try {
      if ((statSync(this.path, { throwIfNoEntry: false })?.size ?? 0) > maxBytes) {
        renameSync(this.path, `${this.path}.1`);
      }
      appendFileSync(this.path, `${new Date().toISOString()} ${text.trimEnd()}\n`);
    } catch {
      return;
    }
  }
}
