import { statSync } from 'node:fs';
import { extname, resolve } from 'node:path';

/** The `.pusa` files among a program's arguments, as whole paths. @param folder what the arguments are relative to */
export function pusaFiles(args: readonly string[], folder: string): string[] {
  return args
    .filter((arg) => !arg.startsWith('-') && extname(arg).toLowerCase() === '.pusa')
    .map((arg) => resolve(folder, arg))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true);
}

/** Files opened from the system, kept until a window asks for them. */
export class OpenedFiles {
  private readonly waiting: string[] = [];
  private tell: ((path: string) => void) | null = null;

  add(...paths: string[]): void {
    for (const path of paths) {
      if (this.tell === null) this.waiting.push(path);
      else this.tell(path);
    }
  }

  /** The window can hear now. */
  deliverTo(tell: (path: string) => void): void {
    this.tell = tell;
    this.add(...this.waiting.splice(0));
  }

  /** The window is gone or begins anew. */
  hold(): void {
    this.tell = null;
  }
}
