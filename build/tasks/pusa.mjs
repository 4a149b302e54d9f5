// The command line: `npm run pusa -- COMMAND …`.
import { join } from 'node:path';
import { build, root, script } from './support.mjs';

const status = build();
process.exit(status === 0 ? script(join(root, 'out/main/cli.js'), process.argv.slice(2)) : status);
