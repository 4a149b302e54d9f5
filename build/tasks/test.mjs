// `npm test`: every check and test, on a bare machine. Ends with the line "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build, cache, root, script, tool } from './support.mjs';

mkdirSync(cache, { recursive: true });
installSystemPackages();

const only = process.argv.slice(2);
const results = [];

check('types (main side)', () => tool('typescript/bin/tsc', ['-p', 'tsconfig.json']));
check('types (renderer)', () =>
  tool('svelte-check/bin/svelte-check', [
    '--workspace',
    'src-renderer',
    '--tsconfig',
    './tsconfig.json',
    '--fail-on-warnings',
  ]),
);
check('types (renderer tests)', () =>
  tool('svelte-check/bin/svelte-check', [
    '--workspace',
    'test/renderer',
    '--tsconfig',
    './tsconfig.json',
    '--fail-on-warnings',
  ]),
);
check('lint', () => tool('eslint/bin/eslint.js', ['--max-warnings', '0', '.']));
check('format', () => tool('prettier/bin/prettier.cjs', ['--check', '--log-level', 'warn', '.']));
check('layers', () => script(join(root, 'build/checks/layers.mjs'), [], { cwd: root }));
check('licences', () => script(join(root, 'build/checks/licences.mjs'), [], { cwd: root }));
check('texts', () => script(join(root, 'build/checks/texts.mjs'), [], { cwd: root }));
check('build', build);
const tests = runVitest();

const failedChecks = results.filter((result) => !result.passed);
const passed = results.length - failedChecks.length + tests.passed;
const failed = failedChecks.length + tests.failed;
console.log('');
for (const result of results) console.log(`${result.passed ? 'ok    ' : 'FAILED'} ${result.name}`);
console.log(`tests: ${tests.passed} passed, ${tests.failed} failed, ${tests.skipped} skipped`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && tests.passed > 0 ? 0 : 1);

function check(name, run) {
  if (only.length > 0) return;
  console.log(`\n— ${name}`);
  results.push({ name, passed: run() === 0 });
}

/** Runs the tests (those whose path holds a word given on the command line, or all) and counts them. */
function runVitest() {
  console.log('\n— tests');
  const report = join(cache, 'vitest.json');
  rmSync(report, { force: true });
  const status = tool('vitest/vitest.mjs', [
    'run',
    ...only,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);
  if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0 };
  const counts = JSON.parse(readFileSync(report, 'utf8'));
  // A file that fails to load has no test of its own to count: the exit status still says so.
  const failed = counts.numFailedTests > 0 ? counts.numFailedTests : status === 0 ? 0 : 1;
  return { passed: counts.numPassedTests, failed, skipped: counts.numPendingTests + counts.numTodoTests };
}

/** On Debian as root, installs what the browser and media tests use; elsewhere those tests say what they miss. */
function installSystemPackages() {
  const missing = [
    ['chromium', ['/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/bin/microsoft-edge']],
    ['ffmpeg', ['/usr/bin/ffmpeg', '/usr/local/bin/ffmpeg']],
  ]
    .filter(([, paths]) => !paths.some((path) => existsSync(path)))
    .map(([name]) => name);
  if (missing.length === 0 || !existsSync('/etc/debian_version') || process.getuid?.() !== 0) return;
  console.error(`Setting up: installing ${missing.join(' and ')} for the tests …`);
  const quiet = {
    stdio: ['ignore', 'ignore', 2],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  };
  spawnSync('apt-get', ['update', '-qq'], quiet);
  const done = spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], quiet);
  if (done.status !== 0)
    console.error('They could not be installed; the tests that need them will be skipped.');
}
