import type { z } from 'zod';

/** Where this window keeps small things between starts; anything may be gone, or not what was written. */
export interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

const prefix = 'pusa.';

const own = (): Storage | null => {
  try {
    return typeof localStorage === 'undefined' ? null : localStorage;
  } catch {
    return null;
  }
};

/** What was remembered under a key; null when there is nothing, or it is not what the schema says. */
export function recall<T extends z.ZodType>(
  key: string,
  schema: T,
  storage: Storage | null = own(),
): z.infer<T> | null {
  try {
    const text = storage?.getItem(prefix + key) ?? null;
    if (text === null || text.length > 100_000) return null;
    const parsed = schema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** A full or forbidden storage only means that it is forgotten. */
export function remember(key: string, value: unknown, storage: Storage | null = own()): void {
  try {
    storage?.setItem(prefix + key, JSON.stringify(value));
  } catch {
    return;
  }
}
