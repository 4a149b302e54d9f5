import { getContext, setContext } from 'svelte';
import { SvelteMap } from 'svelte/reactivity';
import type { Api } from '../../../src-main/core/contract/api.ts';
import type { Model } from '../../../src-main/core/contract/api/models.ts';
import type { Edited, ProjectState } from '../../../src-main/core/contract/api/projects.ts';
import type { LibraryStatus, Settings } from '../../../src-main/core/contract/api/settings.ts';
import type { ChannelClient } from '../../../src-main/core/contract/channel.ts';
import type { Progress } from '../../../src-main/core/contract/job.ts';
import type { Project, Range } from '../../../src-main/core/contract/project.ts';
import type { JobRecord, ShownTake, TakeSummary } from '../../../src-main/core/contract/records.ts';
import { applyCommands } from '../../../src-main/core/edit/apply.ts';
import type { Command } from '../../../src-main/core/edit/commands.ts';
import { changeProject } from '../../../src-main/core/edit/diff.ts';
import { toPusaError, type PusaError } from '../../../src-main/core/errors.ts';
import { noBounds, type Bounds } from './bounds.ts';

/** What can be done about something told. */
export interface ToastAction {
  readonly label: string;
  readonly run: () => void;
}

/** Something told in a corner of the window. */
export interface Toast {
  readonly id: number;
  readonly level: 'info' | 'warning' | 'error';
  readonly message: string;
  readonly remedy: string | null;
  readonly code: string | null;
  /** What the sentence of its code names. */
  readonly values: Readonly<Record<string, string | number>>;
  readonly actions: readonly ToastAction[];
}

/** What the player shows. */
export type View = 'source' | 'result' | 'wipe' | 'side' | 'onion';

/** A picture of what is being denoised: RGB8 [cells, height, width, 3]. */
export interface LivePreview {
  readonly jobId: string;
  readonly cells: number;
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/** What is selected: clips, cells of the current range (inclusive), or nothing. */
export interface Selection {
  clipIds: string[];
  cells: { first: number; last: number } | null;
}

/**
 * The state of one window over one connection to the studio. The project shown is the studio's, with the edits that
 * are on their way laid over it. Frames are the project's.
 */
export class Session {
  readonly client: ChannelClient<Api>;
  /** Never changed in place: every edit makes a new one. */
  project = $state.raw<Project | null>(null);
  steps = $state.raw<ProjectState['steps']>({ undo: null, redo: null });
  pusaPath = $state<string | null>(null);
  /** Edits that the studio has not acknowledged yet. */
  unsaved = $state(0);
  connected = $state(true);

  settings = $state.raw<Settings | null>(null);
  library = $state.raw<LibraryStatus | null>(null);
  models = $state.raw<readonly Model[]>([]);
  /** The latest takes of the open project and of the current range, the latest first. */
  takes = $state.raw<readonly TakeSummary[]>([]);
  /** All takes whose files are among the project's media; the same list for as long as they are the same. */
  shownTakes = $state.raw<readonly ShownTake[]>([]);
  /** Waiting and running jobs of all projects, then what is over. */
  jobs = $state.raw<readonly JobRecord[]>([]);
  /** By job id, newer than the record's. */
  readonly progress = new SvelteMap<string, Progress>();
  preview = $state.raw<LivePreview | null>(null);

  /** Frame under the playhead. */
  playhead = $state(0);
  playing = $state(false);
  /** In and out, both inclusive: what is looped and what a new range covers. */
  bounds = $state.raw<Bounds>(noBounds);
  /** The range whose marks, prompt and sampler are shown; null: none in the project. */
  rangeId = $state<string | null>(null);
  /** The take shown as the result of the current range. */
  takeId = $state<string | null>(null);
  view = $state<View>('result');
  selection = $state<Selection>({ clipIds: [], cells: null });
  toasts = $state.raw<readonly Toast[]>([]);

  /** What can be done about a job that failed; the queue says. */
  jobActions: (jobId: string) => readonly ToastAction[] = () => [];

  readonly range: Range | null = $derived(this.project?.ranges.find(({ id }) => id === this.rangeId) ?? null);
  readonly model: Model | null = $derived(
    this.models.find(({ id }) => id === this.range?.model) ??
      this.models.find(({ isDefault }) => isDefault) ??
      null,
  );

  #confirmed: Project | null = null;
  #revision = 0;
  #pending: { readonly commands: readonly Command[] }[] = [];
  /** Changes that came while edits were on their way; each change is laid on the one before it. */
  #inbox: Edited[] = [];
  #queue: Promise<unknown> = Promise.resolve();
  #toastCount = 0;
  /** The project has made more takes than are read at once. */
  #hasMoreTakes = false;

