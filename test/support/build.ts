import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './places.ts';

/** Builds `out/` before the tests, unless it was built from these sources. */
export default function setup(): void {
  const script = `import { build } from ${JSON.stringify(join(root, 'build/tasks/support.mjs'))}; process.exit(build());`;
  const done = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (done.status !== 0) throw new Error('The build failed; see above.');
}
