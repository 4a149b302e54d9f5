import { BrowserWindow, session, shell } from 'electron';

/** Scheme the window is loaded from; a standard, secure origin of its own instead of file://. */
export const appScheme = 'app';
const appUrl = `${appScheme}://pusa/`;

/** Pages that a link may open in the person's browser. */
const allowedLinks: readonly string[] = ['https://github.com/', 'https://huggingface.co/'];

/** Opens the main window: sandboxed, without Node, unable to navigate or to open windows of its own. */
export function openWindow(): BrowserWindow {
  const window = new BrowserWindow({
    width: 1280,
    height: 800,
    minWidth: 900,
    minHeight: 600,
    show: false,
    backgroundColor: '#0e1014',
    title: 'Pusa Studio',
    webPreferences: { sandbox: true, contextIsolation: true, nodeIntegration: false },
  });
  window.once('ready-to-show', () => window.show());
  window.webContents.setWindowOpenHandler(({ url }) => {
    if (allowedLinks.some((start) => url.startsWith(start))) void shell.openExternal(url);
    return { action: 'deny' };
  });
  window.webContents.on('will-navigate', (event) => {
    if (!event.url.startsWith(appUrl)) event.preventDefault();
  });
  void window.loadURL(appUrl);
  return window;
}

/** The application asks for no camera, no location, nothing: every permission is denied. */
export function denyPermissions(): void {
  session.defaultSession.setPermissionRequestHandler((_contents, _permission, answer) => answer(false));
  session.defaultSession.setPermissionCheckHandler(() => false);
  session.defaultSession.setDevicePermissionHandler(() => false);
}
