/**
 * What a window of Electron has beyond its contract with the studio: things that only the desktop can do. The preload
 * script puts it on the page as `window.pusa`; in a browser there is none. The main side checks every value again.
 */
export interface Bridge {
  readonly platform: 'win32' | 'darwin' | 'linux';
  /**
   * Asks for a line to the studio. It comes as a `message` event of the window itself, with `data` equal to
   * {@link portMessage} and a MessagePort in `ports[0]` for `portTransport`. Asking again ends the line before.
   */
  connect(): void;
  /** Path of a file that was dropped or chosen; null for one that lies on no disk. */
  pathForFile(file: object): string | null;
  /** The system's dialog for opening. @returns the paths chosen; none if it was left */
  chooseOpen(options: ChooseOpen): Promise<string[]>;
  /** The system's dialog for saving. @returns the path; null if it was left */
  chooseSave(options: ChooseSave): Promise<string | null>;
  /** Commands of the application menu. @returns what ends the listening */
  onMenu(listener: (command: MenuCommand) => void): () => void;
  /** A `.pusa` file was opened from the system: a double click, the dock, another start. @returns as above */
  onOpenFile(listener: (path: string) => void): () => void;
  /** Begins to drag a finished take, as a file, to another application. Called while a `dragstart` is handled. */
  startDrag(takeId: string): void;
  /** Shows a written file in the system's file manager. */
  showInFolder(path: string): void;
  /** The name of the open project, for the window's title; null while none is. */
  setTitle(project: string | null): void;
}

export const chooseOpenKinds = ['media', 'project', 'model', 'folder'] as const;
/** `media`: pictures and videos, `model`: files with weights; several at once. */
export interface ChooseOpen {
  readonly kind: (typeof chooseOpenKinds)[number];
}

export const chooseSaveKinds = ['project', 'mp4', 'webm', 'gif', 'frames'] as const;
export interface ChooseSave {
  readonly kind: (typeof chooseSaveKinds)[number];
  /** File name offered, without its extension. */
  readonly name: string;
}

export const menuCommands = [
  'new-project',
  'open-file',
  'import',
  'save',
  'save-as',
  'export',
  'undo',
  'redo',
  'settings',
  'palette',
] as const;
export type MenuCommand = (typeof menuCommands)[number];

/** `data` of the message that brings the studio's port to the page. */
export const portMessage = 'pusa:port';

/** Names of the messages between preload and main side. */
export const bridgeChannels = {
  connect: 'pusa:connect',
  port: 'pusa:port',
  chooseOpen: 'pusa:choose-open',
  chooseSave: 'pusa:choose-save',
  menu: 'pusa:menu',
  openFile: 'pusa:open-file',
  startDrag: 'pusa:start-drag',
  showInFolder: 'pusa:show-in-folder',
  setTitle: 'pusa:set-title',
} as const;
