import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fits, type Fit } from '../../../src-main/core/contract/project.ts';
import type { JobRecord, TakeSummary } from '../../../src-main/core/contract/records.ts';
import { cellOfFrame } from '../../../src-main/core/timeline/cells.ts';
import { ByteCache } from '../../../src-renderer/src/media/cache.ts';
import { cannotDecode, codecName } from '../../../src-renderer/src/media/codecs.ts';
import { Pictures, type MediaPort, type Want } from '../../../src-renderer/src/media/pictures.ts';
import {
  answerSchema,
  askSchema,
  maxTimes,
  type Ask,
  type Medium,
} from '../../../src-renderer/src/media/protocol.ts';
import { shuttle, start, tick } from '../../../src-renderer/src/player/clock.ts';
import {
  cellAt,
  Composer,
  edges,
  endOf,
  rangeAt,
  runningJob,
  stepCell,
  takeOf,
} from '../../../src-renderer/src/player/compose.ts';
import {
  decodeSize,
  fitted,
  fitScale,
  halves,
  lay,
  panBy,
  place,
  zoomAt,
  type Rect,
} from '../../../src-renderer/src/player/rect.ts';
import { sampleProject } from '../../support/project.ts';

const anySize = fc.record({
  width: fc.integer({ min: 1, max: 4096 }),
  height: fc.integer({ min: 1, max: 4096 }),
});

describe('the clock', () => {
  const range = { first: 10, last: 90 };

  it('shows the frame the time asks for, however seldom it is looked at', () => {
    const clock = start(20, 1000, 1, range);
    expect(tick(clock, 1000, 16, range, false).frame).toBe(20);
    expect(tick(clock, 1062, 16, range, false).frame).toBe(20);
    expect(tick(clock, 1063, 16, range, false).frame).toBe(21);
    // A second without a look: sixteen frames on, none of them made up for later.
    expect(tick(clock, 2000, 16, range, false).frame).toBe(36);
    expect(tick({ ...clock, speed: 4 }, 2000, 16, range, false).frame).toBe(84);
    expect(tick({ ...clock, speed: -1 }, 1500, 16, range, false).frame).toBe(12);
  });

  it('never leaves its stretch, ends at its last frame, and loops without losing time', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 100 }),
        fc.constantFrom(1, 2, 8, -1, -4),
        fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 1, maxLength: 30 }),
        fc.boolean(),
        (frame, speed, waits, loop) => {
          let clock = start(frame, 0, speed, range);
          let now = 0;
          for (const wait of waits) {
            now += wait;
            const next = tick(clock, now, 16, range, loop);
            clock = next.clock;
            expect(next.frame).toBeGreaterThanOrEqual(range.first);
            expect(next.frame).toBeLessThanOrEqual(range.last);
            if (next.ended) expect(next.frame).toBe(speed > 0 ? range.last : range.first);
            if (loop) expect(next.ended).toBe(false);
          }
        },
      ),
    );
    // 81 frames at 16 a second last 5.0625 s: after ten rounds and a half second it stands eight frames in.
    let clock = start(10, 0, 1, range);
    let shown = 10;
    for (let now = 0; now <= 51_125; now += 17) {
      const next = tick(clock, now, 16, range, true);
      clock = next.clock;
      shown = next.frame;
    }
    expect(shown).toBe(10 + 7);
    const back = tick(start(10, 0, -1, range), 62.5, 16, range, true);
    expect(back.frame).toBe(89);
  });

  it('begins anew from the end and from outside', () => {
    expect(start(90, 0, 1, range).frame).toBe(10);
    expect(start(200, 0, 1, range).frame).toBe(10);
    expect(start(10, 0, -1, range).frame).toBe(90);
    expect(start(50, 0, -1, range).frame).toBe(50);
  });

  it('shuttles faster with each press and turns round at once', () => {
    expect([1, 2, 4, 8].map((speed) => shuttle(speed, 1))).toEqual([2, 4, 8, 8]);
    expect(shuttle(0, -1)).toBe(-1);
    expect(shuttle(8, -1)).toBe(-1);
    expect(shuttle(-2, -1)).toBe(-4);
  });
});

