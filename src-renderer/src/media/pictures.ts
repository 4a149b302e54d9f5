import { PusaError } from '../../../src-main/core/errors.ts';
import { ByteCache } from './cache.ts';
import {
  answerSchema,
  maxTimes,
  type Answer,
  type Ask,
  type Facts,
  type Medium,
  type StandIn,
} from './protocol.ts';

/** The worker's end of the conversation, as far as it is used here. */
export interface MediaPort {
  postMessage(ask: Ask): void;
  terminate(): void;
  onmessage: ((event: MessageEvent<unknown>) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
}

/** One picture wanted: a place in a medium (seconds after its first frame), brought to a size in pixels. */
export interface Want {
  readonly medium: Medium;
  readonly time: number;
  readonly width: number;
  readonly height: number;
}

export interface PicturesOptions {
  /** Bytes of decoded pictures that are kept. */
  readonly maxBytes?: number;
  /** A wanted picture is there, or cannot be had. */
  readonly onChange: () => void;
  /** A medium's pictures now come from the studio; told once for each codec. */
  readonly onStandIn?: (medium: Medium, standIn: StandIn) => void;
}

/** Requests under way: one decodes while the next waits in the worker, and what is stale is never begun. */
const maxInFlight = 2;
/** Times in a request: long enough to decode on, short enough to give way soon. */
const batch = Math.min(8, maxTimes);
/** Milliseconds after which what failed is tried again when still wanted. */
const patience = 5000;

interface Request {
  readonly wants: readonly Want[];
  readonly keys: ReadonlySet<string>;
  cancelled: boolean;
}

interface Probe {
  readonly resolve: (facts: Facts) => void;
  readonly reject: (error: PusaError) => void;
}

/**
 * Decoded pictures of media. What is wanted is said anew whenever it changes: the latest wish counts, requests for
 * anything else are cancelled. What was decoded stays while it fits.
 */
export class Pictures {
  readonly #port: MediaPort;
  readonly #options: PicturesOptions;
  readonly #maxBytes: number;
  readonly #cache: ByteCache<ImageBitmap>;
  readonly #requests = new Map<number, Request>();
  readonly #probes = new Map<number, Probe>();
  /** By medium: why and when its pictures could not be had. */
  readonly #failures = new Map<string, { readonly error: PusaError; readonly at: number }>();
  readonly #standIns = new Map<string, StandIn>();
  readonly #told = new Set<string>();
  #wants: readonly Want[] = [];
  #count = 0;

  constructor(port: MediaPort, options: PicturesOptions) {
    this.#port = port;
    this.#options = options;
    this.#maxBytes = options.maxBytes ?? 384 * 2 ** 20;
    this.#cache = new ByteCache(this.#maxBytes);
    port.onmessage = ({ data }) => this.#hear(data);
    port.onerror = () => this.#fall();
  }

  /** A picture if it is there. It is the cache's: draw it now, do not keep it. */
  get(want: Want): ImageBitmap | null {
    return this.#cache.get(keyOf(want)) ?? null;
  }

  has(want: Want): boolean {
    return this.#cache.has(keyOf(want));
  }

