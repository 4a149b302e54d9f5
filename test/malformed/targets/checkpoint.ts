import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../../../src-main/engine/weights/open-checkpoint.ts';
import { difference, WronglyAccepted, type ByteChange, type Random, type Target } from '../mutate.ts';

/** Ways to break a file; number n of the draws takes way n, in turn. */
export type Ways = readonly ((random: Random) => ByteChange)[];

/** A checkpoint and the ways to break it, read as the application reads it: recognised by its bytes, every tensor read. */
export function checkpointTarget(
  name: string,
  share: number,
  fileName: string,
  sound: Uint8Array,
  ways: Ways,
): Target {
  return {
    name,
    share,
    async prepare(folder) {
      const path = join(folder, fileName);
      const read = async (bytes: Uint8Array): Promise<Contents> => {
        await writeFile(path, bytes);
        return contentsOf(path);
      };
      const expected = await read(sound);
      const mutant = ({ bytes, ...change }: ByteChange) => ({
        ...change,
        feed: async () => explain(expected, await read(bytes)),
      });
      return {
        sound: mutant({ field: 'nothing', change: 'none', mustRefuse: false, bytes: sound }),
        draw: (random, index) => Promise.resolve(mutant(ways[index % ways.length]!(random))),
      };
    },
  };
}

/** Why an accepted file is right: every tensor of it lies inside the file and is read as the file says. */
function explain(sound: Contents, found: Contents): string {
  if (difference([...sound], [...found]) === null) return 'reads the same';
  const outline = (contents: Contents): unknown => [...contents].map(([name, { shape }]) => [name, shape]);
  return difference(outline(sound), outline(found)) === null
    ? 'the same tensors with other numbers, which nothing in the file checks'
    : 'other names or sides, which fit the file as well';
}

type Contents = ReadonlyMap<string, { readonly shape: readonly number[]; readonly numbers: string }>;

async function contentsOf(path: string): Promise<Contents> {
  const checkpoint = await openCheckpoint(path);
  try {
    const found = new Map<string, { shape: readonly number[]; numbers: string }>();
    for (const [name, entry] of checkpoint.entries) {
      const numbers = await checkpoint.read(name);
      if (numbers.length !== entry.shape.reduce((product, side) => product * side, 1)) {
        throw new WronglyAccepted(`${name} has ${numbers.length} numbers`);
      }
      found.set(name, { shape: entry.shape, numbers: Buffer.from(numbers.buffer).toString('hex') });
    }
    return found;
  } finally {
    await checkpoint.close();
  }
}