describe('geometry', () => {
  it('fits pictures as the studio does', () => {
    const frame = { width: 800, height: 400 };
    const square = { width: 300, height: 300 };
    expect(place(square, frame, 'crop')).toEqual({
      from: { x: 0, y: 75, width: 300, height: 150 },
      to: { x: 0, y: 0, width: 800, height: 400 },
    });
    expect(place(square, frame, 'contain')).toEqual({
      from: { x: 0, y: 0, width: 300, height: 300 },
      to: { x: 200, y: 0, width: 400, height: 400 },
    });
    expect(place(square, frame, 'stretch').to).toEqual({ x: 0, y: 0, width: 800, height: 400 });
  });

  it('decodes no more pixels than the frame shows and makes none up', () => {
    expect(decodeSize({ width: 3840, height: 2160 }, { width: 832, height: 480 }, 'crop')).toEqual({
      width: 853,
      height: 480,
    });
    expect(decodeSize({ width: 3840, height: 2160 }, { width: 832, height: 480 }, 'contain')).toEqual({
      width: 832,
      height: 468,
    });
    fc.assert(
      fc.property(anySize, anySize, fc.constantFrom<Fit>(...fits), (picture, frame, fit) => {
        const { width, height } = decodeSize(picture, frame, fit);
        expect(width >= 1 && width <= picture.width && height >= 1 && height <= picture.height).toBe(true);
      }),
    );
  });

  it('keeps a zoomed picture over the stage and the point under the pointer where it is', () => {
    const frame = { width: 832, height: 480 };
    const box: Rect = { x: 0, y: 0, width: 700, height: 500 };
    expect(lay(frame, box, fitted)).toEqual({ x: 0, y: 48, width: 700, height: 404 });
    expect(lay(frame, box, { scale: 0.5, centre: { x: 0, y: 0 } })).toEqual({
      x: 142,
      y: 130,
      width: 416,
      height: 240,
    });
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 16, noNaN: true }),
        fc.double({ min: -1, max: 2, noNaN: true }),
        fc.double({ min: -1, max: 2, noNaN: true }),
        fc.integer({ min: -5000, max: 5000 }),
        (scale, x, y, by) => {
          const moved = panBy(frame, box, { scale, centre: { x, y } }, { x: by, y: by });
          const at = lay(frame, box, moved);
          if (at.width >= box.width) {
            expect(at.x).toBeLessThanOrEqual(0);
            expect(at.x + at.width).toBeGreaterThanOrEqual(box.width - 1);
          } else expect(Math.abs(at.x + at.width / 2 - box.width / 2)).toBeLessThanOrEqual(1);
          // Moving back from the edge takes effect at once.
          const back = lay(frame, box, panBy(frame, box, moved, { x: -20, y: 0 }));
          if (at.width > box.width + 60 && at.x > box.width - at.width + 30) {
            expect(Math.abs(at.x - 20 - back.x)).toBeLessThanOrEqual(1);
          }
        },
      ),
    );
    const near = { scale: 2, centre: { x: 0.5, y: 0.5 } };
    const pointer = { x: 300, y: 200 };
    const share = (rect: Rect): number[] => [
      (pointer.x - rect.x) / rect.width,
      (pointer.y - rect.y) / rect.height,
    ];
    const before = share(lay(frame, box, near));
    const after = share(lay(frame, box, zoomAt(frame, box, near, 5, pointer)));
    expect(after[0]).toBeCloseTo(before[0]!, 2);
    expect(after[1]).toBeCloseTo(before[1]!, 2);
  });

  it('puts two pictures where they are largest', () => {
    const wide = { width: 832, height: 480 };
    const [left, right] = halves(wide, { x: 0, y: 0, width: 1000, height: 300 }, 10);
    expect([left.x, right.x, left.width]).toEqual([0, 505, 495]);
    const [top, bottom] = halves(wide, { x: 0, y: 0, width: 400, height: 900 }, 10);
    expect([top.y, bottom.y, top.height]).toEqual([0, 455, 445]);
    expect(fitScale(wide, top)).toBeCloseTo(400 / 832);
  });
});

