import { realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { PusaError } from '../core/errors.ts';
import { bakePackage } from '../engine/weights/bake-package.ts';
import { bakePrecisions, type BakePrecision } from '../engine/weights/bake-plan.ts';
import { expertOf, expertsOf, filesOf, type Manifest } from '../engine/weights/manifest.ts';
import { formatBytes } from '../core/units.ts';
import { findModel, listShelf } from '../studio/model-shelf.ts';
import { modelFolders, shelvePackage } from '../studio/model-work/model-folders.ts';
import { Sources } from '../studio/model-work/sources.ts';
import { workplace } from './models-download.ts';
import { sayReady } from './models-ready.ts';
import { newId } from './options.ts';
import { withProgress } from './progress-line.ts';
import { formatSeconds } from './terminal.ts';

interface BakeFlags {
  readonly json?: true;
  readonly data: string;
  readonly to: string;
  readonly precision: BakePrecision;
  readonly search?: true;
  readonly mergeLoras?: true;
  readonly strength?: Readonly<Record<string, number>>;
  readonly into?: string;
  readonly name?: string;
}

/** As people write them, in any case. */
const precisionNames: Readonly<Record<string, BakePrecision>> = {
  ...Object.fromEntries(bakePrecisions.map((precision) => [precision.toLowerCase(), precision])),
  fp32: 'F32',
  fp16: 'F16',
};

/** `models bake`: a smaller or merged model of its own. */
export function addBakeCommand(
  add: (name: string, argument: [string, string], what: string) => Command,
): void {
  add(
    'bake',
    ['<model>', 'id of the model to start from'],
    'Make a model of its own from another: in 8 or 4 bits, or with its LoRAs merged in. A bake that was stopped goes on by the same command.',
  )
    .requiredOption('--to <id>', 'id of the new model', newId)
    .addOption(
      new Option('--precision <precision>', 'int8, int4, fp16 or fp32')
        .default('int8')
        .argParser(precisionOf),
    )
    .option(
      '--search',
      'search the scale of every block that fits its numbers best: slower, nearer to the original',
    )
    .option(
      '--merge-loras',
      'merge the LoRAs into the weights, instead of keeping them apart with a live strength',
    )
    .option('--strength <lora=number>', 'merge this LoRA at this strength (repeat for others)', strengthOf)
    .option('--into <folder>', 'folder for the new model, for example on another disk')
    .option('--name <name>', 'name to show')
    .action(bake);
}

async function bake(id: string, flags: BakeFlags): Promise<void> {
  const { json, data, to, precision, search, mergeLoras, strength, into, name } = flags;
  if (strength !== undefined && mergeLoras !== true) {
    throw new PusaError('USAGE', 'A strength is given, but nothing is merged.', 'Add --merge-loras.');
  }
  const at = workplace(data, await Sources.open(data));
  const { dataFolder, places, own } = at;
  const source = await findModel(dataFolder, places, id);
  const folders = modelFolders(dataFolder, at.folder());
  const folder = into === undefined ? join(folders.packages, to) : resolve(into);
  const taken = (await listShelf(dataFolder, places)).find((model) => model.id === to);
  if (taken !== undefined && (await real(taken.folder)) !== (await real(folder))) {
    throw new PusaError('USAGE', `There is a model "${to}" already.`, 'Choose another id with --to.');
  }
  if (json !== true) {
    process.stderr.write(`${whatItDoes(source.manifest, precision, mergeLoras === true, folder)}\n`);
  }
  const started = performance.now();
  const { manifest } = await withProgress((signal, report) =>
    bakePackage(source, folder, {
      id: to,
      precision,
      search: search === true,
      mergeLoras: mergeLoras === true,
      ...(strength === undefined ? {} : { strengths: strength }),
      ...(name === undefined ? {} : { name }),
      onProgress: ({ phase, doneBytes, totalBytes }) => report({ phase, done: doneBytes, total: totalBytes }),
      signal,
    }),
  );
  await shelvePackage(dataFolder, own, to, folder);
  const seconds = (performance.now() - started) / 1000;
  const layers = manifest.baked?.layers ?? [];
  if (json === true) {
    const report = { id: to, folder, name: manifest.name, bytes: ditBytes(manifest), seconds, layers };
    process.stdout.write(`${JSON.stringify(report)}\n`);
    return;
  }
  const experts = manifest.lowNoise === undefined ? '' : ' in two experts';
  process.stdout.write(
    `${[
      `Done in ${formatSeconds(seconds)}: ${formatBytes(ditBytes(manifest))} of diffusion model${experts}.`,
      ...errorLines(layers),
    ].join('\n')}\n`,
  );
  await sayReady(at, to, false);
}

function real(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

/** What is about to happen, in words. */
function whatItDoes(manifest: Manifest, precision: BakePrecision, merges: boolean, folder: string): string {
  const loras = [
    ...new Set(expertsOf(manifest).flatMap((one) => expertOf(manifest, one).loras.map((l) => l.name))),
  ];
  const to = {
    int8: 'to 8 bits, about a quarter of float32, closer to it than bfloat16 is',
    int4: 'to 4 bits, about a sixth of float32; pictures change visibly in detail',
    F16: 'to float16, half of float32',
    F32: 'to float32',
  }[precision];
  const lines = [
    `Writes the large matrices of "${manifest.name}" (${formatBytes(ditBytes(manifest))}) ${to}. Norms, modulation, embeddings and the head stay as they are.`,
  ];
  if (loras.length > 0) {
    lines.push(
      merges
        ? `Merges ${loras.join(', ')}: its strength is fixed from then on.`
        : `${loras.join(', ')} stays apart, its strength free.`,
    );
  }
  lines.push(`The original stays as it is. The new model lies in ${folder}.`);
  return lines.join('\n');
}

/** How far quantised layers are from the original. */
function errorLines(layers: NonNullable<Manifest['baked']>['layers']): string[] {
  if (layers.length === 0) return [];
  const sorted = layers.toSorted((a, b) => b.error - a.error);
  const mean = Math.sqrt(layers.reduce((sum, { error }) => sum + error ** 2, 0) / layers.length);
  const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;
  return [
    `Its weights differ from the original's by ${percent(mean)}, most in ${sorted[0]!.name} (${percent(sorted[0]!.error)}).`,
  ];
}

function ditBytes(manifest: Manifest): number {
  const dit = new Set(
    expertsOf(manifest).flatMap((one) => expertOf(manifest, one).dit.files.map(({ path }) => path)),
  );
  return filesOf(manifest)
    .filter(({ path }) => dit.has(path))
    .reduce((sum, { bytes }) => sum + bytes, 0);
}

function precisionOf(text: string): BakePrecision {
  const precision = precisionNames[text.toLowerCase()];
  if (precision === undefined) throw new InvalidArgumentError('It is int8, int4, fp16 or fp32.');
  return precision;
}

function strengthOf(text: string, before: Readonly<Record<string, number>> = {}): Record<string, number> {
  const match = /^(.+)=(\d+(?:\.\d+)?)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('Write it as LORA=1.4.');
  return { ...before, [match[1]!]: Number(match[2]) };
}
