import { join } from 'node:path';
import type { CatalogueEntry } from '../../core/contract/api/model-catalogue.ts';
import { PusaError } from '../../core/errors.ts';
import type { StudioContext } from '../context.ts';
import { entryNamed, readCatalogue } from '../downloads/catalogue.ts';
import { modelName } from '../../engine/weights/model-name.ts';
import { describeEntry } from '../model-work/catalogue-entry.ts';
import { freeBytesAt } from '../downloads/space.ts';
import type { HandlersOf } from '../handlers.ts';
import { inspectFile, shownInspection } from '../model-work/inspect.ts';
import { freeId, modelFolders } from '../model-work/model-folders.ts';
import { OwnFiles } from '../model-work/own-files.ts';
import { planRemoval, removeModel, usersOfFiles } from '../model-work/removal.ts';
import type { TaskRequest } from '../model-work/requests.ts';
import { ModelRunner, type ModelWorkplace } from '../model-work/runner.ts';
import { searchModels, usualRoots } from '../model-work/search.ts';
import { Sources } from '../model-work/sources.ts';
import { ModelTasks } from '../model-work/tasks.ts';
import { findModel, listShelf } from '../model-shelf.ts';
import { readJob } from './jobs-folder.ts';

type Needs = Pick<StudioContext, 'places' | 'folders' | 'store' | 'emit' | 'log'>;
/** The methods answered here. */
export type WorkMethod =
  | 'models.tasks'
  | 'models.catalogue'
  | 'models.download'
  | 'models.space'
  | 'models.sources'
  | 'models.setSources'
  | 'models.found'
  | 'models.inspect'
  | 'models.import'
  | 'models.bake'
  | 'models.verify'
  | 'models.removal'
  | 'models.remove'
  | 'models.pause'
  | 'models.resume'
  | 'models.cancel'
  | 'models.dismiss';

/** Getting models, making others of them, and letting them go. */
export class ModelWork {
  readonly #context: Needs;
  readonly #place: ModelWorkplace;
  readonly #sources: Sources;
  readonly #tasks: ModelTasks;

  private constructor(context: Needs, place: ModelWorkplace, sources: Sources, tasks: ModelTasks) {
    this.#context = context;
    this.#place = place;
    this.#sources = sources;
    this.#tasks = tasks;
  }

  /** Nothing runs before {@link begin}. @throws PusaError WRITE_FAILED */
  static async open(context: Needs): Promise<ModelWork> {
    const dataFolder = context.folders.data;
    const sources = await Sources.open(dataFolder, (reason) => context.log(reason));
    const place: ModelWorkplace = {
      dataFolder,
      places: context.places,
      own: new OwnFiles(dataFolder),
      catalogue: () => readCatalogue(context.places),
      server: () => sources.server,
      folder: () => sources.shown.folder,
    };
    const tasks = await ModelTasks.open(dataFolder, new ModelRunner(place), context);
    return new ModelWork(context, place, sources, tasks);
  }

  /** Starts what waits: downloads that an earlier studio left go on. */
  begin(): void {
    this.#tasks.begin();
  }

  /** Stops what runs; the next studio takes it up. */
  close(): Promise<void> {
    return this.#tasks.close();
  }

