import { z } from 'zod';
import { t } from '../i18n/index.svelte.ts';
import { collect, download, fileName, pickFiles } from './bytes.ts';
import { bridge } from './connection.ts';
import { openProjectFile } from './import-files.ts';
import { recall, remember } from './memory.ts';
import type { Session } from './session.svelte.ts';
import { tasks } from './tasks.svelte.ts';
import { ui } from './ui.svelte.ts';

const contentsSchema = z.strictObject({ media: z.boolean(), takes: z.enum(['none', 'promoted', 'all']) });
/** What goes into a `.pusa` file beside the project. */
export type Contents = z.infer<typeof contentsSchema>;

export function lastContents(): Contents {
  return recall('save-contents', contentsSchema) ?? { media: true, takes: 'promoted' };
}

export async function newProject(session: Session): Promise<void> {
  try {
    session.show(await session.client.api.projects.create({ name: t('app.untitled') }));
    await session.readTakes();
  } catch (thrown) {
    session.fail(thrown);
  }
}

export async function openProject(session: Session, projectId: string): Promise<void> {
  if (session.project?.id === projectId) return;
  try {
    await session.settled();
    await session.open(projectId);
  } catch (thrown) {
    session.fail(thrown);
  }
}

export async function duplicateProject(
  session: Session,
  source: { id: string; name: string },
): Promise<void> {
  try {
    const name = t('app.copyOf', { name: source.name }).slice(0, 200);
    const { projectId } = await session.client.api.projects.duplicate({ projectId: source.id, name });
    await openProject(session, projectId);
  } catch (thrown) {
    session.fail(thrown);
  }
}

export async function chooseProjectFile(session: Session): Promise<void> {
  const desktop = bridge();
  if (desktop === undefined) {
    const [file] = await pickFiles('.pusa', false);
    if (file) await openProjectFile(session, file);
    return;
  }
  const [path] = await desktop.chooseOpen({ kind: 'project' });
  if (path === undefined) return;
  const state = await tasks.follow(session, t('library.opening', { name: path }), ({ task, signal }) =>
    session.client.api.files.open({ path, task }, { signal }),
  );
  if (state === null) return;
  session.show(state);
  await session.readTakes();
}

/** To where it came from; asks where it has no file yet. */
export async function saveProject(session: Session): Promise<void> {
  const { project } = session;
  if (project === null) return;
  if (session.pusaPath === null) {
    ui.dialog = 'save';
    return;
  }
  await session.settled();
  const written = await tasks.follow(session, t('app.save'), ({ task, signal }) =>
    session.client.api.files.save({ projectId: project.id, ...lastContents(), task }, { signal }),
  );
  if (written !== null) session.tell('info', t('app.savedTo', { path: written.path }));
}

/** To another file: in Electron where the person says, in a browser as a download. @returns whether it was saved */
export async function saveProjectAs(session: Session, contents: Contents): Promise<boolean> {
  const { project } = session;
  if (project === null) return false;
  remember('save-contents', contents);
  await session.settled();
  const projectId = project.id;
  const desktop = bridge();
  if (desktop !== undefined) {
    const path = await desktop.chooseSave({ kind: 'project', name: fileName(project.name) });
    if (path === null) return false;
    const written = await tasks.follow(session, t('app.saveAs'), ({ task, signal }) =>
      session.client.api.files.saveAs({ projectId, path, ...contents, task }, { signal }),
    );
    if (written === null) return false;
    session.pusaPath = written.path;
    session.tell('info', t('app.savedTo', { path: written.path }));
    return true;
  }
  const name = `${fileName(project.name)}.pusa`;
  const blob = await tasks.follow(session, name, async ({ task, signal }) => {
    const { body } = await session.client.api.files.download({ projectId, ...contents, task }, { signal });
    return collect(body, 'application/octet-stream');
  });
  if (blob === null) return false;
  download(blob, name);
  return true;
}
