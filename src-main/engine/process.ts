import { PusaError, toPusaError } from '../core/errors.ts';
import type { Progress } from '../core/contract/job.ts';
import { JobFolder } from './pipeline/job-folder.ts';
import { runJob, type PipelineHooks } from './pipeline/pipeline.ts';
import type { Rates, Result } from './pipeline/result.ts';
import { textPasses } from './pipeline/stages/text.ts';
import type { Wish } from './pipeline/watch.ts';
import {
  checkVersion,
  deviceLostCode,
  idOf,
  parseHostMessage,
  protocolVersion,
  type EngineMessage,
  type HostMessage,
} from './protocol.ts';
import {
  availableMemory,
  deviceMemory,
  measureProvider,
  reportDevice,
  type DeviceReport,
} from './runtime/device.ts';
import { DeviceLost } from './runtime/failures.ts';
import type { MemoryPlace } from './runtime/memory-place.ts';
import { watchPeakMemory } from './runtime/peak-memory.ts';
import { ProviderMemory } from './runtime/provider-memory.ts';
import { chooseRuntime, type Choice } from './runtime/providers.ts';
import type { Provider } from './runtime/runtime.ts';
import type { Refusal, TrialOptions } from './runtime/trials.ts';
import { openPort, type Port } from './transport.ts';
import { fitPreview, previewFrames, type PreviewMap } from './wan/preview.ts';
import { loadModel } from './weights/load-model.ts';
import { openPackage } from './weights/package.ts';

type Render = Extract<HostMessage, { type: 'render' }>;

/** Milliseconds between two messages about parts of a unit. */
const progressInterval = 50;

/**
 * The engine's message loop: one request at a time, answered by `done`, `reported`, `measured` or `failed`. ONNX
 * Runtime blocks this thread while a segment runs, so cancelling takes effect between two.
 */
class Engine {
  readonly #port: Port;
  #current: { readonly id: number; wish: Wish } | null = null;
  /** The provider chosen when none was asked for: found once. */
  #choice: Choice | null = null;
  /** Where the host wants kept what trials of providers find. */
  #memoryPlace: MemoryPlace | null = null;
  #memory: Promise<ProviderMemory> | null = null;
  /** Rates of jobs run so far, by model, provider, size and passes of a step. */
  readonly #rates = new Map<string, Rates>();
  /** By model. */
  readonly #previewMaps = new Map<string, PreviewMap>();

  constructor(port: Port) {
    this.#port = port;
    port.onMessage((value) => this.#receive(value));
    port.onClose(() => process.exit(0));
    process.on('uncaughtException', (thrown) => {
      // What is left of its work is not known: the next request gets a process of its own.
      this.#fail(this.#current?.id ?? null, toPusaError(thrown));
      exitSoon(1);
    });
    this.#send({ type: 'hello', protocol: protocolVersion, pid: process.pid });
  }

  #send(message: EngineMessage): void {
    this.#port.send(message);
  }

