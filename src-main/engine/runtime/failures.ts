import { PusaError } from '../../core/errors.ts';
import type { Provider } from './runtime.ts';

const outOfMemory =
  /out of memory|bad_alloc|failed to allocate|cannot allocate memory|pthread_create failed|ENOMEM|allocation failed|invalid (typed )?array (buffer )?length|\bOOM\b|CUDA_ERROR_OUT_OF|E_OUTOFMEMORY|VK_ERROR_OUT_OF/i;

const deviceLost = /device (is |was )?lost|device.?removed|device.?hung|DEVICE_LOST|context lost/i;

/** What a provider is called in a sentence. */
export const providerNames: Readonly<Record<Provider, string>> = {
  cpu: 'the processor',
  webgpu: 'WebGPU',
  dml: 'DirectML',
  cuda: 'CUDA',
};

/** A GPU that went away: the process cannot get it back, a new one can. */
export class DeviceLost extends PusaError {
  constructor(provider: Provider, cause: unknown) {
    super(
      'PROVIDER_UNAVAILABLE',
      `The graphics processor stopped answering (${providerNames[provider]}).`,
      'The work goes on from the last finished step; if it happens again, choose another device.',
      { cause },
    );
  }
}

/** What ONNX Runtime threw while loading or running a graph, in sentences. */
export function runtimeFailure(thrown: unknown, provider: Provider, model: string): PusaError {
  if (thrown instanceof PusaError) return thrown;
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  if (deviceLost.test(text)) return new DeviceLost(provider, thrown);
  if (outOfMemory.test(text)) {
    return new PusaError(
      'OUT_OF_MEMORY',
      `The memory ran out on ${providerNames[provider]} in ${model}.`,
      'Choose a smaller size or fewer frames, or close other programs.',
      { cause: thrown },
    );
  }
  return new PusaError(
    'INTERNAL',
    `A part of the model failed on ${providerNames[provider]} (${model}: ${firstLine(text)}).`,
    'Try another device in the settings; if that fails too, report it with the log.',
    { cause: thrown },
  );
}

/** ONNX Runtime's messages carry source positions and repeat themselves; the first line says what it is. */
export function firstLine(text: string): string {
  const line = text.split('\n', 1)[0]!.trim();
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
