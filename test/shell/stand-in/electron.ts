/**
 * A small stand-in for the module `electron`, for the main process alone: what the application calls is noted, what
 * the system would do is done by a test. It is no Electron: windows draw nothing and pages are not run.
 */
import { EventEmitter } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { fork, type ChildProcess } from 'node:child_process';
import type Electron from 'electron';

const { PUSA_TEST_FOLDER: folder = '', PUSA_TEST_FIRST: first = 'yes' } = process.env;

/** What the application asked the system for, and what a test decides in the system's place. */
export const machine = {
  recent: [] as string[],
  opened: [] as string[],
  shownInFolder: [] as string[],
  errors: [] as { title: string; content: string }[],
  questions: [] as Electron.MessageBoxOptions[],
  notifications: [] as Electron.NotificationConstructorOptions[],
  drags: [] as { file: string; icon: number }[],
  schemes: [] as Electron.CustomScheme[],
  blockers: new Set<number>(),
  menu: [] as Electron.MenuItemConstructorOptions[],
  chosen: { open: [] as string[], save: '' },
  openDialogs: [] as Electron.OpenDialogOptions[],
  saveDialogs: [] as Electron.SaveDialogOptions[],
  /** The button that is pressed in a question; null: none, it stays. */
  answer: 0 as number | null,
  locale: 'en-GB',
  displays: [{ id: 1, workArea: { x: 0, y: 0, width: 1920, height: 1040 } }],
  engines: [] as ChildProcess[],
};

