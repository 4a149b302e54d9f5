import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { arch, availableParallelism, cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { formsSchema, measurementSchema, providers, type Provider } from '../../core/contract/device.ts';
import { writeWhole } from '../../files/durable.ts';
import { providerNames } from './failures.ts';
import { listGpus } from './gpus.ts';
import type { MemoryPlace } from './memory-place.ts';
import { ortVersion } from './ort.ts';

/** Trials of a provider that began and did not end (the process was gone), before it is not tried by itself again. */
const mostUnfinished = 3;

/** A file of ours is far below this; a larger one is not read. */
const fileLimit = 1 << 20;

const outcomeSchema = z.strictObject({
  provider: z.enum(providers),
  /** Null: it works. Else the sentence that says why it is passed over. */
  reason: z.string().max(1000).nullable(),
  forms: formsSchema.nullable(),
  block: measurementSchema.nullable(),
  /** How many times as quick as the processor in the same block. */
  speed: z.number().min(0).nullable(),
  measuredAt: z.iso.datetime(),
});
/** How the trial of a provider ended. */
export type Outcome = z.infer<typeof outcomeSchema>;

const memorySchema = z.strictObject({
  version: z.literal(1),
  /** Digest of everything a change of which may change an outcome, see {@link machineKey}. */
  machine: z.string().regex(/^[0-9a-f]{64}$/),
  outcomes: z.array(outcomeSchema).max(providers.length),
  /** Trials that began, and how often in a row none ended. */
  trying: z
    .array(z.strictObject({ provider: z.enum(providers), times: z.int().min(1).max(1000) }))
    .max(providers.length),
});
type Memory = z.infer<typeof memorySchema>;

/**
 * What trials of providers found out on this machine, so that they are not repeated at each start: a driver in software
 * takes half a minute to be found slow. Kept in a file for one machine, driver, ONNX Runtime and application; when any
 * of these changes all is tried anew. A file that cannot be read or written only costs the time.
 */
export class ProviderMemory {
  readonly #file: string | null;
  readonly #log: (text: string) => void;
  #memory: Memory;

  private constructor(file: string | null, memory: Memory, log: (text: string) => void) {
    this.#file = file;
    this.#memory = memory;
    this.#log = log;
  }

  /** @param place null: only for the life of this process */
  static async open(
    place: MemoryPlace | null,
    log: (text: string) => void = () => undefined,
  ): Promise<ProviderMemory> {
    const machine = place === null ? '0'.repeat(64) : await machineKey(place.application);
    const saved = place === null ? null : await read(place.file);
    const empty: Memory = { version: 1, machine, outcomes: [], trying: [] };
    return new ProviderMemory(place?.file ?? null, saved?.machine === machine ? saved : empty, log);
  }

  /** What is known of a provider; null where it must be tried. */
  recall(provider: Provider): Outcome | null {
    const known = this.#memory.outcomes.find((outcome) => outcome.provider === provider);
    if (known !== undefined) return known;
    const times = this.#timesTried(provider);
    if (times < mostUnfinished) return null;
    const reason = `Starting ${providerNames[provider]} did not come to an end ${times} times in a row; it is not tried again by itself.`;
    return { provider, reason, forms: null, block: null, speed: null, measuredAt: new Date(0).toISOString() };
  }

  /** Notes that a trial begins, in case it ends the process. */
  async begin(provider: Provider): Promise<void> {
    const times = Math.min(this.#timesTried(provider) + 1, 1000);
    const trying = [...this.#memory.trying.filter((one) => one.provider !== provider), { provider, times }];
    await this.#write({ ...this.#memory, trying });
  }

  /** Notes that a trial ended without anything to remember. */
  async end(provider: Provider): Promise<void> {
    await this.#write({
      ...this.#memory,
      trying: this.#memory.trying.filter((one) => one.provider !== provider),
    });
  }

  /** Keeps how a trial ended. */
  async keep(outcome: Outcome): Promise<void> {
    const others = <T extends { readonly provider: Provider }>(list: readonly T[]): T[] =>
      list.filter(({ provider }) => provider !== outcome.provider);
    await this.#write({
      ...this.#memory,
      outcomes: [...others(this.#memory.outcomes), outcome],
      trying: others(this.#memory.trying),
    });
  }

  /** Keeps that a provider ended the process; told by the host, which saw it. */
  async refuse(provider: Provider, reason: string): Promise<void> {
    if (this.recall(provider)?.reason === reason) return;
    const measuredAt = new Date().toISOString();
    await this.keep({ provider, reason, forms: null, block: null, speed: null, measuredAt });
  }

  /** Forgets everything: all is tried anew. */
  async forget(): Promise<void> {
    await this.#write({ ...this.#memory, outcomes: [], trying: [] });
  }

  #timesTried(provider: Provider): number {
    return this.#memory.trying.find((one) => one.provider === provider)?.times ?? 0;
  }

  async #write(memory: Memory): Promise<void> {
    this.#memory = memory;
    if (this.#file === null) return;
    try {
      await mkdir(dirname(this.#file), { recursive: true });
      await writeWhole(this.#file, [new TextEncoder().encode(`${JSON.stringify(memory, null, 1)}\n`)]);
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      this.#log(`What was measured of this machine's devices cannot be kept: ${why}`);
    }
  }
}

async function read(file: string): Promise<Memory | null> {
  try {
    if ((await stat(file)).size > fileLimit) return null;
    return memorySchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    // Missing, torn or of another version: everything is tried again.
    return null;
  }
}

/** Where Linux keeps which Vulkan drivers there are; a driver's update writes its file anew. */
const driverFolders = ['/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/etc/vulkan/icd.d'];

/** Digest of the machine, its system, graphics cards and drivers, of ONNX Runtime and of the application. */
async function machineKey(application: string): Promise<string> {
  const { VK_ICD_FILENAMES, VK_DRIVER_FILES } = process.env;
  const parts = {
    application,
    onnxruntime: ortVersion,
    system: [process.platform, arch(), release()],
    processor: [cpus()[0]?.model ?? '', availableParallelism()],
    gpus: await listGpus(),
    drivers: [VK_ICD_FILENAMES ?? '', VK_DRIVER_FILES ?? '', ...(await driverFiles())],
  };
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

async function driverFiles(): Promise<string[]> {
  if (process.platform !== 'linux') return [];
  const found: string[] = [];
  for (const folder of driverFolders) {
    for (const name of (await readdir(folder).catch(() => [])).sort()) {
      const path = join(folder, name);
      const { mtimeMs, size } = await stat(path).catch(() => ({ mtimeMs: 0, size: 0 }));
      found.push(`${path} ${mtimeMs} ${size}`);
    }
  }
  return found;
}