describe('what is seen', () => {
  const project = { ...sampleProject(), ranges: sampleProject().ranges.slice(0, 1) };
  const range = { ...project.ranges[0]!, start: 4, frames: 21 };
  const address = (path: string): string => `http://studio${path}`;
  const composer = new Composer({ ...project, width: 832, height: 480 }, address);

  it('is the topmost clip with its place in the source, and nothing between clips', () => {
    const still = composer.source(0)!;
    expect(still).toMatchObject({ time: 0, fit: 'crop', size: { width: 853, height: 480 } });
    expect(still.medium.url).toMatch(/^http:\/\/studio\/media\/asset\/sunset\?v=[0-9a-f]{64}$/);
    expect(composer.source(1)).toBeNull();
    expect(composer.source(15)).toBeNull();
    const moving = composer.source(18)!;
    expect(moving.time).toBeCloseTo(1.25 + 2 / 16);
    expect(moving).toMatchObject({ fit: 'contain', medium: { kind: 'video', drawn: { by: 'seconds' } } });
    expect(composer.source(21)).toBeNull();
    expect(askSchema.safeParse(pictures(1, still.medium, [0])).success).toBe(true);
  });

  it('is the chosen take, else the latest of the range, at the frame of its place', () => {
    const take = (id: string, rangeId: string): TakeSummary => ({
      id,
      projectId: 'sample',
      rangeId,
      fileHash: '0'.repeat(64),
      rating: 0,
      tags: [],
      promotedClipId: null,
      createdAt: '2026-01-01T00:00:00.000Z',
      prompt: 'a harbour',
      width: 832,
      height: 480,
      fps: 16,
      partial: false,
    });
    const takes = [take('new', range.id), take('other', 'elsewhere'), take('old', range.id)];
    expect(takeOf(takes, range, 'old')?.id).toBe('old');
    expect(takeOf(takes, range, null)?.id).toBe('new');
    // One that was chosen in another range does not show here.
    expect(takeOf(takes, range, 'other')?.id).toBe('new');
    expect(takeOf(takes, null, 'old')).toBeNull();

    const shown = composer.result(takes[0]!, range, 9)!;
    expect(shown.time).toBeCloseTo(5 / 16);
    expect(shown.medium).toMatchObject({
      url: 'http://studio/media/take/new',
      drawn: { by: 'frames', fps: 16 },
    });
    expect(composer.result(takes[0]!, range, 3)).toBeNull();
    expect(composer.result(takes[0]!, range, 25)).toBeNull();
  });

  it('knows the range, the cell and the job under the playhead', () => {
    const other = { ...range, id: 'overlapping', start: 10 };
    const both = { ranges: [range, other] };
    expect(rangeAt(both, other, 12)?.id).toBe('overlapping');
    expect(rangeAt(both, null, 12)?.id).toBe(range.id);
    expect(rangeAt(both, range, 30)?.id).toBe('overlapping');
    expect(rangeAt(both, range, 400)).toBeNull();
    expect([3, 4, 5, 8, 9, 24, 25].map((frame) => cellAt(range, frame))).toEqual([null, 0, 1, 1, 2, 5, null]);
    const job = (state: JobRecord['state'], rangeId: string): JobRecord => ({
      id: `${state}-${rangeId}`,
      projectId: 'sample',
      rangeId,
      state,
      position: 0,
      attempt: 1,
      createdAt: '2026-01-01T00:00:00.000Z',
      startedAt: null,
      finishedAt: null,
      progress: null,
      error: null,
    });
    const jobs = [job('waiting', range.id), job('running', 'x'), job('running', range.id)];
    expect(runningJob(jobs, range)?.id).toBe(`running-${range.id}`);
    expect(runningJob(jobs.slice(0, 2), range)).toBeNull();
  });

  it('steps from cell to cell, and out of the range', () => {
    const forward = [4];
    while (forward.at(-1)! < 25) forward.push(stepCell(range, forward.at(-1)!, 1));
    expect(forward).toEqual([4, 5, 9, 13, 17, 21, 25]);
    expect(stepCell(range, 11, -1)).toBe(9);
    expect(stepCell(range, 9, -1)).toBe(5);
    expect(stepCell(range, 5, -1)).toBe(4);
    expect(stepCell(range, 4, -1)).toBe(0);
    expect(stepCell(null, 30, 1)).toBe(34);
    for (const frame of forward.slice(1, -1)) expect(cellOfFrame(frame - 4)).toBe(cellAt(range, frame));
    expect(endOf({ clips: project.clips, ranges: [range] })).toBe(25);
    const markers = [{ id: 'm', frame: 7, colour: 0 }];
    expect(edges({ clips: project.clips, ranges: [range], markers })).toEqual([0, 4, 7, 16, 20, 24]);
  });
});

