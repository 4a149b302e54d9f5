import { PusaError, toPusaError } from '../../core/errors.ts';
import { runCanary } from './canary.ts';
import { firstLine, providerNames } from './failures.ts';
import { largeBlock, measureAgainstCpu, measureBlock } from './measure.ts';
import { createRuntime, providerPresence } from './ort.ts';
import { ProviderMemory, type Outcome } from './provider-memory.ts';
import type { Measurement } from './report.ts';
import type { OperatorForms, Provider, Runtime } from './runtime.ts';

/** A provider that was passed over, and the sentence that says why. */
export interface Refusal {
  readonly provider: Provider;
  readonly reason: string;
}

export interface TrialOptions {
  /** Providers that are not even tried, with the reason (one ended the process before). */
  readonly avoid?: readonly Refusal[];
  /** Called before a provider is started, which may take the process down with it, and with null when it is over. */
  readonly onTry?: (provider: Provider | null) => void;
  /** What earlier trials found; default nothing. */
  readonly memory?: ProviderMemory;
}

/** What a trial of a provider gave. */
export interface Trial {
  readonly provider: Provider;
  /** Why it does not work; null where it does. */
  readonly reason: string | null;
  /** The operator forms the canary picked; null where it does not work. */
  readonly forms: OperatorForms | null;
  readonly block: Measurement | null;
  /** How many times as quick as the processor in the same block; null where it does not work or was not timed. */
  readonly speed: number | null;
  /** When it was measured; null where it was not, or nothing of it is kept. */
  readonly measuredAt: string | null;
}

/**
 * Tries a provider, unless it is known how it does: it must start, compute rightly (see `canary.ts`), and is timed
 * against the processor. Never throws: what is wrong is the trial's reason.
 * @param wantsBlock whether the processor, which needs no trial, is timed too
 */
export async function tryProvider(
  provider: Provider,
  options: TrialOptions = {},
  wantsBlock = true,
): Promise<Trial> {
  const { avoid = [], onTry, memory = await ProviderMemory.open(null) } = options;
  const avoided = avoid.find((refusal) => refusal.provider === provider);
  if (avoided !== undefined) return failed(provider, avoided.reason);
  const presence = providerPresence(provider);
  if (presence === 'no') {
    return failed(provider, `${sentenceStart(provider)} does not exist on this platform.`);
  }
  if (presence === 'missing') return failed(provider, `${sentenceStart(provider)} is not installed.`);
  const known = memory.recall(provider);
  if (known !== null) return known;
  if (provider === 'cpu') {
    const runtime = createRuntime('cpu');
    if (!wantsBlock) return works(runtime, null, 1);
    const outcome = works(runtime, await measureBlock(runtime, largeBlock, 1), 1);
    await memory.keep(outcome);
    return outcome;
  }
  await memory.begin(provider);
  onTry?.(provider);
  try {
    const { forms } = await runCanary(provider);
    const runtime = createRuntime(provider, forms);
    const { own, cpu } = await measureAgainstCpu(runtime);
    const outcome = works(runtime, own, cpu.milliseconds / own.milliseconds);
    await memory.keep(outcome);
    return outcome;
  } catch (thrown) {
    // Not kept: an error may pass (a card in use, a driver being installed), and it is told quickly.
    await memory.end(provider);
    return failed(provider, sentenceOf(provider, thrown));
  } finally {
    onTry?.(null);
  }
}

/**
 * Starts one provider, however slow it is.
 * @throws PusaError PROVIDER_UNAVAILABLE
 */
export async function startProvider(provider: Provider, options: TrialOptions = {}): Promise<Runtime> {
  if (provider === 'cpu') return createRuntime('cpu');
  const { reason, forms } = await tryProvider(provider, options);
  if (forms === null) throw unavailable(reason ?? '');
  return createRuntime(provider, forms);
}

/** A sentence's beginning with a provider's name. */
export function sentenceStart(provider: Provider): string {
  const name = providerNames[provider];
  return name.charAt(0).toUpperCase() + name.slice(1);
}

export function unavailable(reason: string, cause?: unknown): PusaError {
  return new PusaError('PROVIDER_UNAVAILABLE', reason, 'Update the graphics driver, or use another device.', {
    cause,
  });
}

function works({ provider, forms }: Runtime, block: Measurement | null, speed: number): Outcome {
  return { provider, reason: null, forms, block, speed, measuredAt: new Date().toISOString() };
}

function failed(provider: Provider, reason: string): Trial {
  return { provider, reason, forms: null, block: null, speed: null, measuredAt: null };
}

function sentenceOf(provider: Provider, thrown: unknown): string {
  const error = toPusaError(thrown);
  if (error.code === 'PROVIDER_UNAVAILABLE') return error.message;
  const cause = error.cause instanceof Error ? error.cause.message : error.message;
  const reason = /failed to get a webgpu adapter/i.test(cause)
    ? 'the system offers no graphics adapter it can use.'
    : firstLine(cause);
  return `${sentenceStart(provider)} does not start: ${reason}`;
}
