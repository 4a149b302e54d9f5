import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { readPicture } from '../../../src-main/media/picture.ts';
import { probeMedia } from '../../../src-main/media/probe.ts';
import { sampleBytes } from '../../support/project.ts';
import {
  emptied,
  ofAnotherKind,
  renumbered,
  scrambled,
  truncated,
  WronglyAccepted,
  type ByteChange,
  type NumberField,
  type Random,
  type Target,
} from '../mutate.ts';

const width = 64;
const height = 48;
const size = { width: 32, height: 32 };

interface Picture {
  readonly format: string;
  readonly bytes: Buffer;
  /** The numbers of its header. */
  readonly fields: readonly NumberField[];
}

/** Still pictures of every format that is read. */
export const pictures: Target = {
  name: 'picture',
  share: 3,
  async prepare(folder) {
    const path = join(folder, 'case.bin');
    const all = await samples();
    const decoded = new Map<string, Uint8Array>();
    const feed = async (format: string, bytes: Uint8Array): Promise<string> => {
      await writeFile(path, bytes);
      const probe = await probeMedia(path);
      if (probe.kind !== 'image' || probe.width < 1 || probe.height < 1)
        throw new WronglyAccepted('it has no size');
      const pixels = await readPicture(path, size, 'crop');
      if (pixels.length !== size.width * size.height * 3)
        throw new WronglyAccepted('it has other pixels than asked for');
      if (!decoded.has(format)) decoded.set(format, pixels);
      return Buffer.from(pixels).equals(decoded.get(format)!)
        ? 'reads the same'
        : 'other pixels, which nothing checks';
    };
    for (const { format, bytes } of all) await feed(format, bytes);
    const mutant = (format: string, { bytes, field, ...change }: ByteChange) => ({
      ...change,
      field: `${format}, ${field}`,
      feed: () => feed(format, bytes),
    });
    const ways: readonly ((random: Random, picture: Picture) => ByteChange)[] = [
      (random, { bytes, fields }) => renumbered(random, bytes, random.pick(fields)),
      (random, picture) => cut(random, picture),
      (random, { bytes }) => scrambled(random, bytes, { name: 'anywhere', at: 0, length: bytes.length }),
      (random, picture) => absurd(random, picture),
      (random, { bytes }) =>
        scrambled(random, bytes, { name: 'header', at: 0, length: Math.min(64, bytes.length) }),
      (random) => (random.int(4) === 0 ? emptied() : ofAnotherKind(random)),
    ];
    return {
      sound: mutant(all[0]!.format, {
        field: 'nothing',
        change: 'none',
        mustRefuse: false,
        bytes: all[0]!.bytes,
      }),
      draw: (random, index) => {
        const picture = random.pick(all);
        return Promise.resolve(mutant(picture.format, ways[index % ways.length]!(random, picture)));
      },
    };
  },
};

/** Up to three quarters of a picture; the last byte may be one that no decoder needs. */
function cut(random: Random, { bytes }: Picture): ByteChange {
  if (random.int(4) > 0) {
    const length = Math.max(1, Math.floor((bytes.length * random.int(76)) / 100));
    return {
      ...truncated(random, bytes),
      change: `cut to ${length} of ${bytes.length} bytes`,
      bytes: bytes.subarray(0, length),
    };
  }
  return {
    field: 'length',
    change: 'its last byte missing',
    mustRefuse: false,
    bytes: bytes.subarray(0, -1),
  };
}

/** A header, whole in itself, that promises more pixels than there may be. */
function absurd(random: Random, { bytes }: Picture): ByteChange {
  const [columns, rows] = random.pick([
    [2 ** 31 - 1, 2 ** 31 - 1],
    [100_000, 100_000],
    [32_769, 1],
    [20_000, 20_000],
    [0, 10],
  ] as const);
  const png = Buffer.from(bytes.toString('latin1', 0, 4) === '\x89PNG' ? bytes : emptyPng);
  png.writeUInt32BE(columns, 16);
  png.writeUInt32BE(rows, 20);
  png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
  return { field: 'width and height', change: `${columns} × ${rows}`, mustRefuse: true, bytes: png };
}

/** The smallest PNG: one grey pixel. */
const emptyPng = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==',
  'base64',
);

async function samples(): Promise<readonly Picture[]> {
  const raw = sharp(sampleBytes(width * height * 3, 5), { raw: { width, height, channels: 3 } }).blur(2);
  const png = await raw.png().toBuffer();
  const jpeg = await raw.jpeg().toBuffer();
  const webp = await raw.webp().toBuffer();
  const gif = await raw.gif().toBuffer();
  const tiff = await raw.tiff().toBuffer();
  const avif = await raw.avif({ effort: 0 }).toBuffer();
  const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0]));
  const extent = avif.indexOf('ispe');
  const directory = tiff.readUInt32LE(4);
  return [
    {
      format: 'png',
      bytes: png,
      fields: [
        { name: 'header length', at: 8, bytes: 4 },
        { name: 'width', at: 16, bytes: 4 },
        { name: 'height', at: 20, bytes: 4 },
        { name: 'bit depth', at: 24, bytes: 1 },
        { name: 'colour type', at: 25, bytes: 1 },
        { name: 'interlacing', at: 28, bytes: 1 },
      ],
    },
    {
      format: 'jpeg',
      bytes: jpeg,
      fields: [
        { name: 'frame length', at: frame + 2, bytes: 2 },
        { name: 'precision', at: frame + 4, bytes: 1 },
        { name: 'height', at: frame + 5, bytes: 2 },
        { name: 'width', at: frame + 7, bytes: 2 },
        { name: 'components', at: frame + 9, bytes: 1 },
      ],
    },
    {
      format: 'webp',
      bytes: webp,
      fields: [
        { name: 'file length', at: 4, bytes: 4, littleEndian: true },
        { name: 'chunk length', at: 16, bytes: 4, littleEndian: true },
        { name: 'width', at: 26, bytes: 2, littleEndian: true },
        { name: 'height', at: 28, bytes: 2, littleEndian: true },
      ],
    },
    {
      format: 'gif',
      bytes: gif,
      fields: [
        { name: 'width', at: 6, bytes: 2, littleEndian: true },
        { name: 'height', at: 8, bytes: 2, littleEndian: true },
        { name: 'colour table', at: 10, bytes: 1 },
      ],
    },
    {
      format: 'tiff',
      bytes: tiff,
      fields: [
        { name: 'first directory', at: 4, bytes: 4, littleEndian: true },
        { name: 'entry count', at: directory, bytes: 2, littleEndian: true },
        ...Array.from({ length: tiff.readUInt16LE(directory) }, (_, entry): NumberField => {
          const at = directory + 2 + 12 * entry;
          return { name: `tag ${tiff.readUInt16LE(at)}`, at: at + 8, bytes: 4, littleEndian: true };
        }),
      ],
    },
    {
      format: 'avif',
      bytes: avif,
      fields: [
        { name: 'width', at: extent + 8, bytes: 4 },
        { name: 'height', at: extent + 12, bytes: 4 },
        { name: 'first box length', at: 0, bytes: 4 },
      ],
    },
  ];
}