  handlers(): Pick<HandlersOf<'models'>, WorkMethod> {
    const { dataFolder, places } = this.#place;
    const changed = (): void => this.#context.emit('models.changed', {});
    return {
      'models.tasks': () => ({ tasks: this.#tasks.list() }),
      'models.catalogue': () => this.#catalogue(),
      'models.download': async ({ entry, folder }) => {
        const found = entryNamed(await this.#place.catalogue(), entry);
        const busy = this.#tasks.list().find((task) => task.entry === entry && isUnderWay(task.state));
        return { task: busy?.id ?? (await this.#tasks.add({ kind: 'download', entry, folder }, found.name)) };
      },
      'models.space': async ({ folder }) => ({ folder, freeBytes: await freeBytesAt(folder) }),
      'models.sources': () => this.#sources.shown,
      'models.setSources': async (change) => {
        const shown = await this.#sources.change(change);
        changed();
        return shown;
      },
      'models.found': async (_, { signal }) => {
        const { folder, lookIn } = this.#sources.shown;
        const roots = [
          ...usualRoots(),
          ...[...lookIn, ...(folder === null ? [] : [folder])].map((one) => ({
            where: 'folder' as const,
            folder: one,
          })),
        ];
        return searchModels(roots, await usersOfFiles(this.#place), signal);
      },
      'models.inspect': async ({ path }) => shownInspection(await inspectFile(path)),
      'models.import': async (wish) => {
        const label = wish.name ?? modelName(wish.paths[0] ?? 'model');
        const id = await this.#idFor(wish.id, label);
        return { task: await this.#tasks.add({ kind: 'import', ...wish, id }, label) };
      },
      'models.bake': async (wish) => {
        const { manifest } = await findModel(dataFolder, places, wish.model);
        const id = await this.#idFor(wish.id, `${wish.model}-${wish.precision}`);
        return { task: await this.#tasks.add({ kind: 'bake', ...wish, id }, wish.name ?? manifest.name) };
      },
      'models.verify': async ({ model }) => {
        const { manifest } = await findModel(dataFolder, places, model);
        return { task: await this.#tasks.add({ kind: 'verify', model }, manifest.name) };
      },
      'models.removal': async ({ model }) => {
        const { frees, deletes, keeps, blocked } = await planRemoval(
          this.#place,
          model,
          await this.#inUse(model),
        );
        return { frees, deletes, keeps, blocked };
      },
      'models.remove': async ({ model }) => {
        const bytes = await removeModel(this.#place, model, await this.#inUse(model));
        changed();
        return { bytes };
      },
      'models.pause': async ({ task }) => {
        await this.#tasks.pause(task);
        return {};
      },
      'models.resume': async ({ task }) => {
        await this.#tasks.resume(task);
        return {};
      },
      'models.cancel': async ({ task, removeParts }) => ({
        bytes: await this.#tasks.cancel(task, removeParts),
      }),
      'models.dismiss': async ({ task }) => {
        await this.#tasks.dismiss(task);
        return {};
      },
    };
  }

  async #catalogue(): Promise<{ entries: CatalogueEntry[]; folder: string; freeBytes: number | null }> {
    const { downloads } = modelFolders(this.#place.dataFolder, this.#place.folder());
    const shelf = new Set((await listShelf(this.#place.dataFolder, this.#place.places)).map(({ id }) => id));
    const entries: CatalogueEntry[] = [];
    for (const entry of await this.#place.catalogue()) {
      const task = this.#tasks.list().find((one) => one.entry === entry.id && one.state !== 'done');
      entries.push({
        ...(await describeEntry(this.#place.own, entry, downloads)),
        model: shelf.has(entry.id) ? entry.id : null,
        task: task?.id ?? null,
      });
    }
    return { entries, folder: downloads, freeBytes: await freeBytesAt(downloads) };
  }

  /** @throws PusaError RECORD_INVALID when the wanted id is another model's */
  async #idFor(wanted: string | null, made: string): Promise<string> {
    const { dataFolder, places } = this.#place;
    const coming = new Set(this.#tasks.open().flatMap(idsOf));
    const id = await freeId(dataFolder, places, wanted ?? made, coming);
    if (wanted === null || wanted === id) return id;
    throw new PusaError('RECORD_INVALID', `There is a model "${wanted}" already.`, 'Choose another name.');
  }

  /** Why a model cannot go now, or null. */
  async #inUse(id: string): Promise<string | null> {
    const { store, folders } = this.#context;
    for (const job of store.lists.jobs(['running'])) {
      const frozen = await readJob(join(folders.jobs, job.id)).catch(() => null);
      if (frozen?.model.id === id) return 'A clip is being generated with it.';
    }
    const task = this.#tasks
      .list()
      .find((one, index) => one.state === 'running' && namesModel(this.#tasks.requestAt(index), id));
    return task === undefined ? null : `“${task.label}” is being worked on.`;
  }
}

function isUnderWay(state: string): boolean {
  return state === 'waiting' || state === 'running' || state === 'paused';
}

function idsOf(request: TaskRequest): string[] {
  return request.kind === 'import' || request.kind === 'bake' ? [request.id] : [];
}

function namesModel(request: TaskRequest | undefined, id: string): boolean {
  if (request?.kind === 'bake' || request?.kind === 'verify') return request.model === id;
  return request?.kind === 'download' && request.entry === id;
}
