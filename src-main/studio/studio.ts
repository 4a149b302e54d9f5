import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { api, type Api } from '../core/contract/api.ts';
import { createServer, type ChannelServer, type Handlers, type Transport } from '../core/contract/channel.ts';
import { PusaError, toPusaError } from '../core/errors.ts';
import { createSupervisor } from '../engine/supervisor.ts';
import type { ForkEngine } from '../engine/transport.ts';
import { Thumbnails } from '../media/thumbnails.ts';
import type { StudioContext, StudioFolders } from './context.ts';
import { Events } from './events.ts';
import { StudioLibrary } from './library.ts';
import { deviceMemory } from './device-memory.ts';
import { findPlaces, type Places } from './places.ts';
import { assetsHandlers } from './services/assets.ts';
import { exportsHandlers } from './services/exports.ts';
import { filesHandlers } from './services/files.ts';
import { libraryHandlers } from './services/library.ts';
import { deviceHandlers, Devices } from './services/devices.ts';
import { ModelWork } from './services/models-work.ts';
import { modelsHandlers } from './services/models.ts';
import { ProjectEdits } from './services/project-edits.ts';
import { projectsHandlers } from './services/projects.ts';
import { defaultSettings, settingsHandlers, storedSettingsSchema } from './services/settings.ts';
import { takesHandlers } from './services/takes.ts';
import { StateFile } from './state-file.ts';
import { UnfinishedFiles } from './unfinished.ts';
import { StudioWork } from './work.ts';

export interface StudioOptions {
  /** Holds the library and everything else that is a person's; made if missing. */
  readonly dataFolder: string;
  /** Default: where this module's application lies. */
  readonly places?: Places;
  /** How the engine's process is started; default a Node child process. */
  readonly fork?: ForkEngine;
  /** Sentences for a log: what the engine says, and what went wrong where nobody asked. */
  readonly onLog?: (text: string) => void;
  /** Whether a new library gets the bundled sample projects; default true. */
  readonly samples?: boolean;
}

/** The application without its windows: everything the contract offers, over any number of connections. */
export interface Studio {
  readonly handlers: Handlers<Api>;
  readonly context: StudioContext;
  /**
   * Serves a window, a browser or a script until either side closes.
   * @param options.allowPaths default true; false for those who may not name files of this machine
   */
  connect(transport: Transport, options?: { readonly allowPaths?: boolean }): ChannelServer<Api>;
  /** Settles when what is tidied up in the background after opening is done: nobody needs to wait for it. */
  settled(): Promise<void>;
  /** Ends requests, jobs and the engine, then closes the library. Finished steps of jobs are kept. */
  close(): Promise<void>;
}

/** Requests that take longer than this to end do not keep the studio from closing. */
const patienceMs = 10_000;

/**
 * Opens the studio in a data folder, which one process at a time may do.
 * @throws PusaError LIBRARY_BUSY, LIBRARY_TOO_NEW, MEDIA_FOLDER_INVALID, DISK_FULL, WRITE_FAILED. A damaged library and
 *   media that are not there are no errors: `library.status` tells, and they can be mended and found.
 */
