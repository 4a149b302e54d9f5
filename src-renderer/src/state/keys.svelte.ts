import { matches, type KeyPress } from './shortcut.ts';

export const commandGroups = ['file', 'edit', 'generate', 'play', 'timeline', 'library', 'view'] as const;
export type CommandGroup = (typeof commandGroups)[number];

/** Something the window can do, by key, menu or palette. */
export interface UiCommand {
  readonly id: string;
  readonly group: CommandGroup;
  readonly label: () => string;
  /** As in `Mod+Shift+Z`; the first is shown. */
  readonly keys?: readonly string[] | undefined;
  readonly run: () => void;
  /** Whether it can be done now; left out: always. */
  readonly when?: (() => boolean) | undefined;
  /** Fires again while the key is held. */
  readonly repeat?: boolean | undefined;
  /** Also while a text is being typed; those with Mod and a key that no text field uses are anyway. */
  readonly inText?: boolean | undefined;
  /** Not in the palette. */
  readonly hidden?: boolean | undefined;
}

/** Keys that controls use themselves. */
const controlKeys = new Set([
  'Space',
  'Enter',
  'ArrowLeft',
  'ArrowRight',
  'ArrowUp',
  'ArrowDown',
  'Home',
  'End',
]);
/** With Mod these belong to a text field that has the focus. */
const textKeys = new Set(['A', 'C', 'V', 'X', 'Z', 'Y', 'ArrowLeft', 'ArrowRight', 'Backspace', 'Delete']);

export type KeyTarget = 'text' | 'control' | 'none';

/** What a key press belongs to before any command. */
export function targetOf(element: EventTarget | null): KeyTarget {
  if (!(element instanceof HTMLElement)) return 'none';
  if (element.isContentEditable || element instanceof HTMLTextAreaElement) return 'text';
  if (element instanceof HTMLInputElement) {
    return ['checkbox', 'range', 'radio', 'button'].includes(element.type) ? 'control' : 'text';
  }
  return element.closest('button, select, a[href], [role=separator], [role=menu], [data-keys=own]') === null
    ? 'none'
    : 'control';
}

/** Every command of the window, once. What a part of the window can do is registered while it is there. */
export class Keys {
  #commands = $state.raw<readonly UiCommand[]>([]);

  get all(): readonly UiCommand[] {
    return this.#commands;
  }

  /** @returns takes them out again */
  register(commands: readonly UiCommand[]): () => void {
    const clash = this.#commands.find(({ id }) => commands.some((command) => command.id === id));
    if (clash) throw new Error(`The command ${clash.id} is registered twice.`);
    this.#commands = [...this.#commands, ...commands];
    return () => {
      this.#commands = this.#commands.filter((command) => !commands.includes(command));
    };
  }

  find(id: string): UiCommand | undefined {
    return this.#commands.find((command) => command.id === id);
  }

  /** The key shown for a command. */
  shortcut(id: string): string | undefined {
    return this.find(id)?.keys?.[0];
  }

  enabled(id: string): boolean {
    const command = this.find(id);
    return command !== undefined && (command.when?.() ?? true);
  }

  /** @returns whether it could be done */
  run(id: string): boolean {
    if (!this.enabled(id)) return false;
    this.find(id)?.run();
    return true;
  }

  /** @returns whether a command took the key press; the latest registered comes first */
  press(press: KeyPress & { readonly repeat?: boolean }, target: KeyTarget, apple?: boolean): boolean {
    for (const command of this.#commands.toReversed()) {
      const key = command.keys?.find((each) => matches(each, press, apple));
      if (key === undefined || !mayFire(command, key, target)) continue;
      if (!(command.when?.() ?? true)) continue;
      if (press.repeat !== true || command.repeat === true) command.run();
      return true;
    }
    return false;
  }
}

function mayFire(command: UiCommand, key: string, target: KeyTarget): boolean {
  const last = key.split('+').at(-1) ?? '';
  const hasMod = key.startsWith('Mod+') || key.startsWith('Ctrl+');
  if (target === 'text') return command.inText === true || (hasMod && !textKeys.has(last));
  if (target === 'control') return hasMod || !controlKeys.has(last);
  return true;
}

export const keys = new Keys();
