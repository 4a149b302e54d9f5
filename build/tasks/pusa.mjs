// The command line: `npm run pusa -- COMMAND …`.
import { join } from 'node:path';
import { build, root, run } from './support.mjs';

const status = build();
const cli = join(root, 'out/main/cli.js');
process.exit(status === 0 ? await run(process.execPath, [cli, ...process.argv.slice(2)]) : status);
