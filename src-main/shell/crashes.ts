import { app, crashReporter, dialog, type BrowserWindow } from 'electron';
import { toPusaError } from '../core/errors.ts';
import type { LogFile } from './log.ts';
import type { Texts } from './texts.ts';

/** Reports stay on this machine; what fails outside any request is logged, told, and ends the application. */
export function watchProcesses(log: LogFile, texts: () => Texts): void {
  crashReporter.start({ uploadToServer: false });
  process.on('uncaughtException', (thrown) => {
    log.write(thrown);
    tellEnd(texts().broken, thrown, log, texts());
    app.exit(1);
  });
  process.on('unhandledRejection', (thrown) => log.write(thrown));
  app.on('child-process-gone', (_event, { type, reason, exitCode, name }) => {
    if (reason !== 'clean-exit') log.write(`${type} ${name ?? ''} ended: ${reason}, code ${exitCode}`);
  });
}

/** Says why the application ends: the sentence, what to do, and where more is written. */
export function tellEnd(title: string, thrown: unknown, log: LogFile, texts: Texts): void {
  const { code, message, remedy } = toPusaError(thrown);
  dialog.showErrorBox(title, `${message}\n${remedy}\n\n${code}\n${texts.log}: ${log.path}`);
}

/** Offers to load the page again when its process is gone or hangs. Nothing is lost: the page keeps nothing. */
export function watchPage(window: BrowserWindow, log: LogFile, texts: () => Texts): void {
  const ask = async (message: string, other: string, signal?: AbortSignal): Promise<boolean> => {
    const { response } = await dialog.showMessageBox(window, {
      ...(signal === undefined ? {} : { signal }),
      type: 'error',
      message,
      detail: texts().pageGoneText,
      buttons: [texts().reload, other],
      defaultId: 0,
      cancelId: 1,
    });
    return response === 0;
  };
  let isReloading = false;
  const reload = (): void => {
    if (!window.isDestroyed()) window.webContents.reload();
  };
  window.webContents.on('render-process-gone', (_event, { reason, exitCode }) => {
    if (reason === 'clean-exit') return;
    log.write(`The page's process ended: ${reason}, code ${exitCode}`);
    // The person asked for it already.
    if (isReloading) {
      isReloading = false;
      reload();
      return;
    }
    void ask(texts().pageGone, texts().quit).then((again) => (again ? reload() : app.quit()));
  });
  let asking: AbortController | null = null;
  window.on('responsive', () => asking?.abort());
  window.on('unresponsive', () => {
    if (asking !== null) return;
    const question = (asking = new AbortController());
    log.write('The page does not answer.');
    void ask(texts().unresponsive, texts().wait, question.signal).then((again) => {
      asking = null;
      if (!again || question.signal.aborted || window.isDestroyed()) return;
      isReloading = true;
      window.webContents.forcefullyCrashRenderer();
    });
  });
}
