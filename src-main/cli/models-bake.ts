import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { idSchema } from '../core/contract/project.ts';
import { PusaError } from '../core/errors.ts';
import { bakePackage, type BakeProgress } from '../engine/weights/bake-package.ts';
import { bakePrecisions, type BakePrecision } from '../engine/weights/bake-plan.ts';
import { expertOf, expertsOf, filesOf, type Manifest } from '../engine/weights/manifest.ts';
import { findModel, listShelf, putOnShelf } from '../studio/model-shelf.ts';
import { findPlaces } from '../studio/places.ts';
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
  const places = findPlaces();
  const source = await findModel(data, places, id);
  const folder = into === undefined ? join(data, 'models', to) : resolve(into);
  const taken = (await listShelf(data, places)).find((model) => model.id === to && model.folder !== folder);
  if (taken !== undefined) {
    throw new PusaError('USAGE', `There is a model "${to}" already.`, 'Choose another id with --to.');
  }
  const say = (line: string): void => {
    if (json !== true) process.stderr.write(`${line}\n`);
  };
  say(whatItDoes(source.manifest, precision, mergeLoras === true, folder));

  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const started = performance.now();
  const showing = progressBar();
  try {
    const { manifest } = await bakePackage(source, folder, {
      id: to,
      precision,
      search: search === true,
      mergeLoras: mergeLoras === true,
      ...(strength === undefined ? {} : { strengths: strength }),
      ...(name === undefined ? {} : { name }),
      onProgress: showing.show,
      signal: stop.signal,
    });
    showing.clear();
    if (into !== undefined) await putOnShelf(data, to, folder);
    const seconds = (performance.now() - started) / 1000;
    const layers = manifest.baked?.layers ?? [];
    if (json === true) {
      const report = { id: to, folder, name: manifest.name, bytes: ditBytes(manifest), seconds, layers };
      process.stdout.write(`${JSON.stringify(report)}\n`);
      return;
    }
    const { size } = await stat(resolve(folder, manifest.dit.open));
    process.stdout.write(
      `${[
        `Done in ${formatSeconds(seconds)}: ${gigabytes(size)} of diffusion model${manifest.lowNoise === undefined ? '' : ' for each of its two experts'}.`,
        ...errorLines(layers),
        `${manifest.name} can be used as --model ${to}.`,
      ].join('\n')}\n`,
    );
  } finally {
    showing.clear();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
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
    `Writes the large matrices of "${manifest.name}" (${gigabytes(ditBytes(manifest))}) ${to}. Norms, modulation, embeddings and the head stay as they are.`,
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

/** One line, where somebody can see it: `Writing 8 bits ███████░░░ 4.1 of 14.2 GB · 2 min 10 s left`. */
function progressBar(width = 24): { show: (progress: BakeProgress) => void; clear: () => void } {
  const started = performance.now();
  let first: number | null = null;
  let shown = 0;
  return {
    show({ phase, doneBytes, totalBytes }) {
      first ??= doneBytes;
      const now = performance.now();
      if (!process.stderr.isTTY || (now - shown < 100 && doneBytes < totalBytes)) return;
      shown = now;
      const fraction = totalBytes === 0 ? 1 : doneBytes / totalBytes;
      const filled = Math.round(fraction * width);
      const made = doneBytes - first;
      const left =
        made > 0
          ? ` · ${formatSeconds(((now - started) / 1000 / made) * (totalBytes - doneBytes))} left`
          : '';
      const bar = `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`;
      process.stderr.write(
        `\r\u001b[2K${phase} ${bar} ${gigabytes(doneBytes)} of ${gigabytes(totalBytes)}${left}`,
      );
    },
    clear() {
      if (process.stderr.isTTY) process.stderr.write('\r\u001b[2K');
    },
  };
}

function precisionOf(text: string): BakePrecision {
  const precision = precisionNames[text.toLowerCase()];
  if (precision === undefined) throw new InvalidArgumentError('It is int8, int4, fp16 or fp32.');
  return precision;
}

function newId(text: string): string {
  if (idSchema.safeParse(text).success) return text;
  throw new InvalidArgumentError('An id is letters, digits, "-" and "_", at most 64.');
}

function strengthOf(text: string, before: Readonly<Record<string, number>> = {}): Record<string, number> {
  const match = /^(.+)=(\d+(?:\.\d+)?)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('Write it as LORA=1.4.');
  return { ...before, [match[1]!]: Number(match[2]) };
}

function gigabytes(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
