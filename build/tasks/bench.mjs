// `npm run bench [-- NAME …]`: measurements, each against a baseline of the same run.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build, root, script } from './support.mjs';

const folder = join(root, 'test/bench');
const all = readdirSync(folder)
  .filter((name) => name.endsWith('.bench.ts'))
  .map((name) => name.slice(0, -'.bench.ts'.length));
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`No such bench: ${unknown.join(', ')}. There are: ${all.join(', ')}.`);
  process.exit(2);
}
let status = build();
for (const name of wanted.length > 0 ? wanted : all) {
  status ||= script(join(folder, `${name}.bench.ts`), [], { cwd: root });
}
process.exit(status);
