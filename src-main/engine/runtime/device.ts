import { arch, availableParallelism, cpus, totalmem } from 'node:os';
import { listGpus } from './gpus.ts';
import { largeBlock, measureBlock } from './measure.ts';
import { ortVersion } from './ort.ts';
import { ProviderMemory } from './provider-memory.ts';
import { providerHelp } from './provider-help.ts';
import { providerOrder, quickest } from './providers.ts';
import type { DeviceReport, Measurement } from './report.ts';
import type { Provider } from './runtime.ts';
import { startProvider, tryProvider, type Trial, type TrialOptions } from './trials.ts';

export type { DeviceReport, Measurement } from './report.ts';

/** Memory that can be used without pushing others out, in bytes; knows container limits. */
export function availableMemory(): number {
  return process.availableMemory();
}

/**
 * Memory that the networks can use on a provider, in bytes: of the largest graphics card where its size is known, but
 * not what other programs hold of it; else the machine's own.
 * @param host what the machine has available
 */
export async function deviceMemory(provider: Provider, host: number): Promise<number> {
  if (provider === 'cpu') return host;
  const sizes = (await listGpus()).map(({ memoryBytes }) => memoryBytes ?? 0);
  const largest = Math.max(0, ...sizes);
  return largest > 0 ? largest : host;
}

/**
 * Reports on this machine. Every provider of the platform that is not known yet is started and checked, so this belongs
 * in the engine process: a broken driver may end it.
 */
export async function reportDevice(options: TrialOptions = {}): Promise<DeviceReport> {
  const memory = options.memory ?? (await ProviderMemory.open(null));
  const trials: Trial[] = [];
  for (const provider of providerOrder(process.platform)) {
    trials.push(await tryProvider(provider, { ...options, memory }));
  }
  const gpus = await listGpus();
  return {
    platform: process.platform,
    arch: arch(),
    cpu: { model: cpus()[0]?.model.trim() ?? '', threads: availableParallelism() },
    memory: { totalBytes: totalmem(), availableBytes: availableMemory() },
    gpus: gpus.map(({ vendor, model, memoryBytes }) => ({ vendor, model, memoryBytes })),
    providers: trials.map(({ provider, reason, forms, block, speed, measuredAt }) => ({
      provider,
      works: reason === null,
      reason,
      forms,
      block,
      speed,
      measuredAt,
      help: reason === null ? null : providerHelp(provider, gpus),
    })),
    chosen: quickest(trials)?.provider ?? 'cpu',
    versions: { onnxruntime: ortVersion, node: process.versions.node },
  };
}

/** Measures a provider with a larger block. @throws PusaError PROVIDER_UNAVAILABLE */
export async function measureProvider(provider: Provider, options: TrialOptions = {}): Promise<Measurement> {
  return measureBlock(await startProvider(provider, options), largeBlock);
}
