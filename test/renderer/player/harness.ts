/** The page of `decode.test.ts`: what it drives lies on `window.decode`. */
import { z } from 'zod';
import { toPusaError } from '../../../src-main/core/errors.ts';
import type { Medium, StandIn } from '../../../src-renderer/src/media/protocol.ts';
import { Pictures, startMediaWorker, type Want } from '../../../src-renderer/src/media/pictures.ts';
import { SoundFile } from '../../../src-renderer/src/media/sound-file.ts';
import { Sound } from '../../../src-renderer/src/player/sound.svelte.ts';

// The page's policy admits no evaluated code, which zod would try otherwise.
z.config({ jitless: true });

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

/** A piece of decoded sound: where it lies, and how loud it is at most. */
export interface Loudness {
  readonly at: number;
  readonly seconds: number;
  readonly peak: number;
}

/** What a file sounds like from one second to another; null where it has no sound. */
async function hear(medium: Medium, from: number, to: number): Promise<Loudness[] | string | null> {
  try {
    const file = await SoundFile.open(medium);
    if (file === null) return null;
    const heard: Loudness[] = [];
    for await (const { buffer, at } of file.buffers(from, to)) {
      const peak = buffer.getChannelData(0).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      heard.push({ at, seconds: buffer.duration, peak });
    }
    file.close();
    return heard;
  } catch (thrown) {
    return toPusaError(thrown).message;
  }
}

/** What is scheduled while something plays: each piece's time on the context's clock and its length, in seconds. */
async function play(
  of: Medium,
  frames: number,
  fps: number,
  milliseconds: number,
): Promise<[number, number][]> {
  const scheduled: [number, number][] = [];
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called on its own node below
  const begin = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (when = 0, offset = 0, seconds = 0) {
    scheduled.push([when, seconds]);
    begin.call(this, when, offset, seconds);
  };
  const told: string[] = [];
  const sound = new Sound(({ message }) => told.push(message));
  const parts = [{ medium: of, from: 0, start: 0, frames }];
  const stretch = { first: 0, last: frames - 1 };
  const began = performance.now();
  await new Promise<void>((resolve) => {
    const step = (now: number): void => {
      const place = (Math.max(0, now - began) / 1000) * fps;
      sound.follow({ parts, place: place % frames, now, stretch, loop: true, fps });
      if (now - began < milliseconds) requestAnimationFrame(step);
      else resolve();
    };
    requestAnimationFrame(step);
  });
  sound.close();
  AudioBufferSourceNode.prototype.start = begin;
  if (told.length > 0) throw new Error(told.join(' '));
  return scheduled;
}

const decode = {
  hear,
  play,
  show,
  scrub,
  probe: (medium: Medium) => pictures.probe(medium),
  standIns: () => standIns,
  supports: async (codec: string): Promise<boolean> =>
    (await VideoDecoder.isConfigSupported({ codec, codedWidth: 320, codedHeight: 180 })).supported === true,
};
export type Decode = typeof decode;
Object.assign(window, { decode });
