import type { Model } from '../../core/contract/api/models.ts';
import { toPusaError } from '../../core/errors.ts';
import { createTokenizer, type Tokenizer } from '../../engine/text/tokenizer.ts';
import { expertOf, expertsOf, filesOf, sizeMultipleOf } from '../../engine/weights/manifest.ts';
import { openPackage, readManifest, type ModelPackage } from '../../engine/weights/package.ts';
import type { StudioContext } from '../context.ts';
import type { HandlersOf } from '../handlers.ts';
import { defaultModel, findModel, listShelf, type ShelvedModel } from '../model-shelf.ts';
import { modelDetailsHandlers } from './model-details.ts';
import type { WorkMethod } from './models-work.ts';

type Needs = Pick<StudioContext, 'places' | 'folders' | 'settings' | 'log'>;

/** Models that are there to be used. */
export function modelsHandlers(context: Needs): Omit<HandlersOf<'models'>, WorkMethod> {
  // By hash: the text encoder of a package never changes under one.
  const tokenizers = new Map<string, Promise<Tokenizer>>();
  return {
    ...modelDetailsHandlers(context),
    'models.list': async () => {
      const models: Model[] = [];
      for (const found of await listShelf(context.folders.data, context.places)) {
        try {
          models.push(await describe(context, found));
        } catch (thrown) {
          context.log(thrown);
        }
      }
      return { models };
    },
    'models.countTokens': async ({ model, text }) => {
      const found = await findUsableModel(context, model);
      const { manifest } = found;
      let tokenizer = tokenizers.get(manifest.hash);
      if (tokenizer === undefined) {
        tokenizer = found.readTokenizer().then(createTokenizer);
        tokenizers.set(manifest.hash, tokenizer);
        tokenizer.catch(() => tokenizers.delete(manifest.hash));
      }
      return { tokens: (await tokenizer).count(text), limit: manifest.dit.config.textLength };
    },
  };
}

/**
 * Opens a model: the one named, else the one of the settings, else the bundled one.
 * @throws PusaError MODEL_NOT_FOUND, CHECKPOINT_INVALID
 */
export function findUsableModel(context: Needs, id: string | null): Promise<ModelPackage> {
  const wanted = id ?? context.settings().defaultModel ?? defaultModel;
  return findModel(context.folders.data, context.places, wanted);
}

/** @throws PusaError when not even its manifest can be read */
async function describe(context: Needs, { id, folder, bundled }: ShelvedModel): Promise<Model> {
  const manifest = await readManifest(folder);
  const unusable = await openPackage(folder).then(
    () => (manifest.id === id ? null : `The folder "${id}" holds the model "${manifest.id}".`),
    (thrown: unknown) => toPusaError(thrown).message,
  );
  const { recommended, native, name, licence, hash } = manifest;
  const all = expertsOf(manifest).flatMap((expert) => expertOf(manifest, expert).loras);
  // Both experts may have the same LoRA.
  const loras = all.filter((lora, index) => all.findIndex((one) => one.name === lora.name) === index);
  return {
    id,
    name,
    licence,
    hash,
    bytes: filesOf(manifest).reduce((sum, { bytes }) => sum + bytes, 0),
    bundled,
    isDefault: id === (context.settings().defaultModel ?? defaultModel),
    unusable,
    recommended,
    native,
    sizeMultiple: sizeMultipleOf(manifest),
    loras: loras.map((lora) => ({
      name: lora.name,
      defaultStrength: lora.defaultStrength,
      live: lora.live,
    })),
  };
}
