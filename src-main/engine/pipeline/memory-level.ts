import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Note, NoteCode } from '../../core/contract/note.ts';
import { toPusaError } from '../../core/errors.ts';
import { smallestPlan } from '../../core/plan/memory.ts';
import { writeWhole } from '../../files/durable.ts';
import { keptNoteSchema, memoryNote, type Cause } from './notes.ts';

const stateSchema = z.strictObject({
  level: z.int().min(0).max(smallestPlan),
  notes: z.array(keptNoteSchema).max(smallestPlan),
});
type State = z.infer<typeof stateSchema>;

/** Ends a sentence about what was done when the memory ran out. */
const measures: readonly (readonly [NoteCode, string])[] = [
  ['MEMORY_HALF', 'the work went on with half of the model loaded and in smaller parts'],
  ['MEMORY_QUARTER', 'the work went on with a quarter of the model loaded and in smaller parts'],
  ['MEMORY_SINGLE', 'the work went on with one part of the model loaded at a time, which takes longer'],
];

/**
 * How small the plan is that one job's networks run with: 0 as planned, up to the smallest (see `planMemory`). Kept in
 * the job's folder (`memory.json`), so that a resumed job does not run into the same wall; it only ever gets smaller.
 */
export class MemoryLevel {
  readonly #path: string;
  readonly #onNote: (note: Note) => void;
  #state: State;

  private constructor(path: string, state: State, onNote: (note: Note) => void) {
    this.#path = path;
    this.#state = state;
    this.#onNote = onNote;
  }

  /** @param onNote told when the plan gets smaller */
  static async open(folder: string, onNote: (note: Note) => void): Promise<MemoryLevel> {
    const path = join(folder, 'memory.json');
    return new MemoryLevel(path, (await read(path)) ?? { level: 0, notes: [] }, onNote);
  }

  get level(): number {
    return this.#state.level;
  }

  /** About plans made smaller. */
  get notes(): readonly Note[] {
    return this.#state.notes;
  }

  /**
   * Goes on with a smaller plan.
   * @returns whether there is one
   */
  async shrink(why: Cause): Promise<boolean> {
    const { level, notes } = this.#state;
    const measure = measures[level];
    if (measure === undefined) return false;
    const note = memoryNote(why, ...measure);
    this.#state = { level: level + 1, notes: [...notes, note] };
    await writeWhole(this.#path, [new TextEncoder().encode(JSON.stringify(this.#state))]);
    this.#onNote(note);
    return true;
  }

  /** Runs `work` with the present plan, and again with smaller ones as long as the memory runs out. */
  async run<T>(during: Cause, work: (level: number) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work(this.level);
      } catch (thrown) {
        const recoverable = toPusaError(thrown).code === 'OUT_OF_MEMORY';
        if (!recoverable || !(await this.shrink(during))) throw thrown;
      }
    }
  }
}

async function read(path: string): Promise<State | null> {
  try {
    return stateSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    // Missing or torn: it begins with the plan as it would be.
    return null;
  }
}
