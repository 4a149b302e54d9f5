// `npm run soak [-- NAME …]`: the long forms of tests, too slow for every change.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build, root, script } from './support.mjs';

const folder = join(root, 'test/soak');
const all = readdirSync(folder)
  .filter((name) => name.endsWith('.ts'))
  .map((name) => name.slice(0, -'.ts'.length));
const wanted = process.argv.slice(2);
let status = build();
for (const name of wanted.length > 0 ? wanted : all) {
  console.log(`\nsoak: ${name}`);
  const done = script(join(folder, `${name}.ts`), [], { cwd: root });
  status ||= done;
}
process.exit(status);
