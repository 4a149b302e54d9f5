import { z } from 'zod';
import { toPusaError, type PusaError } from '../../../src-main/core/errors.ts';
import { askSchema, type Answer, type Ask, type Facts, type Medium, type StandIn } from './protocol.ts';
import { drawByStudio, drawStill, probeStill } from './still.ts';
import { VideoFile } from './video-file.ts';

/** The worker that decodes: one medium's requests in their order, several media side by side. */

// The page's policy admits no evaluated code, which zod would try otherwise.
z.config({ jitless: true });

/** Open videos; those not asked for the longest are closed. */
const maxOpen = 8;

/** A medium that was asked for. */
interface Open {
  file: Promise<VideoFile> | null;
  /** Set once the file's own pictures are out of reach. */
  standIn: StandIn | null;
  /** Everything asked of it so far. */
  last: Promise<void>;
  waiting: number;
}

type Pictures = Extract<Ask, { type: 'pictures' }>;

const media = new Map<string, Open>();
const live = new Set<number>();

addEventListener('message', ({ data }: MessageEvent<unknown>) => {
  const parsed = askSchema.safeParse(data);
  if (!parsed.success)
    throw new Error(`The media worker was asked what it does not know: ${parsed.error.message}`);
  const ask = parsed.data;
  if (ask.type === 'cancel') {
    live.delete(ask.request);
    return;
  }
  live.add(ask.request);
  const open = openOf(ask.medium);
  open.waiting++;
  open.last = open.last.then(async () => {
    const error = await (
      ask.type === 'pictures' ? drawAll(open, ask) : probe(open, ask.request, ask.medium)
    ).then(() => null, toPusaError);
    live.delete(ask.request);
    answer({ type: 'done', request: ask.request, error: error === null ? null : record(error) });
    open.waiting--;
    closeOldest();
  });
});

async function drawAll(open: Open, { request, medium, times, width, height }: Pictures): Promise<void> {
  for (const [index, time] of times.entries()) {
    if (!live.has(request)) return;
    const follows = times.length > 1;
    const { picture, standIn } = await draw(open, medium, time, width, height, follows);
    answer({ type: 'picture', request, index, picture, standIn }, [picture]);
  }
}

/** From the file, else from the studio. @throws PusaError of the file where both fail */
async function draw(
  open: Open,
  medium: Medium,
  time: number,
  width: number,
  height: number,
  follows: boolean,
): Promise<{ picture: ImageBitmap; standIn: StandIn | null }> {
  if (medium.kind === 'sequence') {
    return { picture: await drawByStudio(medium, time, width, height), standIn: null };
  }
  let reason: PusaError | null = null;
  if (open.standIn === null) {
    try {
      if (medium.kind === 'image') return { picture: await drawStill(medium, width, height), standIn: null };
      const file = await fileOf(open, medium);
      return { picture: await file.draw(time, width, height, follows, medium.name), standIn: null };
    } catch (thrown) {
      reason = toPusaError(thrown);
    }
  }
  try {
    const picture = await drawByStudio(medium, time, width, height);
    if (reason !== null) open.standIn = { codec: await codecOf(open), error: record(reason) };
    return { picture, standIn: open.standIn };
  } catch (thrown) {
    // What was wrong with the file says more than that its stand-in is missing as well.
    throw reason ?? toPusaError(thrown);
  }
}

async function probe(open: Open, request: number, medium: Medium): Promise<void> {
  if (!live.has(request)) return;
  let facts: Facts;
  if (medium.kind === 'video') facts = (await fileOf(open, medium)).facts;
  else facts = { ...(await probeStill(medium)), kind: medium.kind };
  answer({ type: 'probed', request, facts });
}

function fileOf(open: Open, medium: Medium): Promise<VideoFile> {
  const file = (open.file ??= VideoFile.open(medium));
  file.catch(() => {
    if (open.file === file) open.file = null;
  });
  return file;
}

async function codecOf(open: Open): Promise<string | null> {
  const file = await open.file?.catch(() => null);
  return file === undefined || file === null || file.facts.codec === '?' ? null : file.facts.codec;
}

function openOf(medium: Medium): Open {
  const open = media.get(medium.id) ?? { file: null, standIn: null, last: Promise.resolve(), waiting: 0 };
  media.delete(medium.id);
  media.set(medium.id, open);
  return open;
}

function closeOldest(): void {
  let surplus = media.size - maxOpen;
  for (const [id, open] of media) {
    if (surplus <= 0) return;
    if (open.waiting > 0) continue;
    media.delete(id);
    surplus--;
    void open.file?.then(
      (file) => file.close(),
      () => undefined,
    );
  }
}

function record(error: PusaError): StandIn['error'] {
  return { code: error.code, message: error.message, remedy: error.remedy };
}

function answer(message: Answer, transfer: Transferable[] = []): void {
  postMessage(message, { transfer });
}
