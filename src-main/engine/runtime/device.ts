import { arch, availableParallelism, cpus, totalmem } from 'node:os';
import { graphics } from 'systeminformation';
import { toPusaError } from '../../core/errors.ts';
import { largeBlock, measureAgainstCpu, measureBlock } from './measure.ts';
import { ortVersion } from './ort.ts';
import { providerOrder, startProvider, type Refusal } from './providers.ts';
import type { DeviceReport, Measurement } from './report.ts';
import type { Provider } from './runtime.ts';

export type { DeviceReport, Measurement } from './report.ts';

/** Memory that can be used without pushing others out, in bytes; knows container limits. */
export function availableMemory(): number {
  return process.availableMemory();
}

/**
 * Reports on this machine. Every provider of the platform is started and checked, so this belongs in the engine
 * process: a broken driver may end it.
 * @param onTry as for `chooseRuntime`
 */
export async function reportDevice(
  avoid: readonly Refusal[] = [],
  onTry?: (provider: Provider | null) => void,
): Promise<DeviceReport> {
  const reports: DeviceReport['providers'] = [];
  let chosen: Provider | null = null;
  for (const provider of providerOrder(process.platform)) {
    try {
      const runtime = await startProvider(provider, avoid, onTry);
      const { own, cpu } =
        provider === 'cpu'
          ? await measureBlock(runtime, largeBlock, 1).then((own) => ({ own, cpu: own }))
          : await measureAgainstCpu(runtime);
      if (own.milliseconds <= cpu.milliseconds) chosen ??= provider;
      reports.push({ provider, works: true, reason: null, forms: runtime.forms, block: own });
    } catch (thrown) {
      reports.push({ provider, works: false, reason: toPusaError(thrown).message, forms: null, block: null });
    }
  }
  return {
    platform: process.platform,
    arch: arch(),
    cpu: { model: cpus()[0]?.model.trim() ?? '', threads: availableParallelism() },
    memory: { totalBytes: totalmem(), availableBytes: availableMemory() },
    gpus: await listGpus(),
    providers: reports,
    chosen: chosen ?? 'cpu',
    versions: { onnxruntime: ortVersion, node: process.versions.node },
  };
}

/** Measures a provider with a larger block. @throws PusaError PROVIDER_UNAVAILABLE */
export async function measureProvider(
  provider: Provider,
  avoid: readonly Refusal[] = [],
  onTry?: (provider: Provider | null) => void,
): Promise<Measurement> {
  return measureBlock(await startProvider(provider, avoid, onTry), largeBlock);
}

/** Graphics adapters as the system lists them; empty where it cannot say. */
async function listGpus(): Promise<DeviceReport['gpus']> {
  try {
    const { controllers } = await graphics();
    return controllers.map(({ vendor, model, vram }) => ({
      vendor,
      model,
      // The system reports mebibytes.
      memoryBytes: typeof vram === 'number' && vram > 0 ? vram * 2 ** 20 : null,
    }));
  } catch {
    return [];
  }
}
