import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { PusaError } from '../../core/errors.ts';
import type { Tiling } from '../networks.ts';
import { writeWhole } from './files.ts';

/**
 * Tilings from none to the smallest, in latent units: the second is the reference's (spec §4.4), the others keep its
 * overlap of a half.
 */
const ladder: readonly (Tiling | null)[] = [
  null,
  { tile: [30, 52], stride: [15, 26] },
  { tile: [16, 28], stride: [8, 14] },
  { tile: [8, 14], stride: [4, 7] },
];

/** Tilings that make a difference for latents of this size, largest tiles first. */
export function tilingLadder(height: number, width: number): readonly (Tiling | null)[] {
  return ladder.filter((tiling) => tiling === null || tiling.tile[0] < height || tiling.tile[1] < width);
}

/** Share of the available memory the autoencoder may plan with; the rest is for its inputs and other programs. */
const share = 0.7;

/**
 * The first rung of the ladder whose forecast fits the memory; the last when none does.
 * @param bytesPerCell forecast of the autoencoder's memory for each latent pixel of a tile
 */
export function firstFitting(
  rungs: readonly (Tiling | null)[],
  [height, width]: readonly [number, number],
  bytesPerCell: number,
  availableBytes: number,
): number {
  const fits = rungs.findIndex((tiling) => {
    const rows = Math.min(height, tiling?.tile[0] ?? height);
    const columns = Math.min(width, tiling?.tile[1] ?? width);
    return rows * columns * bytesPerCell <= availableBytes * share;
  });
  return fits === -1 ? rungs.length - 1 : fits;
}

const choiceSchema = z.strictObject({
  rung: z.int().min(0).max(ladder.length),
  notes: z.array(z.string().max(1000)).max(ladder.length),
});
type Choice = z.infer<typeof choiceSchema>;

/**
 * The tiles one job uses. The choice is kept in the job's folder (`tiles.json`), so that a resumed job comes out the
 * same; it changes only when the memory ran out.
 */
export class Tiles {
  private readonly path: string;
  private readonly rungs: readonly (Tiling | null)[];
  private readonly onNote: (note: string) => void;
  private choice: Choice;

  private constructor(
    path: string,
    rungs: readonly (Tiling | null)[],
    choice: Choice,
    onNote: (note: string) => void,
  ) {
    this.path = path;
    this.rungs = rungs;
    this.choice = choice;
    this.onNote = onNote;
  }

  /**
   * @param first the rung to begin with where the job has none yet
   * @param onNote told when tiles get smaller, in a sentence
   */
  static async open(
    folder: string,
    rungs: readonly (Tiling | null)[],
    first: number,
    onNote: (note: string) => void = () => undefined,
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

  /** Whole sentences about tiles made smaller than planned. */
  get notes(): readonly string[] {
    return this.choice.notes;
  }

  /**
   * Goes on with smaller tiles.
   * @param why what happened, as the beginning of a sentence
   * @returns whether there are any
   */
  async shrink(why: string): Promise<boolean> {
    const rung = this.choice.rung + 1;
    if (rung >= this.rungs.length) return false;
    const [rows, columns] = this.rungs[rung]!.tile;
    const note = `${why}; the work went on in tiles of ${rows}×${columns} latents.`;
    this.choice = { rung, notes: [...this.choice.notes, note] };
    await this.save();
    this.onNote(note);
    return true;
  }

  /** Runs `work` with the present tiles, and again with smaller ones as long as the memory runs out. */
  async run<T>(what: string, work: (tiling: Tiling | null) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work(this.tiling);
      } catch (thrown) {
        const recoverable = thrown instanceof PusaError && thrown.code === 'OUT_OF_MEMORY';
        if (!recoverable || !(await this.shrink(`The memory ran out while ${what}`))) throw thrown;
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
