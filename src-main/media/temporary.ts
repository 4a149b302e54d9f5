import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

/**
 * Told the path of a temporary file or folder before it is made beside a place that a person chose, so that whoever
 * keeps such notes can remove what a killed process leaves.
 */
export type NoteTemporary = (path: string) => Promise<void>;

/** A new name for what is being written in a folder, hidden where a leading dot hides. */
export function temporaryIn(folder: string): string {
  return join(folder, `.pusa-${randomUUID()}.part`);
}

/** What a temporary folder is called once all of it is whole and only waits for its place. */
export function wholeOf(temporary: string): string {
  return temporary.replace(/\.part$/, '.whole');
}

/** Whether a file name is one of {@link temporaryIn}. */
export function isTemporary(name: string): boolean {
  return /^\.pusa-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.part$/.test(name);
}
