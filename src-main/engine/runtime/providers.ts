import { PusaError, toPusaError } from '../../core/errors.ts';
import { runCanary } from './canary.ts';
import { firstLine, providerNames } from './failures.ts';
import { measureAgainstCpu } from './measure.ts';
import { createRuntime, providerPresence } from './ort.ts';
import { providers, type Provider, type Runtime } from './runtime.ts';

/**
 * Providers worth trying on a platform, best first. CUDA is there only after its libraries were fetched; without
 * them it says so and the next one is tried.
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

/** A provider that was passed over, and the sentence that says why. */
export interface Refusal {
  readonly provider: Provider;
  readonly reason: string;
}

export interface Choice {
  readonly runtime: Runtime;
  /** Those before it, in the order tried. */
  readonly refused: readonly Refusal[];
}

export interface ChooseOptions {
  /** What the person asked for: this one or an error, however slow it is. Null: the best that works. */
  readonly preferred?: Provider | null;
  /** Providers that are not even tried, with the reason (one crashed the process before). */
  readonly avoid?: readonly Refusal[];
  /** Called before a provider is started, which may take the process down with it, and with null when it is over. */
  readonly onTry?: (provider: Provider | null) => void;
}

/**
 * Chooses the provider: the first of the platform's order that starts, computes rightly (see `canary.ts`) and is not
 * slower than the processor (a Vulkan driver in software is a WebGPU adapter too).
 * @throws PusaError PROVIDER_UNAVAILABLE for a preferred provider that does not work
 */
export async function chooseRuntime(options: ChooseOptions = {}): Promise<Choice> {
  const { preferred = null, avoid = [], onTry } = options;
  if (preferred !== null) return { runtime: await startProvider(preferred, avoid, onTry), refused: [] };
  const refused: Refusal[] = [];
  for (const provider of providerOrder(process.platform)) {
    try {
      const runtime = await startProvider(provider, avoid, onTry);
      await refuseIfSlow(runtime);
      return { runtime, refused };
    } catch (thrown) {
      refused.push({ provider, reason: toPusaError(thrown).message });
    }
  }
  throw new PusaError(
    'PROVIDER_UNAVAILABLE',
    `No device can run models here (${refused.map(({ reason }) => reason).join(' ')}).`,
    'Install the application again; if that does not help, report it with the log.',
  );
}

/**
 * Starts one provider and lets the canary pick its forms.
 * @throws PusaError PROVIDER_UNAVAILABLE
 */
export async function startProvider(
  provider: Provider,
  avoid: readonly Refusal[] = [],
  onTry?: (provider: Provider | null) => void,
): Promise<Runtime> {
  const avoided = avoid.find((refusal) => refusal.provider === provider);
  if (avoided !== undefined) throw unavailable(avoided.reason);
  const presence = providerPresence(provider);
  if (presence === 'no') throw unavailable(`${sentenceStart(provider)} does not exist on this platform.`);
  if (presence === 'missing') throw unavailable(`${sentenceStart(provider)} is not installed.`);
  if (provider === 'cpu') return createRuntime('cpu');
  onTry?.(provider);
  try {
    const { forms } = await runCanary(provider);
    return createRuntime(provider, forms);
  } catch (thrown) {
    const error = toPusaError(thrown);
    if (error.code === 'PROVIDER_UNAVAILABLE') throw error;
    const cause = error.cause instanceof Error ? error.cause.message : error.message;
    const reason = /failed to get a webgpu adapter/i.test(cause)
      ? 'the system offers no graphics adapter it can use.'
      : firstLine(cause);
    throw unavailable(`${sentenceStart(provider)} does not start: ${reason}`, thrown);
  } finally {
    onTry?.(null);
  }
}

/** @throws PusaError PROVIDER_UNAVAILABLE */
async function refuseIfSlow(runtime: Runtime): Promise<void> {
  if (runtime.provider === 'cpu') return;
  const { own, cpu } = await measureAgainstCpu(runtime);
  if (own.milliseconds <= cpu.milliseconds) return;
  throw unavailable(
    `${sentenceStart(runtime.provider)} is slower here than the processor ` +
      `(${Math.round(own.milliseconds)} ms against ${Math.round(cpu.milliseconds)} ms for a block).`,
  );
}

function sentenceStart(provider: Provider): string {
  const name = providerNames[provider];
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function unavailable(reason: string, cause?: unknown): PusaError {
  return new PusaError('PROVIDER_UNAVAILABLE', reason, 'Update the graphics driver, or use another device.', {
    cause,
  });
}

/** Reads a provider's name from outside. @throws PusaError USAGE */
export function parseProvider(name: string): Provider {
  const provider = providers.find((known) => known === name);
  if (provider !== undefined) return provider;
  throw new PusaError(
    'USAGE',
    `There is no device called ${name}.`,
    `Choose one of ${providers.join(', ')}, or leave it out.`,
  );
}
