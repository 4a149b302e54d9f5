import { join } from 'node:path';
import { z } from 'zod';
import type { Job } from '../../core/contract/job.ts';
import type { Settings } from '../../core/contract/api/settings.ts';
import { ratesSchema, type Rates } from '../../engine/pipeline/result.ts';
import type { StudioContext } from '../context.ts';
import { StateFile } from '../state-file.ts';

/** What the queue keeps beside its jobs. */
const queueStateSchema = z.strictObject({
  version: z.literal(1),
  /** No job is started. */
  paused: z.boolean(),
  /** Measured seconds a unit of work takes, by {@link ratesKey}; the latest last. */
  rates: z.array(z.strictObject({ key: z.string().max(300), rates: ratesSchema })).max(1000),
});
type QueueState = z.infer<typeof queueStateSchema>;

/** Kinds of jobs whose rates are kept. */
const mostRates = 200;

/** What of a job decides how long a unit of its work takes. */
export interface JobKind {
  readonly model: Pick<Job['model'], 'hash'>;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly cfg: number;
}

/** Whether the queue is paused, and how fast this machine is: both outlast the process. */
export class QueueMemory {
  readonly #file: StateFile<QueueState>;

  private constructor(file: StateFile<QueueState>) {
    this.#file = file;
  }

  static async open({ folders, log }: Pick<StudioContext, 'folders' | 'log'>): Promise<QueueMemory> {
    const initial: QueueState = { version: 1, paused: false, rates: [] };
    const path = join(folders.data, 'queue.json');
    return new QueueMemory(await StateFile.open(path, queueStateSchema, initial, log));
  }

  get paused(): boolean {
    return this.#file.value.paused;
  }

  async setPaused(paused: boolean): Promise<void> {
    await this.#file.change((state) => ({ ...state, paused }));
  }

  /** Empty where nothing like it was measured yet. */
  rates(kind: JobKind, provider: Settings['provider']): Rates {
    const key = ratesKey(kind, provider);
    return this.#file.value.rates.find((one) => one.key === key)?.rates ?? {};
  }

  /** The latest rates of another size of the same model; null where there are none. */
  alike(
    kind: JobKind,
    provider: Settings['provider'],
  ): { readonly kind: JobKind; readonly rates: Rates } | null {
    for (const { key, rates } of this.#file.value.rates.toReversed()) {
      const [hash, size, guidance, on] = key.split(' ');
      const sides = /^(\d+)x(\d+)x(\d+)$/.exec(size ?? '');
      if (hash !== kind.model.hash || on !== (provider ?? 'any') || sides === null) continue;
      const [width, height, frames] = sides.slice(1).map(Number) as [number, number, number];
      return { kind: { model: kind.model, width, height, frames, cfg: guidance === 'plain' ? 1 : 2 }, rates };
    }
    return null;
  }

  async keepRates(kind: JobKind, provider: Settings['provider'], rates: Rates): Promise<void> {
    const key = ratesKey(kind, provider);
    await this.#file.change((state) => ({
      ...state,
      rates: [...state.rates.filter((one) => one.key !== key), { key, rates }].slice(-mostRates),
    }));
  }
}

/** A pass without guidance takes half the time of one with it, so they are kept apart. */
function ratesKey({ model, width, height, frames, cfg }: JobKind, provider: Settings['provider']): string {
  return [model.hash, `${width}x${height}x${frames}`, cfg === 1 ? 'plain' : 'guided', provider ?? 'any'].join(
    ' ',
  );
}
