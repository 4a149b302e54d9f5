import { app, BrowserWindow, protocol } from 'electron';
import { appScheme, denyPermissions, openWindow } from './shell/window.ts';
import { createApplication } from './web/application.ts';
import { securityHeaders } from './web/node-server.ts';

protocol.registerSchemesAsPrivileged([
  { scheme: appScheme, privileges: { standard: true, secure: true, supportFetchAPI: true, stream: true } },
]);

if (app.requestSingleInstanceLock()) {
  app.on('second-instance', () => {
    const [window] = BrowserWindow.getAllWindows();
    if (window?.isMinimized()) window.restore();
    window?.focus();
  });
  app.on('window-all-closed', () => app.quit());
  void app.whenReady().then(start);
} else {
  app.quit();
}

async function start(): Promise<void> {
  const application = await createApplication(app.getPath('userData'));
  protocol.handle(appScheme, async (request) => {
    const response = await application.handle(request);
    for (const [name, value] of Object.entries(securityHeaders)) response.headers.set(name, value);
    return response;
  });
  app.on('will-quit', () => void application.close());
  denyPermissions();
  openWindow();
}