class App extends EventEmitter {
  readonly isPackaged = false;
  whenReady(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
  requestSingleInstanceLock(): boolean {
    return first === 'yes';
  }
  getPath(name: string): string {
    const path = join(folder, name);
    // The one of them that every system has.
    if (name === 'temp') mkdirSync(path, { recursive: true });
    return path;
  }
  getLocale(): string {
    return machine.locale;
  }
  setAppUserModelId(): void {
    return;
  }
  addRecentDocument(path: string): void {
    machine.recent.push(path);
  }
  quit(): void {
    // As Electron does: asks, closes every window, and ends when none held it back.
    setImmediate(() => {
      if (isHeldBack(this, 'before-quit')) return;
      for (const window of BrowserWindow.getAllWindows()) window.close();
      if (BrowserWindow.getAllWindows().length > 0) return;
      this.exit(0);
    });
  }
  exit(code = 0): void {
    process.exit(code);
  }
}

/** Emits an event with a default that a listener may prevent. @returns whether one did */
function isHeldBack(emitter: EventEmitter, name: string, more: object = {}, ...args: unknown[]): boolean {
  let prevented = false;
  emitter.emit(name, { ...more, preventDefault: () => (prevented = true) }, ...args);
  return prevented;
}

type Frame = Pick<Electron.WebFrameMain, 'url'> & {
  parent: Frame | null;
  postMessage(channel: string, message: unknown, ports: MessagePortMain[]): void;
};

class WebContents extends EventEmitter {
  openHandler: ((details: { url: string }) => { action: string }) | null = null;
  url = '';
  reloads = 0;
  /** The page's end of `send` and of ports. */
  hear: (channel: string, args: unknown[], ports: MessagePortMain[]) => void = () => undefined;
  readonly mainFrame: Frame;
  constructor() {
    super();
    const hear = (channel: string, args: unknown[], ports: MessagePortMain[]): void =>
      this.hear(channel, args, ports);
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- the frame's address is its page's
    const contents = this;
    this.mainFrame = {
      parent: null,
      get url() {
        return contents.url;
      },
      postMessage: (channel, message, ports) => hear(channel, [message], ports),
    };
  }
  setWindowOpenHandler(handler: (details: { url: string }) => { action: string }): void {
    this.openHandler = handler;
  }
  getURL(): string {
    return this.url;
  }
  send(channel: string, ...args: unknown[]): void {
    this.hear(channel, args, []);
  }
  reload(): void {
    this.reloads++;
  }
  forcefullyCrashRenderer(): void {
    this.emit('render-process-gone', {}, { reason: 'crashed', exitCode: 1 });
  }
  startDrag(item: { file: string; icon: { bytes: number } }): void {
    machine.drags.push({ file: item.file, icon: item.icon.bytes });
  }
  isDestroyed(): boolean {
    return false;
  }
}

const windows = new Set<BrowserWindow>();

export class BrowserWindow extends EventEmitter {
  static getAllWindows(): BrowserWindow[] {
    return [...windows];
  }
  static fromWebContents(contents: WebContents): BrowserWindow | null {
    return [...windows].find((window) => window.webContents === contents) ?? null;
  }
  readonly webContents = new WebContents();
  readonly options: Electron.BrowserWindowConstructorOptions;
  bounds: Electron.Rectangle;
  title = '';
  progress: { value: number; mode: string | undefined } = { value: -1, mode: undefined };
  flags = {
    shown: false,
    focused: false,
    minimised: false,
    maximised: false,
    fullScreen: false,
    flashing: false,
  };
  constructor(options: Electron.BrowserWindowConstructorOptions) {
    super();
    this.options = options;
    const { x = 0, y = 0, width = 800, height = 600 } = options;
    this.bounds = { x, y, width, height };
    windows.add(this);
    app.emit('web-contents-created', {}, this.webContents);
  }
  loadURL(url: string): Promise<void> {
    this.webContents.url = url;
    this.webContents.emit('did-start-navigation', { isMainFrame: true, isSameDocument: false });
    setImmediate(() => this.emit('ready-to-show'));
    return Promise.resolve();
  }
  close(): void {
    if (isHeldBack(this, 'close')) return;
    windows.delete(this);
    this.emit('closed');
  }
  show(): void {
    this.flags.shown = true;
  }
  hide(): void {
    this.flags.shown = false;
    // As window managers of X11 do it.
    this.flags.maximised = false;
  }
  isVisible(): boolean {
    return this.flags.shown;
  }
  focus(): void {
    this.flags.focused = true;
    this.emit('focus');
  }
  isFocused(): boolean {
    return this.flags.focused;
  }
  isDestroyed(): boolean {
    return !windows.has(this);
  }
  isMinimized(): boolean {
    return this.flags.minimised;
  }
  restore(): void {
    this.flags.minimised = false;
  }
  maximize(): void {
    this.flags.maximised = true;
  }
  isMaximized(): boolean {
    return this.flags.maximised;
  }
  setFullScreen(on: boolean): void {
    this.flags.fullScreen = on;
  }
  isFullScreen(): boolean {
    return this.flags.fullScreen;
  }
  getNormalBounds(): Electron.Rectangle {
    return this.bounds;
  }
  setTitle(title: string): void {
    this.title = title;
  }
  setProgressBar(value: number, options?: Electron.ProgressBarOptions): void {
    this.progress = { value, mode: options?.mode };
  }
  flashFrame(on: boolean): void {
    this.flags.flashing = on;
  }
}

export const app = new App();

export const handlers = new Map<string, (request: Request) => Promise<Response>>();
export const protocol = {
  registerSchemesAsPrivileged: (schemes) => void machine.schemes.push(...schemes),
  handle: (scheme, handler) => void handlers.set(scheme, handler as (request: Request) => Promise<Response>),
} satisfies Pick<Electron.Protocol, 'registerSchemesAsPrivileged' | 'handle'>;

/** Everything that was set on the session, by the name of its setter. */
export const sessionSettings = new Map<string, unknown>();
class Session extends EventEmitter {
  readonly webRequest = {
    onBeforeRequest: (listener: unknown) => void sessionSettings.set('onBeforeRequest', listener),
  };
  setPermissionRequestHandler(handler: unknown): void {
    sessionSettings.set('permissionRequest', handler);
  }
  setPermissionCheckHandler(handler: unknown): void {
    sessionSettings.set('permissionCheck', handler);
  }
  setDevicePermissionHandler(handler: unknown): void {
    sessionSettings.set('devicePermission', handler);
  }
  setDisplayMediaRequestHandler(handler: unknown): void {
    sessionSettings.set('displayMedia', handler);
  }
  setSpellCheckerEnabled(on: boolean): void {
    sessionSettings.set('spellChecker', on);
  }
}
export const session = { defaultSession: new Session() };

export const ipcHandlers = new Map<string, (event: unknown, ...args: unknown[]) => unknown>();
class IpcMain extends EventEmitter {
  handle(channel: string, handler: (event: unknown, ...args: unknown[]) => unknown): void {
    ipcHandlers.set(channel, handler);
  }
}
export const ipcMain = new IpcMain();

export class MessagePortMain extends EventEmitter {
  private readonly port: MessagePort;
  constructor(port: MessagePort) {
    super();
    this.port = port;
    port.on('close', () => this.emit('close'));
  }
  postMessage(message: unknown): void {
    this.port.postMessage(message);
  }
  start(): void {
    this.port.on('message', (data: unknown) => this.emit('message', { data, ports: [] }));
  }
  close(): void {
    this.port.close();
  }
}

export class MessageChannelMain {
  readonly port1: MessagePortMain;
  readonly port2: MessagePortMain;
  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.port1 = new MessagePortMain(port1);
    this.port2 = new MessagePortMain(port2);
  }
}

