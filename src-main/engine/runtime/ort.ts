import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import * as ort from 'onnxruntime-node';
import type { Tensor } from '../networks.ts';
import { runtimeFailure } from './failures.ts';
import { outputShapes, type StatedDim } from './output-shapes.ts';
import type { OnnxModel, OperatorForms, Provider, Runtime, Segment } from './runtime.ts';

/** What an adapter without known defects gets; the canary replaces it where a form is wrong. */
export const defaultForms: Record<Provider, OperatorForms> = {
  cpu: { attention: 'fused', attentionRows: 0, convolution: 'planes' },
  webgpu: { attention: 'primitive', attentionRows: 1024, convolution: 'taps' },
  dml: { attention: 'fused', attentionRows: 1024, convolution: 'conv3d' },
  cuda: { attention: 'fused', attentionRows: 0, convolution: 'conv3d' },
};

/** Version of ONNX Runtime's library. */
export const ortVersion = ort.env.versions.node ?? ort.env.versions.common;

/**
 * Whether this platform's library has a provider: `yes` built in; `no`; or `missing`, when it could load it from a
 * library of its own that is not installed. Asking first spares the log an error.
 */
export function providerPresence(provider: Provider): 'yes' | 'no' | 'missing' {
  const backend = ort.listSupportedBackends().find(({ name }) => name === provider);
  if (backend === undefined) return 'no';
  if (backend.bundled) return 'yes';
  const folder = join(ortFolder(), 'bin', 'napi-v6', process.platform, process.arch);
  return existsSync(join(folder, `libonnxruntime_providers_${provider}.so`)) ? 'yes' : 'missing';
}

/** ONNX Runtime's own script that fetches the libraries for CUDA, into the folder they are looked for in. */
export function cudaInstaller(): string {
  return join(ortFolder(), 'script', 'install.js');
}

/** Where ONNX Runtime's package lies. */
function ortFolder(): string {
  return dirname(dirname(createRequire(import.meta.url).resolve('onnxruntime-node')));
}

/**
 * A runtime on one execution provider. Settings: an arena only where the graph asks for one (see `OnnxModel.arena`),
 * no prepacking for float weights (they stay memory-mapped), no silent fall-back from a GPU to the CPU.
 * Loading and running throw a PusaError (OUT_OF_MEMORY, PROVIDER_UNAVAILABLE, INTERNAL), see `failures.ts`.
 */
export function createRuntime(provider: Provider, forms: OperatorForms = defaultForms[provider]): Runtime {
  return { provider, forms, load: (model) => load(provider, model) };
}

async function load(provider: Provider, model: OnnxModel): Promise<Segment> {
  const session = await ort.InferenceSession.create(model.bytes, {
    executionProviders: [provider],
    enableCpuMemArena: model.arena ?? false,
    logSeverityLevel: 3,
    extra: {
      session: {
        ...(model.weightsFolder === null
          ? {}
          : { model_external_initializers_file_folder_path: model.weightsFolder }),
        ...(model.quantised ? {} : { disable_prepacking: '1' }),
        ...(provider === 'cpu' ? {} : { disable_cpu_ep_fallback: '1' }),
      },
    },
  }).catch((thrown: unknown) => {
    throw runtimeFailure(thrown, provider, model.name);
  });
  const stated = {
    inputs: statedShapes(session.inputMetadata),
    outputs: statedShapes(session.outputMetadata),
  };
  return {
    async run(inputs, into = {}) {
      try {
        const feeds: Record<string, ort.Tensor> = {};
        for (const [name, tensor] of Object.entries(inputs)) {
          feeds[name] = new ort.Tensor('float32', tensor.data, tensor.shape);
        }
        const fetches = preallocate(stated, inputs, into);
        const results = await (fetches === null ? session.run(feeds) : session.run(feeds, fetches));
        const outputs: Record<string, Tensor> = {};
        for (const [name, tensor] of Object.entries(results)) {
          const copy = (await tensor.getData()) as Float32Array<ArrayBuffer>;
          const written = fetches?.[name]?.data as Float32Array | undefined;
          if (written === undefined) {
            outputs[name] = { data: copy, shape: tensor.dims };
            continue;
          }
          outputs[name] = { data: written, shape: tensor.dims };
          // What ONNX Runtime hands back is a copy of what it wrote: freed here, not when the collector comes.
          if (copy.buffer !== written.buffer) copy.buffer.transfer(0);
        }
        return outputs;
      } catch (thrown) {
        throw runtimeFailure(thrown, provider, model.name);
      }
    },
    release: () => session.release(),
  };
}

type Stated = Readonly<Record<string, readonly StatedDim[]>>;

function statedShapes(metadata: readonly ort.InferenceSession.ValueMetadata[]): Stated {
  return Object.fromEntries(metadata.map((value) => [value.name, value.isTensor ? value.shape : []]));
}

/**
 * Output tensors for ONNX Runtime to write into: what it would allocate itself is copied on the way out. Null where a
 * shape is only known after the run.
 */
function preallocate(
  stated: { readonly inputs: Stated; readonly outputs: Stated },
  inputs: Readonly<Record<string, Tensor>>,
  into: Readonly<Record<string, Float32Array>>,
): Record<string, ort.Tensor> | null {
  const bound = Object.entries(inputs).map(([name, { shape }]) => ({
    stated: stated.inputs[name] ?? [],
    actual: shape,
  }));
  const shapes = outputShapes(bound, stated.outputs);
  if (shapes === null) return null;
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const data = into[name] ?? new Float32Array(shape.reduce((a, b) => a * b, 1));
      return [name, new ort.Tensor('float32', data, shape)];
    }),
  );
}
