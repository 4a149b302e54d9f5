import { randomUUID } from 'node:crypto';
import { open, rm, stat } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import type { Input } from '../../core/contract/api.ts';
import type { ProjectState } from '../../core/contract/api/projects.ts';
import type { Bytes } from '../../core/contract/channel.ts';
import type { TakeRecord } from '../../core/contract/records.ts';
import { PusaError, toPusaError } from '../../core/errors.ts';
import {
  pusaFileLimits,
  readPusaFile,
  writePusaFile,
  type FileTake,
  type MediaSource,
  type PusaFile,
} from '../../library/pusa-file.ts';
import type { Report, StudioContext } from '../context.ts';
import type { HandlersOf } from '../handlers.ts';
import { InTurn } from '../in-turn.ts';
import { refuseOwnFolders, requireAbsolute } from '../own-folders.ts';
import { importPusaFile, withoutPlace, type ImportWatch } from '../pusa-import.ts';
import { streamFile } from './export-file.ts';
import { projectState, takesOf } from './projects.ts';

type Contents = Pick<Input<'files.save'>, 'projectId' | 'media' | 'takes'>;

/** `.pusa` files: opened into the library, saved from it. */
export function filesHandlers(context: StudioContext): HandlersOf<'files'> {
  // A file is opened once, and an older state of a project never written over a newer one.
  const turns = new InTurn();
  return {
    'files.open': ({ path, task }, { signal }) =>
      openFile(context, turns, requireAbsolute(path), {
        path: resolve(path),
        report: context.reporter(task, 'bytes'),
        signal,
      }),
    'files.upload': async ({ task }, { upload, signal }) => {
      const path = temporaryPath(context);
      try {
        await receive(upload, path);
        const report = context.reporter(task, 'bytes');
        return await openFile(context, turns, path, { path: null, report, signal });
      } finally {
        await rm(path, { force: true });
      }
    },
    'files.save': async ({ task, ...contents }, { signal }) => {
      const { name, pusaPath } = context.store.require('projects', contents.projectId);
      if (pusaPath === null) {
        throw new PusaError('FILE_NOT_FOUND', `"${name}" has no file yet.`, 'Choose where to save it.');
      }
      return turns.run(`file ${pusaPath}`, async () => {
        await requireOwnFile(context, contents.projectId, pusaPath);
        return saveTo(context, contents, pusaPath, context.reporter(task, 'bytes'), signal);
      });
    },
    'files.saveAs': async ({ path, task, ...contents }, { signal }) => {
      const target = await requireTarget(context, path);
      return turns.run(`file ${target}`, async () => {
        const written = await saveTo(context, contents, target, context.reporter(task, 'bytes'), signal);
        await context.store.transact(null, 'Save file', (edit) => {
          edit.update('projects', contents.projectId, (project) => ({ ...project, pusaPath: target }));
        });
        return written;
      });
    },
    'files.download': async ({ task, ...contents }, { signal }) => {
      const path = temporaryPath(context);
      try {
        const { bytes } = await saveTo(context, contents, path, context.reporter(task, 'bytes'), signal);
        return { output: { bytes }, body: streamFile(path) };
      } catch (thrown) {
        await rm(path, { force: true });
        throw thrown;
      }
    },
  };
}

/** Takes a file into the library and opens its project. */
async function openFile(
  context: StudioContext,
  turns: InTurn,
  path: string,
  watch: ImportWatch,
): Promise<ProjectState> {
  const file = await readPusaFile(path);
  try {
    const { projectId, isCopy } = await turns.run(`project ${file.project.id}`, () =>
      importPusaFile(context, file, watch),
    );
    if (isCopy) {
      context.notify({
        level: 'info',
        code: 'OPENED_AS_COPY',
        values: { name: file.project.name },
        message: `"${file.project.name}" was opened as a copy: the library holds another version of it.`,
        remedy: 'Compare the two and put the one you do not need into the trash.',
        projectId,
      });
    }
    return projectState(context, projectId);
  } finally {
    file.close();
  }
}

