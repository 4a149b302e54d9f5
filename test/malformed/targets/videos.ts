import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeMp4Here } from '../../../src-main/media/encode-wasm.ts';
import { openSource } from '../../../src-main/media/frames.ts';
import { probeMedia } from '../../../src-main/media/probe.ts';
import { findFfmpeg } from '../../../src-main/media/tools.ts';
import { sampleBytes } from '../../support/project.ts';
import {
  emptied,
  explain,
  renumbered,
  scrambled,
  truncated,
  WronglyAccepted,
  type ByteChange,
  type NumberField,
  type Random,
  type Target,
} from '../mutate.ts';

const size = { width: 32, height: 32 };
const frames = 9;

/** An mp4: probed, and where there is an ffmpeg also decoded. */
export const videos: Target = {
  name: 'video',
  share: 2,
  async prepare(folder) {
    const path = join(folder, 'case.mp4');
    await writeMp4Here({ ...size, frames: pixels(), fps: 16, path, metadata: '{}' }, path);
    const sound = await readFile(path);
    const boxes = boxesOf(sound, 0, sound.length, '');
    const fields = boxes.flatMap(({ fields }) => fields);
    const index = boxes.find(({ name }) => name === 'moov')!;
    const decodes = (await findFfmpeg()) !== null;
    const read = async (bytes: Uint8Array): Promise<unknown> => {
      await writeFile(path, bytes);
      const { width, height, fps, duration, codec } = await probeMedia(path);
      if (!(width >= 1 && height >= 1 && fps > 0 && duration >= 0))
        throw new WronglyAccepted('it has no size or rate');
      const sums: number[] = [];
      if (decodes) {
        const source = await openSource(path);
        for await (const frame of source.frames([0, 0.25, 0.5], size, 'crop')) {
          if (frame.length !== 3 * size.width * size.height)
            throw new WronglyAccepted('a frame has another size');
          sums.push(frame.reduce((sum, value) => sum + value, 0));
        }
      }
      return { width, height, fps, duration, codec, sums };
    };
    const expected = await read(sound);
    const mutant = ({ bytes, ...change }: ByteChange) => ({
      ...change,
      feed: async () => explain(expected, await read(bytes)),
    });
    const ways: readonly ((random: Random) => ByteChange)[] = [
      (random) => renumbered(random, sound, random.pick(fields)),
      (random) =>
        renumbered(random, sound, random.pick(fields.filter(({ name }) => name.endsWith('length')))),
      // The index stands at either end: cut before it, there is nothing to read; a few bytes at the end may not matter.
      (random) => ({ ...truncated(random, sound), mustRefuse: false }),
      (random) => scrambled(random, sound, { name: 'moov', at: index.at, length: index.length }),
      (random) => renumbered(random, sound, random.pick(fields)),
      (random) =>
        random.int(2) === 0
          ? emptied()
          : scrambled(random, sound, { name: 'anywhere', at: 0, length: sound.length }),
    ];
    return {
      sound: mutant({ field: 'nothing', change: 'none', mustRefuse: false, bytes: sound }),
      draw: (random, index) => Promise.resolve(mutant(ways[index % ways.length]!(random))),
    };
  },
};

async function* pixels(): AsyncGenerator<Uint8Array, void> {
  for (let frame = 0; frame < frames; frame++) {
    yield await Promise.resolve(sampleBytes(3 * size.width * size.height, frame));
  }
}

interface Box {
  readonly name: string;
  readonly at: number;
  readonly length: number;
  /** Its length, and the first words of what is in it. */
  readonly fields: readonly NumberField[];
}

const containers = ['moov', 'trak', 'mdia', 'minf', 'stbl', 'edts', 'dinf'];

/** The boxes of an mp4, and those in them. */
function boxesOf(bytes: Buffer, from: number, to: number, parent: string): Box[] {
  const boxes: Box[] = [];
  for (let at = from; at + 8 <= to;) {
    const length = bytes.readUInt32BE(at);
    const kind = bytes.toString('latin1', at + 4, at + 8);
    const name = parent === '' ? kind : `${parent}.${kind}`;
    const words = containers.includes(kind) ? 0 : Math.min(20, Math.floor((length - 8) / 4));
    boxes.push({
      name,
      at,
      length,
      fields: [
        { name: `${name}, length`, at, bytes: 4 },
        ...Array.from({ length: words }, (_, word): NumberField => ({
          name: `${name}, word ${word}`,
          at: at + 8 + 4 * word,
          bytes: 4,
        })),
      ],
    });
    if (containers.includes(kind)) boxes.push(...boxesOf(bytes, at + 8, at + length, name));
    at += Math.max(8, length);
  }
  return boxes;
}
