/** The parts of a key event that a shortcut looks at. */
export interface KeyPress {
  readonly key: string;
  readonly code: string;
  readonly metaKey: boolean;
  readonly ctrlKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
}

interface Shortcut {
  readonly key: string;
  readonly mod: boolean;
  readonly alt: boolean;
  readonly shift: boolean;
  /** Ctrl on a Mac, where Mod is the command key. */
  readonly ctrl: boolean;
}

/** Whether the keyboard is Apple's. */
export function isApple(
  platform: string = typeof navigator === 'undefined' ? '' : navigator.userAgent,
): boolean {
  return /Mac|iPhone|iPad/.test(platform);
}

/** `Mod+Shift+Z` in parts. The plus itself is written `Plus`. */
export function parseShortcut(text: string): Shortcut {
  const parts = text.split('+');
  const key = parts.at(-1) ?? '';
  const has = (name: string): boolean => parts.slice(0, -1).includes(name);
  return { key, mod: has('Mod'), alt: has('Alt'), shift: has('Shift'), ctrl: has('Ctrl') };
}

/**
 * Whether a key press is a shortcut. Letters and digits are found by what they write, and where that is no Latin
 * letter or digit (other scripts, Alt on a Mac) by where they lie. Shift counts for letters, digits and named keys;
 * a sign like `?` is what it is however it is typed.
 */
export function matches(text: string, press: KeyPress, apple = isApple()): boolean {
  const { key, mod, alt, shift, ctrl } = parseShortcut(text);
  const wanted = { meta: apple && mod, ctrl: ctrl || (!apple && mod) };
  if (press.metaKey !== wanted.meta || press.ctrlKey !== wanted.ctrl || press.altKey !== alt) return false;
  if (key === 'Plus') return press.key === '+';
  if (/^[A-Z0-9]$/i.test(key)) {
    if (press.shiftKey !== shift) return false;
    const written = press.key.toUpperCase();
    const isLatin = /^[A-Z0-9]$/.test(written);
    return (isLatin ? written : press.code.replace(/^(Key|Digit)/, '')) === key.toUpperCase();
  }
  if (key.length === 1) return press.key === key;
  if (press.shiftKey !== shift) return false;
  return key === 'Space' ? press.code === 'Space' : press.key === key;
}

const signs: Readonly<Record<string, string>> = {
  ArrowLeft: '←',
  ArrowRight: '→',
  ArrowUp: '↑',
  ArrowDown: '↓',
  Enter: '⏎',
  Plus: '+',
  PageUp: 'PgUp',
  PageDown: 'PgDn',
};
const appleSigns: Readonly<Record<string, string>> = {
  Mod: '⌘',
  Shift: '⇧',
  Alt: '⌥',
  Ctrl: '⌃',
  Backspace: '⌫',
  Delete: '⌦',
};

/** A shortcut as the keys are called on this keyboard. */
export function keyParts(text: string, apple = isApple()): string[] {
  const names: Readonly<Record<string, string>> = apple
    ? { ...signs, ...appleSigns }
    : { ...signs, Mod: 'Ctrl', Delete: 'Del' };
  return text.split('+').map((part) => names[part] ?? part);
}
