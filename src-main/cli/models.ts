import { basename, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { workPhase } from '../core/contract/work-phase.ts';
import { PusaError, toPusaError } from '../core/errors.ts';
import { filesOf } from '../engine/weights/manifest.ts';
import { modelName } from '../engine/weights/model-name.ts';
import { openPackage, verifyPackage } from '../engine/weights/package.ts';
import { defaultDataFolder } from '../studio/data-folder.ts';
import { formatBytes } from '../core/units.ts';
import { inspectFile, shownInspection } from '../studio/model-work/inspect.ts';
import { freeId } from '../studio/model-work/model-folders.ts';
import { planRemoval, removeModel } from '../studio/model-work/removal.ts';
import { Sources } from '../studio/model-work/sources.ts';
import { findModel, listShelf } from '../studio/model-shelf.ts';
import { findPlaces } from '../studio/places.ts';
import { addBakeCommand } from './models-bake.ts';
import { addDownloadCommand, work, workplace } from './models-download.ts';
import { sayReady } from './models-ready.ts';
import { newId } from './options.ts';
import { withProgress } from './progress-line.ts';

interface Options {
  readonly json?: true;
  readonly data: string;
}

/** `models`: what can be used, what a file is, and using what a person has. */
export function modelsCommand(): Command {
  const models = new Command('models').description('List, inspect, import, verify and forget models.');
  const add = (name: string, argument: [string, string] | null, what: string): Command => {
    const command = models
      .command(name)
      .description(what)
      .option('--json', 'print JSON')
      .option('--data <folder>', 'data folder of the application', defaultDataFolder());
    return argument === null ? command : command.argument(...argument);
  };
  add('list', null, 'Models that can be used.').action(list);
  add(
    'inspect',
    ['<file>', 'a .safetensors, .index.json, .gguf, .pth or .pt file'],
    'Say what a file is.',
  ).action(inspect);
  add(
    'import',
    [
      '<paths...>',
      'a folder with diffusion model, VAE, text encoder and LoRAs, or these files from anywhere',
    ],
    'Use files where they lie, nothing copied; only formats that cannot be used so are converted once, into the data folder.',
  )
    .option('--id <id>', 'name for --model; default the folder’s or file’s', newId)
    .option('--name <name>', 'name to show')
    .option('--lora <file=strength>', 'a LoRA at a fixed strength (repeat for others)', loraOf, [])
    .action(importFiles);
  addDownloadCommand(add);
  addBakeCommand(add);
  add(
    'verify',
    ['<model>', 'its id'],
    'Read every file of a model and compare it with what was imported.',
  ).action(verify);
  add(
    'remove',
    ['<model>', 'its id'],
    'Forget a model and delete what was downloaded, converted or baked for it alone. Your own files stay.',
  )
    .option('--dry-run', 'only say what would go and what would stay')
    .action(remove);
  return models;
}

async function list({ json, data }: Options): Promise<void> {
  const rows = [];
  for (const { id, folder, bundled } of await listShelf(data, findPlaces())) {
    rows.push(
      await openPackage(folder).then(
        ({ manifest }) => ({
          id,
          folder,
          bundled,
          name: manifest.name,
          licence: manifest.licence,
          bytes: filesOf(manifest).reduce((sum, { bytes }) => sum + bytes, 0),
          native: manifest.native,
          unusable: null,
        }),
        (thrown: unknown) => ({ id, folder, bundled, unusable: toPusaError(thrown).message }),
      ),
    );
  }
  if (json === true) {
    print(rows);
    return;
  }
  for (const row of rows) {
    const what =
      row.unusable ??
      `${row.name}, ${formatBytes(row.bytes)}, ${row.native.width} × ${row.native.height}, ${row.native.frames} frames at ${row.native.fps} fps`;
    process.stdout.write(
      `${row.id.padEnd(20)} ${what}${row.bundled ? ' (comes with the application)' : ''}\n`,
    );
  }
}

async function inspect(file: string, { json }: Options): Promise<void> {
  const inspected = await inspectFile(file);
  const { refused } = inspected;
  if (refused !== null) throw new PusaError(refused.code, refused.message, refused.remedy);
  const report = shownInspection(inspected);
  if (json === true) {
    print(report);
    return;
  }
  const { path, bytes, format, what, details, tensors, parameters, formats, inPlace, convertedBytes } =
    report;
  const stored = Object.entries(formats).map(([name, count]) => `${name} (${count})`);
  const lines = [
    ['File', `${basename(path)}, ${format}, ${formatBytes(bytes)}`],
    ['Is', what ?? ''],
    ...Object.entries(details),
    ...(tensors === 0 ? [] : [['Tensors', `${tensors}, ${(parameters / 1e6).toFixed(1)} million numbers`]]),
    ...(stored.length === 0 ? [] : [['Stored as', stored.join(', ')]]),
    [
      'Used',
      inPlace
        ? 'where it lies'
        : `after converting it to float16 once, which takes ${formatBytes(convertedBytes)} more`,
    ],
  ];
  process.stdout.write(
    `${lines.map(([key, value]) => `${(key ?? '').padEnd(12)} ${value ?? ''}`).join('\n')}\n`,
  );
}

interface ImportFlags extends Options {
  readonly id?: string;
  readonly name?: string;
  readonly lora: readonly { readonly path: string; readonly strength: number }[];
}

async function importFiles(
  paths: readonly string[],
  { json, data, id, name, lora }: ImportFlags,
): Promise<void> {
  const at = workplace(data, await Sources.open(data));
  const free = await freeId(at.dataFolder, at.places, id ?? modelName(resolve(paths[0] ?? 'model')));
  if (id !== undefined && id !== free) {
    throw new PusaError(
      'USAGE',
      `There is a model "${id}" already.`,
      'Choose another --id, or remove that one.',
    );
  }
  const model = await work(at, {
    kind: 'import',
    paths: paths.map((path) => resolve(path)),
    id: free,
    name: name ?? null,
    loras: lora.map((one) => ({ ...one, live: false })),
    precision: 'asIs',
  });
  await sayReady(at, model, json === true);
}

/** `pusa.safetensors=1.4` */
function loraOf(
  text: string,
  before: readonly { readonly path: string; readonly strength: number }[],
): readonly { readonly path: string; readonly strength: number }[] {
  const match = /^(.+)=(\d+(?:\.\d+)?)$/s.exec(text);
  const strength = Number(match?.[2]);
  if (match === null || strength > 4) {
    throw new InvalidArgumentError('It must be FILE=STRENGTH, such as pusa_v1.safetensors=1.4.');
  }
  return [...before, { path: resolve(match[1]!), strength }];
}

async function verify(id: string, { json, data }: Options): Promise<void> {
  const model = await findModel(data, findPlaces(), id);
  await withProgress((signal, report) =>
    verifyPackage(model, (done, total) => {
      if (signal.aborted)
        throw new PusaError('CANCELLED', 'The comparison was stopped.', 'Nothing was changed.');
      report({ phase: workPhase('compare'), done, total });
    }),
  );
  if (json === true) {
    print({ id, sound: true });
    return;
  }
  process.stdout.write(`Every file of "${id}" is as it was imported.\n`);
}

async function remove(id: string, flags: Options & { readonly dryRun?: true }): Promise<void> {
  const { json, data } = flags;
  const at = workplace(data, await Sources.open(data));
  const { deletes, keeps, frees, blocked } = await planRemoval(at, id, null);
  if (blocked !== null || flags.dryRun !== true) {
    const bytes = await removeModel(at, id, null);
    if (json === true) {
      print({ id, bytes, deleted: deletes, kept: keeps });
      return;
    }
    process.stdout.write(`Removed; ${formatBytes(bytes)} are free again.\n`);
  } else if (json === true) {
    print({ id, frees, deletes, keeps });
    return;
  } else {
    process.stdout.write(`Would free ${formatBytes(frees)}.\n`);
    for (const { path, bytes } of deletes) process.stdout.write(`Goes:  ${path} (${formatBytes(bytes)})\n`);
  }
  for (const { path, why } of keeps) process.stdout.write(`Stays: ${path}. ${why}\n`);
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
