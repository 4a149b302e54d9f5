import { app, dialog, nativeTheme, powerMonitor, type BrowserWindow } from 'electron';
import { join } from 'node:path';
import type { Api } from '../core/contract/api.ts';
import type { Settings } from '../core/contract/api/settings.ts';
import { bridgeChannels } from '../core/contract/bridge.ts';
import type { ChannelClient } from '../core/contract/channel.ts';
import type { Studio } from '../studio/studio.ts';
import { registerBridge } from './bridge.ts';
import { watchPage } from './crashes.ts';
import { TakeDrags } from './drag.ts';
import { JobWatch } from './job-watch.ts';
import { connectInside } from './lines.ts';
import type { LogFile } from './log.ts';
import { setMenu } from './menu.ts';
import type { OpenedFiles } from './opened-files.ts';
import { textsFor, type Texts } from './texts.ts';
import { backgrounds, openWindow, show } from './window.ts';

export interface ShellOptions {
  readonly studio: Studio;
  readonly log: LogFile;
  readonly files: OpenedFiles;
  /** The built preload script. */
  readonly preload: string;
}

/** Milliseconds that the studio gets to close; what was acknowledged is saved already. */
const closeMs = 20_000;

/** The desktop around a studio: one window, its menu, and what the system shows of the work. */
export class Shell {
  private readonly options: ShellOptions;
  private readonly client: ChannelClient<Api>;
  private readonly jobs: JobWatch;
  private readonly drags: TakeDrags;
  private settings: Pick<Settings, 'language' | 'theme'> = { language: 'system', theme: 'system' };
  private window: BrowserWindow | null = null;
  private quitting: 'no' | 'asking' | 'closing' | 'closed' = 'no';

  constructor(options: ShellOptions) {
    this.options = options;
    const { studio, log } = options;
    this.client = connectInside((transport) => studio.connect(transport));
    this.drags = new TakeDrags(this.client, app.getPath('temp'));
    this.jobs = new JobWatch(this.client, {
      window: () => this.window,
      texts: () => this.texts,
      show: () => this.show(),
      log: (thrown) => log.write(thrown),
    });
  }

  get texts(): Texts {
    return textsFor(this.settings.language, app.getLocale());
  }

  /** Opens the window. */
  async start(): Promise<void> {
    this.client.on('settings.changed', (settings) => this.apply(settings));
    this.apply(await this.client.api.settings.get({}));
    await this.jobs.start();
    const { studio, log, files } = this.options;
    registerBridge({
      window: () => this.window,
      connect: (transport) => void studio.connect(transport),
      pageBegan: (window) =>
        files.deliverTo((path) => {
          app.addRecentDocument(path);
          window.webContents.send(bridgeChannels.openFile, path);
          show(window);
        }),
      startDrag: (window, takeId) => this.drags.start(window.webContents, takeId),
      texts: () => this.texts,
      log: (thrown) => log.write(thrown),
    });
    app.on('before-quit', (event) => this.beforeQuit(event));
    app.on('window-all-closed', () => app.quit());
    app.on('activate', () => this.show());
    powerMonitor.on('shutdown', (event?: Electron.Event) => {
      // The system waits for us a while; there is nobody to ask.
      event?.preventDefault();
      void this.end();
    });
    this.open();
  }

  /** Brings the window to the front. */
  show(): void {
    if (this.window !== null) show(this.window);
    else if (this.quitting === 'no') this.open();
  }

  private open(): void {
    const { log, files, preload } = this.options;
    const window = openWindow({
      preload,
      stateFile: join(app.getPath('userData'), 'window-state.json'),
      background: backgrounds[nativeTheme.shouldUseDarkColors ? 'dark' : 'light'],
    });
    this.window = window;
    watchPage(window, log, () => this.texts);
    window.on('focus', () => this.jobs.seen());
    window.webContents.on('did-start-navigation', ({ isMainFrame, isSameDocument }) => {
      if (isMainFrame && !isSameDocument) files.hold();
    });
    // The window is the application: closing it is quitting, which may have a question first.
    window.on('close', (event) => {
      if (this.quitting === 'closed') return;
      event.preventDefault();
      app.quit();
    });
    window.on('closed', () => {
      files.hold();
      this.window = null;
    });
  }

  private apply(settings: Settings): void {
    this.settings = settings;
    nativeTheme.themeSource = settings.theme;
    setMenu(this.texts, {
      command: (command) => this.window?.webContents.send(bridgeChannels.menu, command),
      logFile: this.options.log.path,
    });
  }

  /** Holds the end of the application back until the studio is closed; a running job goes on at the next start. */
  private beforeQuit(event: Electron.Event): void {
    if (this.quitting === 'closed') return;
    event.preventDefault();
    if (this.quitting !== 'no') return;
    this.quitting = 'asking';
    this.mayQuit()
      .catch((thrown: unknown) => {
        this.options.log.write(thrown);
        return true;
      })
      .then(async (may) => {
        if (may) await this.end();
        else this.quitting = 'no';
      })
      .catch((thrown: unknown) => this.options.log.write(thrown));
  }

  private async end(): Promise<void> {
    await this.close();
    app.quit();
  }

  private async mayQuit(): Promise<boolean> {
    if (!this.jobs.isRunning || this.window === null) return true;
    const { quitTitle, quitText, quit, stay } = this.texts;
    const { response } = await dialog.showMessageBox(this.window, {
      type: 'question',
      message: quitTitle,
      detail: quitText,
      buttons: [quit, stay],
      defaultId: 1,
      cancelId: 1,
    });
    return response === 0;
  }

  private async close(): Promise<void> {
    if (this.quitting === 'closing' || this.quitting === 'closed') return;
    this.quitting = 'closing';
    this.window?.hide();
    const timer = setTimeout(() => app.exit(0), closeMs);
    try {
      this.client.close();
      await this.options.studio.close();
      await this.drags.clear();
    } catch (thrown) {
      this.options.log.write(thrown);
    }
    clearTimeout(timer);
    this.quitting = 'closed';
  }
}
