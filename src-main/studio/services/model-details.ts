import { basename, isAbsolute, resolve } from 'node:path';
import type { ModelDetails, ModelPart } from '../../core/contract/api/model-details.ts';
import type { Checkpoint } from '../../engine/weights/checkpoint.ts';
import { expertOf, expertsOf, type Expert, type PackageFile } from '../../engine/weights/manifest.ts';
import type { ModelPackage } from '../../engine/weights/package.ts';
import type { StudioContext } from '../context.ts';
import type { HandlersOf } from '../handlers.ts';
import { findModel } from '../model-shelf.ts';

/** What a model consists of, from its manifest and its files' headers; no weights are read. */
export function modelDetailsHandlers(
  context: Pick<StudioContext, 'places' | 'folders'>,
): Pick<HandlersOf<'models'>, 'models.details'> {
  return {
    'models.details': async ({ model }) =>
      describeModel(await findModel(context.folders.data, context.places, model)),
  };
}

/** @throws PusaError CHECKPOINT_* where a file is not what it was at import */
async function describeModel(model: ModelPackage): Promise<ModelDetails> {
  const { folder, manifest } = model;
  const { baked } = manifest;
  // Both experts have layers of the same names.
  const named = (expert: Expert, name: string): string =>
    manifest.lowNoise === undefined ? name : `${name} (${expert} noise)`;
  const parts: ModelPart[] = [];
  for (const expert of expertsOf(manifest)) {
    const { dit, loras } = expertOf(manifest, expert);
    const part = expert === 'high' ? 'dit' : 'lowNoise';
    parts.push(await describeOpened(part, folder, dit, () => model.openDit(expert)));
    const opened = await model.openLoras(expert);
    try {
      for (const [index, { file, name }] of loras.entries()) {
        parts.push({
          ...partOf('lora', folder, { open: file.path, files: [file] }),
          name,
          ...contentsOf(opened[index]!.checkpoint),
        });
      }
    } finally {
      for (const { checkpoint } of opened) await checkpoint.close();
    }
  }
  const { vae, textEncoder, tokenizer } = manifest;
  parts.push(
    await describeOpened('vae', folder, { open: vae.file.path, files: [vae.file] }, () => model.openVae()),
    await describeOpened('textEncoder', folder, textEncoder, () => model.openTextEncoder()),
  );
  if (tokenizer.from === 'file') {
    parts.push(partOf('tokenizer', folder, { open: tokenizer.file.path, files: [tokenizer.file] }));
  }
  return {
    folder,
    family: manifest.family,
    parts,
    baked:
      baked === undefined
        ? null
        : {
            precision: baked.precision,
            blockSize: baked.blockSize,
            search: baked.search,
            source: baked.source.name,
            merged: baked.merged.map(({ expert, name, strength }) => ({
              name: named(expert, name),
              strength,
            })),
            layers: baked.layers.map(({ expert, name, error }) => ({ name: named(expert, name), error })),
          },
  };
}

interface Files {
  readonly open: string;
  readonly files: readonly PackageFile[];
}

function partOf(part: ModelPart['part'], folder: string, { open, files }: Files): ModelPart {
  return {
    part,
    name: basename(open),
    path: resolve(folder, open),
    files: files.length,
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    own: !isAbsolute(open),
    parameters: 0,
    formats: {},
    matrices: { numbers: 0, bytes: 0 },
  };
}

async function describeOpened(
  part: ModelPart['part'],
  folder: string,
  files: Files,
  open: () => Promise<Checkpoint>,
): Promise<ModelPart> {
  const checkpoint = await open();
  try {
    return { ...partOf(part, folder, files), ...contentsOf(checkpoint) };
  } finally {
    await checkpoint.close();
  }
}

/** The matrices of a diffusion model's blocks, under official names. */
const blockMatrix = /^blocks\.\d+\..+\.weight$/;

function contentsOf({ entries }: Checkpoint): Pick<ModelPart, 'parameters' | 'formats' | 'matrices'> {
  const formats: Record<string, number> = {};
  const matrices = { numbers: 0, bytes: 0 };
  let parameters = 0;
  for (const [name, entry] of entries) {
    const numbers = entry.shape.reduce((product, side) => product * side, 1);
    const bytes = entry.bytes + (entry.blocks?.scales.bytes ?? 0);
    const format = entry.blocks === undefined ? entry.dtype : `int${entry.blocks.bits}`;
    formats[format] = (formats[format] ?? 0) + bytes;
    parameters += numbers;
    if (entry.shape.length === 2 && blockMatrix.test(name)) {
      matrices.numbers += numbers;
      matrices.bytes += bytes;
    }
  }
  return { parameters, formats, matrices };
}
