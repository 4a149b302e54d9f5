// `npm run render -- PROJECT OUTPUT`, the same as `npm run pusa -- render PROJECT OUTPUT`.
import { join } from 'node:path';
import { build, root, run } from './support.mjs';

const status = build();
const cli = join(root, 'out/main/cli.js');
process.exit(status === 0 ? await run(process.execPath, [cli, 'render', ...process.argv.slice(2)]) : status);