  constructor(client: ChannelClient<Api>) {
    this.client = client;
    void client.closed.then(() => (this.connected = false));
    client.on('projects.edited', (edited) => this.accept(edited));
    client.on('settings.changed', (settings) => {
      const needsModels = settings.defaultModel !== this.settings?.defaultModel;
      this.settings = settings;
      if (needsModels) this.#ask(this.readModels());
    });
    client.on('library.changed', (library) => (this.library = library));
    client.on('jobs.progress', ({ jobId, progress }) => this.progress.set(jobId, progress));
    client.on('notices.posted', ({ level, message, remedy, code, values, jobId }) =>
      this.tell(
        level,
        message,
        remedy,
        code,
        jobId === null || level !== 'error' ? [] : this.jobActions(jobId),
        values,
      ),
    );
    client.on('records.changed', ({ table }) => {
      if (table === 'jobs') this.#ask(this.readJobs());
      if (table === 'takes') this.#ask(this.readTakes());
    });
  }

  /** Reads what every window shows. */
  async start(): Promise<void> {
    const { settings, library } = this.client.api;
    const [read, status] = await Promise.all([
      settings.get({}),
      library.status({}),
      this.readModels(),
      this.readJobs(),
    ]);
    this.settings = read;
    this.library = status;
  }

  /** After the line was gone: whatever happened meanwhile is read anew. */
  async resume(): Promise<void> {
    this.connected = true;
    const projectId = this.project?.id;
    this.progress.clear();
    await this.start();
    if (projectId === undefined) return;
    // Another studio may be at the other end by now, which counts from its own start.
    this.#revision = -1;
    await this.#reload(projectId);
    await this.readTakes();
  }

  async open(projectId: string): Promise<void> {
    this.show(await this.client.api.projects.open({ projectId }));
    await this.readTakes();
  }

  /** Shows a project as the studio gave it. */
  show(state: ProjectState): void {
    this.#confirmed = state.project;
    this.#revision = state.revision;
    this.#pending = [];
    this.#inbox = [];
    this.unsaved = 0;
    this.project = state.project;
    this.steps = state.steps;
    this.pusaPath = state.pusaPath;
    this.playing = false;
    this.playhead = 0;
    this.bounds = noBounds;
    this.selection = { clipIds: [], cells: null };
    this.rangeId = state.project.ranges[0]?.id ?? null;
    this.takeId = null;
    this.takes = [];
    this.#hasMoreTakes = false;
    this.shownTakes = [];
  }

