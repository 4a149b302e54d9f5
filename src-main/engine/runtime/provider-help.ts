import type { Gpu } from './gpus.ts';
import { cudaInstaller } from './ort.ts';
import type { Provider } from './runtime.ts';

/**
 * What a person can do so that a provider works, in sentences; null where there is nothing to say.
 * @param gpus those of the machine; none where the system cannot list them
 */
export function providerHelp(
  provider: Provider,
  gpus: readonly Pick<Gpu, 'vendor' | 'model'>[],
): string | null {
  switch (provider) {
    case 'cuda': {
      const isNvidia = gpus.some(({ vendor, model }) => /nvidia/i.test(`${vendor} ${model}`));
      if (!isNvidia && gpus.length > 0) return null;
      return (
        (isNvidia ? '' : 'With a graphics card by NVIDIA: ') +
        'CUDA needs libraries of ONNX Runtime that do not come along (a download of about 215 to 250 MB, more than ' +
        '600 MB on the disk), and CUDA 12 and cuDNN 9 of NVIDIA. ONNX Runtime’s own installer fetches its part: ' +
        `node "${cudaInstaller()}" --onnxruntime-node-install=cuda12`
      );
    }
    case 'webgpu':
      return process.platform === 'linux'
        ? 'WebGPU needs a Vulkan driver: install the one of the graphics card’s maker, or Mesa’s (25 or newer).'
        : 'Update the graphics driver.';
    case 'dml':
      return 'Update the graphics driver.';
    case 'cpu':
      return null;
  }
}
