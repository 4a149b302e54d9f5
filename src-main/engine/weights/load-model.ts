import type { Denoiser, TextEncoder, VideoCodec } from '../networks.ts';
import type { Provider, Runtime } from '../runtime/runtime.ts';
import { createTokenizer } from '../text/tokenizer.ts';
import { attachLoras, checkpointWeights } from '../wan/checkpoint-weights.ts';
import { createDenoiser } from '../wan/dit.ts';
import { createTextEncoder } from '../wan/umt5.ts';
import { createVideoCodec, decoderBytesPerCell } from '../wan/vae.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { ModelPackage } from './package.ts';

/** The networks of a package on a runtime, each opened when first asked for. */
export interface LoadedModel {
  /** SHA-256 of the package in hex. */
  readonly hash: string;
  readonly provider: Provider;
  /** Forecast of the autoencoder's memory in bytes for each latent pixel of a frame (or tile). */
  readonly codecBytesPerCell: number;
  textEncoder(): Promise<TextEncoder>;
  denoiser(): Promise<Denoiser>;
  codec(): Promise<VideoCodec>;
  /** Releases all networks and closes their files. */
  release(): Promise<void>;
}

export interface LoadOptions {
  /** Memory that networks may stay loaded in, in bytes; beyond it their graphs are loaded for each turn. */
  readonly availableBytes?: number;
}

/** Share of the memory that a network which stays loaded may take; the rest is for its activations. */
const share = 0.5;

/** Prepares the networks of a package; nothing is opened yet. */
export function loadModel(
  runtime: Runtime,
  modelPackage: ModelPackage,
  options: LoadOptions = {},
): LoadedModel {
  const { folder, manifest } = modelPackage;
  const open: Checkpoint[] = [];
  const made: { release(): Promise<void> }[] = [];
  const keep = (checkpoint: Checkpoint): Checkpoint => {
    open.push(checkpoint);
    return checkpoint;
  };
  const once = <T extends { release(): Promise<void> }>(make: () => Promise<T>): (() => Promise<T>) => {
    let network: Promise<T> | undefined;
    return () => {
      network ??= make().then((result) => {
        made.push(result);
        return result;
      });
      // A failure is not remembered: the file may be back the next time.
      network.catch(() => (network = undefined));
      return network;
    };
  };
  const keepLoaded = (checkpoints: readonly Checkpoint[]): boolean =>
    residentBytes(runtime.provider, checkpoints) <=
    (options.availableBytes ?? process.availableMemory()) * share;

  return {
    hash: manifest.hash,
    provider: runtime.provider,
    codecBytesPerCell: decoderBytesPerCell(manifest.vae.config),

    textEncoder: once(async () => {
      const checkpoint = keep(await modelPackage.openTextEncoder());
      const tokenizer = createTokenizer(await modelPackage.readTokenizer());
      const weights = checkpointWeights(checkpoint, folder);
      return createTextEncoder(runtime, manifest.textEncoder.config, weights, tokenizer, {
        textLength: manifest.dit.config.textLength,
        keepLoaded: keepLoaded([checkpoint]),
      });
    }),

    denoiser: once(async () => {
      const checkpoint = keep(await modelPackage.openDit());
      const loras = await modelPackage.openLoras();
      for (const lora of loras) keep(lora.checkpoint);
      const attached = attachLoras(
        { ...checkpointWeights(checkpoint, folder), folder },
        loras.map((lora, index) => {
          const { live, defaultStrength } = manifest.loras[index]!;
          return { lora, strength: live ? 'live' : defaultStrength };
        }),
      );
      return createDenoiser(runtime, manifest.dit.config, attached.weights, attached.loras, {
        keepLoaded: keepLoaded([checkpoint, ...loras.map((lora) => lora.checkpoint)]),
      });
    }),

    codec: once(async () => {
      const checkpoint = keep(await modelPackage.openVae());
      return createVideoCodec(runtime, manifest.vae.config, checkpointWeights(checkpoint, folder));
    }),

    async release() {
      for (const network of made.splice(0)) await network.release();
      for (const checkpoint of open.splice(0)) await checkpoint.close();
    },
  };
}

/** Memory of a network's weights once loaded: float32 on the CPU stays in the file, all else becomes float32. */
function residentBytes(provider: Provider, checkpoints: readonly Checkpoint[]): number {
  let bytes = 0;
  for (const { entries } of checkpoints) {
    for (const { dtype, shape } of entries.values()) {
      if (provider === 'cpu' && dtype === 'F32') continue;
      bytes += 4 * shape.reduce((product, side) => product * side, 1);
    }
  }
  return bytes;
}