describe('the memory of pictures', () => {
  it('closes those not looked at the longest, and counts its bytes', () => {
    const closed: string[] = [];
    const picture = (name: string): { close: () => void } => ({ close: () => closed.push(name) });
    const cache = new ByteCache<{ close: () => void }>(100);
    cache.set('a', picture('a'), 40);
    cache.set('b', picture('b'), 40);
    cache.get('a');
    cache.set('c', picture('c'), 40);
    expect(closed).toEqual(['b']);
    expect([cache.bytes, cache.size, cache.has('b')]).toEqual([80, 2, false]);
    cache.set('a', picture('a2'), 10);
    expect(closed).toEqual(['b', 'a']);
    cache.set('large', picture('large'), 500);
    expect([cache.bytes, cache.size]).toEqual([500, 1]);
    cache.clear();
    expect(closed).toEqual(['b', 'a', 'c', 'a2', 'large']);
    expect(cache.bytes).toBe(0);
  });
});

const medium = (id: string): Medium => ({
  id,
  kind: 'video',
  name: `${id}.mp4`,
  url: `http://127.0.0.1/media/asset/${id}`,
  drawn: { url: `http://127.0.0.1/media/asset/${id}/thumbnail`, by: 'seconds', fps: null },
});

function pictures(request: number, of: Medium, times: readonly number[]): Ask {
  return { type: 'pictures', request, medium: of, times: [...times], width: 8, height: 8 };
}

describe('the protocol', () => {
  it('refuses what a worker or a page must not be told', () => {
    const good = pictures(1, medium('a'), [0, 1.5]);
    expect(askSchema.safeParse(good).success).toBe(true);
    for (const bad of [
      { ...good, times: [] },
      { ...good, times: [-1] },
      { ...good, times: [Number.NaN] },
      { ...good, times: Array.from({ length: maxTimes + 1 }, () => 0) },
      { ...good, width: 0 },
      { ...good, width: 100_000 },
      { ...good, medium: { ...medium('a'), url: 'file:///etc/passwd' } },
      { ...good, medium: { ...medium('a'), url: 'javascript:alert(1)' } },
      { ...good, more: 1 },
      { type: 'erase', request: 1 },
    ]) {
      expect(askSchema.safeParse(bad).success).toBe(false);
    }
    const app = { ...good, medium: { ...medium('a'), url: 'app://studio/media/asset/a' } };
    expect(askSchema.safeParse(app).success).toBe(true);
    const done = { type: 'done', request: 1, error: null };
    expect(answerSchema.safeParse(done).success).toBe(true);
    expect(
      answerSchema.safeParse({ ...done, error: { code: 'NOT_A_CODE', message: '', remedy: '' } }).success,
    ).toBe(false);
    expect(
      answerSchema.safeParse({ type: 'picture', request: 1, index: 0, picture: {}, standIn: null }).success,
    ).toBe(false);
  });

  it('names codecs as people do', () => {
    expect(['avc', 'hevc', 'vp9', 'xyz1', null].map(codecName)).toEqual([
      'H.264',
      'H.265',
      'VP9',
      'xyz1',
      null,
    ]);
    expect(cannotDecode('clip.mov', 'ProRes').message).toBe(
      '“clip.mov” is coded in ProRes, which cannot be decoded here.',
    );
  });
});

