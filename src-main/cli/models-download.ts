import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { PusaError } from '../core/errors.ts';
import { huggingFace, parseMirror, type ModelServer } from '../studio/downloads/address.ts';
import { entryNamed, readCatalogue } from '../studio/downloads/catalogue.ts';
import { formatBytes } from '../core/units.ts';
import { freeBytesAt } from '../studio/downloads/space.ts';
import { describeEntry } from '../studio/model-work/catalogue-entry.ts';
import { modelFolders } from '../studio/model-work/model-folders.ts';
import { OwnFiles } from '../studio/model-work/own-files.ts';
import { ModelRunner, type ModelWorkplace } from '../studio/model-work/runner.ts';
import { Sources } from '../studio/model-work/sources.ts';
import type { TaskRequest } from '../studio/model-work/requests.ts';
import { listShelf } from '../studio/model-shelf.ts';
import { findPlaces } from '../studio/places.ts';
import { sayReady } from './models-ready.ts';
import { withProgress } from './progress-line.ts';

interface DownloadFlags {
  readonly json?: true;
  readonly data: string;
  readonly to?: string;
  readonly tokenFile?: string;
  readonly mirror?: string;
  readonly catalogue?: string;
}

/** `models download`: what can be had, and getting it. */
export function addDownloadCommand(
  add: (name: string, argument: [string, string], what: string) => Command,
): void {
  add(
    'download',
    ['[entry]', 'what to download; without it, all that can be'],
    'Download a model and make it ready, or list those that can be. A download that was stopped goes on by the same command. Nothing is asked of any server before an entry is named.',
  )
    .option('--to <folder>', 'folder for the files, for example on another disk')
    .option('--token-file <file>', 'file with your access token, for models whose licence has to be accepted')
    .option('--mirror <url>', 'address of a server that answers like huggingface.co')
    .option('--catalogue <file>', 'another catalogue than the one that came along')
    .action(download);
}

async function download(entry: string | undefined, flags: DownloadFlags): Promise<void> {
  if (entry === undefined) await list(flags);
  else await get(entry, flags);
}

/** @throws PusaError DOWNLOAD_REFUSED, FILE_NOT_FOUND */
async function workplaceOf(flags: DownloadFlags): Promise<ModelWorkplace> {
  const { data, to, mirror, tokenFile, catalogue } = flags;
  const sources = await Sources.open(data);
  const base = mirror === undefined ? null : parseMirror(mirror);
  const token = tokenFile === undefined ? null : (await readFile(tokenFile, 'utf8')).trim();
  if (token === '') {
    throw new PusaError('USAGE', `"${tokenFile ?? ''}" is empty.`, 'Write your access token into it.');
  }
  const server = (): ModelServer => {
    const kept = sources.server;
    if (base === null && token === null) return kept;
    const address = base ?? kept.base;
    return { base: address, token: token ?? (address === kept.base ? kept.token : null) };
  };
  return {
    ...workplace(data, sources),
    server,
    catalogue: () => readCatalogue(findPlaces(), catalogue),
    folder: () => (to === undefined ? sources.shown.folder : resolve(to)),
  };
}

/** Where the command line works on models. */
export function workplace(data: string, sources: Sources): ModelWorkplace {
  return {
    dataFolder: resolve(data),
    places: findPlaces(),
    own: new OwnFiles(resolve(data)),
    catalogue: () => readCatalogue(findPlaces()),
    server: () => sources.server,
    folder: () => sources.shown.folder,
  };
}

async function list(flags: DownloadFlags): Promise<void> {
  const at = await workplaceOf(flags);
  const { downloads } = modelFolders(at.dataFolder, at.folder());
  const shelf = new Set((await listShelf(at.dataFolder, at.places)).map(({ id }) => id));
  const entries = [];
  for (const entry of await at.catalogue()) {
    entries.push({
      ...(await describeEntry(at.own, entry, downloads)),
      model: shelf.has(entry.id) ? entry.id : null,
    });
  }
  const freeBytes = await freeBytesAt(downloads);
  if (flags.json === true) {
    process.stdout.write(`${JSON.stringify({ entries, folder: downloads, freeBytes })}\n`);
    return;
  }
  for (const { id, name, purpose, bytes, missingBytes, exact, model, licences } of entries) {
    const about = exact ? '' : 'about ';
    const state =
      model !== null
        ? 'here'
        : missingBytes < bytes
          ? `${about}${formatBytes(missingBytes)} of ${about}${formatBytes(bytes)} to download`
          : `${about}${formatBytes(bytes)}`;
    const names = [...new Set(licences.map((licence) => `${licence.name} (${licence.url})`))];
    process.stdout.write(`${id}\n  ${name}: ${state}\n  ${purpose}\n  Licence: ${names.join(', ')}\n\n`);
  }
  process.stdout.write(
    `They go to ${downloads}${freeBytes === null ? '' : `, where ${formatBytes(freeBytes)} are free`}; --to chooses another folder.\nNext: npm run pusa -- models download ${entries[0]?.id ?? 'ENTRY'}\n`,
  );
}

async function get(id: string, flags: DownloadFlags): Promise<void> {
  const at = await workplaceOf(flags);
  const entry = entryNamed(await at.catalogue(), id);
  const { downloads } = modelFolders(at.dataFolder, at.folder());
  if (flags.json !== true) {
    const {
      bytes,
      missingBytes,
      convertedBytes = 0,
      exact,
      licences,
    } = await describeEntry(at.own, entry, downloads);
    const about = exact ? '' : 'about ';
    const { base } = at.server();
    process.stderr.write(
      [
        `${entry.name}: ${about}${formatBytes(missingBytes)} to download of ${about}${formatBytes(bytes)}, from ${base === huggingFace ? 'huggingface.co' : base} to ${downloads}.`,
        ...(convertedBytes === 0
          ? []
          : [
              `Then ${formatBytes(convertedBytes)} more are written once, to convert what cannot be used as it comes.`,
            ]),
        ...licences.map((one) => `${one.of}: ${one.name}, ${one.url}`),
        'By downloading you accept these licences. Ctrl+C stops; the same command goes on.',
        '',
      ].join('\n'),
    );
  }
  const model = await work(at, { kind: 'download', entry: id, folder: at.folder() });
  await sayReady(at, model, flags.json === true);
}

/** Does a task in front of a person, who may stop it. @returns the model */
export function work(at: ModelWorkplace, request: TaskRequest): Promise<string> {
  return withProgress((signal, report) => new ModelRunner(at).run(request, signal, report));
}
