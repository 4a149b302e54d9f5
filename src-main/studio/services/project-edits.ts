import type { EventName, EventPayload } from '../../core/contract/api.ts';
import type { Edited } from '../../core/contract/api/projects.ts';
import type { Project } from '../../core/contract/project.ts';
import type { ProjectRecord, RecordDiff } from '../../core/contract/records.ts';
import { diffProjects, type ProjectChange } from '../../core/edit/diff.ts';
import type { Edit, Store, StoreChange } from '../../library/store.ts';
import type { StudioContext } from '../context.ts';

const noChange: ProjectChange = { fields: {} };

/**
 * Counts what happens to each project since the studio opened, and tells every window of it (`projects.edited`): of
 * edits, undoing and redoing alike, whoever asked for them.
 */
export class ProjectEdits {
  readonly #store: Store;
  readonly #revisions = new Map<string, number>();
  /** What became of a change, by the diffs the store gives to its caller too. */
  readonly #told = new WeakMap<readonly RecordDiff[], Map<string, Edited>>();

  constructor(store: Store, emit: <E extends EventName>(event: E, payload: EventPayload<E>) => void) {
    this.#store = store;
    store.onChange((change) => {
      const told = this.#note(change);
      this.#told.set(change.diffs, told);
      for (const edited of told.values()) emit('projects.edited', edited);
    });
  }

  /** Changes of a project so far. */
  revision(projectId: string): number {
    return this.#revisions.get(projectId) ?? 0;
  }

  /** The next step to undo and to redo, by name. */
  steps(projectId: string): Edited['steps'] {
    const { undo, redo } = this.#store.labels(projectId);
    return { undo: undo[0] ?? null, redo: redo[0] ?? null };
  }

  /** What a change of the store, as its caller has it, did to a project. */
  edited(projectId: string, diffs: readonly RecordDiff[]): Edited {
    const told = this.#told.get(diffs)?.get(projectId);
    return (
      told ?? {
        projectId,
        revision: this.revision(projectId),
        change: noChange,
        steps: this.steps(projectId),
      }
    );
  }

  #note({ projectId, diffs }: StoreChange): Map<string, Edited> {
    const changes = new Map<string, ProjectChange>();
    // Takes belong to the history too: their steps change what can be undone.
    if (projectId !== null) changes.set(projectId, noChange);
    for (const { table, id, before, after } of diffs) {
      if (table !== 'projects' || before === null || after === null) continue;
      changes.set(id, diffProjects(before as ProjectRecord, after as ProjectRecord));
    }
    const told = new Map<string, Edited>();
    for (const [id, change] of changes) {
      const revision = this.revision(id) + 1;
      this.#revisions.set(id, revision);
      told.set(id, { projectId: id, revision, change, steps: this.steps(id) });
    }
    return told;
  }
}

/**
 * Edits a project: one step to undo, told to every window.
 * @param change makes the new project of the old one; `modifiedAt` is set here
 * @param also what belongs to the same step beside the project itself, such as its takes
 * @param gesture joins the step to the one before it of the same gesture
 * @throws PusaError RECORD_NOT_FOUND, what `change` throws, and that of `Store.transact`
 */
export async function editProject(
  context: Pick<StudioContext, 'store' | 'edits'>,
  projectId: string,
  label: string,
  change: (project: Project) => Project,
  also?: (edit: Edit) => void,
  gesture?: string,
): Promise<Edited> {
  const work = (edit: Edit): void => {
    edit.update('projects', projectId, (record) => {
      const { trashedAt, pusaPath, ...project } = record;
      const changed = change(project);
      if (changed === project) return record;
      return { ...changed, modifiedAt: new Date().toISOString(), trashedAt, pusaPath };
    });
    also?.(edit);
  };
  const { diffs } = await context.store.transact(projectId, label, work, { gesture });
  return context.edits.edited(projectId, diffs);
}
