import { app, dialog, type BrowserWindow, type FileFilter } from 'electron';
import { dirname, join } from 'node:path';
import type { ChooseOpen, ChooseSave } from '../core/contract/bridge.ts';
import { fileName } from './file-name.ts';
import type { Texts } from './texts.ts';

const mediaExtensions = [
  ...['png', 'jpg', 'jpeg', 'webp', 'gif', 'tif', 'tiff', 'avif'],
  ...['mp4', 'mov', 'm4v', 'webm', 'mkv', 'avi', 'mpg', 'mpeg', 'ts', 'm2ts', 'wmv', 'flv', 'ogv'],
];

const weightExtensions = ['safetensors', 'gguf', 'pth', 'pt', 'json', 'model'];

/** Where the person saved last, by kind. */
const lastFolders = new Map<ChooseSave['kind'], string>();

/** @returns the paths that the person chose; those of projects are remembered by the system */
export async function chooseOpen(
  window: BrowserWindow,
  { kind }: ChooseOpen,
  texts: Texts,
): Promise<string[]> {
  const all: FileFilter = { name: texts.allFiles, extensions: ['*'] };
  const filters: Readonly<Record<ChooseOpen['kind'], FileFilter[]>> = {
    media: [{ name: texts.media, extensions: mediaExtensions }, all],
    project: [{ name: texts.project, extensions: ['pusa'] }, all],
    model: [{ name: texts.weights, extensions: weightExtensions }, all],
    folder: [],
  };
  const { canceled, filePaths } = await dialog.showOpenDialog(window, {
    properties: [
      kind === 'folder' ? 'openDirectory' : 'openFile',
      ...(kind === 'media' || kind === 'model' ? (['multiSelections'] as const) : []),
      ...(kind === 'folder' ? (['createDirectory'] as const) : []),
    ],
    filters: filters[kind],
  });
  if (canceled) return [];
  if (kind === 'project') for (const path of filePaths) app.addRecentDocument(path);
  return filePaths;
}

/** @returns the path that the person chose, with the extension of its kind; null where they left the dialog */
export async function chooseSave(
  window: BrowserWindow,
  { kind, name }: ChooseSave,
  texts: Texts,
): Promise<string | null> {
  const extension = { project: 'pusa', mp4: 'mp4', webm: 'webm', gif: 'gif', frames: '' }[kind];
  const label = { project: texts.project, mp4: texts.video, webm: texts.video, gif: texts.video, frames: '' }[
    kind
  ];
  const folder = lastFolders.get(kind) ?? app.getPath(kind === 'project' ? 'documents' : 'videos');
  const ending = extension === '' ? '' : `.${extension}`;
  const { canceled, filePath } = await dialog.showSaveDialog(window, {
    defaultPath: join(folder, fileName(name) + ending),
    properties: ['createDirectory', 'showOverwriteConfirmation'],
    filters: extension === '' ? [] : [{ name: label, extensions: [extension] }],
  });
  if (canceled || filePath === '') return null;
  const path = filePath.toLowerCase().endsWith(ending) ? filePath : filePath + ending;
  lastFolders.set(kind, dirname(path));
  if (kind === 'project') app.addRecentDocument(path);
  return path;
}
