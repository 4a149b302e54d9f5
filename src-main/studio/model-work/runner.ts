import { rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { workPhase } from '../../core/contract/work-phase.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import { bakePackage } from '../../engine/weights/bake-package.ts';
import { filesBelow, importPackage, type ImportOptions } from '../../engine/weights/import-package.ts';
import { openPackage, verifyPackage, type ModelPackage } from '../../engine/weights/package.ts';
import type { ModelServer, RemoteFile } from '../downloads/address.ts';
import { convertedBytesOf, entryNamed, type KnownModel } from '../downloads/catalogue.ts';
import type { WantedFile } from '../downloads/download-file.ts';
import { downloadSet, placeOf } from '../downloads/download-set.ts';
import { removePart } from '../downloads/part-file.ts';
import { findModel, listShelf } from '../model-shelf.ts';
import type { Places } from '../places.ts';
import { folderBytes, modelFolders, removeFolder, settlePackage } from './model-folders.ts';
import type { OwnFiles } from './own-files.ts';
import { removeDownloads, usersOfFiles } from './removal.ts';
import type { RequestOf, TaskProgress, TaskRequest, TaskRunner } from './requests.ts';
import { huggingFaceHub, inHuggingFaceCache } from './search.ts';

type Report = (progress: TaskProgress) => void;

/** What the work on models needs to know of the application. */
export interface ModelWorkplace {
  readonly dataFolder: string;
  readonly places: Pick<Places, 'resources'>;
  readonly own: OwnFiles;
  /** Known models; read anew. */
  catalogue(): Promise<KnownModel[]>;
  /** As it is set now. */
  server(): ModelServer;
  /** Where models go unless a request says otherwise; null: the data folder. */
  folder(): string | null;
}

/** A file of an entry that is on this machine already. */
export interface FileHere {
  readonly place: string;
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * Which files of an entry lie on this machine already, downloaded by us or by Hugging Face's programs. The shards of a
 * network and their index count only if they lie beside each other.
 */
export async function filesHere(own: OwnFiles, { parts }: KnownModel): Promise<Map<WantedFile, FileHere>> {
  const all = new Map<WantedFile, FileHere>();
  for (const { files } of parts) {
    const ours = new Map<WantedFile, FileHere>();
    const any = new Map<WantedFile, FileHere>();
    for (const file of files) {
      const found = await own.find(file);
      const isOurs = found !== null && (file.sha256 === null || file.sha256 === found.sha256);
      if (isOurs) ours.set(file, found);
      const here = isOurs ? found : await inHuggingFaceCache(huggingFaceHub(), file);
      if (here !== null) any.set(file, here);
    }
    const isSharded = files.some(({ path }) => path.endsWith('.index.json'));
    const folders = new Set([...any.values()].map(({ place }) => dirname(place)));
    const isTogether = any.size === files.length && folders.size === 1;
    for (const [file, here] of isSharded && !isTogether ? ours : any) all.set(file, here);
  }
  return all;
}

/** Does what tasks on models are for. */
export class ModelRunner implements TaskRunner {
  readonly #at: ModelWorkplace;

  constructor(workplace: ModelWorkplace) {
    this.#at = workplace;
  }

  run(request: TaskRequest, signal: AbortSignal, report: Report): Promise<string> {
    switch (request.kind) {
      case 'download':
        return this.#download(request, signal, report);
      case 'import':
        return this.#import(request, signal, report);
      case 'bake':
        return this.#bake(request, signal, report);
      case 'verify':
        return this.#verify(request, signal, report);
    }
  }

  async clear(request: TaskRequest): Promise<number> {
    if (request.kind === 'verify') return 0;
    if (request.kind === 'download') {
      const { downloads, unfinished } = modelFolders(
        this.#at.dataFolder,
        request.folder ?? this.#at.folder(),
      );
      const entry = await this.#entry(request.entry);
      let bytes = await removeFolder(join(unfinished, request.entry));
      for (const file of entry.files) bytes += await removePart(placeOf(downloads, file));
      const users = await usersOfFiles(this.#at);
      const isOfEntry = ({ repository, path }: RemoteFile): boolean =>
        entry.files.some((file) => file.repository === repository && file.path === path);
      return (
        bytes + (await removeDownloads(this.#at.own, (file, path) => isOfEntry(file) && !users.has(path)))
      );
    }
    const { unfinished, packages } = modelFolders(this.#at.dataFolder, this.#at.folder());
    let bytes = 0;
    for (const folder of [
      join(unfinished, request.id),
      join(unfinished, `${request.id}-source`),
      join(packages, `${request.id}.part`),
      join(unfinished, `${request.id}.part`),
    ]) {
      bytes += await removeFolder(folder);
    }
    return bytes;
  }

  async #entry(id: string): Promise<KnownModel> {
    return entryNamed(await this.#at.catalogue(), id);
  }

  async #download(request: RequestOf<'download'>, signal: AbortSignal, report: Report): Promise<string> {
    const { own, dataFolder } = this.#at;
    const entry = await this.#entry(request.entry);
    const there = (await listShelf(dataFolder, this.#at.places)).find(({ id }) => id === entry.id);
    if (there !== undefined && (await openPackage(there.folder).catch(() => null)) !== null) return entry.id;

    const folders = modelFolders(dataFolder, request.folder ?? this.#at.folder());
    const here = await filesHere(own, entry);
    const missing = entry.files.filter((file) => !here.has(file));
    const made = join(folders.unfinished, entry.id);
    let phase = workPhase('download');
    let done = 0;
    let total: number | null = null;
    const tell = (): void => report({ phase, done, total });
    await downloadSet(this.#at.server(), missing, folders.downloads, {
      signal,
      besides: Math.max(0, convertedBytesOf(entry) - (await folderBytes(made))),
      onPhase: (now) => {
        phase = now;
        tell();
      },
      onBytes: (bytes, all) => {
        [done, total] = [bytes, all];
        tell();
      },
      onFile: async (file, { path, bytes, sha256 }) => {
        here.set(file, { place: path, bytes, sha256 });
        const { repository, path: inner } = file;
        await own.noteDownload({ repository, path: inner, place: path, bytes, sha256 });
      },
    });
    const files = entry.files.map((file) => here.get(file)!);
    const loras = entry.loras.map(({ path, strength, live }) => {
      const file = entry.files.find((one) => one.path === path)!;
      return [here.get(file)!.place, { strength, live }] as const;
    });
    await this.#package(made, report, {
      id: entry.id,
      name: entry.name,
      licence: [...new Set(entry.parts.map(({ licence }) => licence.name))].join(', '),
      files: files.map(({ place }) => place),
      hashes: new Map(files.map(({ place, sha256 }) => [place, sha256])),
      loras: new Map(loras),
      signal,
    });
    await settlePackage(dataFolder, own, folders, entry.id, made);
    return entry.id;
  }

  async #import(request: RequestOf<'import'>, signal: AbortSignal, report: Report): Promise<string> {
    const { dataFolder, own } = this.#at;
    const folders = modelFolders(dataFolder, this.#at.folder());
    const { id, name, paths, loras, precision } = request;
    const isBaked = precision !== 'asIs';
    const made = join(folders.unfinished, isBaked ? `${id}-source` : id);
    const [first] = paths;
    const isFolder =
      paths.length === 1 && first !== undefined && (await stat(first).catch(notThere(first))).isDirectory();
    const outside = loras.map(({ path }) => path).filter((path) => !isBelow(path, first ?? ''));
    const files = isFolder
      ? outside.length === 0
        ? undefined
        : [...(await filesBelow(first)), ...outside]
      : [...new Set([...paths, ...loras.map(({ path }) => path)])];
    const source = await this.#package(
      made,
      report,
      {
        id: isBaked ? `${id.slice(0, 57)}-source` : id,
        ...(name === null ? {} : { name }),
        ...(files === undefined ? {} : { files }),
        loras: new Map(loras.map(({ path, strength, live }) => [path, { strength, live }])),
        signal,
      },
      isFolder ? first : undefined,
    );
    if (!isBaked) {
      await settlePackage(dataFolder, own, folders, id, made);
      return id;
    }
    const folder = join(folders.packages, id);
    await bakePackage(source, folder, {
      id,
      name: name ?? source.manifest.name,
      precision,
      onProgress: ({ phase, doneBytes, totalBytes }) => report({ phase, done: doneBytes, total: totalBytes }),
      signal,
    });
    await settlePackage(dataFolder, own, folders, id, folder);
    // What the baked one does not need any more: the manifest of its source, and what was converted for it.
    await rm(made, { recursive: true, force: true });
    return id;
  }

  /** Makes a package in a folder of its own, of files that stay where they are. */
  async #package(
    made: string,
    report: Report,
    options: ImportOptions,
    folder?: string,
  ): Promise<ModelPackage> {
    const [first] = options.files ?? [];
    try {
      return await importPackage(folder ?? dirname(first ?? made), {
        ...options,
        into: made,
        onConvert: (file, done, total) => report({ phase: workPhase('convert', file), done, total }),
        onBytes: (done, total) => report({ phase: workPhase('read'), done, total }),
      });
    } catch (thrown) {
      // What was converted stays for the next time.
      await rmdir(made).catch(() => undefined);
      throw thrown;
    }
  }

  async #bake(request: RequestOf<'bake'>, signal: AbortSignal, report: Report): Promise<string> {
    const { dataFolder, places, own } = this.#at;
    const folders = modelFolders(dataFolder, this.#at.folder());
    const { model, id, name, precision, search, mergeLoras } = request;
    const source = await findModel(dataFolder, places, model);
    const folder = join(folders.packages, id);
    await bakePackage(source, folder, {
      id,
      ...(name === null ? {} : { name }),
      precision,
      search,
      mergeLoras,
      onProgress: ({ phase, doneBytes, totalBytes }) => report({ phase, done: doneBytes, total: totalBytes }),
      signal,
    });
    await settlePackage(dataFolder, own, folders, id, folder);
    return id;
  }

  async #verify({ model }: RequestOf<'verify'>, signal: AbortSignal, report: Report): Promise<string> {
    const { dataFolder, places } = this.#at;
    await verifyPackage(await findModel(dataFolder, places, model), (done, total) => {
      signal.throwIfAborted();
      report({ phase: workPhase('compare'), done, total });
    });
    return model;
  }
}

function notThere(path: string): (thrown: unknown) => never {
  return (thrown) => {
    const error = toPusaError(thrown);
    if (error.code !== 'FILE_NOT_FOUND') throw error;
    throw new PusaError('FILE_NOT_FOUND', `“${basename(path)}” is not there.`, 'Choose the files again.');
  };
}

function isBelow(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== '' && !isAbsolute(way) && way.split(sep)[0] !== '..';
}
