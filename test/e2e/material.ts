import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { encodeTake } from '../../src-main/media/encode.ts';

/** Files of a person, none of which the samples hold. */
export interface Material {
  readonly folder: string;
  /** 160 × 120. */
  readonly picture: string;
  /** 96 × 96, 17 frames at 8 fps each. */
  readonly first: string;
  readonly second: string;
  remove(): Promise<void>;
}

const side = 96;

export async function makeMaterial(): Promise<Material> {
  const folder = await mkdtemp(join(tmpdir(), 'pusa-material-'));
  const at = (name: string): string => join(folder, name);
  const picture = at('harbour.png');
  await writeFile(
    picture,
    await sharp(drawn(160, 120, 40, [200, 80, 60]), { raw: { width: 160, height: 120, channels: 3 } })
      .png()
      .toBuffer(),
  );
  const clip = async (name: string, colour: Colour): Promise<string> => {
    const path = at(name);
    await encodeTake({
      frames: moving(colour),
      width: side,
      height: side,
      fps: 8,
      path,
      metadata: '{}',
    });
    return path;
  };
  return {
    folder,
    picture,
    first: await clip('boats.mp4', [40, 90, 200]),
    second: await clip('trams.mp4', [60, 170, 70]),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

type Colour = readonly [red: number, green: number, blue: number];

/** 17 frames in which a square goes from left to right. */
async function* moving(colour: Colour): AsyncIterable<Uint8Array> {
  for (let frame = 0; frame < 17; frame++) {
    await Promise.resolve();
    yield drawn(side, side, frame * 4, colour);
  }
}

/** A square on a sky that darkens downwards: RGB8. */
function drawn(width: number, height: number, left: number, colour: Colour): Uint8Array {
  const pixels = new Uint8Array(width * height * 3);
  const size = Math.round(height / 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const isSquare = x >= left && x < left + size && y >= size && y < 2 * size;
      const sky = [150, 180, 230].map((value) => Math.round(value * (1 - y / height / 2)));
      pixels.set(isSquare ? colour : sky, (y * width + x) * 3);
    }
  }
  return pixels;
}
