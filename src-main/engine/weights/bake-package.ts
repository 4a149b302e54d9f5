import { mkdir, readdir, rename, rmdir, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { workPhase, type WorkPhase } from '../../core/contract/work-phase.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { bakeFile, forgetJournal, type BakedFile } from './bake-file.ts';
import {
  checkSpace,
  claimFolder,
  copyFile,
  freeName,
  keptFiles,
  placeAll,
  removeStrangers,
} from './bake-folder.ts';
import { alreadyBaked, bakeBlockSize, planBake, type BakePlan, type BakePrecision } from './bake-plan.ts';
import { startSlabThreads } from './bake-threads.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { Lora } from './lora.ts';
import {
  expertOf,
  expertsOf,
  manifestName,
  manifestSchema,
  type Baked,
  type Expert,
  type Manifest,
} from './manifest.ts';
import { bakedKey } from './model-metadata.ts';
import { openPackage, packageHash, type ModelPackage } from './package.ts';

export interface BakeProgress {
  readonly phase: WorkPhase;
  /** Of all bytes that the new package writes itself. */
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface BakePackageOptions {
  readonly id: string;
  /** Default: the source's, with the precision behind it. */
  readonly name?: string;
  readonly precision: BakePrecision;
  /** For blocks: searches each scale for the least squared error instead of rounding to nearest. Default false. */
  readonly search?: boolean;
  /** Merges the source's LoRAs into the weights. Default false: they stay apart, with live strength where they had it. */
  readonly mergeLoras?: boolean;
  /** Strengths to merge with, by the LoRA's name; its default strength where absent. */
  readonly strengths?: Readonly<Record<string, number>>;
  readonly onProgress?: (progress: BakeProgress) => void;
  readonly signal?: AbortSignal;
}

/**
 * Makes a package of its own from a pristine one: the diffusion model's large matrices in another precision, LoRAs
 * merged in if wished. What stays as it is takes no space where the disk can link it. Everything is written into
 * `folder.part` and takes its place when it is whole; a call that ended early is gone on with by the same call.
 * @param folder of the new package; must not exist, unless as the result of the same call
 * @throws PusaError MODEL_CANNOT, DISK_FULL, WRITE_FAILED, CHECKPOINT_INVALID, LORA_MISMATCH, CANCELLED
 */
export async function bakePackage(
  source: ModelPackage,
  folder: string,
  options: BakePackageOptions,
): Promise<ModelPackage> {
  const wish = wishOf(source, options);
  const known = await madeBefore(folder, wish);
  if (known !== null) return known;
  const part = `${resolve(folder)}.part`;
  const opened: Checkpoint[] = [];
  let release: (() => Promise<void>) | undefined;
  try {
    await mkdir(part, { recursive: true });
    release = await claimFolder(part);
    const parts: Part[] = [];
    for (const expert of expertsOf(source.manifest)) {
      const dit = await source.openDit(expert);
      opened.push(dit);
      const merged = wish.merged.filter((one) => one.expert === expert);
      const loras = merged.length === 0 ? [] : await source.openLoras(expert);
      for (const { checkpoint } of loras) opened.push(checkpoint);
      parts.push(planPart(source.manifest, expert, dit, loras, wish));
    }
    return await bakeParts(source, { folder, part, parts, wish, options });
  } catch (thrown) {
    throw toPusaError(thrown);
  } finally {
    for (const checkpoint of opened) await checkpoint.close();
    await release?.();
  }
}

/** What will stand in the manifest, but for the errors. */
function wishOf(
  { manifest }: ModelPackage,
  { precision, search = false, mergeLoras = false, strengths = {} }: BakePackageOptions,
): Baked {
  const before = manifest.baked;
  if (before !== undefined) throw alreadyBaked(before.merged.length > 0, before.source.name);
  const isQuantised = precision === 'int8' || precision === 'int4';
  const all = expertsOf(manifest).flatMap((expert) =>
    expertOf(manifest, expert).loras.map((lora) => ({ expert, ...lora })),
  );
  const unknown = Object.keys(strengths).find((name) => !all.some((lora) => lora.name === name));
  if (unknown !== undefined) {
    throw new PusaError(
      'LORA_MISMATCH',
      `The model has no LoRA "${unknown}".`,
      all.length === 0
        ? 'Import the model together with the LoRA first.'
        : `It has: ${[...new Set(all.map(({ name }) => name))].join(', ')}.`,
    );
  }
  const impossible = Object.entries(strengths).find(([, strength]) => !(strength >= 0 && strength <= 4));
  if (impossible !== undefined) {
    throw new PusaError(
      'LORA_MISMATCH',
      `The strength ${impossible[1]} of "${impossible[0]}" is not possible.`,
      'Choose a strength from 0 to 4.',
    );
  }
  return {
    precision,
    blockSize: isQuantised ? bakeBlockSize : null,
    search: isQuantised && search,
    source: { id: manifest.id, name: manifest.name, hash: manifest.hash },
    merged: mergeLoras
      ? all.map(({ expert, name, file, defaultStrength }) => ({
          expert,
          name,
          sha256: file.sha256,
          strength: strengths[name] ?? defaultStrength,
        }))
      : [],
    layers: [],
  };
}

/** The package that the same call made before, or null where there is nothing yet. */
async function madeBefore(folder: string, wish: Baked): Promise<ModelPackage | null> {
  const there = await readdir(folder).catch((thrown: unknown) =>
    toPusaError(thrown).code === 'FILE_NOT_FOUND' ? [] : null,
  );
  if (there?.length === 0) return null;
  const made = await openPackage(folder).catch(() => null);
  const same = made?.manifest.baked !== undefined && sameWish(made.manifest.baked, wish);
  if (same) return made;
  throw new PusaError(
    'WRITE_FAILED',
    `"${folder}" already holds something else.`,
    'Choose another name for the baked model, or remove that one first.',
  );
}

function sameWish(a: Baked, b: Baked): boolean {
  return JSON.stringify({ ...a, layers: [] }) === JSON.stringify({ ...b, layers: [] });
}

/** One diffusion model of the package and the file it becomes. */
interface Part {
  readonly expert: Expert;
  readonly plan: BakePlan;
}

interface Work {
  readonly folder: string;
  readonly part: string;
  readonly parts: readonly Part[];
  readonly wish: Baked;
  readonly options: BakePackageOptions;
}

function planPart(
  manifest: Manifest,
  expert: Expert,
  dit: Checkpoint,
  loras: readonly Lora[],
  wish: Baked,
): Part {
  const { precision, search } = wish;
  const own = wish.merged.filter((one) => one.expert === expert);
  const applied = loras.map((lora, index) => ({ lora, strength: own[index]!.strength }));
  const plan = planBake(dit, {
    precision,
    search,
    loras: applied,
    metadata: metadataOf(dit, wish),
    source: JSON.stringify([expertOf(manifest, expert).dit.files, own]),
  });
  return { expert, plan };
}

async function bakeParts(source: ModelPackage, work: Work): Promise<ModelPackage> {
  const { part, wish, options } = work;
  const { manifest } = source;
  const kept = keptFiles(manifest, wish.merged.length === 0);
  const outputs = work.parts.map(({ expert, plan }) => ({
    expert,
    plan,
    path: freeName(`${fileNames[expert]}.${wish.precision}`, kept),
  }));
  await removeStrangers(
    part,
    kept,
    outputs.map(({ path }) => path),
  );
  const copies = await placeAll(source, part, kept);
  const sum = (all: readonly { readonly bytes: number }[]): number =>
    all.reduce((bytes, one) => bytes + one.bytes, 0);
  const totalBytes = sum(work.parts.map(({ plan }) => plan)) + sum(copies);
  await checkSpace(
    part,
    outputs.map(({ path }) => path),
    totalBytes,
  );

  let before = 0;
  const tell = (phase: WorkPhase, done: number): void =>
    options.onProgress?.({ phase, doneBytes: before + done, totalBytes });
  for (const file of copies) {
    await copyFile(source, part, file, options.signal, (done) =>
      tell(workPhase('copy', basename(file.path)), done),
    );
    before += file.bytes;
  }
  const phase = phaseOf(wish);
  const threads = startSlabThreads();
  const made = new Map<Expert, BakedFile & { readonly path: string }>();
  try {
    for (const { expert, plan, path } of outputs) {
      const onBytes = (done: number): void => tell(phase, done);
      const file = await bakeFile(plan, join(part, path), threads, { onBytes, signal: options.signal });
      made.set(expert, { ...file, path });
      before += plan.bytes;
    }
  } finally {
    await threads.close();
  }
  const described = describe(manifest, work, made);
  await writeFile(join(part, manifestName), `${JSON.stringify(described, null, 2)}\n`, { flush: true });
  for (const { path } of outputs) await forgetJournal(join(part, path));
  // An empty folder may be there already, chosen in a dialog.
  await rmdir(work.folder).catch(() => undefined);
  await rename(part, work.folder);
  return openPackage(work.folder);
}

const fileNames: Record<Expert, string> = { high: 'diffusion-model', low: 'diffusion-model-low-noise' };

function phaseOf({ precision, search, merged }: Baked): WorkPhase {
  const to = { F32: 'float32', F16: 'float16', int8: 'int8', int4: 'int4' }[precision];
  return workPhase(merged.length > 0 ? 'merge' : search ? 'search' : 'write', to);
}

/** What the network says of itself, and how this file was made of it. */
function metadataOf({ metadata }: Checkpoint, wish: Baked): Record<string, string> {
  const own = Object.entries(metadata).filter(
    ([key]) => (key.startsWith('pusa.') && key !== 'pusa.made_of') || key === 'model_type',
  );
  return {
    ...Object.fromEntries(own),
    [bakedKey]: JSON.stringify(wish),
  };
}

function describe(
  manifest: Manifest,
  { wish, options }: Work,
  made: ReadonlyMap<Expert, BakedFile & { readonly path: string }>,
): Manifest {
  const isMerged = wish.merged.length > 0;
  const partOf = (expert: Expert): Pick<Manifest, 'dit' | 'loras'> => {
    const { dit, loras } = expertOf(manifest, expert);
    const { path, bytes, sha256 } = made.get(expert)!;
    return {
      dit: { ...dit, open: path, files: [{ path, bytes, sha256 }] },
      loras: isMerged ? [] : loras,
    };
  };
  const parts = {
    ...manifest,
    ...partOf('high'),
    ...(manifest.lowNoise === undefined ? {} : { lowNoise: { ...manifest.lowNoise, ...partOf('low') } }),
  };
  return manifestSchema.parse({
    ...parts,
    id: options.id,
    name: options.name ?? `${manifest.name} (${wish.precision})`,
    hash: packageHash(parts),
    baked: {
      ...wish,
      layers: [...made].flatMap(([expert, { layers }]) => layers.map((layer) => ({ expert, ...layer }))),
    },
  } satisfies Manifest);
}