  /**
   * One step to undo: shown at once, taken back with a message when the studio refuses it.
   * @param label what undoing it is called
   * @param gesture edits of one drag or one typing share it, and are one step together
   */
  edit(label: string, commands: readonly Command[], options: { gesture?: string } = {}): Promise<boolean> {
    const before = this.project;
    if (before === null || commands.length === 0) return Promise.resolve(false);
    try {
      this.project = applyCommands(before, commands);
    } catch (thrown) {
      this.fail(thrown);
      return Promise.resolve(false);
    }
    const pending = { commands };
    this.#pending.push(pending);
    this.unsaved = this.#pending.length;
    return this.#serial(async () => {
      try {
        const edited = await this.client.api.projects.edit({
          projectId: before.id,
          label,
          commands: [...commands],
          ...options,
        });
        this.#drop(pending);
        this.#settle(edited);
        return true;
      } catch (thrown) {
        this.#drop(pending);
        this.#settle();
        this.fail(thrown);
        return false;
      }
    });
  }

  /** When the studio has answered every edit made so far. */
  async settled(): Promise<void> {
    await this.#queue;
  }

  undo(): Promise<void> {
    return this.#step('undo');
  }

  redo(): Promise<void> {
    return this.#step('redo');
  }

  /** A change the studio made and told, as an answer or as an event: of an edit, an undo, or a take promoted. */
  accept(edited: Edited): void {
    if (edited.projectId !== this.#confirmed?.id) return;
    this.#inbox.push(edited);
    // While an edit is on its way this may be that very edit: it must not be laid over itself.
    if (this.#pending.length === 0) this.#settle();
  }

  async readModels(): Promise<void> {
    this.models = (await this.client.api.models.list({})).models;
  }

  async readTakes(): Promise<void> {
    const projectId = this.project?.id;
    if (projectId === undefined) return;
    const page = { projectId, cursor: null, limit: 200, sort: 'created' } as const;
    const { rangeId } = this;
    const { list } = this.client.api.takes;
    const [latest] = await Promise.all([list(page), this.#readShownTakes(projectId)]);
    const ofRange = latest.next === null || rangeId === null ? null : await list({ ...page, rangeId });
    if (this.project?.id !== projectId) return;
    this.#hasMoreTakes = latest.next !== null;
    // Meanwhile another range was chosen, whose older takes are not among these.
    if (this.#hasMoreTakes && this.rangeId !== rangeId) return this.readTakes();
    const older = ofRange?.items.filter(({ id }) => latest.items.every((take) => take.id !== id)) ?? [];
    const items = [...latest.items, ...older];
    const isFirst = this.takes.length === 0;
    const known = this.takes;
    this.takes = items;
    const fresh = items.find(
      (take) => take.rangeId === this.rangeId && !known.some(({ id }) => id === take.id),
    );
    if (fresh !== undefined) {
      this.takeId = fresh.id;
      if (!isFirst) this.view = 'result';
    } else if (!items.some(({ id }) => id === this.takeId)) this.takeId = this.#latestTake();
  }

  /** Shows another range of the project, with its latest take. */
  showRange(rangeId: string | null): void {
    if (rangeId === this.rangeId) return;
    this.rangeId = rangeId;
    this.takeId = this.#latestTake();
    this.selection = { ...this.selection, cells: null };
    if (this.#hasMoreTakes) this.#ask(this.readTakes());
  }

  async readJobs(): Promise<void> {
    const { items } = await this.client.api.jobs.list({ cursor: null, limit: 100 });
    this.jobs = items;
    const open = items.filter(({ finishedAt }) => finishedAt === null).map(({ id }) => id);
    for (const id of [...this.progress.keys()]) if (!open.includes(id)) this.progress.delete(id);
  }

  tell(
    level: Toast['level'],
    message: string,
    remedy: string | null = null,
    code: string | null = null,
    actions: readonly ToastAction[] = [],
    values: Toast['values'] = {},
  ): void {
    const toast: Toast = { id: ++this.#toastCount, level, message, remedy, code, values, actions };
    this.toasts = [...this.toasts.slice(-4), toast];
  }

  /** Tells an error as a person should read it. */
  fail(thrown: unknown): PusaError {
    const error = toPusaError(thrown);
    this.tell('error', error.message, error.remedy, error.code);
    return error;
  }

  dismiss(id: number): void {
    this.toasts = this.toasts.filter((toast) => toast.id !== id);
  }

  async #readShownTakes(projectId: string): Promise<void> {
    const { takes } = await this.client.api.takes.inMedia({ projectId });
    if (this.project?.id !== projectId) return;
    if (JSON.stringify(takes) !== JSON.stringify(this.shownTakes)) this.shownTakes = takes;
  }

  #step(verb: 'undo' | 'redo'): Promise<void> {
    const projectId = this.project?.id;
    if (projectId === undefined) return Promise.resolve();
    return this.#serial(async () => {
      try {
        this.accept(await this.client.api.projects[verb]({ projectId }));
      } catch (thrown) {
        this.fail(thrown);
      }
    });
  }

  /** Reads in passing: without a line there is nothing to say, it is read again when there is one. */
  #ask(work: Promise<void>): void {
    work.catch((thrown: unknown) => {
      if (this.connected) this.fail(thrown);
    });
  }

  #serial<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => undefined);
    return done;
  }

  /** Takes in what came, in the order it was made; what was missed is read anew. */
  #settle(answer?: Edited): void {
    if (answer !== undefined) this.#inbox.push(answer);
    const inbox = this.#inbox.toSorted((a, b) => a.revision - b.revision);
    this.#inbox = [];
    for (const { projectId, revision, change, steps } of inbox) {
      if (projectId !== this.#confirmed?.id || revision <= this.#revision) continue;
      if (revision > this.#revision + 1) {
        void this.#reload(projectId);
        break;
      }
      this.#revision = revision;
      this.#confirmed = changeProject(this.#confirmed, change);
      this.steps = steps;
      if (change.assets !== undefined) this.#ask(this.#readShownTakes(projectId));
    }
    this.#lay();
  }

  async #reload(projectId: string): Promise<void> {
    try {
      const state = await this.client.api.projects.open({ projectId });
      if (this.#confirmed?.id !== projectId || state.revision < this.#revision) return;
      this.#confirmed = state.project;
      this.#revision = state.revision;
      this.steps = state.steps;
      this.pusaPath = state.pusaPath;
      this.#lay();
      await this.#readShownTakes(projectId);
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  /** Lays the edits on their way over what the studio has. */
  #lay(): void {
    let project = this.#confirmed;
    for (const { commands } of this.#pending) {
      if (project === null) break;
      try {
        project = applyCommands(project, commands);
      } catch {
        // The studio will refuse it as well, and then says why.
      }
    }
    this.project = project;
    if (project?.ranges.some(({ id }) => id === this.rangeId) === false) {
      this.rangeId = project.ranges[0]?.id ?? null;
      this.takeId = this.#latestTake();
      if (this.#hasMoreTakes) this.#ask(this.readTakes());
    }
  }

  #latestTake(): string | null {
    return this.takes.find(({ rangeId }) => rangeId === this.rangeId)?.id ?? null;
  }

  #drop(pending: { readonly commands: readonly Command[] }): void {
    this.#pending = this.#pending.filter((each) => each !== pending);
    this.unsaved = this.#pending.length;
  }
}

const key = Symbol('session');

export function provideSession(session: Session): Session {
  return setContext(key, session);
}

export function getSession(): Session {
  return getContext<Session>(key);
}
