import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { app } from 'electron';
import { tellEnd, watchProcesses } from './shell/crashes.ts';
import { utilityFork } from './shell/engine.ts';
import { guardContents, guardSession } from './shell/guard.ts';
import { LogFile } from './shell/log.ts';
import { OpenedFiles, pusaFiles } from './shell/opened-files.ts';
import { registerScheme, serveScheme } from './shell/scheme.ts';
import { Shell } from './shell/shell.ts';
import { textsFor } from './shell/texts.ts';
import { defaultDataFolder } from './studio/data-folder.ts';
import { findPlaces } from './studio/places.ts';
import { openStudio } from './studio/studio.ts';
import { createApplication } from './web/application.ts';

const files = new OpenedFiles();
let shell: Shell | null = null;

registerScheme();
app.setAppUserModelId('studio.pusa.app');
app.on('open-file', (event, path) => {
  event.preventDefault();
  files.add(...pusaFiles([path], process.cwd()));
});

if (app.requestSingleInstanceLock()) {
  files.add(...pusaFiles(process.argv.slice(1), process.cwd()));
  app.on('second-instance', (_event, args, folder) => {
    files.add(...pusaFiles(args.slice(1), folder));
    shell?.show();
  });
  const log = new LogFile(app.getPath('logs'));
  watchProcesses(log, () => shell?.texts ?? textsFor('system', app.getLocale()));
  guardContents();
  void app
    .whenReady()
    .then(() => start(log))
    .catch((thrown: unknown) => {
      log.write(thrown);
      const texts = textsFor('system', app.getLocale());
      tellEnd(texts.cannotStart, thrown, log, texts);
      app.exit(1);
    });
} else {
  app.quit();
}

async function start(log: LogFile): Promise<void> {
  guardSession();
  // Chromium's own switches are among the arguments.
  const { data } = parseArgs({
    args: process.argv.slice(1),
    strict: false,
    options: { data: { type: 'string' } },
  }).values;
  const places = findPlaces();
  const studio = await openStudio({
    dataFolder: typeof data === 'string' ? data : defaultDataFolder(),
    places,
    fork: utilityFork,
    onLog: (entry) => log.write(entry),
  });
  serveScheme(await createApplication(studio, places.renderer));
  shell = new Shell({
    studio,
    log,
    files,
    preload: join(import.meta.dirname, '../preload/preload.cjs'),
  });
  await shell.start();
}
