import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { _electron } from 'playwright';
import { describe } from 'vitest';
import { root } from '../support/places.ts';
import { studioFlows } from './flows.ts';
import { watch, type Opened } from './opened.ts';

/** The installed Electron's program; null where only its package is there. */
const program = await readFile(join(root, 'node_modules/electron/path.txt'), 'utf8').then(
  (name) => join(root, 'node_modules/electron/dist', name.trim()),
  () => null,
);

/** Why the application cannot be opened here; null where it can. */
const obstacle =
  program === null || !existsSync(program)
    ? 'Electron’s program is not installed (node node_modules/electron/install.js gets it)'
    : process.platform === 'linux' && !process.env['DISPLAY'] && !process.env['WAYLAND_DISPLAY']
      ? 'there is no display (xvfb-run gives one)'
      : null;
if (obstacle !== null) {
  process.stderr.write(`SKIPPED: the window in Electron from end to end: ${obstacle}.\n`);
}

describe.skipIf(obstacle !== null)('the window in Electron', () => {
  studioFlows(() => openElectron(program!));
});

/** The built application with an empty library and settings of its own. */
async function openElectron(executablePath: string): Promise<Opened> {
  const folder = await mkdtemp(join(tmpdir(), 'pusa-electron-'));
  const data = join(folder, 'library');
  const asRoot = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const app = await _electron.launch({
    executablePath,
    args: [...asRoot, root, `--data=${data}`, `--user-data-dir=${join(folder, 'settings')}`],
    cwd: root,
  });
  const page = await app.firstWindow();
  const context = app.context();
  context.setDefaultTimeout(20_000);
  const watched = watch(context, page, (url) => url.protocol === 'app:');
  await app.evaluate(({ BrowserWindow }) => BrowserWindow.getAllWindows()[0]?.setContentSize(1440, 900));
  await page.getByRole('main').waitFor();
  return {
    page,
    data,
    pid: app.process().pid!,
    ...watched,
    chooseFiles: async (act, paths) => {
      await app.evaluate(
        ({ dialog }, filePaths) => {
          dialog.showOpenDialog = () => Promise.resolve({ canceled: false, filePaths });
        },
        [...paths],
      );
      await act();
    },
    close: async () => {
      await app.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