/** Writes a project with what was chosen of its media and takes. */
async function saveTo(
  context: StudioContext,
  { projectId, media, takes }: Contents,
  path: string,
  report: Report,
  signal: AbortSignal,
): Promise<{ path: string; bytes: number }> {
  const record = context.store.require('projects', projectId);
  const project = withoutPlace(record);
  const chosen =
    takes === 'none'
      ? []
      : takesOf(context.store, projectId)
          .filter(({ promotedClipId }) => takes === 'all' || promotedClipId !== null)
          .reverse();
  const wanted = new Set([
    ...(media ? project.assets.map(({ hash }) => hash) : []),
    ...chosen.map(({ fileHash }) => fileHash),
  ]);
  // Without their disk all would be left out of the file.
  await context.media.look();
  const sources = new Map<string, MediaSource>();
  let [done, total] = [0, 0];
  for (const hash of wanted) {
    if (!(await context.media.has(hash))) continue;
    total += await context.media.size(hash);
    const parts = await context.media.parts(hash);
    sources.set(hash, {
      hash,
      ...(parts === null ? {} : { parts }),
      async *open() {
        for await (const piece of context.media.read(hash, { signal })) {
          yield piece;
          report((done += piece.byteLength), total);
        }
      },
    });
  }
  const contents = {
    project,
    settings: await settingsOf(record.pusaPath, projectId),
    media: project.assets.flatMap(({ hash }) => sources.get(hash) ?? []),
    takes: chosen.flatMap((take) => {
      const source = sources.get(take.fileHash);
      return source === undefined ? [] : [{ ...source, take: takeOfFile(take) }];
    }),
  };
  await context.unfinished.noting((onTemporary) => writePusaFile(path, contents, { onTemporary }));
  const left = wanted.size - sources.size;
  if (left > 0) {
    context.notify({
      level: 'warning',
      code: 'SAVED_WITHOUT_MEDIA',
      values: { name: record.name, count: left },
      message: `"${record.name}" was saved without ${left} of its media: they are missing.`,
      remedy: 'Relink them and save again.',
      projectId,
    });
  }
  return { path, bytes: (await stat(path)).size };
}

/** What a project's file holds besides: it is not the library's, and stays with the file when that is saved again. */
async function settingsOf(path: string | null, projectId: string): Promise<PusaFile['settings']> {
  if (path === null) return {};
  try {
    const file = await readPusaFile(path);
    file.close();
    return file.project.id === projectId ? file.settings : {};
  } catch {
    // Gone, or something else by now: it is written anew.
    return {};
  }
}

/**
 * Refuses to save over a file that another project of the library was saved to since.
 * @throws PusaError WRITE_FAILED
 */
async function requireOwnFile({ store }: StudioContext, projectId: string, path: string): Promise<void> {
  const file = await readPusaFile(path).catch(() => null);
  file?.close();
  if (file === null || file.project.id === projectId) return;
  if (store.get('projects', file.project.id)?.pusaPath !== path) return;
  throw new PusaError(
    'WRITE_FAILED',
    `“${basename(path)}” is the file of “${file.project.name}” by now.`,
    'Save this project under another name.',
  );
}

/** Without what only a library can say of it. */
function takeOfFile(take: TakeRecord): FileTake {
  const kept: Partial<TakeRecord> = { ...take };
  delete kept.projectId;
  delete kept.fileHash;
  return kept as FileTake;
}

/** Where a person wants a file: with its ending, and not among the library's own files. */
async function requireTarget(context: StudioContext, path: string): Promise<string> {
  const named = resolve(requireAbsolute(path));
  const target = extname(named).toLowerCase() === '.pusa' ? named : `${named}.pusa`;
  await refuseOwnFolders(context, target);
  return target;
}

function temporaryPath({ folders }: StudioContext): string {
  return join(folders.temporary, `${randomUUID()}.pusa`);
}

/** Writes bytes that come from outside to a file, as many as a `.pusa` file may have. */
async function receive(bytes: Bytes, path: string): Promise<void> {
  try {
    const handle = await open(path, 'wx');
    try {
      let length = 0;
      for await (const piece of bytes) {
        length += piece.byteLength;
        if (length > pusaFileLimits.fileBytes) {
          throw new PusaError(
            'FILE_TOO_LARGE',
            'The file is larger than a project can be.',
            'Save the project without its media and send the media apart.',
          );
        }
        await handle.writeFile(piece);
      }
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    throw toPusaError(thrown);
  }
}
