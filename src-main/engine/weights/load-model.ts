import type { Denoiser, TextEncoder, VideoCodec } from '../networks.ts';
import { planMemory, type MemoryInput, type MemoryPlan, type ModelNeeds } from '../../core/plan/memory.ts';
import type { CodecNeeds } from '../../core/plan/tiles.ts';
import type { Provider, Runtime } from '../runtime/runtime.ts';
import { createTokenizer } from '../text/tokenizer.ts';
import { attachLoras, checkpointWeights, commonFolder } from '../wan/checkpoint-weights.ts';
import { createDenoiser } from '../wan/dit.ts';
import { createExperts } from '../wan/experts.ts';
import { createTextEncoder } from '../wan/umt5.ts';
import { createVideoCodec, decoderNeeds } from '../wan/vae.ts';
import type { Checkpoint } from './checkpoint.ts';
import { expertOf, type Expert, type Manifest } from './manifest.ts';
import { readModelNeeds } from './model-needs.ts';
import type { ModelPackage } from './package.ts';

/** The networks of a package on a runtime, each opened when first asked for. */
export interface LoadedModel {
  /** SHA-256 of the package in hex. */
  readonly hash: string;
  readonly provider: Provider;
  /** What the autoencoder takes up while it decodes. */
  readonly codecNeeds: CodecNeeds;
  /** How the networks are run at a level of `planMemory`, and what that takes. */
  plan(level?: number): Promise<MemoryPlan>;
  /** @param level as for `plan`; asking for another one makes the network anew and releases the old one */
  textEncoder(level?: number): Promise<TextEncoder>;
  denoiser(level?: number): Promise<Denoiser>;
  codec(): Promise<VideoCodec>;
  /** Releases all networks and closes their files. */
  release(): Promise<void>;
}

export interface LoadOptions {
  /** Memory of the device the networks run on that can be had, in bytes; default: of this machine. */
  readonly availableBytes?: number;
  /** What is to be generated; default what the model was made for. */
  readonly size?: Pick<MemoryInput, 'width' | 'height' | 'frames'>;
}

/** Prepares the networks of a package; nothing is opened yet. */
export function loadModel(
  runtime: Runtime,
  modelPackage: ModelPackage,
  options: LoadOptions = {},
): LoadedModel {
  const { manifest } = modelPackage;
  const open: Checkpoint[] = [];
  const made: { release(): Promise<void> }[] = [];
  const keep = (checkpoint: Checkpoint): Checkpoint => {
    open.push(checkpoint);
    return checkpoint;
  };
  /** A network for each level asked for, one at a time. */
  const leveled = <T extends { release(): Promise<void> }>(
    make: (level: number) => Promise<T>,
  ): ((level?: number) => Promise<T>) => {
    let current: { readonly level: number; readonly network: Promise<T> } | null = null;
    return async (level = 0) => {
      if (current?.level === level) return current.network;
      await current?.network.then(
        (old) => old.release(),
        () => undefined,
      );
      const network = make(level).then((result) => {
        made.push(result);
        return result;
      });
      current = { level, network };
      // A failure is not remembered: the file may be back the next time.
      network.catch(() => (current = null));
      return network;
    };
  };
  let needs: Promise<ModelNeeds> | null = null;
  const plan = async (level = 0): Promise<MemoryPlan> => {
    needs ??= readModelNeeds(modelPackage, runtime.provider);
    needs.catch(() => (needs = null));
    return planMemory({
      needs: await needs,
      provider: runtime.provider,
      availableBytes: options.availableBytes ?? process.availableMemory(),
      ...(options.size ?? manifest.native),
      attention: runtime.forms.attention,
      attentionRows: runtime.forms.attentionRows,
      level,
    });
  };

  return {
    hash: manifest.hash,
    provider: runtime.provider,
    codecNeeds: decoderNeeds(manifest.vae.config),

    plan,

    textEncoder: leveled(async (level) => {
      const { keepText } = await plan(level);
      const checkpoint = keep(await modelPackage.openTextEncoder());
      const tokenizer = createTokenizer(await modelPackage.readTokenizer());
      const weights = checkpointWeights(checkpoint, commonFolder([checkpoint]));
      return createTextEncoder(runtime, manifest.textEncoder.config, weights, tokenizer, {
        textLength: manifest.dit.config.textLength,
        keepLoaded: keepText,
      });
    }),

    denoiser: leveled(async (level) => {
      const { residentBlocks, attentionRows, feedForwardChunks, arena, keepBoth } = await plan(level);
      const expert = async (which: Expert): Promise<Denoiser> => {
        const stated = expertOf(manifest, which);
        const checkpoint = keep(await modelPackage.openDit(which));
        const loras = await modelPackage.openLoras(which);
        const all = [checkpoint, ...loras.map((lora) => keep(lora.checkpoint))];
        const attached = attachLoras(
          checkpointWeights(checkpoint, commonFolder(all)),
          loras.map((lora, index) => {
            const { live, defaultStrength } = stated.loras[index]!;
            return { lora, strength: live ? 'live' : defaultStrength };
          }),
        );
        return createDenoiser(runtime, stated.dit.config, attached.weights, attached.loras, {
          residentBlocks,
          attentionRows,
          feedForwardChunks,
          arena,
        });
      };
      const high = await expert('high');
      if (manifest.lowNoise === undefined) return high;
      const low = await expert('low');
      return createExperts({
        high,
        low,
        boundary: manifest.lowNoise.boundary,
        lowStrength: lowStrength(manifest),
        keepBoth,
      });
    }),

    codec: leveled(async () => {
      const checkpoint = keep(await modelPackage.openVae());
      return createVideoCodec(
        runtime,
        manifest.vae.config,
        checkpointWeights(checkpoint, commonFolder([checkpoint])),
      );
    }),

    async release() {
      for (const network of made.splice(0)) await network.release();
      for (const checkpoint of open.splice(0)) await checkpoint.close();
    },
  };
}

/** What a strength is multiplied with for the low-noise expert: its live LoRA's default by the other's. */
function lowStrength(manifest: Manifest): number {
  const defaultOf = (expert: Expert): number | undefined =>
    expertOf(manifest, expert).loras.find(({ live }) => live)?.defaultStrength;
  const [high, low] = [defaultOf('high'), defaultOf('low')];
  return high === undefined || low === undefined || high === 0 ? 1 : low / high;
}
