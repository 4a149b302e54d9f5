// `npm test`: every check and test, on a bare machine. Ends with the line "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { build, cache, root, run, tool } from './support.mjs';

mkdirSync(cache, { recursive: true });
installSystemPackages();

const only = process.argv.slice(2);
const results = [];

if (only.length === 0) await runChecks();
if (build() !== 0) results.push({ name: 'build', passed: false });
const tests = runVitest();

const failedChecks = results.filter((result) => !result.passed);
const passed = results.length - failedChecks.length + tests.passed;
const failed = failedChecks.length + tests.failed;
console.log('');
for (const result of results) console.log(`${result.passed ? 'ok    ' : 'FAILED'} ${result.name}`);
console.log(`tests: ${tests.passed} passed, ${tests.failed} failed, ${tests.skipped} skipped`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && tests.passed > 0 ? 0 : 1);

/** Types, lint, format and the rules of the house: each takes one core, so as many at once as there are. */
async function runChecks() {
  const svelteCheck = (folder) => [
    'node_modules/svelte-check/bin/svelte-check',
    ...['--workspace', folder, '--tsconfig', './tsconfig.json', '--fail-on-warnings'],
  ];
  // The longest first.
  const waiting = Object.entries({
    lint: ['node_modules/eslint/bin/eslint.js', '--max-warnings', '0', '.'],
    'types (renderer)': svelteCheck('src-renderer'),
    'types (renderer tests)': svelteCheck('test/renderer'),
    'types (main side)': ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'],
    format: ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.'],
    layers: ['build/checks/layers.mjs'],
    licences: ['build/checks/licences.mjs'],
    texts: ['build/checks/texts.mjs'],
  });
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [name, command] = next;
      let said = '';
      const status = await run(process.execPath, command, {
        cwd: root,
        stdio: ['ignore', 'pipe', 'pipe'],
        onOutput: (text) => (said += text),
      });
      // Ended by Ctrl-C or from outside: so is everything.
      if (status > 128) process.exit(status);
      console.log(`\n— ${name}\n${said.trimEnd()}`);
      results.push({ name, passed: status === 0 });
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, work));
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
