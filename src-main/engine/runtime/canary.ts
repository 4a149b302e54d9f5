import type { Tensor } from '../networks.ts';
import { PusaError } from '../../core/errors.ts';
import { providerNames } from './failures.ts';
import { createRuntime, defaultForms } from './ort.ts';
import { attentionProbe, blockProbe, type Probe } from './probe-graphs.ts';
import type { OperatorForms, Provider, Runtime } from './runtime.ts';

/** Right kernels differ from the CPU by less than 1e-6, the known wrong ones by more than 1e-2. */
const tolerance = 1e-4;

const canaryBlock = { tokens: 64, width: 128, heads: 2, hidden: 256 };

/**
 * Compares a provider with the CPU on this adapter and picks the attention form: some WebGPU adapters compute the
 * fused operator silently wrong (see the error of each form in the result). A whole block must be right too.
 * @returns the forms to build graphs with, and the largest relative error of the fused operator
 * @throws PusaError PROVIDER_UNAVAILABLE when the provider cannot run, or computes wrongly in every form
 */
export async function runCanary(provider: Provider): Promise<{ forms: OperatorForms; fusedError: number }> {
  const forms = defaultForms[provider];
  if (provider === 'cpu') return { forms, fusedError: 0 };
  const runtime = createRuntime(provider);
  const fusedError = await errorOf(runtime, attentionProbe('fused'));
  const attention = fusedError <= tolerance ? 'fused' : 'primitive';
  const error = await errorOf(runtime, blockProbe(attention, canaryBlock));
  if (!(error <= tolerance)) {
    throw new PusaError(
      'PROVIDER_UNAVAILABLE',
      `${providerNames[provider]} computes wrongly on this machine (relative error ${error.toExponential(1)}).`,
      'Update the graphics driver, or use another device.',
    );
  }
  return { forms: { ...forms, attention }, fusedError };
}

/** Largest difference from the CPU's result, relative to its largest value. */
async function errorOf(runtime: Runtime, probe: Probe): Promise<number> {
  const expected = await runProbe(createRuntime('cpu'), probe);
  const actual = await runProbe(runtime, probe);
  let difference = 0;
  let largest = 0;
  for (const [i, value] of expected.data.entries()) {
    largest = Math.max(largest, Math.abs(value));
    const apart = Math.abs(actual.data[i]! - value);
    if (!Number.isFinite(apart)) return Infinity;
    difference = Math.max(difference, apart);
  }
  return difference / largest;
}

async function runProbe(runtime: Runtime, probe: Probe): Promise<Tensor> {
  const segment = await runtime.load(probe.model);
  try {
    return (await segment.run(probe.inputs))['y']!;
  } finally {
    await segment.release();
  }
}
