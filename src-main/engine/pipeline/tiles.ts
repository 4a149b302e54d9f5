import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Note } from '../../core/contract/note.ts';
import { toPusaError } from '../../core/errors.ts';
import { mostTilings } from '../../core/plan/tiles.ts';
import { writeWhole } from '../../files/durable.ts';
import type { Tiling } from '../networks.ts';
import { keptNoteSchema, memoryNote, type Cause } from './notes.ts';

const choiceSchema = z.strictObject({
  rung: z.int().min(0).max(mostTilings),
  notes: z.array(keptNoteSchema).max(mostTilings),
});
type Choice = z.infer<typeof choiceSchema>;

/**
 * The tiles one job uses. The choice is kept in the job's folder (`tiles.json`), so that a resumed job comes out the
 * same; it changes only when the memory ran out.
 */
export class Tiles {
  private readonly path: string;
  private readonly rungs: readonly (Tiling | null)[];
  private readonly onNote: (note: Note) => void;
  private choice: Choice;

  private constructor(
    path: string,
    rungs: readonly (Tiling | null)[],
    choice: Choice,
    onNote: (note: Note) => void,
  ) {
    this.path = path;
    this.rungs = rungs;
    this.choice = choice;
    this.onNote = onNote;
  }

  /**
   * @param first the rung to begin with where the job has none yet
   * @param onNote told when tiles get smaller
   */
  static async open(
    folder: string,
    rungs: readonly (Tiling | null)[],
    first: number,
    onNote: (note: Note) => void = () => undefined,
  ): Promise<Tiles> {
    const path = join(folder, 'tiles.json');
    const saved = await readChoice(path);
    const rung = Math.min(saved?.rung ?? first, rungs.length - 1);
    const tiles = new Tiles(path, rungs, { rung, notes: saved?.notes ?? [] }, onNote);
    if (saved === null) await tiles.save();
    return tiles;
  }

  get tiling(): Tiling | null {
    return this.rungs[this.choice.rung]!;
  }

  /** About tiles made smaller than planned. */
  get notes(): readonly Note[] {
    return this.choice.notes;
  }

  /**
   * Goes on with smaller tiles.
   * @returns whether there are any
   */
  async shrink(why: Cause): Promise<boolean> {
    const rung = this.choice.rung + 1;
    if (rung >= this.rungs.length) return false;
    const [rows, columns] = this.rungs[rung]!.tile;
    const measure = `the work went on in tiles of ${rows}×${columns} latents`;
    const note = memoryNote(why, 'MEMORY_TILES', measure, { rows, columns });
    this.choice = { rung, notes: [...this.choice.notes, note] };
    await this.save();
    this.onNote(note);
    return true;
  }

  /** Runs `work` with the present tiles, and again with smaller ones as long as the memory runs out. */
  async run<T>(during: Cause, work: (tiling: Tiling | null) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work(this.tiling);
      } catch (thrown) {
        const recoverable = toPusaError(thrown).code === 'OUT_OF_MEMORY';
        if (!recoverable || !(await this.shrink(during))) throw thrown;
      }
    }
  }

  private save(): Promise<void> {
    return writeWhole(this.path, [new TextEncoder().encode(JSON.stringify(this.choice))]);
  }
}

async function readChoice(path: string): Promise<Choice | null> {
  try {
    return choiceSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    // Missing or torn: the choice is made again.
    return null;
  }
}
