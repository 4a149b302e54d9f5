// `npm start`: opens the application in Electron where it can run, else serves the same window on loopback.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, cache, root, run } from './support.mjs';

const electronFolder = join(root, 'node_modules/electron');
const unavailable = join(cache, 'electron-unavailable');
const retryAfter = 3600 * 1000;
/** A library is missing, or Chromium ended itself, as where the system forbids its sandbox: 127 and 128 + signals. */
const cannotRun = [127, 128 + 5, 128 + 6, 128 + 11];

const status = build();
if (status !== 0) process.exit(status);
const args = process.argv.slice(2);
if (!args.includes('--serve') && hasDisplay() && fetchElectron()) {
  const ended = await openElectron();
  if (ended !== null) process.exit(ended);
  console.error('Electron cannot run here; opening the same window in a browser instead.');
}
process.exit(await serve());

function hasDisplay() {
  return process.platform !== 'linux' || Boolean(process.env.DISPLAY || process.env.WAYLAND_DISPLAY);
}

/** Electron's program is no part of its package. One try an hour; @returns whether it is there */
function fetchElectron() {
  if (existsSync(join(electronFolder, 'path.txt'))) return true;
  if (existsSync(unavailable) && Date.now() - Number(readFileSync(unavailable, 'utf8')) < retryAfter)
    return false;
  console.error('Fetching Electron (once, about 120 MB) …');
  const done = spawnSync(process.execPath, [join(root, 'build/tasks/fetch-electron.mjs')], {
    stdio: ['ignore', 'ignore', process.stderr.isTTY ? 'inherit' : 'ignore'],
    // Through a proxy where the environment names one.
    env: { ...process.env, NODE_USE_ENV_PROXY: '1' },
  });
  if (done.status === 0 && existsSync(join(electronFolder, 'path.txt'))) {
    rmSync(unavailable, { force: true });
    return true;
  }
  console.error('Electron could not be fetched here; opening the same window in a browser instead.');
  mkdirSync(cache, { recursive: true });
  writeFileSync(unavailable, String(Date.now()));
  return false;
}

/** @returns exit status; null where it could not even begin */
async function openElectron() {
  const binary = join(electronFolder, 'dist', readFileSync(join(electronFolder, 'path.txt'), 'utf8').trim());
  const flags = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const began = performance.now();
  const code = await run(binary, [...flags, root, ...args]);
  return cannotRun.includes(code) && performance.now() - began < 10_000 ? null : code;
}

function serve() {
  const options = args.filter((arg) => arg !== '--serve');
  let isOpened = false;
  return run(process.execPath, [join(root, 'out/main/serve.js'), ...options], {
    stdio: ['inherit', 'pipe', 'inherit'],
    onOutput(text) {
      process.stdout.write(text);
      const url = /http:\/\/\S+/.exec(text)?.[0];
      if (isOpened || url === undefined || !hasDisplay()) return;
      isOpened = true;
      openBrowser(url);
    },
  });
}

function openBrowser(url) {
  const [command, options] =
    process.platform === 'win32'
      ? ['cmd', ['/c', 'start', '', url]]
      : [process.platform === 'darwin' ? 'open' : 'xdg-open', [url]];
  spawn(command, options, { stdio: 'ignore', detached: true })
    .on('error', () => undefined)
    .unref();
}
