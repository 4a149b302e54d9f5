import { ranked } from '../../core/contract/device.ts';
import { PusaError } from '../../core/errors.ts';
import { providerNames } from './failures.ts';
import { createRuntime } from './ort.ts';
import { ProviderMemory } from './provider-memory.ts';
import type { Provider, Runtime } from './runtime.ts';
import {
  sentenceStart,
  startProvider,
  tryProvider,
  type Refusal,
  type Trial,
  type TrialOptions,
} from './trials.ts';

/**
 * Providers worth trying on a platform, those expected to be quicker first; which one is taken is measured. CUDA is
 * there only after its libraries were fetched; without them it says so and the next one is tried.
 */
export function providerOrder(platform: NodeJS.Platform): readonly Provider[] {
  switch (platform) {
    case 'win32':
      return ['webgpu', 'dml', 'cpu'];
    case 'linux':
      return ['cuda', 'webgpu', 'cpu'];
    case 'darwin':
      return ['webgpu', 'cpu'];
    default:
      return ['cpu'];
  }
}

export interface Choice {
  readonly runtime: Runtime;
  /** Those passed over, in the platform's order. */
  readonly refused: readonly Refusal[];
}

export interface ChooseOptions extends TrialOptions {
  /** What the person asked for: this one or an error, however slow it is. Null: the quickest that works. */
  readonly preferred?: Provider | null;
}

/**
 * Chooses the provider: of those that start and compute rightly (see `canary.ts`) the one that was quickest in a block
 * timed on this machine; the processor where none is quicker (a Vulkan driver in software is a WebGPU adapter too).
 * @throws PusaError PROVIDER_UNAVAILABLE for a preferred provider that does not work
 */
export async function chooseRuntime(options: ChooseOptions = {}): Promise<Choice> {
  const { preferred = null, ...trial } = options;
  if (preferred !== null) return { runtime: await startProvider(preferred, trial), refused: [] };
  const memory = trial.memory ?? (await ProviderMemory.open(null));
  const trials: Trial[] = [];
  for (const provider of providerOrder(process.platform)) {
    trials.push(await tryProvider(provider, { ...trial, memory }, false));
  }
  const chosen = quickest(trials);
  const forms = chosen?.forms ?? null;
  if (chosen === undefined || forms === null) {
    throw new PusaError(
      'PROVIDER_UNAVAILABLE',
      `No device can run models here (${trials.map(({ reason }) => reason ?? '').join(' ')}).`,
      'Install the application again; if that does not help, report it with the log.',
    );
  }
  return {
    runtime: createRuntime(chosen.provider, forms),
    refused: trials
      .filter((one) => one !== chosen && one.provider !== 'cpu')
      .map((one) => ({ provider: one.provider, reason: one.reason ?? slower(one, chosen) })),
  };
}

/** Of the providers that work the quickest one; of equals the first of the platform's order. */
export function quickest<T extends Pick<Trial, 'reason' | 'speed'>>(trials: readonly T[]): T | undefined {
  const working = trials.filter(({ reason }) => reason === null);
  return ranked(working)[0];
}

function slower(one: Trial, chosen: Trial): string {
  const times = (chosen.speed ?? 1) / Math.max(one.speed ?? 0, 1e-9);
  const amount = times < 1.05 ? 'about as long' : `${times.toFixed(times < 10 ? 1 : 0)} times as long`;
  return `${sentenceStart(one.provider)} takes ${amount} as ${providerNames[chosen.provider]} here.`;
}
