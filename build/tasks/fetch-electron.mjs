// Fetches Electron's program, which is no part of its package: as long as it takes, but not when nothing arrives.
// Exits with 0 if it is there.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root } from './support.mjs';

const silence = 30_000;
const installer = join(root, 'node_modules/electron/install.js');
const require = createRequire(installer);

const silent = new AbortController();
const wait = () => setTimeout(() => silent.abort(new Error('Nothing arrived.')), silence);
let timer = wait();
let shown = -1;
try {
  await require('@electron/get').downloadArtifact({
    version: require('./package.json').version,
    artifactName: 'electron',
    platform: process.platform,
    arch: process.arch,
    cacheRoot: process.env.electron_config_cache,
    checksums: require('./checksums.json'),
    downloadOptions: {
      quiet: true,
      signal: silent.signal,
      getProgressCallback({ percent }) {
        clearTimeout(timer);
        timer = wait();
        const now = Math.floor(percent * 100);
        if (now > shown && process.stderr.isTTY) process.stderr.write(`\rFetching Electron … ${now} %`);
        shown = now;
      },
    },
  });
} catch {
  // Without the network that is no fault; who starts this says what happens then.
  process.exit(1);
}
clearTimeout(timer);
if (process.stderr.isTTY && shown >= 0) process.stderr.write('\n');
// It finds what was fetched, checks it again and unpacks it.
require(installer);
