import { basename, resolve } from 'node:path';
import { Command } from 'commander';
import { PusaError, toPusaError } from '../core/errors.ts';
import { isInPlace, type Checkpoint } from '../engine/weights/checkpoint.ts';
import { importPackage } from '../engine/weights/import-package.ts';
import { readLora } from '../engine/weights/lora.ts';
import { filesOf } from '../engine/weights/manifest.ts';
import { openCheckpoint } from '../engine/weights/open-checkpoint.ts';
import { openPackage, verifyPackage } from '../engine/weights/package.ts';
import { recognise } from '../engine/weights/recognise.ts';
import { defaultDataFolder } from '../studio/data-folder.ts';
import { findModel, listShelf, putOnShelf, takeFromShelf } from '../studio/model-shelf.ts';
import { findPlaces } from '../studio/places.ts';

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
    ['<folder>', 'the folder with diffusion model, VAE, text encoder and LoRAs'],
    'Use the files of a folder where they lie; only formats that cannot be used so are converted beside them.',
  )
    .option('--id <id>', 'name for --model; default the folder’s')
    .option('--name <name>', 'name to show')
    .action(importFolder);
  add(
    'verify',
    ['<model>', 'its id'],
    'Read every file of a model and compare it with what was imported.',
  ).action(verify);
  add('remove', ['<model>', 'its id'], 'Forget an imported model. Its files stay where they are.').action(
    remove,
  );
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
      `${row.name}, ${gigabytes(row.bytes)}, ${row.native.width} × ${row.native.height}, ${row.native.frames} frames at ${row.native.fps} fps`;
    process.stdout.write(
      `${row.id.padEnd(20)} ${what}${row.bundled ? ' (comes with the application)' : ''}\n`,
    );
  }
}

async function inspect(file: string, { json }: Options): Promise<void> {
  const checkpoint = await openCheckpoint(file);
  try {
    const formats = new Map<string, number>();
    let parameters = 0;
    for (const { dtype, shape } of checkpoint.entries.values()) {
      formats.set(dtype, (formats.get(dtype) ?? 0) + 1);
      parameters += shape.reduce((product, side) => product * side, 1);
    }
    const report = {
      file: resolve(file),
      ...(await identify(checkpoint)),
      tensors: checkpoint.entries.size,
      parameters,
      formats: Object.fromEntries(formats),
      inPlace: [...checkpoint.entries.values()].every(isInPlace),
    };
    if (json === true) {
      print(report);
      return;
    }
    const { what, details } = report;
    const lines = [
      ['File', basename(file)],
      ['Is', what],
      ...Object.entries(details).map(([key, value]) => [key, value] as const),
      ['Tensors', `${report.tensors}, ${(parameters / 1e6).toFixed(1)} million numbers`],
      ['Stored as', [...formats].map(([format, count]) => `${format} (${count})`).join(', ')],
      ['Used', report.inPlace ? 'where it lies' : 'after converting it to float16'],
    ] as const;
    process.stdout.write(`${lines.map(([key, value]) => `${key.padEnd(12)} ${value}`).join('\n')}\n`);
  } finally {
    await checkpoint.close();
  }
}

/** What a file is and its sizes, in words. */
async function identify(checkpoint: Checkpoint): Promise<{ what: string; details: Record<string, string> }> {
  const found = recognise(checkpoint);
  switch (found.family) {
    case 'dit': {
      const { dim, layers, heads, textLength } = found.config;
      return {
        what: 'diffusion model of Wan2.1, text to video',
        details: {
          Size: `${layers} blocks of width ${dim}, ${heads} heads`,
          'Prompt of': `${textLength} tokens`,
        },
      };
    }
    case 'vae':
      return { what: 'VAE of Wan2.1', details: { Size: `width ${found.config.dim}` } };
    case 'umt5':
      return {
        what: 'UMT5 text encoder',
        details: { Size: `${found.config.layers} blocks of width ${found.config.dim}` },
      };
    case 'lora': {
      const lora = await readLora(checkpoint);
      const ranks = [...new Set([...lora.layers.values()].map(({ rank }) => rank))].sort((a, b) => a - b);
      const shown = ranks.length > 4 ? `${ranks[0]} to ${ranks.at(-1)}` : ranks.join(', ');
      return { what: 'LoRA', details: { Layers: String(lora.layers.size), Rank: shown } };
    }
  }
}

async function importFolder(
  folder: string,
  { json, data, id, name }: Options & { readonly id?: string; readonly name?: string },
): Promise<void> {
  const model = await importPackage(folder, {
    ...(id === undefined ? {} : { id }),
    ...(name === undefined ? {} : { name }),
    onConvert: (file, done, total) => progress(`Converting ${file}`, done, total),
    onBytes: (done, total) => progress('Reading', done, total),
  });
  endProgress();
  await putOnShelf(data, model.manifest.id, model.folder);
  if (json === true) {
    print({ id: model.manifest.id, folder: model.folder, name: model.manifest.name });
    return;
  }
  process.stdout.write(`${model.manifest.name} can be used as --model ${model.manifest.id}.\n`);
}

async function verify(id: string, { json, data }: Options): Promise<void> {
  const model = await findModel(data, findPlaces(), id);
  await verifyPackage(model, (done, total) => progress('Reading', done, total));
  endProgress();
  if (json === true) {
    print({ id, sound: true });
    return;
  }
  process.stdout.write(`Every file of "${id}" is as it was imported.\n`);
}

async function remove(id: string, { json, data }: Options): Promise<void> {
  const shelved = (await listShelf(data, findPlaces())).find((one) => one.id === id);
  if (!(await takeFromShelf(data, id))) throw shelved?.bundled === true ? bundled(id) : unknown(id);
  if (json === true) {
    print({ id, folder: shelved?.folder });
    return;
  }
  process.stdout.write(`Forgotten. Its files are still in ${shelved?.folder ?? 'their folder'}.\n`);
}

function unknown(id: string): PusaError {
  return new PusaError('MODEL_NOT_FOUND', `There is no model "${id}".`, 'See `models list`.');
}

function bundled(id: string): PusaError {
  return new PusaError(
    'MODEL_NOT_FOUND',
    `"${id}" comes with the application and is not removed.`,
    'Choose another model as the default in the settings.',
  );
}

function gigabytes(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

function progress(what: string, done: number, total: number): void {
  if (process.stderr.isTTY)
    process.stderr.write(`\r\u001b[2K${what}  ${((100 * done) / total).toFixed(0)} %`);
}

function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[2K');
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