class UtilityProcess extends EventEmitter {
  private readonly child: ChildProcess;
  constructor(entry: string) {
    super();
    this.child = fork(entry, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: ['--import', join(import.meta.dirname, 'parent-port.ts')],
    });
    machine.engines.push(this.child);
    this.child.on('spawn', () => this.emit('spawn'));
    this.child.on('message', (message) => this.emit('message', message));
    this.child.on('exit', (code) => this.emit('exit', code ?? 1));
  }
  get pid(): number | undefined {
    return this.child.pid;
  }
  get stdout(): NodeJS.ReadableStream | null {
    return this.child.stdout;
  }
  get stderr(): NodeJS.ReadableStream | null {
    return this.child.stderr;
  }
  postMessage(message: unknown): void {
    if (this.child.connected) this.child.send(message as object, () => undefined);
  }
  kill(): boolean {
    return this.child.kill('SIGTERM');
  }
}
export const utilityProcess = { fork: (entry: string) => new UtilityProcess(entry) };

export const dialog = {
  showErrorBox: (title: string, content: string) => void machine.errors.push({ title, content }),
  showMessageBox: (_window: unknown, options: Electron.MessageBoxOptions) => {
    machine.questions.push(options);
    const { signal, cancelId = 0 } = options;
    if (machine.answer !== null) {
      return Promise.resolve({ response: machine.answer, checkboxChecked: false });
    }
    return new Promise((resolve) => {
      signal?.addEventListener('abort', () => resolve({ response: cancelId, checkboxChecked: false }));
    });
  },
  showOpenDialog: (_window: unknown, options: Electron.OpenDialogOptions) => {
    machine.openDialogs.push(options);
    const filePaths = machine.chosen.open;
    return Promise.resolve({ canceled: filePaths.length === 0, filePaths });
  },
  showSaveDialog: (_window: unknown, options: Electron.SaveDialogOptions) => {
    machine.saveDialogs.push(options);
    const filePath = machine.chosen.save;
    return Promise.resolve({ canceled: filePath === '', filePath });
  },
};

export class Notification extends EventEmitter {
  static isSupported(): boolean {
    return true;
  }
  readonly options: Electron.NotificationConstructorOptions;
  constructor(options: Electron.NotificationConstructorOptions) {
    super();
    this.options = options;
  }
  show(): void {
    machine.notifications.push(this.options);
  }
}

let lastBlocker = 0;
export const powerSaveBlocker = {
  start: () => {
    machine.blockers.add(++lastBlocker);
    return lastBlocker;
  },
  stop: (id) => machine.blockers.delete(id),
} satisfies Pick<Electron.PowerSaveBlocker, 'start' | 'stop'>;

export const screen = {
  getPrimaryDisplay: () => machine.displays[0]!,
  getAllDisplays: () => machine.displays,
};

export const shell = {
  openExternal: (url) => {
    machine.opened.push(url);
    return Promise.resolve();
  },
  showItemInFolder: (path) => void machine.shownInFolder.push(path),
} satisfies Pick<Electron.Shell, 'openExternal' | 'showItemInFolder'>;

export const Menu = {
  buildFromTemplate: (template: Electron.MenuItemConstructorOptions[]) => template,
  setApplicationMenu: (menu: Electron.MenuItemConstructorOptions[]) => void (machine.menu = menu),
};

export const nativeImage = { createFromBuffer: (bytes: Buffer) => ({ bytes: bytes.byteLength }) };
export const nativeTheme = { themeSource: 'system', shouldUseDarkColors: true };
export const powerMonitor = new EventEmitter();
export const crashReporter = { start: () => undefined };
