/** The page of `decode.test.ts`: what it drives lies on `window.decode`. */
import type { Medium, StandIn } from '../../../src-renderer/src/media/protocol.ts';
import { Pictures, startMediaWorker, type Want } from '../../../src-renderer/src/media/pictures.ts';

/** What a time of a medium looks like. */
export interface Seen {
  readonly width: number;
  readonly height: number;
  /** Colours at the middle, then at the left upper and the right lower quarter. */
  readonly colours: readonly (readonly number[])[];
}

const standIns: StandIn[] = [];
let changed: () => void = () => undefined;
const pictures = new Pictures(startMediaWorker(), {
  maxBytes: 64 * 2 ** 20,
  onChange: () => changed(),
  onStandIn: (_, standIn) => standIns.push(standIn),
});

function look(want: Want): Seen | null {
  const bitmap = pictures.get(want);
  if (bitmap === null) return null;
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d')!;
  context.drawImage(bitmap, 0, 0);
  const colour = (x: number, y: number): number[] => [
    ...context
      .getImageData(Math.floor(x * bitmap.width), Math.floor(y * bitmap.height), 1, 1)
      .data.slice(0, 3),
  ];
  const { width, height } = bitmap;
  return { width, height, colours: [colour(0.5, 0.5), colour(0.25, 0.25), colour(0.75, 0.75)] };
}

/** Wants pictures until all of them are there, or their medium fails. */
async function show(wants: readonly Want[]): Promise<(Seen | string)[]> {
  for (;;) {
    const change = new Promise<void>((resolve) => (changed = resolve));
    pictures.want(wants);
    const seen = wants.map((want) => look(want) ?? pictures.errorOf(want.medium)?.code ?? null);
    if (seen.every((each) => each !== null)) return seen;
    await change;
  }
}

/** Moves on from wish to wish without waiting, as a hand on the ruler does; tells the last one's picture. */
async function scrub(wants: readonly Want[]): Promise<Seen | string> {
  for (const want of wants.slice(0, -1)) {
    pictures.want([want]);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return (await show(wants.slice(-1)))[0]!;
}

const decode = {
  show,
  scrub,
  probe: (medium: Medium) => pictures.probe(medium),
  standIns: () => standIns,
  supports: async (codec: string): Promise<boolean> =>
    (await VideoDecoder.isConfigSupported({ codec, codedWidth: 320, codedHeight: 180 })).supported === true,
};
export type Decode = typeof decode;
Object.assign(window, { decode });
