import { app, BrowserWindow, screen } from 'electron';
import { minimum, placeWindow, readWindowState, writeWindowState } from './window-state.ts';
import { appUrl } from './scheme.ts';

/** Background until the page has drawn itself, by theme. */
export const backgrounds = { dark: '#0e1014', light: '#f6f7f9' } as const;

export interface WindowOptions {
  readonly preload: string;
  /** Where its place is remembered. */
  readonly stateFile: string;
  readonly background: string;
}

/** Opens the main window where it stood last: sandboxed, isolated, without Node. */
export function openWindow({ preload, stateFile, background }: WindowOptions): BrowserWindow {
  const state = readWindowState(stateFile);
  const primary = screen.getPrimaryDisplay();
  const others = screen.getAllDisplays().filter(({ id }) => id !== primary.id);
  const areas = [primary, ...others].map(({ workArea }) => workArea);
  const window = new BrowserWindow({
    ...placeWindow(state?.bounds ?? null, areas),
    minWidth: minimum.width,
    minHeight: minimum.height,
    show: false,
    backgroundColor: background,
    title: 'Pusa Studio',
    webPreferences: {
      preload,
      sandbox: true,
      contextIsolation: true,
      nodeIntegration: false,
      navigateOnDragDrop: false,
      spellcheck: false,
      // A generation's progress is followed while the window is behind others.
      backgroundThrottling: false,
    },
  });
  if (state?.isMaximised === true) window.maximize();
  if (state?.isFullScreen === true) window.setFullScreen(true);
  window.once('ready-to-show', () => window.show());

  const remember = (): void => {
    // Hidden, as while it closes, it may no longer know that it was maximised.
    if (window.isDestroyed() || window.isMinimized() || !window.isVisible()) return;
    writeWindowState(stateFile, {
      bounds: window.getNormalBounds(),
      isMaximised: window.isMaximized(),
      isFullScreen: window.isFullScreen(),
    });
  };
  let timer: NodeJS.Timeout | undefined;
  const rememberSoon = (): void => {
    clearTimeout(timer);
    timer = setTimeout(remember, 500);
  };
  window.on('resize', rememberSoon);
  window.on('move', rememberSoon);
  app.on('before-quit', remember);
  window.on('closed', () => {
    clearTimeout(timer);
    app.off('before-quit', remember);
  });
  void window.loadURL(appUrl);
  return window;
}

/** Brings a window to the front, wherever it is. */
export function show(window: BrowserWindow): void {
  if (window.isMinimized()) window.restore();
  window.show();
  window.focus();
}