export async function openStudio(options: StudioOptions): Promise<Studio> {
  const log = (thrown: unknown): void => options.onLog?.(describe(thrown));
  const places = options.places ?? findPlaces();
  const folders = await makeFolders(resolve(options.dataFolder));
  const library = await StudioLibrary.open(folders.data, log);
  try {
    // Only now: until the library's lock is held, another studio may be at work here.
    await empty(folders.temporary);
    const settings = await StateFile.open(
      join(folders.data, 'settings.json'),
      storedSettingsSchema,
      defaultSettings,
      log,
    );
    const supervisor = createSupervisor({
      entry: places.engineEntry,
      memory: deviceMemory(folders.data),
      ...(options.fork === undefined ? {} : { fork: options.fork }),
      ...(options.onLog === undefined ? {} : { onLog: options.onLog }),
    });
    const events = new Events(log);
    const emit: StudioContext['emit'] = (event, payload) => events.emit(event, payload);
    const context: StudioContext = {
      places,
      folders,
      store: library.store,
      edits: new ProjectEdits(library.store, emit),
      media: library.media,
      thumbnails: await Thumbnails.open(join(folders.cache, 'thumbnails')),
      unfinished: await UnfinishedFiles.open(join(folders.data, 'unfinished'), log),
      supervisor,
      devices: new Devices(supervisor),
      settings: () => settings.value,
      emit,
      notify: (notice) => events.notify(notice),
      watched: (event) => events.watched(event),
      reporter: (task, unit) => events.reporter(task, unit),
      log,
    };
    library.store.onChange((change) => events.tellRecords(change));
    const models = await ModelWork.open(context);
    const work = new StudioWork(context, library, options.samples !== false);
    const handlers: Handlers<Api> = {
      ...projectsHandlers(context),
      ...filesHandlers(context),
      ...assetsHandlers(context),
      ...exportsHandlers(context),
      ...work.jobsHandlers(),
      ...takesHandlers(context),
      ...settingsHandlers(context, settings),
      ...libraryHandlers(context, library, work),
      ...modelsHandlers(context),
      ...models.handlers(),
      ...deviceHandlers(context),
    };
    if (!library.isDamaged) {
      await work.begin({ isReplaced: false }).catch(async (thrown: unknown) => {
        const error = toPusaError(thrown);
        if (error.code !== 'LIBRARY_DAMAGED') throw error;
        await library.giveUp(error);
      });
    }
    models.begin();
    return new OpenStudio(handlers, context, { events, library, work, models });
  } catch (thrown) {
    await library.close();
    throw thrown;
  }
}

interface Parts {
  readonly events: Events;
  readonly library: StudioLibrary;
  readonly work: StudioWork;
  readonly models: ModelWork;
}

class OpenStudio implements Studio {
  readonly handlers: Handlers<Api>;
  readonly context: StudioContext;
  readonly #parts: Parts;
  #closing: Promise<void> | null = null;

  constructor(handlers: Handlers<Api>, context: StudioContext, parts: Parts) {
    this.handlers = handlers;
    this.context = context;
    this.#parts = parts;
  }

  connect(
    transport: Transport,
    { allowPaths = true }: { readonly allowPaths?: boolean } = {},
  ): ChannelServer<Api> {
    const connection = createServer(api, transport, this.handlers, {
      allowPaths,
      onError: (thrown) => {
        // What is a person's to know has been answered; what is ours goes to the log.
        if (toPusaError(thrown).code === 'INTERNAL') this.context.log(thrown);
      },
    });
    if (this.#closing === null) this.#parts.events.add(connection);
    else connection.close();
    return connection;
  }

  async settled(): Promise<void> {
    await Promise.all([this.#parts.work.settled(), this.context.unfinished.swept]);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { events, library, work, models } = this.#parts;
    const connections = [...events.connections];
    for (const connection of connections) connection.close();
    await Promise.race([Promise.all(connections.map(({ closed }) => closed)), patience()]);
    await Promise.all([work.end(), models.close()]);
    await this.context.unfinished.swept;
    await this.context.supervisor.close();
    await library.close();
    await empty(this.context.folders.temporary).catch((thrown: unknown) => this.context.log(thrown));
  }
}

function patience(): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, patienceMs).unref());
}

async function makeFolders(data: string): Promise<StudioFolders> {
  const folders = {
    data,
    jobs: join(data, 'jobs'),
    cache: join(data, 'cache'),
    temporary: join(data, 'temporary'),
  };
  try {
    for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true });
  } catch (thrown) {
    throw toPusaError(thrown);
  }
  return folders;
}

async function empty(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
}

/** An error with its causes, for a log. */
function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const own =
    thrown instanceof PusaError ? `${thrown.code}: ${thrown.message}` : (thrown.stack ?? thrown.message);
  return thrown.cause === undefined ? own : `${own}\n  because ${describe(thrown.cause)}`;
}
