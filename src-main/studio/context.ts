import type { EventName, EventPayload } from '../core/contract/api.ts';
import type { Settings } from '../core/contract/api/settings.ts';
import type { Supervisor } from '../engine/supervisor.ts';
import type { MediaStore } from '../library/media-store.ts';
import type { Store } from '../library/store.ts';
import type { Thumbnails } from '../media/thumbnails.ts';
import type { Places } from './places.ts';
import type { Devices } from './services/devices.ts';
import type { ProjectEdits } from './services/project-edits.ts';
import type { UnfinishedFiles } from './unfinished.ts';

/** Folders of a studio, all below its data folder; each exists. */
export interface StudioFolders {
  readonly data: string;
  /** One folder for each frozen job, named by its id. */
  readonly jobs: string;
  /** What can be made again: thumbnails and the like. */
  readonly cache: string;
  /** Files that are being written or received; emptied when the studio opens. */
  readonly temporary: string;
}

/** What a person should know, with what it is about. */
export type Notice = Pick<EventPayload<'notices.posted'>, 'level' | 'code' | 'message' | 'remedy'> &
  Partial<EventPayload<'notices.posted'>>;

/** How far a long request is; told to whoever gave it a task. */
export type Report = (done: number, total: number | null) => void;

/** What the services of a studio share. */
export interface StudioContext {
  readonly places: Places;
  readonly folders: StudioFolders;
  readonly store: Store;
  /** Counts and tells what happens to projects. */
  readonly edits: ProjectEdits;
  readonly media: MediaStore;
  /** Small pictures of media; opened in a folder of their own below `folders.cache`. */
  readonly thumbnails: Thumbnails;
  /** What is being written outside the data folder. */
  readonly unfinished: UnfinishedFiles;
  readonly supervisor: Supervisor;
  /** What the engine knows of this machine. */
  readonly devices: Devices;
  /** As they are now. */
  settings(): Settings;
  /** Tells every connection that listens. */
  emit<E extends EventName>(event: E, payload: EventPayload<E>): void;
  /** Tells a person something that answers no request of theirs; what it is not about is left out. */
  notify(notice: Notice): void;
  /** Whether any connection listens to an event. */
  watched(event: EventName): boolean;
  /** What reports the progress of a request; does nothing where no task was given. */
  reporter(task: string | undefined, unit: EventPayload<'tasks.progress'>['unit']): Report;
  /** For the log: what went wrong where nobody asked. */
  log(thrown: unknown): void;
}
