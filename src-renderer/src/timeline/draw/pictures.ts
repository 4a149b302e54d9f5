import type { Asset } from '../../../../src-main/core/contract/project.ts';

/** Part of a bitmap that shows one moment. */
export interface Piece {
  readonly bitmap: ImageBitmap;
  readonly x: number;
  readonly width: number;
  readonly height: number;
}

/** Frames in one filmstrip that is fetched. */
const stripFrames = 16;
/** Height of filmstrips and thumbnails in pixels: the rows' at twice the density. */
const stripHeight = 96;
const mostBitmaps = 240;
const atOnce = 4;
/** Milliseconds until something that failed is asked for again. */
const again = 15_000;

interface Entry {
  bitmap: ImageBitmap | null;
  state: 'waiting' | 'loading' | 'there' | 'failed';
  failedAt: number;
  /** Counts drawings; entries not drawn for longest go first. */
  used: number;
}

/** Small pictures of media, fetched when they are first drawn and kept while there is room. */
export class Pictures {
  readonly #entries = new Map<string, Entry>();
  readonly #onReady: () => void;
  #drawing = 0;
  #loading = 0;
  #waiting: string[] = [];
  #closed = false;

  /** @param onReady something new can be drawn */
  constructor(onReady: () => void) {
    this.#onReady = onReady;
  }

  /** Begins a drawing: what was wanted before and is not any more is not fetched. */
  begin(): void {
    this.#drawing++;
  }

  /** Ends a drawing: starts what it wanted. */
  end(): void {
    this.#waiting = this.#waiting.filter((url) => {
      if (this.#entries.get(url)?.used === this.#drawing) return true;
      this.#entries.delete(url);
      return false;
    });
    this.#pump();
  }

  /** A still picture of an asset. */
  still(asset: Asset): Piece | null {
    return whole(this.#get(`/media/asset/${asset.id}/thumbnail?size=192&v=${asset.hash}`));
  }

  /** A frame of a take. */
  take(takeId: string, frame: number): Piece | null {
    return whole(this.#get(`/media/take/${takeId}/thumbnail?size=160&frame=${frame}`));
  }

  /**
   * The frame of a video near a second of it.
   * @param every seconds from one picture to the next at this zoom; see {@link filmInterval}
   */
  film(asset: Asset, seconds: number, every: number): Piece | null {
    const span = every * stripFrames;
    const strip = Math.max(0, Math.floor(seconds / span));
    const from = strip * span;
    const to = Math.min(asset.duration, from + span);
    const frames = Math.max(1, Math.min(stripFrames, Math.ceil((to - from) / every - 1e-9)));
    if (to <= from) return null;
    const bitmap = this.#get(
      `/media/asset/${asset.id}/filmstrip?from=${round(from)}&to=${round(to)}&frames=${frames}&height=${stripHeight}&v=${asset.hash}`,
    );
    if (bitmap === null) return null;
    const width = bitmap.width / frames;
    const at = Math.min(frames - 1, Math.max(0, Math.floor((seconds - from) / every)));
    return { bitmap, x: at * width, width, height: bitmap.height };
  }

  close(): void {
    this.#closed = true;
    for (const { bitmap } of this.#entries.values()) bitmap?.close();
    this.#entries.clear();
    this.#waiting = [];
  }

  #get(url: string): ImageBitmap | null {
    const entry = this.#entries.get(url);
    if (entry === undefined) {
      this.#entries.set(url, { bitmap: null, state: 'waiting', failedAt: 0, used: this.#drawing });
      this.#waiting.push(url);
      return null;
    }
    entry.used = this.#drawing;
    if (entry.state === 'failed' && performance.now() - entry.failedAt > again) {
      entry.state = 'waiting';
      this.#waiting.push(url);
    }
    return entry.bitmap;
  }

  #pump(): void {
    while (this.#loading < atOnce && !this.#closed) {
      const url = this.#waiting.shift();
      if (url === undefined) return;
      const entry = this.#entries.get(url);
      if (entry?.state !== 'waiting') continue;
      entry.state = 'loading';
      this.#loading++;
      void this.#load(url, entry);
    }
  }

  async #load(url: string, entry: Entry): Promise<void> {
    try {
      const response = await fetch(url);
      if (!response.ok) throw new Error(String(response.status));
      const bitmap = await createImageBitmap(await response.blob());
      if (this.#closed) {
        bitmap.close();
        return;
      }
      entry.bitmap = bitmap;
      entry.state = 'there';
      this.#makeRoom();
      this.#onReady();
    } catch {
      // A picture that cannot be had leaves the clip's colour; the player says what is wrong with the medium.
      entry.state = 'failed';
      entry.failedAt = performance.now();
    } finally {
      this.#loading--;
      this.#pump();
    }
  }

  #makeRoom(): void {
    if (this.#entries.size <= mostBitmaps) return;
    const old = [...this.#entries].filter(
      ([, { state, used }]) => (state === 'there' || state === 'failed') && used < this.#drawing,
    );
    old.sort(([, a], [, b]) => a.used - b.used);
    for (const [url, { bitmap }] of old.slice(0, this.#entries.size - mostBitmaps)) {
      bitmap?.close();
      this.#entries.delete(url);
    }
  }
}

/** Seconds between pictures so that each has at least `width` pixels: a power of two, so that strips are shared. */
export function filmInterval(width: number, pixelsPerSecond: number, fps: number): number {
  const least = Math.max(1 / Math.max(1, fps), width / pixelsPerSecond);
  return 2 ** Math.ceil(Math.log2(least));
}

function whole(bitmap: ImageBitmap | null): Piece | null {
  return bitmap && { bitmap, x: 0, width: bitmap.width, height: bitmap.height };
}

function round(seconds: number): number {
  return Math.round(seconds * 1e4) / 1e4;
}
