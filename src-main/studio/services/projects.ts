import { randomUUID } from 'node:crypto';
import type { ProjectState } from '../../core/contract/api/projects.ts';
import type { Project } from '../../core/contract/project.ts';
import type { ProjectRecord, TakeRecord } from '../../core/contract/records.ts';
import { applyCommands } from '../../core/edit/apply.ts';
import { PusaError } from '../../core/errors.ts';
import { newProject } from '../../core/presets/defaults.ts';
import type { Store, StoreChange } from '../../library/store.ts';
import type { StudioContext } from '../context.ts';
import type { HandlersOf } from '../handlers.ts';
import { findUsableModel } from './models.ts';
import { editProject } from './project-edits.ts';

/** Projects: their lists, their edits and what becomes of them as a whole. */
export function projectsHandlers(context: StudioContext): HandlersOf<'projects'> {
  const { store } = context;
  return {
    'projects.list': ({ cursor, limit, trashed, sort }) => {
      const page = store.lists.projects({
        limit,
        after: cursor,
        trashed,
        order: sort === 'modified' ? 'time' : sort,
      });
      return { ...page, items: [...page.items] };
    },
    'projects.search': (query) => ({ hits: store.search(query) }),
    'projects.create': async ({ name, width, height, fps }) => {
      const { native } = (await findUsableModel(context, null)).manifest;
      const project = newProject({
        id: randomUUID(),
        name,
        now: new Date().toISOString(),
        width: width ?? native.width,
        height: height ?? native.height,
        fps: fps ?? native.fps,
      });
      await store.transact(null, 'Create project', (edit) => {
        edit.put('projects', { ...project, trashedAt: null, pusaPath: null });
      });
      return projectState(context, project.id);
    },
    'projects.open': ({ projectId }) => projectState(context, projectId),
    'projects.edit': ({ projectId, label, commands, gesture }) =>
      editProject(
        context,
        projectId,
        label,
        (project) => {
          const changed = applyCommands(project, commands);
          requireKnownMedia(context, project, changed);
          return changed;
        },
        undefined,
        gesture,
      ),
    'projects.undo': ({ projectId }) => step(context, projectId, () => store.undo(projectId), 'undone'),
    'projects.redo': ({ projectId }) => step(context, projectId, () => store.redo(projectId), 'done again'),
    'projects.duplicate': async ({ projectId, name }) => {
      const id = randomUUID();
      await store.transact(null, 'Duplicate project', (edit) => {
        const now = new Date().toISOString();
        const original = edit.require('projects', projectId);
        edit.put('projects', {
          ...original,
          id,
          name,
          createdAt: now,
          modifiedAt: now,
          trashedAt: null,
          pusaPath: null,
        });
        for (const take of takesOf(store, projectId)) {
          edit.put('takes', { ...take, id: randomUUID(), projectId: id });
        }
      });
      return { projectId: id };
    },
    'projects.trash': async ({ projectIds }) => {
      await setTrashed(store, projectIds, new Date().toISOString());
      return {};
    },
    'projects.restore': async ({ projectIds }) => {
      await setTrashed(store, projectIds, null);
      return {};
    },
    'projects.remove': async ({ projectIds }) => {
      await removeProjects(context, projectIds);
      return {};
    },
  };
}

/** A project as a window needs it. @throws PusaError RECORD_NOT_FOUND */
export function projectState(
  { store, edits }: Pick<StudioContext, 'store' | 'edits'>,
  id: string,
): ProjectState {
  const { trashedAt, pusaPath, ...project } = store.require('projects', id);
  return { project, revision: edits.revision(id), steps: edits.steps(id), trashedAt, pusaPath };
}

/** All takes of a project, the newest first. */
export function takesOf(store: Store, projectId: string): TakeRecord[] {
  const takes: TakeRecord[] = [];
  let after: string | null = null;
  do {
    const page = store.lists.takes({ limit: 500, after, projectId });
    takes.push(...page.items.map(({ id }) => store.require('takes', id)));
    after = page.next;
  } while (after !== null);
  return takes;
}

/** Only media of the library come into a project: others could never be shown or generated from. */
function requireKnownMedia({ store }: StudioContext, before: Project, after: Project): void {
  if (before.assets === after.assets) return;
  const known = new Set(before.assets.map(({ hash }) => hash));
  for (const { id, hash, name } of after.assets) {
    if (known.has(hash) || store.get('assets', id)?.hash === hash) continue;
    throw new PusaError(
      'EDIT_INVALID',
      `"${name}" is not in the library.`,
      'Import the file, then add it to the project.',
    );
  }
}

async function step(
  { edits }: StudioContext,
  projectId: string,
  take: () => Promise<StoreChange | null>,
  how: string,
): Promise<ReturnType<StudioContext['edits']['edited']>> {
  const change = await take();
  if (change !== null) return edits.edited(projectId, change.diffs);
  throw new PusaError(
    'UNDO_IMPOSSIBLE',
    `There is nothing that can be ${how}.`,
    'Go on from the project as it is.',
  );
}

async function setTrashed(
  store: Store,
  projectIds: readonly string[],
  trashedAt: string | null,
): Promise<void> {
  const label = trashedAt === null ? 'Restore projects' : 'Put projects into the trash';
  await store.transact(null, label, (edit) => {
    for (const id of projectIds) {
      edit.update('projects', id, (project) => ({
        ...project,
        trashedAt: trashedAt === null ? null : (project.trashedAt ?? trashedAt),
      }));
    }
  });
}

/** Removes projects for good, and the videos of their takes that nothing else needs. */
async function removeProjects(context: StudioContext, ids: readonly string[]): Promise<void> {
  const { store, media } = context;
  const { diffs } = await store.transact(null, 'Remove projects', (edit) => {
    for (const id of new Set(ids)) requireRemovable(store, edit.require('projects', id));
    for (const id of new Set(ids)) edit.remove('projects', id);
  });
  const hashes = diffs.flatMap(({ table, before }) =>
    table === 'takes' && before !== null ? [(before as TakeRecord).fileHash] : [],
  );
  const needed = store.namedAmong(hashes);
  for (const hash of hashes) {
    // What stays behind is only a file too many.
    if (needed.has(hash) || store.lists.isNamed(hash)) continue;
    await media.remove(hash).catch((thrown: unknown) => context.log(thrown));
  }
}

function requireRemovable(store: Store, project: ProjectRecord): void {
  if (project.trashedAt === null) {
    throw new PusaError(
      'RECORD_INVALID',
      `"${project.name}" is not in the trash.`,
      'Put it into the trash first, then remove it for good.',
    );
  }
  if (store.lists.jobs(['running']).some(({ projectId }) => projectId === project.id)) {
    throw new PusaError(
      'JOB_BUSY',
      `A job of "${project.name}" is running.`,
      'Cancel the job, then remove the project.',
    );
  }
}
