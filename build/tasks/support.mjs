// What the tasks share: the project's root, running its tools, building only when something changed. Built-in modules
// only: it is loaded before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const cache = join(root, '.cache');

/** Runs a package's command-line entry under this Node, in the project's root. @returns exit status */
export function tool(packagePath, args, options = {}) {
  const done = spawnSync(process.execPath, [join(root, 'node_modules', packagePath), ...args], {
    cwd: root,
    stdio: 'inherit',
    ...options,
  });
  return done.status ?? 1;
}

/** Runs a script of ours under this Node. @returns exit status */
export function script(path, args = [], options = {}) {
  const done = spawnSync(process.execPath, [path, ...args], { stdio: 'inherit', ...options });
  return done.status ?? 1;
}

/**
 * Runs a program that a person talks to. Ctrl-C asks it, and this process stays until it has ended.
 * @param onOutput given what it prints, if `stdio` says that this is piped
 * @returns exit status, or 128 + the signal's number
 */
export function run(command, args = [], { onOutput, ...options } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'inherit', ...options });
    // On Windows the console asks both, and to pass it on would be to kill.
    const pass = (signal) => process.platform !== 'win32' && child.kill(signal);
    process.on('SIGINT', pass).on('SIGTERM', pass);
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', onOutput);
    const end = (status) => {
      process.off('SIGINT', pass).off('SIGTERM', pass);
      resolve(status);
    };
    child.on('error', (error) => {
      console.error(`${command} could not be started: ${error.message}`);
      end(127);
    });
    child.on('close', (code, signal) => end(code ?? 128 + (constants.signals[signal] ?? 0)));
  });
}

/** Builds `out/` unless it was built from exactly these sources. @returns exit status */
export function build() {
  const stamp = join(root, 'out', '.source-hash');
  const hash = sourceHash();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return 0;
  console.error('Building …');
  const done = spawnSync(
    process.execPath,
    [join(root, 'node_modules/electron-vite/bin/electron-vite.js'), 'build', '--logLevel', 'error'],
    { cwd: root, stdio: ['ignore', 2, 2] },
  );
  if (done.status !== 0) return done.status ?? 1;
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, hash);
  return 0;
}

function sourceHash() {
  const hash = createHash('sha256');
  const files = ['package.json', 'package-lock.json', 'electron.vite.config.ts', 'tsconfig.base.json'];
  for (const folder of ['src-main', 'src-renderer']) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) files.push(relative(root, join(entry.parentPath, entry.name)));
    }
  }
  for (const file of files.sort()) {
    hash.update(file).update(String(statSync(join(root, file)).size));
    hash.update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}
