import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Asset, Project } from '../core/contract/project.ts';
import type { ProjectRecord, TakeRecord } from '../core/contract/records.ts';
import { isSame } from '../library/diff.ts';
import type { FileTake, PusaFile } from '../library/pusa-file.ts';
import type { Store } from '../library/store.ts';
import type { Report, StudioContext } from './context.ts';
import { takesOf } from './services/projects.ts';

/** How a file is taken into the library. */
export interface ImportWatch {
  /** Where the file lies, for Save to write it back; null for one that has no place here. */
  readonly path: string | null;
  readonly report: Report;
  readonly signal?: AbortSignal | undefined;
  /** Whether the project counts as made now, as a sample does. */
  readonly asNew?: boolean;
}

export interface ImportedProject {
  readonly projectId: string;
  /** The library had another version of the project: this one came in under another id. */
  readonly isCopy: boolean;
}

type Needs = Pick<StudioContext, 'store' | 'media' | 'folders'>;

/**
 * Takes an opened `.pusa` file into the library: its media, its project and its takes. A project that the library has
 * already, as it is in the file or edited here since it came from there, is only completed; another version of it
 * becomes a project of its own. What is begun and not finished lies in the trash, and is finished by opening the file
 * again.
 * @throws PusaError PROJECT_INVALID (damaged media), DISK_FULL, WRITE_FAILED, CANCELLED
 */
export async function importPusaFile(
  context: Needs,
  file: PusaFile,
  watch: ImportWatch,
): Promise<ImportedProject> {
  const { store } = context;
  const ids = assetIds(store, file.project.assets);
  const project = withAssets(file.project, ids);
  const known = store.get('projects', project.id);
  const isCopy = known !== null && !isSameProject(known, project, watch.path);
  const projectId = isCopy ? randomUUID() : project.id;
  const now = new Date().toISOString();

  // First the project, which keeps its media from being collected as unused.
  await store.transact(null, 'Open file', (edit) => {
    const record: ProjectRecord = {
      ...project,
      ...(isCopy ? { name: `${project.name.slice(0, 190)} (2)` } : {}),
      id: projectId,
      trashedAt: now,
      pusaPath: null,
    };
    // One that is there may have been edited by now, and is left as it is.
    if (edit.get('projects', projectId) === null) edit.put('projects', record);
  });
  const media = new MediaOfFile(context, file, watch);
  for (const asset of project.assets) await media.addAsset(asset, now);
  await media.addTakes(projectId);
  const { path } = watch;
  await store.transact(null, 'Open file', (edit) => {
    edit.update('projects', projectId, (opened) => ({
      ...opened,
      ...(watch.asNew === true ? { createdAt: now, modifiedAt: now } : {}),
      trashedAt: null,
      pusaPath: path ?? opened.pusaPath,
    }));
    // The file is this project's now.
    if (isCopy && path !== null && edit.get('projects', known.id)?.pusaPath === path)
      edit.update('projects', known.id, (other) => ({ ...other, pusaPath: null }));
  });
  return { projectId, isCopy };
}

/** Whether the library's project stands for the one in a file: the same, or what was made of it here since. */
function isSameProject(known: ProjectRecord, project: Project, path: string | null): boolean {
  if (isSame(withoutPlace(known), project)) return true;
  return path !== null && known.pusaPath === path && known.modifiedAt >= project.modifiedAt;
}

/** A project as a file holds it. */
export function withoutPlace(record: ProjectRecord): Project {
  const project: Partial<ProjectRecord> = { ...record };
  delete project.trashedAt;
  delete project.pusaPath;
  return project as Project;
}

/**
 * The ids that a file's assets have in the library: those of the media it has already; else their own, where these
 * are free.
 */
