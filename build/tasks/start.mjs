// `npm start`: opens the application in Electron where it can run, else serves the same window on loopback.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, cache, root } from './support.mjs';

const electronFolder = join(root, 'node_modules/electron');
const unavailable = join(cache, 'electron-unavailable');
const retryAfter = 24 * 3600 * 1000;

const status = build();
if (status !== 0) process.exit(status);
const args = process.argv.slice(2);
if (!args.includes('--serve') && hasDisplay() && fetchElectron()) {
  const binary = join(electronFolder, 'dist', readFileSync(join(electronFolder, 'path.txt'), 'utf8'));
  const flags = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const done = spawnSync(binary, [...flags, root, ...args], { stdio: 'inherit' });
  process.exit(done.status ?? 1);
}
serve();

function hasDisplay() {
  return process.platform !== 'linux' || Boolean(process.env.DISPLAY ?? process.env.WAYLAND_DISPLAY);
}

/** Electron's binary is no part of its package. One bounded try a day; @returns whether it is there */
function fetchElectron() {
  if (existsSync(join(electronFolder, 'path.txt'))) return true;
  if (existsSync(unavailable) && Date.now() - Number(readFileSync(unavailable, 'utf8')) < retryAfter)
    return false;
  console.error('Fetching Electron (once) …');
  const done = spawnSync(process.execPath, [join(electronFolder, 'install.js')], {
    stdio: 'ignore',
    timeout: 60_000,
  });
  mkdirSync(cache, { recursive: true });
  if (done.status === 0 && existsSync(join(electronFolder, 'path.txt'))) {
    rmSync(unavailable, { force: true });
    return true;
  }
  console.error('Electron could not be fetched here; opening the same window in a browser instead.');
  writeFileSync(unavailable, String(Date.now()));
  return false;
}

function serve() {
  const child = spawn(
    process.execPath,
    [join(root, 'out/main/serve.js'), ...args.filter((arg) => arg !== '--serve')],
    { stdio: ['inherit', 'pipe', 'inherit'] },
  );
  child.stdout.on('data', (chunk) => {
    const text = String(chunk);
    process.stdout.write(text);
    const url = /http:\/\/\S+/.exec(text)?.[0];
    if (url && hasDisplay()) openBrowser(url);
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code) => process.exit(code ?? 0));
}

function openBrowser(url) {
  const [command, options] =
    process.platform === 'win32' ? ['cmd', ['/c', 'start', '', url]] : ['xdg-open', [url]];
  spawn(command, options, { stdio: 'ignore', detached: true })
    .on('error', () => undefined)
    .unref();
}