  /** All that is wanted now, the most urgent first. What would not fit into half of the memory is not begun. */
  want(wants: readonly Want[]): void {
    this.#wants = this.#admit(wants);
    const wanted = new Set(this.#wants.map(keyOf));
    for (const [id, request] of this.#requests) {
      if (request.cancelled) continue;
      if ([...request.keys].some((key) => wanted.has(key) && !this.#cache.has(key))) continue;
      request.cancelled = true;
      this.#port.postMessage({ type: 'cancel', request: id });
    }
    this.#send();
  }

  /** Why a medium shows nothing; null while it does. */
  errorOf(medium: Medium): PusaError | null {
    return this.#failures.get(medium.id)?.error ?? null;
  }

  /** What a file says about itself. @throws PusaError MEDIA_UNREADABLE */
  probe(medium: Medium): Promise<Facts> {
    const request = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#probes.set(request, { resolve, reject });
      this.#port.postMessage({ type: 'probe', request, medium });
    });
  }

  close(): void {
    this.#port.onmessage = null;
    this.#port.onerror = null;
    this.#port.terminate();
    this.#wants = [];
    this.#requests.clear();
    this.#cache.clear();
    for (const probe of this.#probes.values()) probe.reject(ended());
    this.#probes.clear();
  }

  /** The wants that fit, each once. Those already there become the last to leave. */
  #admit(wants: readonly Want[]): readonly Want[] {
    const seen = new Set<string>();
    const admitted: Want[] = [];
    let bytes = 0;
    for (const want of wants) {
      const key = keyOf(want);
      if (seen.has(key)) continue;
      bytes += want.width * want.height * 4;
      if (admitted.length > 0 && bytes > this.#maxBytes / 2) break;
      seen.add(key);
      admitted.push(want);
      this.#cache.get(key);
    }
    return admitted;
  }

  #send(): void {
    const underWay = new Set<string>();
    let active = 0;
    for (const { keys, cancelled } of this.#requests.values()) {
      if (cancelled) continue;
      active++;
      for (const key of keys) underWay.add(key);
    }
    const open = this.#wants.filter((want) => {
      const key = keyOf(want);
      return !this.#cache.has(key) && !underWay.has(key) && !this.#isGivenUp(want.medium);
    });
    while (open.length > 0 && active < maxInFlight) {
      const { medium, width, height } = open[0]!;
      // Alone: the one of each medium that is needed now, and all where the studio draws, who does not decode on.
      const isUrgent = this.#wants.find((want) => want.medium.id === medium.id) === open[0];
      const most = isUrgent || medium.kind === 'sequence' || this.#standIns.has(medium.id) ? 1 : batch;
      const wants: Want[] = [];
      for (let i = 0; i < open.length && wants.length < most;) {
        const want = open[i]!;
        const isAlike = want.medium.id === medium.id && want.width === width && want.height === height;
        if (isAlike) wants.push(...open.splice(i, 1));
        else i++;
      }
      // Forward in time a file is decoded once; the order of the wish counts from batch to batch.
      wants.sort((a, b) => a.time - b.time);
      const request = ++this.#count;
      this.#requests.set(request, { wants, keys: new Set(wants.map(keyOf)), cancelled: false });
      const times = wants.map(({ time }) => time);
      this.#port.postMessage({ type: 'pictures', request, medium, times, width, height });
      active++;
    }
  }

  #hear(data: unknown): void {
    const parsed = answerSchema.safeParse(data);
    if (!parsed.success) {
      this.#fall();
      return;
    }
    const answer = parsed.data;
    switch (answer.type) {
      case 'picture':
        this.#keep(answer);
        break;
      case 'probed':
        this.#probes.get(answer.request)?.resolve(answer.facts);
        break;
      case 'done':
        this.#end(answer);
        break;
    }
  }

  #keep({ request, index, picture, standIn }: Extract<Answer, { type: 'picture' }>): void {
    const want = this.#requests.get(request)?.wants[index];
    if (want === undefined) {
      picture.close();
      return;
    }
    this.#cache.set(keyOf(want), picture, picture.width * picture.height * 4);
    this.#failures.delete(want.medium.id);
    if (standIn !== null && !this.#standIns.has(want.medium.id)) {
      this.#standIns.set(want.medium.id, standIn);
      const codec = standIn.codec ?? want.medium.id;
      if (!this.#told.has(codec)) this.#options.onStandIn?.(want.medium, standIn);
      this.#told.add(codec);
    }
    this.#options.onChange();
  }

  #end({ request, error }: Extract<Answer, { type: 'done' }>): void {
    const probe = this.#probes.get(request);
    this.#probes.delete(request);
    const failure = error === null ? null : new PusaError(error.code, error.message, error.remedy);
    if (failure !== null) probe?.reject(failure);

    const pictures = this.#requests.get(request);
    this.#requests.delete(request);
    const medium = pictures?.wants[0]?.medium;
    if (failure !== null && medium !== undefined && pictures?.cancelled === false) {
      this.#failures.set(medium.id, { error: failure, at: Date.now() });
      this.#options.onChange();
    }
    this.#send();
  }

  #isGivenUp({ id }: Medium): boolean {
    const failure = this.#failures.get(id);
    return failure !== undefined && Date.now() - failure.at < patience;
  }

  /** The worker is gone or talks nonsense: nothing more will come of what was asked. */
  #fall(): void {
    const error = ended();
    for (const { wants } of this.#requests.values()) {
      this.#failures.set(wants[0]!.medium.id, { error, at: Date.now() });
    }
    this.#requests.clear();
    for (const probe of this.#probes.values()) probe.reject(error);
    this.#probes.clear();
    this.#options.onChange();
  }
}

/** The whole address of one of the studio's paths, below the page's own. */
export function pageAddress(path: string): string {
  return new URL(path, document.baseURI).href;
}

/** Starts the worker that decodes. */
export function startMediaWorker(): MediaPort {
  return new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'media' });
}

function keyOf({ medium, time, width, height }: Want): string {
  return `${medium.id}|${Math.round(time * 1e6)}|${width}x${height}`;
}

function ended(): PusaError {
  return new PusaError(
    'INTERNAL',
    'Decoding pictures has stopped.',
    'Reload the window; nothing you made is lost.',
  );
}