describe('wishes', () => {
  /** What the browser has and Node has not: a decoded picture. */
  class Bitmap {
    closed = false;
    width = 8;
    height = 8;
    close(): void {
      this.closed = true;
    }
  }

  /** The worker's end, worked by hand. */
  class Port implements MediaPort {
    readonly asks: Ask[] = [];
    onmessage: MediaPort['onmessage'] = null;
    onerror: MediaPort['onerror'] = null;
    ended = false;
    postMessage(ask: Ask): void {
      this.asks.push(ask);
    }
    terminate(): void {
      this.ended = true;
    }
    say(data: unknown): void {
      this.onmessage?.({ data } as MessageEvent<unknown>);
    }
    /** Answers a request whole. */
    serve(request: number): Bitmap[] {
      const ask = this.asks.find((each) => each.type === 'pictures' && each.request === request);
      if (ask?.type !== 'pictures') throw new Error(`There was no request ${request}.`);
      const drawn = ask.times.map(() => new Bitmap());
      for (const [index, picture] of drawn.entries()) {
        this.say({ type: 'picture', request, index, picture, standIn: null });
      }
      this.say({ type: 'done', request, error: null });
      return drawn;
    }
  }

  const before = globalThis.ImageBitmap as unknown;
  beforeEach(() => void Object.assign(globalThis, { ImageBitmap: Bitmap }));
  afterEach(() => void Object.assign(globalThis, { ImageBitmap: before }));

  const want = (id: string, time: number): Want => ({ medium: medium(id), time, width: 8, height: 8 });

  it('asks for the urgent picture alone, for the others together, and for nothing twice', () => {
    const port = new Port();
    let changes = 0;
    const all = new Pictures(port, { onChange: () => changes++ });
    const wishes = [3, 4, 2, 5, 3].map((time) => want('a', time));
    all.want(wishes);
    all.want(wishes);
    expect(port.asks.map((ask) => (ask.type === 'pictures' ? ask.times : ask.type))).toEqual([
      [3],
      [2, 4, 5],
    ]);
    expect(all.get(want('a', 3))).toBeNull();
    port.serve(1);
    port.serve(2);
    expect(changes).toBe(4);
    expect(all.get(want('a', 3))).not.toBeNull();
    all.want(wishes);
    expect(port.asks).toHaveLength(2);
    all.close();
    expect(port.ended).toBe(true);
  });

  it('cancels what nobody wants any more, and the latest wish is asked for at once', () => {
    const port = new Port();
    const all = new Pictures(port, { onChange: () => undefined });
    for (let time = 0; time < 10; time++) all.want([want('a', time)]);
    const cancelled = port.asks.filter(({ type }) => type === 'cancel').map(({ request }) => request);
    expect(cancelled).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(port.asks.at(-1)).toMatchObject({ type: 'pictures', times: [9], request: 10 });
    // A picture that was on its way is kept: it may be wanted again.
    port.say({ type: 'picture', request: 2, index: 0, picture: new Bitmap(), standIn: null });
    expect(all.get(want('a', 1))).not.toBeNull();
    // What nobody asked for is closed.
    const stray = new Bitmap();
    port.say({ type: 'picture', request: 99, index: 0, picture: stray, standIn: null });
    expect(stray.closed).toBe(true);
  });

  it('begins no more than fits into half its memory, so that it never decodes in circles', () => {
    const port = new Port();
    const all = new Pictures(port, { onChange: () => undefined, maxBytes: 8 * 8 * 4 * 6 });
    const wishes = Array.from({ length: 20 }, (_, time) => want('a', time));
    all.want(wishes);
    for (let request = 1; request <= port.asks.length; request++) port.serve(request);
    all.want(wishes);
    const times = port.asks.flatMap((ask) => (ask.type === 'pictures' ? ask.times : []));
    expect(times).toEqual([0, 1, 2]);
  });

  it('tells why a medium fails, leaves it alone for a while, and shows the others', () => {
    const port = new Port();
    const all = new Pictures(port, { onChange: () => undefined });
    all.want([want('bad', 0), want('good', 0)]);
    const error = { code: 'MEDIA_UNREADABLE', message: 'It is broken.', remedy: 'Mend it.' };
    port.say({ type: 'done', request: 1, error });
    expect(all.errorOf(medium('bad'))).toMatchObject({ code: 'MEDIA_UNREADABLE', remedy: 'Mend it.' });
    all.want([want('bad', 1), want('good', 0)]);
    expect(port.asks.filter((ask) => ask.type === 'pictures' && ask.medium.id === 'bad')).toHaveLength(1);
    port.serve(2);
    expect(all.get(want('good', 0))).not.toBeNull();
    expect(all.errorOf(medium('good'))).toBeNull();
  });

  it('says once that the studio stands in, and then asks for one picture at a time', () => {
    const port = new Port();
    const told: string[] = [];
    const all = new Pictures(port, {
      onChange: () => undefined,
      onStandIn: ({ id }, { codec }) => told.push(`${id} ${codec}`),
    });
    const standIn = {
      codec: 'H.265',
      error: { code: 'MEDIA_UNSUPPORTED', message: 'No.', remedy: 'Convert it.' },
    };
    all.want([want('a', 0)]);
    port.say({ type: 'picture', request: 1, index: 0, picture: new Bitmap(), standIn });
    port.say({ type: 'done', request: 1, error: null });
    all.want([0, 1, 2, 3].map((time) => want('a', time)));
    expect(port.asks.slice(1).map((ask) => (ask.type === 'pictures' ? ask.times.length : 0))).toEqual([1, 1]);
    port.say({ type: 'picture', request: 2, index: 0, picture: new Bitmap(), standIn });
    expect(told).toEqual(['a H.265']);
  });

  it('survives a worker that dies or talks nonsense', async () => {
    const port = new Port();
    const all = new Pictures(port, { onChange: () => undefined });
    all.want([want('a', 0)]);
    const probe = all.probe(medium('b'));
    port.say({ type: 'nonsense' });
    await expect(probe).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(all.errorOf(medium('a'))?.code).toBe('INTERNAL');
  });
});