  #fail(id: number | null, { code, message, remedy }: PusaError): void {
    this.#send({ type: 'failed', id, error: { code, message, remedy } });
  }

  #log(text: string): void {
    this.#send({ type: 'log', text: text.slice(0, 10_000) });
  }

  readonly #onTry = (provider: Provider | null): void => this.#send({ type: 'trying', provider });

  #receive(value: unknown): void {
    let message: HostMessage;
    try {
      message = parseHostMessage(value);
      if (message.type === 'hello') checkVersion(message.protocol);
    } catch (thrown) {
      this.#fail(idOf(value), toPusaError(thrown));
      return;
    }
    switch (message.type) {
      case 'hello':
        this.#memoryPlace = message.memory;
        return;
      case 'cancel':
      case 'keep':
        if (this.#current?.id === message.id) this.#current.wish = message.type;
        return;
      case 'render':
        void this.#answer(message, async () => ({
          type: 'done',
          id: message.id,
          result: await this.#render(message),
        }));
        return;
      case 'report':
        void this.#answer(message, async () => ({
          type: 'reported',
          id: message.id,
          report: await this.#report(message),
        }));
        return;
      case 'measure':
        void this.#answer(message, async () => ({
          type: 'measured',
          id: message.id,
          measurement: await measureProvider(message.provider, await this.#trialOptions(message.avoid)),
        }));
    }
  }

  async #answer({ id }: { readonly id: number }, work: () => Promise<EngineMessage>): Promise<void> {
    if (this.#current !== null) {
      this.#fail(id, busy());
      return;
    }
    this.#current = { id, wish: 'run' };
    try {
      this.#send(await work());
    } catch (thrown) {
      if (thrown instanceof DeviceLost) {
        this.#log(thrown.message);
        exitSoon(deviceLostCode);
      } else this.#fail(id, toPusaError(thrown));
    } finally {
      this.#current = null;
    }
  }

  async #render(message: Render): Promise<Result> {
    const current = this.#current!;
    const folder = await JobFolder.open(message.jobFolder);
    const modelPackage = await openPackage(message.packageFolder);
    const { runtime } = await this.#runtimeFor(message);
    const hostBytes = availableMemory();
    const deviceBytes = await deviceMemory(runtime.provider, hostBytes);
    const size = { ...folder.job, frames: folder.job.plan.frames };
    const model = loadModel(runtime, modelPackage, { availableBytes: deviceBytes, size });
    try {
      const passes = textPasses(folder.job.sampler.cfg);
      const kind = [model.hash, model.provider, size.width, size.height, size.frames, passes].join();
      const result = await runJob(
        folder,
        model,
        {
          onProgress: this.#progressSender(message.id),
          previews: message.previews ? this.#previewsOf(message.id, model.hash) : null,
          log: (text) => this.#log(text),
          note: (note) => this.#send({ type: 'note', id: message.id, note }),
          wish: () => current.wish,
        },
        {
          rates: { ...message.rates, ...this.#rates.get(kind) },
          smallerTiles: message.smallerTiles,
          smallerPlan: message.smallerPlan,
          // The autoencoder works on the device and keeps what it remembers on the host.
          availableBytes: Math.min(hostBytes, deviceBytes),
          peakMemory: watchPeakMemory(),
        },
      );
      this.#rates.set(kind, result.rates);
      return result;
    } finally {
      await model.release();
    }
  }

  /** Sends every finished unit at once, and parts of one not more often than a person can see. */
  #progressSender(id: number): (progress: Progress) => void {
    let shown = '';
    let sent = 0;
    return (progress) => {
      const unit = `${progress.phase} ${progress.done}`;
      const now = performance.now();
      if (unit === shown && now - sent < progressInterval) return;
      shown = unit;
      sent = now;
      this.#send({ type: 'progress', id, progress });
    };
  }

  /** Previews by a linear map, fitted once for each model. */
  #previewsOf(id: number, hash: string): NonNullable<PipelineHooks['previews']> {
    return {
      prepare: async (codec, onSegment) => {
        if (!this.#previewMaps.has(hash)) this.#previewMaps.set(hash, await fitPreview(codec, onSegment));
      },
      show: (latents) => {
        const map = this.#previewMaps.get(hash);
        if (map === undefined) return;
        const [, cells, height, width] = latents.shape as [number, number, number, number];
        const { buffer } = previewFrames(latents, map);
        this.#send({ type: 'preview', id, cells, width, height, rgb: new Uint8Array(buffer) });
      },
    };
  }

  async #report({ avoid, fresh }: Extract<HostMessage, { type: 'report' }>): Promise<DeviceReport> {
    const options = await this.#trialOptions(avoid);
    if (fresh) {
      await options.memory.forget();
      this.#choice = null;
    }
    return reportDevice(options);
  }

  /** How providers are tried; those that ended a process before are remembered as refused. */
  async #trialOptions(
    avoid: readonly Refusal[],
  ): Promise<TrialOptions & { readonly memory: ProviderMemory }> {
    this.#memory ??= ProviderMemory.open(this.#memoryPlace, (text) => this.#log(text));
    const memory = await this.#memory;
    for (const { provider, reason } of avoid) await memory.refuse(provider, reason);
    return { avoid, onTry: this.#onTry, memory };
  }

  /** The provider of a render; the quickest is looked for once in the life of the process. */
  async #runtimeFor({ provider, avoid }: Render): Promise<Choice> {
    if (provider !== null) {
      return chooseRuntime({ preferred: provider, ...(await this.#trialOptions(avoid)) });
    }
    if (this.#choice === null) {
      this.#choice = await chooseRuntime(await this.#trialOptions(avoid));
      for (const { reason } of this.#choice.refused) this.#log(reason);
    }
    return this.#choice;
  }
}

/** Ends this process once the messages before it have left. */
function exitSoon(code: number): void {
  setTimeout(() => process.exit(code), 100);
}

function busy(): PusaError {
  return new PusaError('JOB_BUSY', 'The engine is at work on another job.', 'Wait until it has finished.');
}

const port = openPort();
if (port === null) {
  process.stderr.write('This is the engine of Pusa Studio; the application starts it.\n');
  process.exitCode = 2;
} else {
  new Engine(port);
}
