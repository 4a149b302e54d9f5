// `npm run render -- PROJECT OUTPUT`, the same as `npm run pusa -- render PROJECT OUTPUT`.
import { join } from 'node:path';
import { build, root, script } from './support.mjs';

const status = build();
process.exit(
  status === 0 ? script(join(root, 'out/main/cli.js'), ['render', ...process.argv.slice(2)]) : status,
);