function assetIds(store: Store, assets: readonly Asset[]): Map<string, string> {
  const byHash = new Map<string, string>();
  const taken = new Set<string>();
  const ids = new Map<string, string>();
  for (const { id, hash } of assets) {
    const own = store.get('assets', id) === null && !taken.has(id) ? id : randomUUID();
    const given = byHash.get(hash) ?? store.lists.assetOfHash(hash)?.id ?? own;
    byHash.set(hash, given);
    taken.add(given);
    ids.set(id, given);
  }
  return ids;
}

/** The project with its assets under other ids; two that are the same medium become one. */
function withAssets(project: Project, ids: ReadonlyMap<string, string>): Project {
  if ([...ids].every(([from, to]) => from === to)) return project;
  const assets = new Map(project.assets.map((asset) => [ids.get(asset.id)!, asset]));
  return {
    ...project,
    assets: [...assets].map(([id, asset]) => ({ ...asset, id })),
    clips: project.clips.map((clip) => ({ ...clip, assetId: ids.get(clip.assetId)! })),
  };
}

/** The media of one file, on their way into the library. */
class MediaOfFile {
  readonly #context: Needs;
  readonly #file: PusaFile;
  readonly #watch: ImportWatch;
  readonly #total: number;
  #done = 0;

  constructor(context: Needs, file: PusaFile, watch: ImportWatch) {
    this.#context = context;
    this.#file = file;
    this.#watch = watch;
    this.#total = [...file.media.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Records an asset, with its file where the `.pusa` file has it and as missing where nobody has. */
  async addAsset(asset: Asset, importedAt: string): Promise<void> {
    const { store } = this.#context;
    const record = (state: 'present' | 'missing'): Promise<unknown> =>
      store.transact(null, 'Open file', (edit) => {
        const known = edit.get('assets', asset.id);
        if (known === null) edit.put('assets', { ...asset, importedAt, original: null, state });
        else if (state === 'present') edit.put('assets', { ...known, state });
      });
    const known = store.get('assets', asset.id);
    if (known?.state === 'present') return;
    if (this.#file.media.has(asset.hash)) await this.#import(asset.hash, () => record('present'));
    else if (known === null) await record('missing');
  }

  async addTakes(projectId: string): Promise<void> {
    const { store } = this.#context;
    const there = takesOf(store, projectId);
    for (const { take, hash } of this.#file.takes) {
      if (there.some((one) => isSameTake(one, take, hash))) continue;
      await this.#import(hash, () =>
        store.transact(null, 'Open file', (edit) => {
          const id = take.id !== undefined && edit.get('takes', take.id) === null ? take.id : randomUUID();
          edit.put('takes', this.#record(take, { id, projectId, hash }));
        }),
      );
    }
  }

  #record(
    take: FileTake,
    { id, projectId, hash }: { id: string; projectId: string; hash: string },
  ): TakeRecord {
    return {
      ...take,
      id,
      projectId,
      rangeId: take.rangeId ?? this.#file.project.ranges[0]?.id ?? 'range-1',
      fileHash: hash,
      rating: take.rating ?? 0,
      tags: take.tags ?? [],
      promotedClipId: take.promotedClipId ?? null,
    };
  }

  /** Brings a medium into the store; `record` is done before anybody could take it for garbage. */
  async #import(hash: string, record: () => Promise<unknown>): Promise<void> {
    const { media, folders } = this.#context;
    const { signal, report } = this.#watch;
    // Named by us: nothing of the file becomes a path.
    const path = join(folders.temporary, randomUUID());
    try {
      await this.#file.extractMedia(hash, path);
      await media.import(path, {
        expect: hash,
        ...(signal === undefined ? {} : { signal }),
        record: async () => {
          await record();
        },
      });
    } finally {
      await rm(path, { recursive: true, force: true });
    }
    report((this.#done += this.#file.media.get(hash)!.bytes), this.#total);
  }
}

function isSameTake(known: TakeRecord, take: FileTake, hash: string): boolean {
  return take.id === undefined ? known.fileHash === hash && known.jobId === take.jobId : known.id === take.id;
}
